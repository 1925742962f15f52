// sum, prod, max, min, nansum, nanprod, sum_squares, sum_abs: one number from every element along some axes.
// argmax, argmin: where the largest or smallest element along one axis is.
#pragma once
#include "../kernel.h"

namespace minimx {

// sum, prod, max and min are there for float32, float64, int32 and int64, the others for the real types.
//
// Buffers: in, out, scratch. `in` has `shape` (at most 16 axes; neighbours of the same kind should be collapsed, axes
// of length 1 left out); the axes whose `reduced` flag is 1 disappear, `out` holds the others in order:
//
//   out = scale · fold of the elements
//
// where folding nothing gives 0, 1, -inf (max) or inf (min), unscaled. nansum and nanprod leave NaN out; max and min
// pass it on. Sums are taken in blocks of blocks, so that the error grows with the logarithm of the length, in an order
// that depends on the shape alone.
//
// With parts > 1 each fold is cut into that many pieces, for a fold that is long but gives few outputs; scratch then
// holds parts·outputs elements. With parts = 1 there is no scratch.
struct ReduceArgs {
  Ints shape;
  Ints reduced;
  double scale;
  int64_t parts;
};
MINIMX_ARGS(ReduceArgs, shape, reduced, scale, parts)

// Buffers: in (outer, n, inner), out (outer, inner) as float32. The first of equals wins, and the first NaN over all.
struct ArgReduceArgs {
  int64_t outer;
  int64_t n;
  int64_t inner;
};
MINIMX_ARGS(ArgReduceArgs, outer, n, inner)

}  // namespace minimx
