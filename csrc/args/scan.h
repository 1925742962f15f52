// cumsum. Buffers: data (outer, n, inner), out (the same), scratch of 8 bytes for every outer and every 8192 of n.
// out[o, i, j] = the sum of data[o, 0...i, j], with `reverse` of data[o, i...n-1, j].
//
// Sums along rows are made in pieces of 8192, always the same, so that they do not depend on the number of threads.
#pragma once
#include "../kernel.h"

namespace minimx {

struct CumsumArgs {
  int64_t outer;
  int64_t n;
  int64_t inner;
  int64_t reverse;
};
MINIMX_ARGS(CumsumArgs, outer, n, inner, reverse)

}  // namespace minimx
