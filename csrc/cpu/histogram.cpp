// histogram: every thread counts by itself; the counts are added up at the end.
#include "../args/histogram.h"

#include <cstring>

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kTask = 1 << 15;

// The bin of x, which lies between the outer edges.
inline int64_t bin_among(const double* edges, int64_t bins, double x) {
  int64_t low = 0, high = bins - 1;  // the last bin whose left edge is not above x
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (edges[middle] <= x)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}
inline int64_t bin_nearby(const double* edges, int64_t bins, double scale, double x) {
  auto bin = static_cast<int64_t>((x - edges[0]) * scale);
  if (bin >= bins) bin = bins - 1;
  while (bin > 0 && x < edges[bin]) --bin;
  while (bin + 1 < bins && x >= edges[bin + 1]) ++bin;
  return bin;
}

template <class T>
void histogram(const HistogramArgs& a, void* const* buffers, const Context& context) {
  const T* data = static_cast<const T*>(buffers[0]);
  const double* edges = static_cast<const double*>(buffers[1]);
  auto* counts = static_cast<int64_t*>(buffers[2]);
  auto* scratch = static_cast<int64_t*>(buffers[3]);
  const double low = edges[0], high = edges[a.bins], scale = static_cast<double>(a.bins) / (high - low);
  const int64_t tasks = (a.size + kTask - 1) / kTask;
  std::memset(scratch, 0, static_cast<size_t>(context.threads * a.bins) * sizeof(int64_t));
  parallel(context, tasks, [&](int64_t task, int thread) {
    int64_t* own = scratch + thread * a.bins;
    const int64_t end = (task + 1) * kTask < a.size ? (task + 1) * kTask : a.size;
    for (int64_t i = task * kTask; i < end; ++i) {
      const auto x = static_cast<double>(data[i]);
      if (x >= low && x <= high) ++own[a.uniform ? bin_nearby(edges, a.bins, scale, x) : bin_among(edges, a.bins, x)];
    }
  });
  for (int64_t b = 0; b < a.bins; ++b) {
    counts[b] = 0;
    for (int t = 0; t < context.threads; ++t) counts[b] += scratch[t * a.bins + b];
  }
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(histogram, KERNEL("histogram.float32", histogram<float>, HistogramArgs),
        KERNEL("histogram.float64", histogram<double>, HistogramArgs),
        KERNEL("histogram.int32", histogram<int32_t>, HistogramArgs),
        KERNEL("histogram.int64", histogram<int64_t>, HistogramArgs))
