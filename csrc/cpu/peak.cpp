// peak: the rate of multiply-adds that other kernels are measured against.
#include "../args/peak.h"

#include "simd.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

template <class T>
void peak(const PeakArgs& a, void* const* buffers, const Context& context) {
  constexpr int kAccumulators = 8 * (kVectorBytes == 64 && sizeof(Vec<T>) == 64 ? 2 : 1);
  T* out = static_cast<T*>(buffers[0]);
  *static_cast<int64_t*>(buffers[1]) = a.tasks * a.iterations * 64 * kLanes<T> * 2;
  parallel(context, a.tasks, [&](int64_t task, int) {
    Vec<T> sum[kAccumulators];
#pragma GCC unroll 16
    for (int i = 0; i < kAccumulators; ++i) sum[i] = splat(static_cast<T>(task + i));
    Vec<T> x = splat(static_cast<T>(0.5)), y = splat(static_cast<T>(0.25));
    for (int64_t n = 0; n < a.iterations; ++n) {
      // Opaque to the compiler, or it would work the sums out in closed form.
      asm volatile("" : "+m"(x), "+m"(y));
      const Vec<T> p = x, q = y;
#pragma GCC unroll 64
      for (int i = 0; i < 64; ++i) sum[i % kAccumulators] = sum[i % kAccumulators] * p + q;
    }
    Vec<T> total{};
#pragma GCC unroll 16
    for (int i = 0; i < kAccumulators; ++i) total += sum[i];
    out[task] = lane_sum<T>(total);
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(peak, KERNEL("peak.float32", peak<float>, PeakArgs), KERNEL("peak.float64", peak<double>, PeakArgs))
