// factor: factorisations of small matrices; the arithmetic is in csrc/factor.h.
#include "each.cuh"

#define EACH_DEVICE __device__

#include "../factor.h"

namespace minimx {
namespace {

template <class T>
EACH_DEVICE inline void trsm_one(const TriangularArgs& g, const T* a, const T* b, T* x) {
  const int64_t rows = g.rows, columns = g.columns, n = g.rightside ? columns : rows;
  // op(a)[i, j] is a[i * down + j * along].
  const int64_t down = g.transpose ? 1 : n, along = g.transpose ? n : 1;
  const bool lower = (g.lower != 0) != (g.transpose != 0);
  const T alpha = static_cast<T>(g.alpha);
  if (g.rightside) {
    for (int64_t r = 0; r < rows; ++r) {
      T* const to = x + r * columns;
      for (int64_t s = 0; s < n; ++s) {
        const int64_t j = lower ? n - 1 - s : s;
        T rest = alpha * b[r * columns + j];
        for (int64_t i = lower ? j + 1 : 0; i < (lower ? n : j); ++i) rest -= to[i] * a[i * down + j * along];
        to[j] = rest / a[j * down + j * along];
      }
    }
    return;
  }
  for (int64_t s = 0; s < n; ++s) {
    const int64_t i = lower ? s : n - 1 - s;
    T* const to = x + i * columns;
    for (int64_t c = 0; c < columns; ++c) to[c] = alpha * b[i * columns + c];
    for (int64_t j = lower ? 0 : i + 1; j < (lower ? i : n); ++j) {
      const T factor = a[i * down + j * along];
      for (int64_t c = 0; c < columns; ++c) to[c] -= factor * x[j * columns + c];
    }
    for (int64_t c = 0; c < columns; ++c) to[c] /= a[i * down + i * along];
  }
}

template <class T>
struct Trsm {
  TriangularArgs g;
  const T* a;
  const T* b;
  T* x;
  EACH_DEVICE void operator()(int64_t q) const {
    const int64_t n = g.rightside ? g.columns : g.rows, size = g.rows * g.columns;
    trsm_one(g, a + q * n * n, b + q * size, x + q * size);
  }
};
template <class T>
void trsm(const TriangularArgs& g, void* const* b, const Context& context) {
  for_each(context, g.batch, Trsm<T>{g, at<T>(b, 0), at<T>(b, 1), at<T>(b, 2)}, g.rows * g.rows * g.columns);
}

}  // namespace
}  // namespace minimx

FACTOR_KERNELS
