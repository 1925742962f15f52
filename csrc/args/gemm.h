// gemm: matrix products of float32, float64 and bfloat16, alone or in batches, with bias, residual and activation
// riding on the store.
#pragma once
#include "../kernel.h"
#include "epilogue.h"

namespace minimx {

// c[i, j] = activation(Σ_p A[i, p]·B[p, j] + bias + residual[i, j]) for `batch` products, each m x n with a sum of k
// terms.
//
// Buffers: a, b, bias, residual, c, scratch; bias and residual may be null. A is row-major m x k with rows lda elements
// apart, or k x m when trans_a is 1; B is k x n, or n x k when trans_b is 1; c and residual are m x n with rows ldc
// apart. Product q starts at q·batch_a, q·batch_b and q·batch_c elements; 0 shares an operand between all products. The
// bias belongs to all products: bias_axis says whether it has n entries (1, one per column), m entries (2, one per row)
// or is not there (0). The residual may be the buffer c itself, which adds the product to what c holds. k = 0 sums to
// zero.
//
// Scratch, in elements, for `threads` workers:
//   threads * (min(k, 512) * (min(m, 256) + min(n, 2048) + 64) rounded up to a multiple of 64)
//
// bfloat16 is summed up in float32, where its bias comes from, too. Scratch, in elements of 4 bytes, with d for half of
// k, rounded up, and at most 512:
//   threads * (min(m, 240) * (d + 16 + min(n + 15, 1024)) + 32 * d rounded up to a multiple of 64)
struct GemmArgs {
  int64_t batch;
  int64_t m;
  int64_t n;
  int64_t k;
  int64_t lda;
  int64_t ldb;
  int64_t ldc;
  int64_t batch_a;
  int64_t batch_b;
  int64_t batch_c;
  int64_t trans_a;
  int64_t trans_b;
  int64_t bias_axis;
  int64_t activation;
};
MINIMX_ARGS(GemmArgs, batch, m, n, k, lda, ldb, ldc, batch_a, batch_b, batch_c, trans_a, trans_b, bias_axis, activation)

}  // namespace minimx
