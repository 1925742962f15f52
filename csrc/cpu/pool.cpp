// pool: reductions over windows.
//
// An output row is made tap by tap: every tap of the window adds (or compares) a row of pixels, `stride` apart, with
// the output row, and only those outputs for which the pixel exists. The gradient of max finds the winner again by
// comparing.
#include "../args/pool.h"

#include <cmath>
#include <cstring>

#include "cuts.h"
#include "simd.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

struct Range {
  int64_t lo, hi;
};

// The input indices in the window of output o along dimension d, and its length with padding.
inline Range window(const PoolArgs& a, int d, int64_t o) {
  const int64_t start = o * a.stride[d] - a.pad[d];
  return {greater(0, start), lesser(start + a.kernel[d], a.in[d])};
}
inline int64_t padded_length(const PoolArgs& a, int d, int64_t o) {
  const int64_t start = o * a.stride[d] - a.pad[d];
  return lesser(start + a.kernel[d], a.in[d] + a.pad[d]) - start;
}

// The outputs of a row whose tap t along the last dimension meets a pixel.
inline Range outputs_of(const PoolArgs& a, int64_t t) {
  const int64_t shift = a.pad[2] - t, last = a.in[2] - 1 + shift;
  const int64_t lo = shift > 0 ? (shift + a.stride[2] - 1) / a.stride[2] : 0;
  const int64_t hi = last < 0 ? 0 : lesser(a.out[2], last / a.stride[2] + 1);
  return {lo, greater(lo, hi)};
}

// How many pixels an average divides by, without the last dimension.
inline double divisor(const PoolArgs& a, int64_t z, int64_t y) {
  if (a.count_include_pad) return static_cast<double>(padded_length(a, 0, z) * padded_length(a, 1, y));
  const Range d = window(a, 0, z), h = window(a, 1, y);
  return static_cast<double>(greater(0, d.hi - d.lo) * greater(0, h.hi - h.lo));
}
inline double divisor(const PoolArgs& a, int64_t x) {
  if (a.count_include_pad) return static_cast<double>(padded_length(a, 2, x));
  const Range w = window(a, 2, x);
  return static_cast<double>(greater(0, w.hi - w.lo));
}

// What a window does with its pixels. Max leaves NaN out and knows no infinity below the lowest number, as in MXNet.
struct Max {
  template <class T>
  static constexpr T start = sizeof(T) == 4 ? static_cast<T>(-__FLT_MAX__) : static_cast<T>(-__DBL_MAX__);
  template <class V>
  static V join(V best, V x) {
    return x > best ? x : best;
  }
};
struct Sum {
  template <class T>
  static constexpr T start = 0;
  template <class V>
  static V join(V total, V x) {
    return total + x;
  }
};
struct SumOfSquares {
  template <class T>
  static constexpr T start = 0;
  template <class V>
  static V join(V total, V x) {
    return total + x * x;
  }
};

template <class T, class Op>
void join_row(T* out, const T* x, int64_t n, int64_t stride) {
  if (stride == 1)
    for (int64_t j = 0; j < n; ++j) out[j] = Op::join(out[j], x[j]);
  else if (stride == 2)
    for (int64_t j = 0; j < n; ++j) out[j] = Op::join(out[j], x[2 * j]);
  else
    for (int64_t j = 0; j < n; ++j) out[j] = Op::join(out[j], x[j * stride]);
}

// A whole row joined into one number.
template <class T, class Op>
T join_all(T total, const T* x, int64_t n) {
  constexpr int L = kLanes<T>;
  int64_t i = 0;
  if (n >= L) {
    Vec<T> v = splat(Op::template start<T>);
    for (; i + L <= n; i += L) v = Op::join(v, load(x + i));
    for (int l = 0; l < L; ++l)
      total = Op::template start<T> == 0 ? total + v[l] : Max::join(total, static_cast<T>(v[l]));
  }
  for (; i < n; ++i) total = Op::join(total, x[i]);
  return total;
}

template <class T, class Op>
void reduce_plane(const PoolArgs& a, const T* x, T* out) {
  for (int64_t z = 0; z < a.out[0]; ++z)
    for (int64_t y = 0; y < a.out[1]; ++y, out += a.out[2]) {
      for (int64_t j = 0; j < a.out[2]; ++j) out[j] = Op::template start<T>;
      const Range d = window(a, 0, z), h = window(a, 1, y);
      for (int64_t i = d.lo; i < d.hi; ++i)
        for (int64_t r = h.lo; r < h.hi; ++r) {
          const T* row = x + (i * a.in[1] + r) * a.in[2];
          if (a.out[2] == 1) {
            const Range w = window(a, 2, 0);
            out[0] = join_all<T, Op>(out[0], row + w.lo, w.hi - w.lo);
            continue;
          }
          for (int64_t t = 0; t < a.kernel[2]; ++t) {
            const Range j = outputs_of(a, t);
            join_row<T, Op>(out + j.lo, row + j.lo * a.stride[2] - a.pad[2] + t, j.hi - j.lo, a.stride[2]);
          }
        }
    }
}

template <class T>
void lp_plane(const PoolArgs& a, const T* x, T* out) {
  for (int64_t z = 0; z < a.out[0]; ++z)
    for (int64_t y = 0; y < a.out[1]; ++y)
      for (int64_t o = 0; o < a.out[2]; ++o) {
        const Range d = window(a, 0, z), h = window(a, 1, y), w = window(a, 2, o);
        double total = 0;
        for (int64_t i = d.lo; i < d.hi; ++i)
          for (int64_t r = h.lo; r < h.hi; ++r)
            for (int64_t c = w.lo; c < w.hi; ++c)
              total += std::pow(std::fabs(static_cast<double>(x[(i * a.in[1] + r) * a.in[2] + c])), a.p);
        *out++ = static_cast<T>(std::pow(total, 1 / a.p));
      }
}

template <class T>
void average_plane(const PoolArgs& a, T* out) {
  for (int64_t z = 0; z < a.out[0]; ++z)
    for (int64_t y = 0; y < a.out[1]; ++y) {
      const double rows = divisor(a, z, y);
      for (int64_t j = 0; j < a.out[2]; ++j, ++out) *out = static_cast<T>(*out / (rows * divisor(a, j)));
    }
}

// ---- Windows of 2 x 2 side by side: no window shares a pixel with another -------------------------------------------

// N windows at a time.
template <class T, int N>
struct Batch {
  typedef T V __attribute__((vector_size(N * sizeof(T))));
  typedef MaskInt<T> M __attribute__((vector_size(N * sizeof(T))));

  static V get(const T* p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  static void put(T* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
};
template <class T, int... I>
struct PairLanes {
  static constexpr int N = sizeof...(I);
  using V = typename Batch<T, N>::V;
  static V even(V a, V b) { return __builtin_shufflevector(a, b, (2 * I)...); }
  static V odd(V a, V b) { return __builtin_shufflevector(a, b, (2 * I + 1)...); }
  static V low(V a, V b) { return __builtin_shufflevector(a, b, (I / 2 + I % 2 * N)...); }
  static V high(V a, V b) { return __builtin_shufflevector(a, b, ((I + N) / 2 + I % 2 * N)...); }
};
template <class T, int N>
struct Pairs;
template <class T>
struct Pairs<T, 2> : PairLanes<T, 0, 1> {};
template <class T>
struct Pairs<T, 4> : PairLanes<T, 0, 1, 2, 3> {};
template <class T>
struct Pairs<T, 8> : PairLanes<T, 0, 1, 2, 3, 4, 5, 6, 7> {};
template <class T>
struct Pairs<T, 16> : PairLanes<T, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15> {};

// Windows of a row: as many as there are in batches of N, then in smaller batches, the last ones singly.
template <class T, int N>
struct TwoByTwo {
  using B = Batch<T, N>;
  using P = Pairs<T, N>;
  using V = typename B::V;
  using M = typename B::M;
  using Smaller = TwoByTwo<T, N / 2>;

  static void max(const T* top, const T* bottom, T* out, int64_t n) {
    int64_t j = 0;
    for (; j + N <= n; j += N) {
      const V start = Max::start<T> - V{};
      const V one = Max::join(Max::join(start, B::get(top + 2 * j)), B::get(bottom + 2 * j));
      const V two = Max::join(Max::join(start, B::get(top + 2 * j + N)), B::get(bottom + 2 * j + N));
      B::put(out + j, Max::join(P::even(one, two), P::odd(one, two)));
    }
    if (j < n) Smaller::max(top + 2 * j, bottom + 2 * j, out + j, n - j);
  }

  static void backward(const T* dy, const T* top, const T* bottom, T* dtop, T* dbottom, int64_t n) {
    int64_t j = 0;
    for (; j + N <= n; j += N) {
      const V t1 = B::get(top + 2 * j), t2 = B::get(top + 2 * j + N);
      const V b1 = B::get(bottom + 2 * j), b2 = B::get(bottom + 2 * j + N);
      const V p = P::even(t1, t2), q = P::odd(t1, t2), r = P::even(b1, b2), s = P::odd(b1, b2), zero{};
      const V best = Max::join(Max::join(Max::join(Max::join(Max::start<T> - V{}, p), q), r), s), g = B::get(dy + j);
      const M at_p = p == best, at_q = (q == best) & ~at_p, at_r = (r == best) & ~(at_p | at_q);
      const M at_s = (s == best) & ~(at_p | at_q | at_r);
      const V gp = at_p ? g : zero, gq = at_q ? g : zero, gr = at_r ? g : zero, gs = at_s ? g : zero;
      B::put(dtop + 2 * j, P::low(gp, gq));
      B::put(dtop + 2 * j + N, P::high(gp, gq));
      B::put(dbottom + 2 * j, P::low(gr, gs));
      B::put(dbottom + 2 * j + N, P::high(gr, gs));
    }
    if (j < n) Smaller::backward(dy + j, top + 2 * j, bottom + 2 * j, dtop + 2 * j, dbottom + 2 * j, n - j);
  }
};
template <class T>
struct TwoByTwo<T, 1> {
  static void max(const T* top, const T* bottom, T* out, int64_t) {
    out[0] = Max::join(Max::join(Max::join(Max::join(Max::start<T>, top[0]), top[1]), bottom[0]), bottom[1]);
  }
  static void backward(const T* dy, const T* top, const T* bottom, T* dtop, T* dbottom, int64_t) {
    T best;
    max(top, bottom, &best, 1);
    dtop[0] = dtop[1] = dbottom[0] = dbottom[1] = 0;
    T* const to = top[0] == best      ? dtop
                  : top[1] == best    ? dtop + 1
                  : bottom[0] == best ? dbottom
                  : bottom[1] == best ? dbottom + 1
                                      : nullptr;
    if (to) *to = dy[0];
  }
};

bool two_by_two(const PoolArgs& a) {
  if (a.kernel[0] != 1 || a.stride[0] != 1 || a.pad[0] || a.in[0] != a.out[0]) return false;
  for (int d = 1; d < 3; ++d)
    if (a.kernel[d] != 2 || a.stride[d] != 2 || a.pad[d] || 2 * a.out[d] > a.in[d]) return false;
  return true;
}

template <class T>
void max_two_by_two(const PoolArgs& a, const T* x, T* out) {
  const int64_t width = a.in[2], n = a.out[2];
  for (int64_t z = 0; z < a.out[0]; ++z)
    for (int64_t y = 0; y < a.out[1]; ++y, out += n) {
      const T* top = x + (z * a.in[1] + 2 * y) * width;
      TwoByTwo<T, kLanes<T>>::max(top, top + width, out, n);
    }
}

template <class T>
void max_two_by_two_backward(const PoolArgs& a, const T* dy, const T* x, T* dx) {
  const int64_t width = a.in[2], n = a.out[2];
  for (int64_t z = 0; z < a.out[0]; ++z) {
    for (int64_t y = 0; y < a.out[1]; ++y, dy += n) {
      const int64_t at = (z * a.in[1] + 2 * y) * width;
      T *dtop = dx + at, *dbottom = dtop + width;
      TwoByTwo<T, kLanes<T>>::backward(dy, x + at, x + at + width, dtop, dbottom, n);
      for (int64_t j = 2 * n; j < width; ++j) dtop[j] = dbottom[j] = 0;
    }
    const int64_t done = 2 * a.out[1];
    std::memset(dx + (z * a.in[1] + done) * width, 0, static_cast<size_t>((a.in[1] - done) * width) * sizeof(T));
  }
}

// ---- Forward and backward -------------------------------------------------------------------------------------------

// Planes are independent of each other; `cost` is the work of one, in steps of about a nanosecond.
template <class Body>
void each_plane(const PoolArgs& a, const Context& context, int64_t cost, const Body& body) {
  const int64_t work = a.planes * cost / 32768, most = most_tasks(context);
  const int64_t tasks = context.threads == 1 ? 1 : greater(1, lesser(a.planes, lesser(work, most)));
  parallel(context, tasks, [&](int64_t task, int) {
    for (int64_t p = a.planes * task / tasks; p < a.planes * (task + 1) / tasks; ++p) body(p);
  });
}

int64_t plane_size(const Ints& dims) { return dims[0] * dims[1] * dims[2]; }
int64_t cost_of(const PoolArgs& a) { return plane_size(a.out) * plane_size(a.kernel) + plane_size(a.in); }

template <class T>
void pool_forward(const PoolArgs& a, void* const* buffers, const Context& context) {
  const T* x = static_cast<const T*>(buffers[0]);
  T* y = static_cast<T*>(buffers[1]);
  const int64_t in = plane_size(a.in), out = plane_size(a.out);
  const bool small = two_by_two(a);
  each_plane(a, context, cost_of(a) / 2, [&](int64_t p) {
    const T* from = x + p * in;
    T* to = y + p * out;
    switch (a.type) {
      case kPoolMax:
        if (small)
          max_two_by_two(a, from, to);
        else
          reduce_plane<T, Max>(a, from, to);
        break;
      case kPoolAvg:
        reduce_plane<T, Sum>(a, from, to);
        average_plane(a, to);
        break;
      case kPoolSum:
        reduce_plane<T, Sum>(a, from, to);
        break;
      default:
        if (a.p == 2) {
          reduce_plane<T, SumOfSquares>(a, from, to);
          for (int64_t j = 0; j < out; ++j) to[j] = std::sqrt(to[j]);
        } else {
          lp_plane(a, from, to);
        }
    }
  });
}

// Outputs of a row that are worked on at once.
constexpr int64_t kRowPart = 256;

template <class T>
void add_row(T* dx, const T* g, int64_t n, int64_t stride) {
  if (stride == 1)
    for (int64_t j = 0; j < n; ++j) dx[j] += g[j];
  else
    for (int64_t j = 0; j < n; ++j) dx[j * stride] += g[j];
}

// The first pixel of each window that is the largest takes its gradient.
template <class T>
void add_to_winners(T* dx, const T* x, const T* best, T* g, int64_t n, int64_t stride) {
  for (int64_t j = 0; j < n; ++j) {
    const bool hit = x[j * stride] == best[j];
    dx[j * stride] += hit ? g[j] : 0;
    g[j] = hit ? 0 : g[j];
  }
}

// Visits the taps of the outputs j0..j1-1 of one row, in order: the first pixel of each, and the outputs it belongs to.
template <class Visit>
void each_tap(const PoolArgs& a, int64_t z, int64_t y, int64_t j0, int64_t j1, const Visit& visit) {
  const Range d = window(a, 0, z), h = window(a, 1, y);
  for (int64_t i = d.lo; i < d.hi; ++i)
    for (int64_t r = h.lo; r < h.hi; ++r)
      for (int64_t t = 0; t < a.kernel[2]; ++t) {
        const Range whole = outputs_of(a, t);
        const Range j = {greater(whole.lo, j0), lesser(whole.hi, j1)};
        if (j.lo < j.hi) visit((i * a.in[1] + r) * a.in[2] + j.lo * a.stride[2] - a.pad[2] + t, j);
      }
}

template <class T>
void backward_plane(const PoolArgs& a, const T* dy, const T* x, const T* y, T* dx) {
  std::memset(dx, 0, static_cast<size_t>(plane_size(a.in)) * sizeof(T));
  const int64_t stride = a.stride[2];
  T g[kRowPart], best[kRowPart];
  for (int64_t z = 0; z < a.out[0]; ++z)
    for (int64_t r = 0; r < a.out[1]; ++r)
      for (int64_t j0 = 0; j0 < a.out[2]; j0 += kRowPart) {
        const int64_t n = lesser(kRowPart, a.out[2] - j0), at = (z * a.out[1] + r) * a.out[2] + j0;
        if (a.type == kPoolLp) {
          each_tap(a, z, r, j0, j0 + n, [&](int64_t from, Range j) {
            for (int64_t o = j.lo; o < j.hi; ++o) {
              const int64_t pixel = from + (o - j.lo) * stride;
              const double v = static_cast<double>(x[pixel]), total = static_cast<double>(y[at + o - j0]);
              const double slope = total == 0 ? 0 : std::pow(std::fabs(v) / total, a.p - 1);
              dx[pixel] += static_cast<T>(static_cast<double>(dy[at + o - j0]) * (v < 0 ? -slope : slope));
            }
          });
          continue;
        }
        std::memcpy(g, dy + at, static_cast<size_t>(n) * sizeof(T));
        if (a.type == kPoolMax) {
          for (int64_t j = 0; j < n; ++j) best[j] = Max::start<T>;
          each_tap(a, z, r, j0, j0 + n,
                   [&](int64_t from, Range j) { join_row<T, Max>(best + j.lo - j0, x + from, j.hi - j.lo, stride); });
          each_tap(a, z, r, j0, j0 + n, [&](int64_t from, Range j) {
            add_to_winners(dx + from, x + from, best + j.lo - j0, g + j.lo - j0, j.hi - j.lo, stride);
          });
          continue;
        }
        if (a.type == kPoolAvg) {
          const double rows = divisor(a, z, r);
          for (int64_t j = 0; j < n; ++j)
            g[j] = static_cast<T>(static_cast<double>(g[j]) / (rows * divisor(a, j0 + j)));
        }
        if (a.out[2] == 1) {
          const Range d = window(a, 0, z), h = window(a, 1, r), w = window(a, 2, 0);
          for (int64_t i = d.lo; i < d.hi; ++i)
            for (int64_t row = h.lo; row < h.hi; ++row)
              for (int64_t c = w.lo; c < w.hi; ++c) dx[(i * a.in[1] + row) * a.in[2] + c] += g[0];
          continue;
        }
        each_tap(a, z, r, j0, j0 + n,
                 [&](int64_t from, Range j) { add_row(dx + from, g + j.lo - j0, j.hi - j.lo, stride); });
      }
}

template <class T>
void pool_backward(const PoolArgs& a, void* const* buffers, const Context& context) {
  const T *dy = static_cast<const T*>(buffers[0]), *x = static_cast<const T*>(buffers[1]);
  const T* y = static_cast<const T*>(buffers[2]);
  T* dx = static_cast<T*>(buffers[3]);
  const int64_t in = plane_size(a.in), out = plane_size(a.out);
  const bool small = a.type == kPoolMax && two_by_two(a);
  each_plane(a, context, cost_of(a), [&](int64_t p) {
    if (small)
      max_two_by_two_backward(a, dy + p * out, x + p * in, dx + p * in);
    else
      backward_plane(a, dy + p * out, x ? x + p * in : nullptr, y ? y + p * out : nullptr, dx + p * in);
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(pool, KERNEL("pool_forward.float32", pool_forward<float>, PoolArgs),
        KERNEL("pool_forward.float64", pool_forward<double>, PoolArgs),
        KERNEL("pool_backward.float32", pool_backward<float>, PoolArgs),
        KERNEL("pool_backward.float64", pool_backward<double>, PoolArgs))
