// norm_last: batch normalisation of (rows, channels) arrays, in float32 and float64; of bfloat16 with
// parameters and statistics in float32.
#pragma once
#include "../kernel.h"

namespace minimx {

// batch_norm_last           x, gamma, beta, y, mean, invstd, scratch
// batch_norm_last_backward  dy, x, gamma, mean, invstd, dx, dgamma, dbeta, scratch
//
// As norm.h has it. The rows are cut into `parts` (at least one, at most as many as rows), which threads share; they
// decide in which order sums are made. Scratch: 2 · parts · channels doubles and 3 · channels numbers.
struct BatchNormLastArgs {
  int64_t rows;
  int64_t channels;
  int64_t parts;
  double eps;
  int64_t fix_gamma;
};
MINIMX_ARGS(BatchNormLastArgs, rows, channels, parts, eps, fix_gamma)

}  // namespace minimx
