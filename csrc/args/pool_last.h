// pool_last: reductions over windows of (batch, height, width, channels) arrays, in float32 and float64, forward in
// bfloat16, too.
#pragma once
#include "../kernel.h"
#include "pool.h"

namespace minimx {

// As pool.h has it, with the channels last and two entries in `in`, `out`, `kernel`, `stride` and `pad`; without lp.
//
// pool_last_forward   x, y
// pool_last_backward  dy, x, dx   x is needed by max alone.
struct PoolLastArgs {
  int64_t batch;
  int64_t channels;
  Ints in;
  Ints out;
  Ints kernel;
  Ints stride;
  Ints pad;
  int64_t type;
  int64_t count_include_pad;
};
MINIMX_ARGS(PoolLastArgs, batch, channels, in, out, kernel, stride, pad, type, count_include_pad)

}  // namespace minimx
