// row_norm: rows of a (rows, n) array brought to mean 0 and variance 1, in float32 and float64: what layer, instance
// and group normalisation have in common.
#pragma once
#include "../kernel.h"

namespace minimx {

// row_norm           x, gamma, beta, y, mean, std
// row_norm_backward  dy, x, gamma, mean, std, dx, dgamma, dbeta, scratch
//
// Per row: mean and std = sqrt(the biased variance + eps); y = gamma·(x - mean) / std + beta. With period = 0 gamma and
// beta have an entry for each column, otherwise `period` entries, of which row r takes number r % period.
//
// Scratch, in elements: with period = 0, parts·2·n, where `parts` (at most rows) is how many pieces the sums over the
// rows are cut into; otherwise 2·rows, and parts is not used.
struct RowNormArgs {
  int64_t rows;
  int64_t n;
  int64_t period;
  int64_t parts;
  double eps;
};
MINIMX_ARGS(RowNormArgs, rows, n, period, parts, eps)

}  // namespace minimx
