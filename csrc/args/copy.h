// strided_copy: any rearrangement that is a walk with strides (transpose, slice, flip, tile, concat of pieces).
#pragma once
#include "../kernel.h"

namespace minimx {

// out[out_offset + Σ i_d·out_strides[d]] = in[in_offset + Σ i_d·in_strides[d]] for every index below `shape`.
// Strides and offsets count elements and may be zero or negative on the input side.
struct StridedCopyArgs {
  Ints shape;
  Ints in_strides;
  Ints out_strides;
  int64_t in_offset;
  int64_t out_offset;
};
MINIMX_ARGS(StridedCopyArgs, shape, in_strides, out_strides, in_offset, out_offset)

}  // namespace minimx
