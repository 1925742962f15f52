// cumsum: a block for a row, whose threads take neighbouring elements; a thread for a column.
#include "../args/scan.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

template <class T>
struct Sum {
  using type = int64_t;
};
template <>
struct Sum<float> {
  using type = double;
};
template <>
struct Sum<double> {
  using type = double;
};

// The sum of the values of this thread and those before it in the block, and that of all.
template <class S>
__device__ inline S scan_block(S value, S* total) {
  SHARED(S, of_warp, [kWarp]);
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (unsigned step = 1; step < kWarp; step *= 2) {
    const S left = __shfl_up_sync(kAllLanes, value, step);
    if (lane >= step) value += left;
  }
  if (lane == kWarp - 1) of_warp[warp] = value;
  __syncthreads();
  S before = 0, all = 0;
  for (unsigned w = 0; w < blockDim.x / kWarp; ++w) {
    if (w < warp) before += of_warp[w];
    all += of_warp[w];
  }
  __syncthreads();  // the next scan writes of_warp again
  *total = all;
  return value + before;
}

template <class T>
__global__ void scan_rows(const T* data, T* out, CumsumArgs a) {
  using S = typename Sum<T>::type;
  for (int64_t row = blockIdx.x; row < a.outer; row += gridDim.x) {
    S carry = 0;
    for (int64_t first = 0; first < a.n; first += blockDim.x) {
      const int64_t i = first + threadIdx.x;
      const int64_t at = row * a.n + (a.reverse ? a.n - 1 - i : i);
      S all;
      const S sum = scan_block(i < a.n ? static_cast<S>(data[at]) : S(0), &all);
      if (i < a.n) out[at] = static_cast<T>(carry + sum);
      carry += all;
    }
  }
}

template <class T>
__global__ void scan_columns(const T* data, T* out, CumsumArgs a) {
  using S = typename Sum<T>::type;
  for (int64_t c = first_item(); c < a.outer * a.inner; c += item_stride()) {
    const int64_t start = c / a.inner * a.n * a.inner + c % a.inner;
    S sum = 0;
    for (int64_t i = 0; i < a.n; ++i) {
      const int64_t at = start + (a.reverse ? a.n - 1 - i : i) * a.inner;
      sum += static_cast<S>(data[at]);
      out[at] = static_cast<T>(sum);
    }
  }
}

template <class T>
void cumsum(const CumsumArgs& a, void* const* buffers, const Context& context) {
  if (a.outer * a.n * a.inner == 0) return;
  const auto rows = scan_rows<T>;
  const auto columns = scan_columns<T>;
  if (a.inner == 1)
    LAUNCH(rows, blocks_for(a.outer, 1), kThreads, 0, context)(input<T>(buffers, 0, context),
                                                               output<T>(buffers, 1, context), a);
  else
    LAUNCH(columns, blocks_for(a.outer * a.inner), kThreads, 0, context)
  (input<T>(buffers, 0, context), output<T>(buffers, 1, context), a);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(scan, KERNEL("cumsum.float32", cumsum<float>, CumsumArgs), KERNEL("cumsum.float64", cumsum<double>, CumsumArgs),
        KERNEL("cumsum.int32", cumsum<int32_t>, CumsumArgs), KERNEL("cumsum.int64", cumsum<int64_t>, CumsumArgs))
