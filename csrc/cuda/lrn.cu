// lrn: window_sum, one thread per element.
#include "../args/lrn.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

template <class T>
__global__ void sum_windows(const T* in, T* out, WindowSumArgs a) {
  const int64_t count = a.outer * a.channels * a.inner, half = a.size / 2;
  for (int64_t i = first_item(); i < count; i += item_stride()) {
    const int64_t channel = i / a.inner % a.channels;
    const int64_t low = channel > half ? -half : -channel;
    const int64_t high = channel + half < a.channels ? half : a.channels - 1 - channel;
    T sum = 0;
    for (int64_t d = low; d <= high; ++d) sum += in[i + d * a.inner];
    out[i] = sum;
  }
}

template <class T>
void window_sum(const WindowSumArgs& a, void* const* buffers, const Context& context) {
  const int64_t count = a.outer * a.channels * a.inner;
  if (count == 0) return;
  LAUNCH(sum_windows<T>, blocks_for(count), kThreads, 0, context)(input<T>(buffers, 0, context),
                                                                  output<T>(buffers, 1, context), a);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(lrn, KERNEL("window_sum.float32", window_sum<float>, WindowSumArgs),
        KERNEL("window_sum.float64", window_sum<double>, WindowSumArgs))
