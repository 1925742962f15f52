// pool_last: reductions over windows of channels-last images. Vectors lie along the channels.
#include "../args/pool_last.h"

#include "bfloat.h"
#include "cuts.h"
#include "simd.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

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

template <class T, bool Part>
Vec<T> take(const T* p, int lanes) {
  return Part ? load_part(p, lanes) : load(p);
}
template <class T, bool Part>
void put(T* p, Vec<T> v, int lanes) {
  if (Part)
    store_part(p, v, lanes);
  else
    store(p, v);
}
template <class T, bool Part>
Vec<T> take(const BFloat16* p, int lanes) {
  return widened(load_bfloat<Bfloats>(p, Part ? lanes : kLanes<T>));
}
template <class T, bool Part>
void put(BFloat16* p, Vec<T> v, int lanes) {
  store_bfloat(p, narrowed(v), Part ? lanes : kLanes<T>);
}

// A window's pixels in x or dx: `row` and `pixel` elements apart.
struct Patch {
  int64_t rows, columns, row, pixel;
};

int64_t work_of(const PoolLastArgs& a) {
  return a.batch * a.channels * (a.out[0] * a.out[1] * a.kernel[0] * a.kernel[1] + a.in[0] * a.in[1]);
}
// Less than this many pixels' numbers is not worth waking another thread.
constexpr int64_t kWorthATask = 1 << 16;

// ---- Forward --------------------------------------------------------------------------------------------------------

// Vectors that go through a window together: one alone would wait for each sum.
constexpr int kWide = 4;

template <class T, class S, bool Max, int Vectors, bool Part>
inline void reduce(const Patch& p, const S* x, Vec<T> scale, S* y, int lanes) {
  constexpr int L = kLanes<T>;
  Vec<T> result[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) result[v] = Max ? splat(kLowest<T>) : Vec<T>{};
  for (int64_t i = 0; i < p.rows; ++i) {
    const S* from = x + i * p.row;
    for (int64_t j = 0; j < p.columns; ++j, from += p.pixel)
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        const Vec<T> value = take<T, Part>(from + v * L, lanes);
        result[v] = Max ? vmax(value, result[v]) : result[v] + value;
      }
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) put<T, Part>(y + v * L, Max ? result[v] : result[v] / scale, lanes);
}

// Channels c0..c1-1 of one row of output, computed in T and stored as S.
template <class T, class S, bool Max>
void pool_row(const PoolLastArgs& a, const Window& h, const S* image, S* y, int64_t c0, int64_t c1) {
  constexpr int L = kLanes<T>;
  for (int64_t o = 0; o < a.out[1]; ++o, y += a.channels) {
    const Window w = window(a, 1, o);
    const Patch p{h.hi - h.lo, w.hi - w.lo, a.in[1] * a.channels, a.channels};
    const S* const x = image + h.lo * p.row + w.lo * p.pixel;
    const Vec<T> count = splat(static_cast<T>(a.type == kPoolAvg ? h.counted * w.counted : 1));
    int64_t c = c0;
    for (; c + kWide * L <= c1; c += kWide * L) reduce<T, S, Max, kWide, false>(p, x + c, count, y + c, L);
    for (; c + L <= c1; c += L) reduce<T, S, Max, 1, false>(p, x + c, count, y + c, L);
    if (c < c1) reduce<T, S, Max, 1, true>(p, x + c, count, y + c, static_cast<int>(c1 - c));
  }
}

template <class S>
void pool_last_forward(const PoolLastArgs& a, void* const* buffers, const Context& context) {
  using T = typename ComputedIn<S>::type;
  const S* const x = static_cast<const S*>(buffers[0]);
  S* const y = static_cast<S*>(buffers[1]);
  if (a.batch * a.channels == 0) return;
  const int64_t rows = a.batch * a.out[0], apart = a.in[1] * a.channels;
  const int64_t wanted = lesser(work_of(a) / kWorthATask, most_tasks(context));
  // A global pool has few rows: its channels are dealt out, too.
  const int64_t parts = rows >= wanted ? 1 : lesser(wanted, (a.channels + 63) / 64);
  const int64_t units = rows * parts, tasks = greater(1, lesser(units, wanted));
  parallel(context, tasks, [&](int64_t task, int) {
    for (int64_t unit = units * task / tasks; unit < units * (task + 1) / tasks; ++unit) {
      const int64_t row = unit / parts, part = unit % parts, blocks = (a.channels + 15) / 16;
      const int64_t c0 = blocks * part / parts * 16, c1 = lesser(a.channels, blocks * (part + 1) / parts * 16);
      const Window h = window(a, 0, row % a.out[0]);
      const S* image = x + row / a.out[0] * a.in[0] * apart;
      S* const to = y + row * a.out[1] * a.channels;
      if (a.type == kPoolMax)
        pool_row<T, S, true>(a, h, image, to, c0, c1);
      else
        pool_row<T, S, false>(a, h, image, to, c0, c1);
    }
  });
}

// ---- Backward -------------------------------------------------------------------------------------------------------

// Adds the slope of one output to the pixels of its window: to each, or to the first of the largest.
template <class T, bool Max, bool Part>
inline void spread(const Patch& p, Vec<T> slope, const T* x, T* dx, int lanes) {
  if (!Max) {
    for (int64_t i = 0; i < p.rows; ++i)
      for (int64_t j = 0; j < p.columns; ++j) {
        T* const to = dx + i * p.row + j * p.pixel;
        put<T, Part>(to, take<T, Part>(to, lanes) + slope, lanes);
      }
    return;
  }
  Vec<T> best = splat(kLowest<T>);
  for (int64_t i = 0; i < p.rows; ++i)
    for (int64_t j = 0; j < p.columns; ++j) best = vmax(take<T, Part>(x + i * p.row + j * p.pixel, lanes), best);
  for (int64_t i = 0; i < p.rows; ++i)
    for (int64_t j = 0; j < p.columns; ++j) {
      const int64_t at = i * p.row + j * p.pixel;
      const Mask<T> here = take<T, Part>(x + at, lanes) == best;
      put<T, Part>(dx + at, take<T, Part>(dx + at, lanes) + select(here, slope, Vec<T>{}), lanes);
      slope = select(here, Vec<T>{}, slope);  // the winner has been met
    }
}

// Channels c0..c1-1 of one row of output.
template <class T, bool Max>
void spread_row(const PoolLastArgs& a, const Window& h, const T* dy, const T* x, T* dx, int64_t c0, int64_t c1) {
  constexpr int L = kLanes<T>;
  for (int64_t o = 0; o < a.out[1]; ++o, dy += a.channels) {
    const Window w = window(a, 1, o);
    const Patch p{h.hi - h.lo, w.hi - w.lo, a.in[1] * a.channels, a.channels};
    const int64_t at = h.lo * p.row + w.lo * p.pixel;
    const Vec<T> count = splat(static_cast<T>(a.type == kPoolAvg ? h.counted * w.counted : 1));
    const auto slope = [&](Vec<T> v) { return Max ? v : v / count; };
    int64_t c = c0;
    for (; c + L <= c1; c += L) spread<T, Max, false>(p, slope(load(dy + c)), x + at + c, dx + at + c, L);
    const int rest = static_cast<int>(c1 - c);
    if (rest > 0) spread<T, Max, true>(p, slope(load_part(dy + c, rest)), x + at + c, dx + at + c, rest);
  }
}

template <class T>
void pool_last_backward(const PoolLastArgs& a, void* const* buffers, const Context& context) {
  const T* const dy = static_cast<const T*>(buffers[0]);
  const T* const x = static_cast<const T*>(buffers[1]);
  T* const dx = static_cast<T*>(buffers[2]);
  if (a.batch * a.channels == 0) return;
  const int64_t apart = a.in[1] * a.channels, image = a.in[0] * apart;
  // Windows share pixels, but neither images nor channels.
  const int64_t wanted = lesser(work_of(a) / kWorthATask, most_tasks(context));
  const int64_t blocks = (a.channels + 15) / 16, parts = greater(1, lesser(blocks, (wanted + a.batch - 1) / a.batch));
  const int64_t units = a.batch * parts, tasks = greater(1, lesser(units, wanted));
  parallel(context, tasks, [&](int64_t task, int) {
    for (int64_t unit = units * task / tasks; unit < units * (task + 1) / tasks; ++unit) {
      const int64_t at = unit / parts, part = unit % parts;
      const int64_t c0 = blocks * part / parts * 16, c1 = lesser(a.channels, blocks * (part + 1) / parts * 16);
      int64_t cleared = 0;  // rows, each just before the first window comes to it: it is still in the cache then
      const auto clear = [&](int64_t rows) {
        for (; cleared < rows; ++cleared)
          for (int64_t j = 0; j < a.in[1]; ++j)
            memset(dx + at * image + cleared * apart + j * a.channels + c0, 0,
                   sizeof(T) * static_cast<size_t>(c1 - c0));
      };
      for (int64_t r = 0; r < a.out[0]; ++r) {
        const Window h = window(a, 0, r);
        clear(h.hi);
        const T* const slopes = dy + (at * a.out[0] + r) * a.out[1] * a.channels;
        if (a.type == kPoolMax)
          spread_row<T, true>(a, h, slopes, x + at * image, dx + at * image, c0, c1);
        else
          spread_row<T, false>(a, h, slopes, x, dx + at * image, c0, c1);
      }
      clear(a.in[0]);
    }
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(pool_last, KERNEL("pool_last_forward.float32", pool_last_forward<float>, PoolLastArgs),
        KERNEL("pool_last_forward.float64", pool_last_forward<double>, PoolLastArgs),
        KERNEL("pool_last_forward.bfloat16", pool_last_forward<BFloat16>, PoolLastArgs),
        KERNEL("pool_last_backward.float32", pool_last_backward<float>, PoolLastArgs),
        KERNEL("pool_last_backward.float64", pool_last_backward<double>, PoolLastArgs))
