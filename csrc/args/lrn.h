// window_sum: sums over neighbouring channels, what local response normalisation is made of.
#pragma once
#include "../kernel.h"

namespace minimx {

// out[o, c, i] = Σ in[o, d, i] over the channels d with |d - c| <= size / 2 that exist.
//
// Buffers: in, out; both are outer x channels x inner. `size` is odd.
struct WindowSumArgs {
  int64_t outer;
  int64_t channels;
  int64_t inner;
  int64_t size;
};
MINIMX_ARGS(WindowSumArgs, outer, channels, inner, size)

}  // namespace minimx
