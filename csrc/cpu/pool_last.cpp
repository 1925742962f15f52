// pool_last: reductions over windows of channels-last images. Vectors lie along the channels.
#include "../args/pool_last.h"

#include "simd.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

// The input indices in the window of output o along dimension d, and what an average counts there.
struct Window {
  int64_t lo, hi;
  double counted;
};
inline Window window(const PoolLastArgs& a, int d, int64_t o) {
  const int64_t start = o * a.stride[d] - a.pad[d];
  Window w{greater(0, start), lesser(start + a.kernel[d], a.in[d]), 0};
  const int64_t padded = lesser(start + a.kernel[d], a.in[d] + a.pad[d]) - start;
  w.counted = static_cast<double>(a.count_include_pad ? padded : greater(0, w.hi - w.lo));
  return w;
}

// As in pool.cpp, max leaves NaN out and knows no infinity below the lowest number.
template <class T>
constexpr T kLowest = sizeof(T) == 4 ? static_cast<T>(-__FLT_MAX__) : static_cast<T>(-__DBL_MAX__);

template <class T>
Vec<T> take(const T* p, int n) {
  return n == kLanes<T> ? load(p) : load_part(p, n);
}
template <class T>
void put(T* p, Vec<T> v, int n) {
  if (n == kLanes<T>)
    store(p, v);
  else
    store_part(p, v, n);
}

// Calls body(channel, lanes) for every vector of channels lo..hi-1.
template <class T, class Body>
void each_vector(int64_t lo, int64_t hi, const Body& body) {
  for (int64_t c = lo; c < hi; c += kLanes<T>) body(c, static_cast<int>(lesser(kLanes<T>, hi - c)));
}

int64_t work_of(const PoolLastArgs& a) {
  return a.batch * a.channels * (a.out[0] * a.out[1] * a.kernel[0] * a.kernel[1] + a.in[0] * a.in[1]);
}
// Less than this many pixels' numbers is not worth waking another thread.
constexpr int64_t kWorthATask = 1 << 16;

template <class T>
void pool_last_forward(const PoolLastArgs& a, void* const* buffers, const Context& context) {
  const T* const x = static_cast<const T*>(buffers[0]);
  T* const y = static_cast<T*>(buffers[1]);
  if (a.batch * a.channels == 0) return;
  const int64_t rows = a.batch * a.out[0], apart = a.in[1] * a.channels;
  const bool max = a.type == kPoolMax;
  const int64_t wanted = lesser(work_of(a) / kWorthATask, 8 * static_cast<int64_t>(context.threads));
  // A global pool has few rows: its channels are dealt out, too.
  const int64_t parts = rows >= wanted ? 1 : lesser(wanted, (a.channels + 63) / 64);
  const int64_t units = rows * parts, tasks = greater(1, lesser(units, wanted));
  parallel(context, tasks, [&](int64_t task, int) {
    for (int64_t unit = units * task / tasks; unit < units * (task + 1) / tasks; ++unit) {
      const int64_t row = unit / parts, part = unit % parts, blocks = (a.channels + 15) / 16;
      const int64_t c0 = blocks * part / parts * 16, c1 = lesser(a.channels, blocks * (part + 1) / parts * 16);
      const Window h = window(a, 0, row % a.out[0]);
      const T* image = x + row / a.out[0] * a.in[0] * apart;
      for (int64_t o = 0; o < a.out[1]; ++o) {
        const Window w = window(a, 1, o);
        T* const to = y + (row * a.out[1] + o) * a.channels;
        const T count = static_cast<T>(a.type == kPoolAvg ? h.counted * w.counted : 1);
        each_vector<T>(c0, c1, [&](int64_t c, int n) {
          Vec<T> result = max ? splat(kLowest<T>) : Vec<T>{};
          for (int64_t i = h.lo; i < h.hi; ++i) {
            const T* from = image + i * apart + w.lo * a.channels + c;
            for (int64_t j = w.lo; j < w.hi; ++j, from += a.channels) {
              const Vec<T> v = take(from, n);
              if (max)
                result = v > result ? v : result;
              else
                result += v;
            }
          }
          put(to + c, a.type == kPoolAvg ? result / splat(count) : result, n);
        });
      }
    }
  });
}

template <class T>
void pool_last_backward(const PoolLastArgs& a, void* const* buffers, const Context& context) {
  const T* const dy = static_cast<const T*>(buffers[0]);
  const T* const x = static_cast<const T*>(buffers[1]);
  T* const dx = static_cast<T*>(buffers[2]);
  if (a.batch * a.channels == 0) return;
  const int64_t apart = a.in[1] * a.channels, image = a.in[0] * apart;
  const bool max = a.type == kPoolMax;
  // Windows share pixels, but neither images nor channels.
  const int64_t wanted = lesser(work_of(a) / kWorthATask, 8 * static_cast<int64_t>(context.threads));
  const int64_t blocks = (a.channels + 15) / 16, parts = greater(1, lesser(blocks, (wanted + a.batch - 1) / a.batch));
  const int64_t units = a.batch * parts, tasks = greater(1, lesser(units, wanted));
  parallel(context, tasks, [&](int64_t task, int) {
    for (int64_t unit = units * task / tasks; unit < units * (task + 1) / tasks; ++unit) {
      const int64_t at = unit / parts, part = unit % parts;
      const int64_t c0 = blocks * part / parts * 16, c1 = lesser(a.channels, blocks * (part + 1) / parts * 16);
      for (int64_t p = 0; p < a.in[0] * a.in[1]; ++p)
        each_vector<T>(c0, c1, [&](int64_t c, int n) { put(dx + at * image + p * a.channels + c, Vec<T>{}, n); });
      for (int64_t r = 0; r < a.out[0]; ++r) {
        const Window h = window(a, 0, r);
        for (int64_t o = 0; o < a.out[1]; ++o) {
          const Window w = window(a, 1, o);
          const T count = static_cast<T>(a.type == kPoolAvg ? h.counted * w.counted : 1);
          each_vector<T>(c0, c1, [&](int64_t c, int n) {
            const Vec<T> slope = take(dy + ((at * a.out[0] + r) * a.out[1] + o) * a.channels + c, n) / splat(count);
            const int64_t first = at * image + w.lo * a.channels + c;
            if (!max) {
              for (int64_t i = h.lo; i < h.hi; ++i)
                for (int64_t j = 0; j < w.hi - w.lo; ++j) {
                  T* to = dx + first + i * apart + j * a.channels;
                  put(to, take(to, n) + slope, n);
                }
              return;
            }
            Vec<T> best = splat(kLowest<T>);
            for (int64_t i = h.lo; i < h.hi; ++i)
              for (int64_t j = 0; j < w.hi - w.lo; ++j) {
                const Vec<T> v = take(x + first + i * apart + j * a.channels, n);
                best = v > best ? v : best;
              }
            Mask<T> open = ~Mask<T>{};  // lanes whose winner has not been met yet
            for (int64_t i = h.lo; i < h.hi; ++i)
              for (int64_t j = 0; j < w.hi - w.lo; ++j) {
                const int64_t pixel = first + i * apart + j * a.channels;
                const Mask<T> here = (take(x + pixel, n) == best) & open;
                open &= ~here;
                put(dx + pixel, take(dx + pixel, n) + select(here, slope, Vec<T>{}), n);
              }
          });
        }
      }
    }
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(pool_last, KERNEL("pool_last_forward.float32", pool_last_forward<float>, PoolLastArgs),
        KERNEL("pool_last_forward.float64", pool_last_forward<double>, PoolLastArgs),
        KERNEL("pool_last_backward.float32", pool_last_backward<float>, PoolLastArgs),
        KERNEL("pool_last_backward.float64", pool_last_backward<double>, PoolLastArgs))
