// row_norm: a warp or a block per row; sums over the rows in pieces, a thread per column and piece.
#include "../args/row_norm.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

template <unsigned Group, class Body>
__device__ inline void each_row(int64_t rows, const Body& body) {
  constexpr unsigned kGroups = kThreads / Group;
  for (int64_t r = static_cast<int64_t>(blockIdx.x) * kGroups + threadIdx.x / Group; r < rows;
       r += static_cast<int64_t>(gridDim.x) * kGroups)
    body(r, threadIdx.x % Group);
}

template <class T, unsigned Group>
__global__ void normalize_rows(const T* x, const T* gamma, const T* beta, T* y, T* mean, T* std, RowNormArgs a) {
  each_row<Group>(a.rows, [&](int64_t r, int64_t lane) {
    const T* from = x + r * a.n;
    double sum = 0, squares = 0;
    for (int64_t j = lane; j < a.n; j += Group) sum += from[j];
    const double middle = fold_group<Group>(sum, 0.0, Add()) / static_cast<double>(a.n);
    for (int64_t j = lane; j < a.n; j += Group) squares += (from[j] - middle) * (from[j] - middle);
    const double deviation = sqrt(fold_group<Group>(squares, 0.0, Add()) / static_cast<double>(a.n) + a.eps);
    const T about = static_cast<T>(middle), inverse = static_cast<T>(1 / deviation);
    for (int64_t j = lane; j < a.n; j += Group) {
      const int64_t at = a.period ? r % a.period : j;
      y[r * a.n + j] = (from[j] - about) * inverse * gamma[at] + beta[at];
    }
    if (lane == 0) {
      mean[r] = about;
      std[r] = static_cast<T>(deviation);
    }
  });
}

template <class T, unsigned Group>
__global__ void row_slopes(const T* dy, const T* x, const T* gamma, const T* mean, const T* std, T* dx, T* sums,
                           RowNormArgs a) {
  each_row<Group>(a.rows, [&](int64_t r, int64_t lane) {
    const T *g = dy + r * a.n, *from = x + r * a.n;
    const T about = mean[r], inverse = T(1) / std[r];
    double sum = 0, dot = 0;
    for (int64_t j = lane; j < a.n; j += Group) {
      const T slope = a.period ? g[j] : g[j] * gamma[j];
      sum += slope;
      dot += static_cast<double>(slope) * (from[j] - about);
    }
    sum = fold_group<Group>(sum, 0.0, Add());
    dot = fold_group<Group>(dot, 0.0, Add()) * static_cast<double>(inverse);
    const T shift = static_cast<T>(sum / static_cast<double>(a.n));
    const T slope = static_cast<T>(dot * static_cast<double>(inverse) / static_cast<double>(a.n));
    const T scale = a.period ? inverse * gamma[r % a.period] : inverse;
    for (int64_t j = lane; j < a.n; j += Group)
      dx[r * a.n + j] = scale * ((a.period ? g[j] : g[j] * gamma[j]) - shift - slope * (from[j] - about));
    if (a.period && lane == 0) {
      sums[2 * r] = static_cast<T>(dot);
      sums[2 * r + 1] = static_cast<T>(sum);
    }
  });
}

// The sums of one piece of the rows for one column.
template <class T>
__global__ void column_sums(const T* dy, const T* x, const T* mean, const T* std, T* sums, RowNormArgs a) {
  for (int64_t i = first_item(); i < a.parts * a.n; i += item_stride()) {
    const int64_t part = i / a.n, j = i % a.n;
    T gammas = 0, betas = 0;
    for (int64_t r = a.rows * part / a.parts; r < a.rows * (part + 1) / a.parts; ++r) {
      gammas += dy[r * a.n + j] * (x[r * a.n + j] - mean[r]) / std[r];
      betas += dy[r * a.n + j];
    }
    sums[part * 2 * a.n + j] = gammas;
    sums[part * 2 * a.n + a.n + j] = betas;
  }
}

template <class T>
__global__ void join_sums(const T* sums, T* dgamma, T* dbeta, RowNormArgs a) {
  const int64_t count = a.period ? a.period : a.n;
  for (int64_t i = first_item(); i < count; i += item_stride()) {
    double gammas = 0, betas = 0;
    if (a.period) {
      for (int64_t r = i; r < a.rows; r += a.period) {
        gammas += sums[2 * r];
        betas += sums[2 * r + 1];
      }
    } else {
      for (int64_t part = 0; part < a.parts; ++part) {
        gammas += sums[part * 2 * a.n + i];
        betas += sums[part * 2 * a.n + a.n + i];
      }
    }
    dgamma[i] = static_cast<T>(gammas);
    dbeta[i] = static_cast<T>(betas);
  }
}

unsigned group_of(const RowNormArgs& a) { return a.n <= 1024 ? kWarp : kThreads; }

template <class T>
void row_norm(const RowNormArgs& a, void* const* buffers, const Context& context) {
  if (a.rows * a.n == 0) return;
  const unsigned group = group_of(a);
  const auto kernel = group == kWarp ? normalize_rows<T, kWarp> : normalize_rows<T, kThreads>;
  LAUNCH(kernel, blocks_for(a.rows, kThreads / group), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<T>(buffers, 1, context), input<T>(buffers, 2, context),
   output<T>(buffers, 3, context), output<T>(buffers, 4, context), output<T>(buffers, 5, context), a);
}

template <class T>
void row_norm_backward(const RowNormArgs& a, void* const* buffers, const Context& context) {
  const T *dy = input<T>(buffers, 0, context), *x = input<T>(buffers, 1, context);
  const T *mean = input<T>(buffers, 3, context), *std = input<T>(buffers, 4, context);
  T* sums = output<T>(buffers, 8, context);
  if (a.rows * a.n != 0) {
    const unsigned group = group_of(a);
    const auto slopes = group == kWarp ? row_slopes<T, kWarp> : row_slopes<T, kThreads>;
    LAUNCH(slopes, blocks_for(a.rows, kThreads / group), kThreads, 0, context)
    (dy, x, input<T>(buffers, 2, context), mean, std, output<T>(buffers, 5, context), sums, a);
    if (!a.period) {
      const auto columns = column_sums<T>;
      LAUNCH(columns, blocks_for(a.parts * a.n), kThreads, 0, context)(dy, x, mean, std, sums, a);
    }
  }
  const auto join = join_sums<T>;
  LAUNCH(join, blocks_for(a.period ? a.period : a.n), kThreads, 0, context)
  (sums, output<T>(buffers, 6, context), output<T>(buffers, 7, context), a);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(row_norm, KERNEL("row_norm.float32", row_norm<float>, RowNormArgs),
        KERNEL("row_norm.float64", row_norm<double>, RowNormArgs),
        KERNEL("row_norm_backward.float32", row_norm_backward<float>, RowNormArgs),
        KERNEL("row_norm_backward.float64", row_norm_backward<double>, RowNormArgs))
