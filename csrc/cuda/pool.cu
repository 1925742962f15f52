// pool: a thread per window, or per pixel where the windows of a gradient overlap, so that nothing is added twice at
// once.
#include "../args/pool.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

struct Range {
  int32_t lo, hi;
};

struct Windows {
  int64_t planes;
  int32_t in[3], out[3], kernel[3], stride[3], pad[3];
  int32_t in_size, out_size;
  int64_t type, count_include_pad;
  double p;

  __device__ Range pixels(int d, int32_t o) const {  // that output o sees along dimension d
    const int32_t start = o * stride[d] - pad[d];
    return {vmaximum(0, start), vminimum(start + kernel[d], in[d])};
  }
  __device__ Range outputs(int d, int32_t i) const {  // that see pixel i
    const int32_t reach = i + pad[d] - kernel[d];
    return {reach < 0 ? 0 : reach / stride[d] + 1, vminimum((i + pad[d]) / stride[d] + 1, out[d])};
  }
  __device__ int32_t length(int d, int32_t o) const {
    const int32_t start = o * stride[d] - pad[d];
    const Range seen = pixels(d, o);
    return count_include_pad ? vminimum(start + kernel[d], in[d] + pad[d]) - start : vmaximum(0, seen.hi - seen.lo);
  }
};

// One window: visits its pixels in row-major order.
struct Window {
  Range d, h, w;
  int32_t height, width;
  double divisor;

  __device__ Window(const Windows& a, int32_t z, int32_t y, int32_t x)
      : d(a.pixels(0, z)),
        h(a.pixels(1, y)),
        w(a.pixels(2, x)),
        height(a.in[1]),
        width(a.in[2]),
        divisor(static_cast<double>(a.length(0, z)) * a.length(1, y) * a.length(2, x)) {}

  template <class Visit>
  __device__ void each(const Visit& visit) const {
    for (int32_t i = d.lo; i < d.hi; ++i)
      for (int32_t j = h.lo; j < h.hi; ++j)
        for (int32_t k = w.lo; k < w.hi; ++k) visit((i * height + j) * width + k);
  }
  // The first pixel that is the largest, NaN left out; -1 where there is none.
  template <class T>
  __device__ int32_t winner(const T* x) const {
    T best = static_cast<T>(-HUGE_VALF);
    int32_t where = -1;
    each([&](int32_t at) {
      if (x[at] > best || (where < 0 && x[at] == best)) {
        best = x[at];
        where = at;
      }
    });
    return where;
  }
};

template <class T>
__global__ void pool_windows(const T* x, T* y, const GRID_CONSTANT Windows a) {
  for (int64_t i = first_item(); i < a.planes * a.out_size; i += item_stride()) {
    const int32_t o = static_cast<int32_t>(i % a.out_size);
    const Window window(a, o / (a.out[1] * a.out[2]), o / a.out[2] % a.out[1], o % a.out[2]);
    const T* from = x + i / a.out_size * a.in_size;
    T result = 0;
    if (a.type == kPoolMax) {
      const int32_t winner = window.winner(from);
      result = winner < 0 ? static_cast<T>(-HUGE_VALF) : from[winner];
    } else if (a.type == kPoolLp) {
      double total = 0;
      window.each([&](int32_t at) {
        const double v = from[at];
        total += a.p == 2 ? v * v : pow(fabs(v), a.p);
      });
      result = static_cast<T>(a.p == 2 ? sqrt(total) : pow(total, 1 / a.p));
    } else {
      window.each([&](int32_t at) { result += from[at]; });
      if (a.type == kPoolAvg) result = static_cast<T>(result / window.divisor);
    }
    y[i] = result;
  }
}

// What pixel `at` gets from one window.
template <class T>
__device__ inline T slope(const Windows& a, const Window& window, const T* x, int32_t at, T dy, const T* y) {
  if (a.type == kPoolAvg) return static_cast<T>(dy / window.divisor);
  if (a.type != kPoolLp) return dy;
  const double v = x[at], total = *y;
  const double s = total == 0 ? 0 : pow(fabs(v) / total, a.p - 1);
  return static_cast<T>(static_cast<double>(dy) * (v < 0 ? -s : s));
}

// Windows that share no pixel: each writes its own, over zeros.
template <class T>
__global__ void spread_windows(const T* dy, const T* x, const T* y, T* dx, const GRID_CONSTANT Windows a) {
  for (int64_t i = first_item(); i < a.planes * a.out_size; i += item_stride()) {
    const int32_t o = static_cast<int32_t>(i % a.out_size);
    const Window window(a, o / (a.out[1] * a.out[2]), o / a.out[2] % a.out[1], o % a.out[2]);
    const int64_t plane = i / a.out_size * a.in_size;
    if (a.type == kPoolMax) {
      const int32_t winner = window.winner(x + plane);
      if (winner >= 0) dx[plane + winner] = dy[i];
    } else {
      window.each([&](int32_t at) { dx[plane + at] = slope(a, window, x + plane, at, dy[i], y + i); });
    }
  }
}

template <class T>
__global__ void collect_windows(const T* dy, const T* x, const T* y, T* dx, const GRID_CONSTANT Windows a) {
  for (int64_t i = first_item(); i < a.planes * a.in_size; i += item_stride()) {
    const int32_t at = static_cast<int32_t>(i % a.in_size);
    const int64_t plane = i / a.in_size, from = plane * a.in_size;
    const Range d = a.outputs(0, at / (a.in[1] * a.in[2])), h = a.outputs(1, at / a.in[2] % a.in[1]);
    const Range w = a.outputs(2, at % a.in[2]);
    T sum = 0;
    for (int32_t z = d.lo; z < d.hi; ++z)
      for (int32_t r = h.lo; r < h.hi; ++r)
        for (int32_t c = w.lo; c < w.hi; ++c) {
          const int64_t o = plane * a.out_size + (z * a.out[1] + r) * a.out[2] + c;
          const Window window(a, z, r, c);
          if (a.type != kPoolMax)
            sum += slope(a, window, x + from, at, dy[o], y + o);
          else if (window.winner(x + from) == at)
            sum += dy[o];
        }
    dx[i] = sum;
  }
}

Windows windows(const PoolArgs& a) {
  Windows w{};
  w.planes = a.planes;
  w.in_size = w.out_size = 1;
  for (int d = 0; d < 3; ++d) {
    const auto narrow = [d](const Ints& of) { return static_cast<int32_t>(of[d]); };
    w.in_size *= w.in[d] = narrow(a.in);
    w.out_size *= w.out[d] = narrow(a.out);
    w.kernel[d] = narrow(a.kernel);
    w.stride[d] = narrow(a.stride);
    w.pad[d] = narrow(a.pad);
  }
  w.type = a.type;
  w.count_include_pad = a.count_include_pad;
  w.p = a.p;
  return w;
}

template <class T>
void pool_forward(const PoolArgs& args, void* const* buffers, const Context& context) {
  const Windows a = windows(args);
  if (a.planes * a.out_size == 0) return;
  const auto kernel = pool_windows<T>;
  LAUNCH(kernel, blocks_for(a.planes * a.out_size), kThreads, 0, context)(input<T>(buffers, 0, context),
                                                                          output<T>(buffers, 1, context), a);
}

template <class T>
void pool_backward(const PoolArgs& args, void* const* buffers, const Context& context) {
  const Windows a = windows(args);
  if (a.planes * a.in_size == 0) return;
  bool apart = true;
  for (int d = 0; d < 3; ++d) apart = apart && (a.out[d] == 1 || a.stride[d] >= a.kernel[d]);
  T* dx = output<T>(buffers, 3, context);
  if (apart) launch_set_all(dx, T(0), a.planes * a.in_size, context);
  const int64_t items = a.planes * (apart ? a.out_size : a.in_size);
  const auto kernel = apart ? spread_windows<T> : collect_windows<T>;
  LAUNCH(kernel, blocks_for(items), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<T>(buffers, 1, context), input<T>(buffers, 2, context), dx, a);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(pool, KERNEL("pool_forward.float32", pool_forward<float>, PoolArgs),
        KERNEL("pool_forward.float64", pool_forward<double>, PoolArgs),
        KERNEL("pool_backward.float32", pool_backward<float>, PoolArgs),
        KERNEL("pool_backward.float64", pool_backward<double>, PoolArgs))
