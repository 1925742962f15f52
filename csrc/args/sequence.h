// Sequences of different lengths side by side: rows behind an example's length masked, its order reversed, its last
// row.
#pragma once
#include "../kernel.h"

namespace minimx {

// Data are time x batch rows of `inner` elements; row (t, b) starts at t·time_stride + b·batch_stride. Lengths are
// int64, one per example, and count up to `time`. Elements are moved, whatever their type is; kernels are named by
// their size in bytes.
//
// sequence_mask: data, length, out. Rows from an example's length on become the element whose bits are `bits`.
// sequence_reverse: data, length, out. The first `length` rows of an example in the opposite order, then the others.
// sequence_last: data, length, out (batch x inner). An example's row length - 1; for length 0 its first.
// sequence_place: data (batch x inner), length, out. The other way around: zeros, but for that row.
struct SequenceArgs {
  int64_t time;
  int64_t batch;
  int64_t inner;
  int64_t time_stride;
  int64_t batch_stride;
  int64_t bits;
};
MINIMX_ARGS(SequenceArgs, time, batch, inner, time_stride, batch_stride, bits)

enum class Sequence { mask, reverse, last, place };

}  // namespace minimx
