// norm: batch normalisation of (outer, channels, inner) arrays, in float32 and float64.
#pragma once
#include "../kernel.h"

namespace minimx {

// batch_norm           x, gamma, beta, y, mean, invstd
// batch_norm_backward  dy, x, gamma, mean, invstd, dx, dgamma, dbeta
//
// Per channel over outer and inner: mean and the biased variance var; invstd = 1 / sqrt(var + eps);
// y = gamma·(x - mean)·invstd + beta. With fix_gamma = 1 gamma counts as one and dgamma is zero.
struct BatchNormArgs {
  int64_t outer;
  int64_t channels;
  int64_t inner;
  double eps;
  int64_t fix_gamma;
};
MINIMX_ARGS(BatchNormArgs, outer, channels, inner, eps, fix_gamma)

}  // namespace minimx
