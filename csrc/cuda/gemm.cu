// gemm: matrix products by tiles (tile.cuh), with bias, residual and activation on the way out.
#include "../args/gemm.h"
#include "tile.cuh"

namespace minimx {
namespace cuda {
namespace {

template <class T, bool TransA, bool TransB>
struct Product {
  static constexpr bool kLeftAlong = !TransA, kRightAlong = TransB;
  const T* a;
  const T* b;
  const T* bias;
  const T* residual;
  T* c;
  int64_t batch, m, n, k, lda, ldb, ldc, batch_a, batch_b, batch_c, bias_axis, activation;

  __device__ T left(int64_t q, int64_t row, int64_t term) const {
    return a[q * batch_a + (TransA ? term * lda + row : row * lda + term)];
  }
  __device__ T right(int64_t q, int64_t term, int64_t column) const {
    return b[q * batch_b + (TransB ? column * ldb + term : term * ldb + column)];
  }
  __device__ void finish(int64_t q, int64_t row, int64_t column, T sum) const {
    const int64_t at = q * batch_c + row * ldc + column;
    if (bias_axis) sum += bias[bias_axis == 1 ? column : row];
    if (residual) sum = activation == kGate ? T(residual[at] > 0) * sum : sum + residual[at];
    c[at] = activate(sum, activation);
  }
};

template <class T, bool TransA, bool TransB>
void launch(const GemmArgs& a, void* const* buffers, const Context& context) {
  launch_multiply<T>(Product<T, TransA, TransB>{input<T>(buffers, 0, context), input<T>(buffers, 1, context),
                                                input<T>(buffers, 2, context), input<T>(buffers, 3, context),
                                                output<T>(buffers, 4, context), a.batch, a.m, a.n, a.k, a.lda, a.ldb,
                                                a.ldc, a.batch_a, a.batch_b, a.batch_c, a.bias_axis, a.activation},
                     context);
}

template <class T>
void gemm(const GemmArgs& a, void* const* buffers, const Context& context) {
  if (a.trans_a)
    a.trans_b ? launch<T, true, true>(a, buffers, context) : launch<T, true, false>(a, buffers, context);
  else
    a.trans_b ? launch<T, false, true>(a, buffers, context) : launch<T, false, false>(a, buffers, context);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(gemm, KERNEL("gemm.float32", gemm<float>, GemmArgs), KERNEL("gemm.float64", gemm<double>, GemmArgs))
