// norm: batch normalisation, a block per channel that sweeps it for its mean, for its variance and for the result.
#include "../args/norm.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

// Calls body(position) for the elements of a channel, shared among the threads of the block.
template <class Body>
__device__ inline void each_element(const BatchNormArgs& a, int64_t channel, const Body& body) {
  for (int64_t i = threadIdx.x; i < a.outer * a.inner; i += kThreads)
    body((i / a.inner * a.channels + channel) * a.inner + i % a.inner);
}

template <class T>
__global__ void normalize(const T* x, const T* gamma, const T* beta, T* y, T* mean, T* invstd, BatchNormArgs a) {
  const double count = static_cast<double>(a.outer * a.inner);
  for (int64_t c = blockIdx.x; c < a.channels; c += gridDim.x) {
    double sum = 0, squares = 0;
    each_element(a, c, [&](int64_t at) { sum += x[at]; });
    const double middle = fold_block(sum, 0.0, Add()) / count;
    each_element(a, c, [&](int64_t at) { squares += (x[at] - middle) * (x[at] - middle); });
    const T inverse = static_cast<T>(1 / sqrt(fold_block(squares, 0.0, Add()) / count + a.eps));
    const T about = static_cast<T>(middle), scale = inverse * (a.fix_gamma ? T(1) : gamma[c]), shift = beta[c];
    each_element(a, c, [&](int64_t at) { y[at] = (x[at] - about) * scale + shift; });
    if (threadIdx.x == 0) {
      mean[c] = about;
      invstd[c] = inverse;
    }
  }
}

template <class T>
__global__ void normalize_backward(const T* dy, const T* x, const T* gamma, const T* mean, const T* invstd, T* dx,
                                   T* dgamma, T* dbeta, BatchNormArgs a) {
  const double count = static_cast<double>(a.outer * a.inner);
  for (int64_t c = blockIdx.x; c < a.channels; c += gridDim.x) {
    const T about = mean[c];
    double sum = 0, dot = 0;
    each_element(a, c, [&](int64_t at) {
      sum += dy[at];
      dot += static_cast<double>(dy[at]) * (x[at] - about);
    });
    sum = fold_block(sum, 0.0, Add());
    dot = fold_block(dot, 0.0, Add());
    const double inverse = invstd[c];
    const T scale = invstd[c] * (a.fix_gamma ? T(1) : gamma[c]);
    const T slope = static_cast<T>(dot * inverse * inverse / count), shift = static_cast<T>(sum / count);
    each_element(a, c, [&](int64_t at) { dx[at] = scale * (dy[at] - shift - slope * (x[at] - about)); });
    if (threadIdx.x == 0) {
      dbeta[c] = static_cast<T>(sum);
      dgamma[c] = a.fix_gamma ? T(0) : static_cast<T>(dot * inverse);
    }
  }
}

template <class T>
void batch_norm(const BatchNormArgs& a, void* const* buffers, const Context& context) {
  if (a.outer * a.channels * a.inner == 0) return;
  const auto kernel = normalize<T>;
  LAUNCH(kernel, blocks_for(a.channels, 1), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<T>(buffers, 1, context), input<T>(buffers, 2, context),
   output<T>(buffers, 3, context), output<T>(buffers, 4, context), output<T>(buffers, 5, context), a);
}

template <class T>
void batch_norm_backward(const BatchNormArgs& a, void* const* buffers, const Context& context) {
  if (a.outer * a.channels * a.inner == 0) return;
  const auto kernel = normalize_backward<T>;
  LAUNCH(kernel, blocks_for(a.channels, 1), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<T>(buffers, 1, context), input<T>(buffers, 2, context),
   input<T>(buffers, 3, context), input<T>(buffers, 4, context), output<T>(buffers, 5, context),
   output<T>(buffers, 6, context), output<T>(buffers, 7, context), a);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(norm, KERNEL("batch_norm.float32", batch_norm<float>, BatchNormArgs),
        KERNEL("batch_norm.float64", batch_norm<double>, BatchNormArgs),
        KERNEL("batch_norm_backward.float32", batch_norm_backward<float>, BatchNormArgs),
        KERNEL("batch_norm_backward.float64", batch_norm_backward<double>, BatchNormArgs))
