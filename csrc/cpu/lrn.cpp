// lrn: window_sum for float32 and float64.
//
// Each output is summed afresh instead of by adding the channel that enters and taking away the one that leaves:
// windows are short, the rows stay in the first-level cache, and a running sum would keep the rounding of large values
// it has left.
#include "../args/lrn.h"

#include "simd.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kStrip = 512;  // elements of a row done for all channels before the next: a window of rows fits in L1

template <class T>
void sum_rows(T* out, const T* first, int64_t rows, int64_t stride, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    const int rest = static_cast<int>(n - i < kLanes<T> ? n - i : kLanes<T>);
    const bool whole = rest == kLanes<T>;
    Vec<T> sum{};
    for (int64_t r = 0; r < rows; ++r)
      sum += whole ? load(first + r * stride + i) : load_part(first + r * stride + i, rest);
    if (whole)
      store(out + i, sum);
    else
      store_part(out + i, sum, rest);
  }
}

template <class T>
void window_sum(const WindowSumArgs& a, void* const* buffers, const Context& context) {
  const T* in = static_cast<const T*>(buffers[0]);
  T* out = static_cast<T*>(buffers[1]);
  const int64_t half = a.size / 2, strips = (a.inner + kStrip - 1) / kStrip, work = a.outer * strips;
  const auto one = [&](int64_t task, int) {
    const int64_t begin = task % strips * kStrip, n = a.inner - begin < kStrip ? a.inner - begin : kStrip;
    const int64_t at = task / strips * a.channels * a.inner + begin;
    for (int64_t c = 0; c < a.channels; ++c) {
      const int64_t low = c > half ? c - half : 0, high = c + half < a.channels ? c + half + 1 : a.channels;
      sum_rows(out + at + c * a.inner, in + at + low * a.inner, high - low, a.inner, n);
    }
  };
  if (a.outer * a.channels * a.inner < 16384) {  // less than a fork and join costs
    for (int64_t task = 0; task < work; ++task) one(task, 0);
  } else {
    parallel(context, work, one);
  }
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(lrn, KERNEL("window_sum.float32", window_sum<float>, WindowSumArgs),
        KERNEL("window_sum.float64", window_sum<double>, WindowSumArgs))
