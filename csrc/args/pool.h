// pool: reductions over windows of (planes, depth, height, width) arrays, in float32 and float64.
#pragma once
#include "../kernel.h"

namespace minimx {

enum PoolType : int64_t { kPoolMax = 0, kPoolAvg = 1, kPoolSum = 2, kPoolLp = 3 };

// Arrays with fewer than three spatial dimensions put ones in front; `in`, `out`, `kernel`, `stride`, `pad` have three
// entries each. Along each dimension the window of output o is start = o·stride - pad up to min(start + kernel, in +
// pad). Pixels outside of the image are left out of the reduction. avg divides by the product of the windows' lengths,
// counted before (count_include_pad = 1) or after (0) what lies outside is left out. lp is (Σ |x|^p)^(1/p).
//
// pool_forward   x, y
// pool_backward  dy, x, y, dx   y is needed by lp alone, x by max and lp; others may be null.
// The gradient of max goes to the first pixel that is the largest, in row-major order.
struct PoolArgs {
  int64_t planes;
  Ints in;
  Ints out;
  Ints kernel;
  Ints stride;
  Ints pad;
  int64_t type;
  int64_t count_include_pad;
  double p;
};
MINIMX_ARGS(PoolArgs, planes, in, out, kernel, stride, pad, type, count_include_pad, p)

}  // namespace minimx
