// histogram: counts go straight to device memory; whole numbers add up to the same in any order.
#include "../args/histogram.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

template <class T>
__global__ void count_each(const T* data, const double* edges, unsigned long long* counts, HistogramArgs a) {
  const double low = edges[0], high = edges[a.bins], scale = static_cast<double>(a.bins) / (high - low);
  for (int64_t i = first_item(); i < a.size; i += item_stride()) {
    const auto x = static_cast<double>(data[i]);
    if (!(x >= low && x <= high)) continue;
    int64_t bin = 0;
    if (a.uniform) {
      bin = static_cast<int64_t>((x - low) * scale);
      if (bin >= a.bins) bin = a.bins - 1;
      while (bin > 0 && x < edges[bin]) --bin;
      while (bin + 1 < a.bins && x >= edges[bin + 1]) ++bin;
    } else {
      int64_t end = a.bins - 1;  // the last bin whose left edge is not above x
      while (bin < end) {
        const int64_t middle = (bin + end + 1) / 2;
        if (edges[middle] <= x)
          bin = middle;
        else
          end = middle - 1;
      }
    }
    atomicAdd(counts + bin, 1ull);
  }
}

template <class T>
void histogram(const HistogramArgs& a, void* const* buffers, const Context& context) {
  auto* counts = output<unsigned long long>(buffers, 2, context);
  launch_set_all(counts, 0ull, a.bins, context);
  if (a.size == 0) return;
  const auto kernel = count_each<T>;
  LAUNCH(kernel, blocks_for(a.size), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<double>(buffers, 1, context), counts, a);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(histogram, KERNEL("histogram.float32", histogram<float>, HistogramArgs),
        KERNEL("histogram.float64", histogram<double>, HistogramArgs),
        KERNEL("histogram.int32", histogram<int32_t>, HistogramArgs),
        KERNEL("histogram.int64", histogram<int64_t>, HistogramArgs))
