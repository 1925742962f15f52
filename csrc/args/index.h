// index: kernels that are told by int64 numbers where to read or write. What only moves data is named by element size
// in bytes ("gather.4"), what adds by dtype ("scatter_add.float32").
//
// Numbers out of range are never an error here: kClip takes the nearest valid one, kWrap counts modulo the length.
#pragma once
#include "../kernel.h"

namespace minimx {

enum IndexMode : int64_t { kClip = 0, kWrap = 1 };

// gather. Buffers: data (outer, axis, inner), indices (count), out (outer, count, inner).
// out[o, c, i] = data[o, indices[c], i].
//
// scatter_add, its gradient. Buffers: values (outer, count, inner), indices (count), out (outer, axis, inner).
// out is zero except for the sums of the values sent to the same place, added in the order of c.
struct GatherArgs {
  int64_t outer;
  int64_t axis;
  int64_t inner;
  int64_t count;
  int64_t mode;
};
MINIMX_ARGS(GatherArgs, outer, axis, inner, count, mode)

// pick. Buffers: data (outer, axis, inner), indices (outer, count, inner), out (outer, count, inner).
// out[o, c, i] = data[o, indices[o, c, i], i].
struct PickArgs {
  int64_t outer;
  int64_t axis;
  int64_t count;
  int64_t inner;
  int64_t mode;
};
MINIMX_ARGS(PickArgs, outer, axis, count, inner, mode)

// place, the gradient of pick where no two indices[o, :, i] are equal. Buffers: values (outer, count, inner), indices
// (outer, count, inner), out (outer, axis, inner).
// out[o, indices[o, c, i], i] = values[o, c, i]; the rest becomes zero, or with keep = 1 stays what it was.
struct PlaceArgs {
  int64_t outer;
  int64_t axis;
  int64_t count;
  int64_t inner;
  int64_t mode;
  int64_t keep;
};
MINIMX_ARGS(PlaceArgs, outer, axis, count, inner, mode, keep)

// one_hot. Buffers: indices (count), out (count, depth). The bits `on` stand at the index, `off` elsewhere; an index
// out of range gives a row of `off`.
struct OneHotArgs {
  int64_t count;
  int64_t depth;
  int64_t on;
  int64_t off;
};
MINIMX_ARGS(OneHotArgs, count, depth, on, off)

// gather_nd. Buffers: data (dims..., inner), indices (dims.n, count), out (count, inner).
// out[c, :] = data[indices[0, c], indices[1, c], ..., :]; indices wrap.
//
// scatter_nd. Buffers: values (count, inner), indices (dims.n, count), out (dims..., inner).
// out[indices[0, c], ..., :] = values[c, :], the last of several c that meet; the rest becomes zero, or with keep = 1
// stays what it was. scatter_nd_add is the same with the values that meet added up, in the order of c.
struct GatherNdArgs {
  Ints dims;
  int64_t count;
  int64_t inner;
};
MINIMX_ARGS(GatherNdArgs, dims, count, inner)
struct ScatterNdArgs {
  Ints dims;
  int64_t count;
  int64_t inner;
  int64_t keep;
};
MINIMX_ARGS(ScatterNdArgs, dims, count, inner, keep)

}  // namespace minimx
