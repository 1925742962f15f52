// ewise: a chain of elementwise operators as one pass over tiles that stay in the first-level cache.
#pragma once
#include "../kernel.h"

namespace minimx {

constexpr int64_t kCodeWidth = 6;  // numbers of an instruction

// Buffers: inputs..., outputs.... The iteration space is `shape` in row-major order; outputs are contiguous over it,
// input i walks with in_strides[i*shape.n + d] elements (0 repeats along d). Types are DType numbers: values are
// converted to the kernel's compute type on load and back (truncating towards zero, integers wrapping) on store.
//
// `code` holds six numbers per instruction: opcode, destination register, operands a, b, c, d (unused ones are 0).
// Operand k means input k below `inputs`, then constant k-inputs, then register k-inputs-constants.n. Registers hold
// one tile; `registers` of them are used (a gpu has 64). out_operands names what each output stores at the end of its
// tile, so an output may share memory with an input that walks like it.
struct EwiseArgs {
  Ints shape;
  int64_t inputs;
  Ints in_strides;
  Ints in_types;
  Reals constants;
  Ints code;
  int64_t registers;
  Ints out_operands;
  Ints out_types;
};
MINIMX_ARGS(EwiseArgs, shape, inputs, in_strides, in_types, constants, code, registers, out_operands, out_types)

}  // namespace minimx
