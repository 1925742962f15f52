// copy: strided_copy, any rearrangement that is a walk with strides (transpose, slice, flip, tile, concat of pieces),
// and fill, one value everywhere. Both are named by element size in bytes: "strided_copy.4" serves float32 and int32
// alike.
#pragma once
#include "../kernel.h"

namespace minimx {

// Buffers: in, out. out[out_offset + Σ i_d·out_strides[d]] = in[in_offset + Σ i_d·in_strides[d]] for every index below
// `shape`, which has at most 32 dimensions longer than one. Strides and offsets count elements. Input strides may be
// zero or negative; output strides may be negative, and no two indices may meet in the output.
struct StridedCopyArgs {
  Ints shape;
  Ints in_strides;
  Ints out_strides;
  int64_t in_offset;
  int64_t out_offset;
};
MINIMX_ARGS(StridedCopyArgs, shape, in_strides, out_strides, in_offset, out_offset)

// Buffers: out. `count` elements, each the low bytes of `bits` (the value as it lies in memory; 0 is 0 of every type).
struct FillArgs {
  int64_t count;
  int64_t bits;
};
MINIMX_ARGS(FillArgs, count, bits)

}  // namespace minimx
