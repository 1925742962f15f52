// softmax: distributions along one axis, and their gradients.
//
// With inner = 1 a distribution is a run of memory and stays in the first-level cache between the passes over it
// (largest element, exponentials and their sum, division). Otherwise neighbouring distributions are worked on row by
// row, so that memory is still walked along its runs, and as few times as possible.
#include "../args/softmax.h"

#include "cuts.h"
#include "fold.h"
#include "simd.h"
#include "vmath.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kTaskElements = 1 << 13;  // work worth handing to a thread
constexpr int kMaxTile = 512;               // columns
constexpr int kAtOnce = 4;                  // vectors of a row that do not wait for each other

// Calls body(pointer offset, lanes) along a run: whole vectors, then what is left.
template <class T, class Body>
inline void each_vector(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) body(i, kLanes<T>);
  if (i < n) body(i, static_cast<int>(n - i));
}

template <class T>
inline Vec<T> read(const T* p, int lanes) {
  return lanes == kLanes<T> ? load<T>(p) : load_part<T>(p, lanes);
}
template <class T>
inline void write(T* p, Vec<T> v, int lanes) {
  if (lanes == kLanes<T>)
    store<T>(p, v);
  else
    store_part<T>(p, v, lanes);
}

// v in the first lanes, `other` in the rest.
template <class T>
inline Vec<T> first_lanes(Vec<T> v, int lanes, T other) {
  if (lanes == kLanes<T>) return v;
  Mask<T> number{};
  for (int i = 0; i < kLanes<T>; ++i) number[i] = i;
  return number < splat(static_cast<MaskInt<T>>(lanes)) ? v : splat(other);
}

// A sum in blocks, so that its error does not grow with the number of terms.
template <class T>
struct BlockSum {
  Vec<T> total{}, block{};
  int count = 0;
  void add(Vec<T> v) {
    block += v;
    if (++count == 64) {
      total += block;
      block = Vec<T>{};
      count = 0;
    }
  }
  T result() const {
    return fold_lanes<T>(total + block, [](T a, T b) { return a + b; });
  }
};

// Exponentials of several vectors, with one look at whether any of them is far from zero.
inline void exp_all(Vec<float> (&v)[kAtOnce]) {
  Mask<float> near = (Mask<float>)(vabs(v[0]) <= kExpNear);
  for (int k = 1; k < kAtOnce; ++k) near &= (Mask<float>)(vabs(v[k]) <= kExpNear);
  if (any(~near))
    for (int k = 0; k < kAtOnce; ++k) v[k] = exp_far(v[k]);
  else
    for (int k = 0; k < kAtOnce; ++k) v[k] = exp_near(v[k]);
}
inline void exp_all(Vec<double> (&v)[kAtOnce]) {
  for (int k = 0; k < kAtOnce; ++k) v[k] = vexp(v[k]);
}

template <class T>
inline T largest_of(const T* x, int64_t n, Vec<T> scale) {
  constexpr T lowest = -static_cast<T>(__builtin_inff());
  Vec<T> tops = splat(lowest);
  int64_t whole = 0;
  if (n >= kAtOnce * kLanes<T>) {
    Vec<T> some[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k) some[k] = tops;
    for (; whole + kAtOnce * kLanes<T> <= n; whole += kAtOnce * kLanes<T>)
#pragma GCC unroll 4
      for (int k = 0; k < kAtOnce; ++k) some[k] = vmax(load<T>(x + whole + k * kLanes<T>) * scale, some[k]);
    tops = vmax(vmax(some[0], some[1]), vmax(some[2], some[3]));
  }
  each_vector<T>(n - whole, [&](int64_t i, int lanes) {
    tops = vmax(tops, first_lanes<T>(read(x + whole + i, lanes) * scale, lanes, lowest));
  });
  return fold_lanes<T>(tops, [](T a, T b) { return a < b ? b : a; });
}

// Before the row `away` elements on: exponentials take long enough for memory to bring it, and the place of its
// results.
template <class T>
inline void fetch_ahead(const T* x, const T* y, int64_t away) {
  for (int at = 0; at < kAtOnce * kLanes<T>; at += 64 / static_cast<int>(sizeof(T))) {
    __builtin_prefetch(x + away + at);
    __builtin_prefetch(y + away + at);
  }
}

// The sum of exp(x scale - top), which are kept in y unless the result is to be logarithms.
template <class T, bool Log>
inline T sum_of_exponentials(const T* x, T* y, int64_t n, Vec<T> scale, Vec<T> top, int64_t next) {
  BlockSum<T> sum;
  int64_t whole = 0;
  for (; whole + kAtOnce * kLanes<T> <= n; whole += kAtOnce * kLanes<T>) {
    fetch_ahead(x + whole, y + whole, next);
    Vec<T> v[kAtOnce];
#pragma GCC unroll 4
    for (int k = 0; k < kAtOnce; ++k) v[k] = load<T>(x + whole + k * kLanes<T>) * scale - top;
    exp_all(v);
    if (!Log)
#pragma GCC unroll 4
      for (int k = 0; k < kAtOnce; ++k) store<T>(y + whole + k * kLanes<T>, v[k]);
    sum.add((v[0] + v[1]) + (v[2] + v[3]));
  }
  each_vector<T>(n - whole, [&](int64_t i, int lanes) {
    const Vec<T> v = vexp(read(x + whole + i, lanes) * scale - top);
    if (!Log) write(y + whole + i, v, lanes);
    sum.add(first_lanes<T>(v, lanes, 0));
  });
  return sum.result();
}

// The next row is `next` elements away.
template <class T, bool Log>
void softmax_row(const T* x, T* y, int64_t n, T scale, int64_t next) {
  const Vec<T> s = splat(scale), top = splat(largest_of(x, n, s));
  const T total = sum_of_exponentials<T, Log>(x, y, n, s, top, next);
  const Vec<T> last = splat(Log ? vlog(splat(total))[0] : 1 / total);
  each_vector<T>(n, [&](int64_t i, int lanes) {
    write(y + i, Log ? read(x + i, lanes) * s - top - last : read(y + i, lanes) * last, lanes);
  });
}

// The same for every column of a tile, fed row by row.
template <class T>
struct ColumnSums {
  T total[kMaxTile + kLanes<T>], block[kMaxTile + kLanes<T>];
  explicit ColumnSums(int64_t width) {
    each_vector<T>(width, [&](int64_t c, int) {
      store<T>(total + c, Vec<T>{});
      store<T>(block + c, Vec<T>{});
    });
  }
  void add(int64_t c, Vec<T> v) { store<T>(block + c, load<T>(block + c) + v); }
  void end_row(int64_t row, int64_t rows, int64_t width) {
    if (row % 64 != 63 && row + 1 < rows) return;
    each_vector<T>(width, [&](int64_t c, int) {
      store<T>(total + c, load<T>(total + c) + load<T>(block + c));
      store<T>(block + c, Vec<T>{});
    });
  }
};

// Tiles of columns: runs body(first element of the tile, width, outer index, first column) for each of them.
template <class T, class Body>
void each_tile(int64_t outer, int64_t n, int64_t inner, const Context& context, const Body& body) {
  // Wide enough for memory to be read in runs, narrow enough for every thread to have some.
  int64_t width = kMaxTile;
  while (width > 64 && outer * (inner / width) < 4 * context.threads) width /= 2;
  width = lesser(width, inner);
  const int64_t tiles = (inner + width - 1) / width, units = outer * tiles;
  const int64_t group = outer * n * inner < 2 * kTaskElements ? units : 1 + kTaskElements / (n * width + 1);
  parallel(context, (units + group - 1) / group, [&](int64_t task, int) {
    for (int64_t unit = task * group; unit < lesser((task + 1) * group, units); ++unit) {
      const int64_t o = unit / tiles, left = unit % tiles * width;
      body(o * n * inner + left, lesser(width, inner - left), o, left);
    }
  });
}

// The largest elements of some columns so far, and the sums of exponentials relative to them.
template <class T>
struct Columns {
  T top[kMaxTile + kLanes<T>], sum[kMaxTile + kLanes<T>], rows[kMaxTile + kLanes<T>];
};

// Takes Count rows from row i on into account: `x` is the first of them. What is behind a column's rows takes no part.
template <int Count, bool Lengths, class T>
inline void add_rows(Columns<T>& columns, const T* x, int64_t i, int64_t inner, int64_t width, Vec<T> scale) {
  const Vec<T> lowest = splat(-static_cast<T>(__builtin_inff()));
  each_vector<T>(width, [&](int64_t c, int lanes) {
    Vec<T> v[Count];
    const Vec<T> before = load<T>(columns.top + c), rows = load<T>(columns.rows + c);
    Vec<T> top = before, sum{};
    for (int r = 0; r < Count; ++r) {
      v[r] = read(x + r * inner + c, lanes) * scale;
      if (Lengths) v[r] = splat(static_cast<T>(i + r)) < rows ? v[r] : lowest;
      top = vmax(top, v[r]);
    }
    for (int r = 0; r < Count; ++r) sum += vexp(v[r] - top);
    store<T>(columns.sum + c, load<T>(columns.sum + c) * vexp(before - top) + sum);
    store<T>(columns.top + c, top);
  });
}

// One pass for the sums, one for the results: rows that lie far apart in memory do not stay in a cache.
template <class T, bool Log, bool Lengths>
void softmax_columns(const SoftmaxArgs& a, const T* data, const int64_t* length, T* out, const Context& context) {
  constexpr int kRows = 8;
  const Vec<T> s = splat(static_cast<T>(a.scale));
  const Vec<T> start = splat(static_cast<T>(sizeof(T) == 4 ? -__FLT_MAX__ : -__DBL_MAX__));
  each_tile<T>(a.outer, a.n, a.inner, context, [&](int64_t at, int64_t width, int64_t o, int64_t left) {
    Columns<T> columns;
    const T* x = data + at;
    T* y = out + at;
    if (Lengths)
      for (int64_t c = 0; c < width; ++c) columns.rows[c] = static_cast<T>(length[o * a.inner + left + c]);
    each_vector<T>(width, [&](int64_t c, int) {
      store<T>(columns.top + c, start);
      store<T>(columns.sum + c, Vec<T>{});
    });
    int64_t i = 0;
    for (; i + kRows <= a.n; i += kRows) add_rows<kRows, Lengths>(columns, x + i * a.inner, i, a.inner, width, s);
    for (; i < a.n; ++i) add_rows<1, Lengths>(columns, x + i * a.inner, i, a.inner, width, s);
    each_vector<T>(width, [&](int64_t c, int) {
      const Vec<T> v = load<T>(columns.sum + c);
      store<T>(columns.sum + c, Log ? vlog(v) : 1 / v);
    });
    for (i = 0; i < a.n; ++i) {
      each_vector<T>(width, [&](int64_t c, int lanes) {
        const int64_t k = i * a.inner + c;
        const Vec<T> rest = read(x + k, lanes) * s - load<T>(columns.top + c), sum = load<T>(columns.sum + c);
        Vec<T> v = Log ? rest - sum : vexp(rest) * sum;
        if (Lengths) v = splat(static_cast<T>(i)) < load<T>(columns.rows + c) ? v : Vec<T>{};
        write(y + k, v, lanes);
      });
    }
  });
}

// Runs body(row, next) for rows of n elements; the row that comes next is `next` elements away, or none (0). A thread
// takes rows that lie behind each other, so that it can fetch them ahead.
template <class Body>
void each_row(int64_t rows, int64_t n, const Context& context, const Body& body) {
  int64_t group = 1 + kTaskElements / (n + 1);
  if (const int64_t share = rows / most_tasks(context); group < share) group = share;
  if (rows * n < 2 * kTaskElements) group = rows;
  parallel(context, (rows + group - 1) / group, [&](int64_t task, int) {
    const int64_t end = lesser((task + 1) * group, rows);
    for (int64_t row = task * group; row < end; ++row) body(row, row + 1 < end ? n : 0);
  });
}

// As many rows as a vector has lanes, each shorter than two vectors: turned around, one row per lane.
template <class T, bool Log>
void softmax_short_rows(const T* x, T* y, int64_t rows, int64_t n, T scale) {
  constexpr int lanes = kLanes<T>;
  T turned[2 * lanes * lanes] = {};
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < n; ++i) turned[i * lanes + r] = x[r * n + i] * scale;
  Vec<T> top = load<T>(turned), sum{};
  for (int64_t i = 1; i < n; ++i) top = vmax(top, load<T>(turned + i * lanes));
  for (int64_t i = 0; i < n; ++i) {
    const Vec<T> v = load<T>(turned + i * lanes) - top, e = vexp(v);
    store<T>(turned + i * lanes, Log ? v : e);
    sum += e;
  }
  const Vec<T> last = Log ? vlog(sum) : 1 / sum;
  for (int64_t i = 0; i < n; ++i) {
    const Vec<T> v = load<T>(turned + i * lanes);
    store<T>(turned + i * lanes, Log ? v - last : v * last);
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < n; ++i) y[r * n + i] = turned[i * lanes + r];
}

template <class T, bool Log>
void softmax(const SoftmaxArgs& a, void* const* buffers, const Context& context) {
  const T* data = static_cast<const T*>(buffers[0]);
  const int64_t* length = static_cast<const int64_t*>(buffers[1]);
  T* out = static_cast<T*>(buffers[2]);
  if (a.outer * a.n * a.inner == 0) return;
  if (a.inner > 1 && length) return softmax_columns<T, Log, true>(a, data, length, out, context);
  if (a.inner > 1) return softmax_columns<T, Log, false>(a, data, length, out, context);
  constexpr int64_t lanes = kLanes<T>;
  if (!length && a.n <= 2 * lanes && a.outer >= lanes) {
    each_row((a.outer + lanes - 1) / lanes, a.n * lanes, context, [&](int64_t group, int64_t) {
      const int64_t at = group * lanes * a.n, rows = lesser(lanes, a.outer - group * lanes);
      softmax_short_rows<T, Log>(data + at, out + at, rows, a.n, static_cast<T>(a.scale));
    });
    return;
  }
  each_row(a.outer, a.n, context, [&](int64_t row, int64_t next) {
    int64_t n = a.n;
    if (length) n = length[row] < 0 ? 0 : lesser(length[row], a.n);
    T* y = out + row * a.n;
    if (n > 0) softmax_row<T, Log>(data + row * a.n, y, n, static_cast<T>(a.scale), next);
    for (int64_t i = n; i < a.n; ++i) y[i] = 0;
  });
}

// softmax:     dx = scale y (dy - Σ dy y)
// log_softmax: dx = scale (dy - exp(y) Σ dy)
template <class T, bool Log>
inline Vec<T> softmax_slope(Vec<T> dy, Vec<T> y, Vec<T> sum, Vec<T> scale) {
  return Log ? scale * (dy - vexp(y) * sum) : scale * y * (dy - sum);
}

template <class T, bool Log>
void softmax_grad(const SoftmaxArgs& a, void* const* buffers, const Context& context) {
  const T* grad = static_cast<const T*>(buffers[0]);
  const T* result = static_cast<const T*>(buffers[1]);
  T* out = static_cast<T*>(buffers[2]);
  const Vec<T> scale = splat(static_cast<T>(a.scale));
  if (a.outer * a.n * a.inner == 0) return;
  if (a.inner == 1) {
    each_row(a.outer, a.n, context, [&](int64_t row, int64_t) {
      const T* dy = grad + row * a.n;
      const T* y = result + row * a.n;
      BlockSum<T> sum;
      each_vector<T>(a.n, [&](int64_t i, int lanes) {
        const Vec<T> d = read(dy + i, lanes);
        sum.add(Log ? d : d * read(y + i, lanes));
      });
      const Vec<T> total = splat(sum.result());
      each_vector<T>(a.n, [&](int64_t i, int lanes) {
        const Vec<T> d = softmax_slope<T, Log>(read(dy + i, lanes), read(y + i, lanes), total, scale);
        write(out + row * a.n + i, d, lanes);
      });
    });
    return;
  }
  each_tile<T>(a.outer, a.n, a.inner, context, [&](int64_t at, int64_t width, int64_t, int64_t) {
    ColumnSums<T> sums(width);
    for (int64_t i = 0; i < a.n; ++i) {
      each_vector<T>(width, [&](int64_t c, int lanes) {
        const int64_t k = at + i * a.inner + c;
        const Vec<T> d = read(grad + k, lanes);
        sums.add(c, Log ? d : d * read(result + k, lanes));
      });
      sums.end_row(i, a.n, width);
    }
    for (int64_t i = 0; i < a.n; ++i)
      each_vector<T>(width, [&](int64_t c, int lanes) {
        const int64_t k = at + i * a.inner + c;
        const Vec<T> d =
            softmax_slope<T, Log>(read(grad + k, lanes), read(result + k, lanes), load<T>(sums.total + c), scale);
        write(out + k, d, lanes);
      });
  });
}

template <class T>
void softmax_output_grad(const SoftmaxOutputGradArgs& a, void* const* buffers, const Context& context) {
  const T* p = static_cast<const T*>(buffers[0]);
  const int64_t* label = static_cast<const int64_t*>(buffers[1]);
  const T* head = static_cast<const T*>(buffers[2]);
  T* out = static_cast<T*>(buffers[3]);
  if (a.outer * a.n * a.inner == 0) return;
  double scale = a.scale;
  if (a.per_valid) {
    int64_t valid = 0;
    for (int64_t i = 0; i < a.outer * a.inner; ++i) valid += label[i] != a.ignore_label;
    scale /= static_cast<double>(valid > 0 ? valid : 1);
  }
  const T factor = static_cast<T>(scale), on = static_cast<T>(1 - a.smooth_alpha);
  const T off = a.n > 1 ? static_cast<T>(a.smooth_alpha / static_cast<double>(a.n - 1)) : T(0);
  auto ignored = [&](int64_t which) { return a.use_ignore && which == a.ignore_label; };
  auto headed = [&](Vec<T> d, int64_t k, int lanes) { return head ? d * read(head + k, lanes) : d; };
  if (a.inner == 1) {
    const Vec<T> f = splat(factor), base = splat(off);
    each_row(a.outer, a.n, context, [&](int64_t row, int64_t) {
      const int64_t which = label[row], first = row * a.n;
      const bool skip = ignored(which);
      each_vector<T>(a.n, [&](int64_t i, int lanes) {
        const int64_t k = first + i;
        write(out + k, skip ? Vec<T>{} : headed((read(p + k, lanes) - base) * f, k, lanes), lanes);
      });
      if (skip || which < 0 || which >= a.n) return;
      const int64_t k = first + which;
      out[k] = (p[k] - on) * factor * (head ? head[k] : T(1));
    });
    return;
  }
  each_tile<T>(a.outer, a.n, a.inner, context, [&](int64_t at, int64_t width, int64_t o, int64_t left) {
    T factors[kMaxTile + kLanes<T>], places[kMaxTile + kLanes<T>];
    for (int64_t c = 0; c < width; ++c) {
      const int64_t which = label[o * a.inner + left + c];
      factors[c] = ignored(which) ? T(0) : factor;
      places[c] = static_cast<T>(which);
    }
    for (int64_t i = 0; i < a.n; ++i) {
      const Vec<T> row = splat(static_cast<T>(i));
      each_vector<T>(width, [&](int64_t c, int lanes) {
        const int64_t k = at + i * a.inner + c;
        const Vec<T> target = row == load<T>(places + c) ? splat(on) : splat(off);
        write(out + k, headed((read(p + k, lanes) - target) * load<T>(factors + c), k, lanes), lanes);
      });
    }
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(softmax, KERNEL("softmax.float32", (softmax<float, false>), SoftmaxArgs),
        KERNEL("softmax.float64", (softmax<double, false>), SoftmaxArgs),
        KERNEL("log_softmax.float32", (softmax<float, true>), SoftmaxArgs),
        KERNEL("log_softmax.float64", (softmax<double, true>), SoftmaxArgs),
        KERNEL("softmax_grad.float32", (softmax_grad<float, false>), SoftmaxArgs),
        KERNEL("softmax_grad.float64", (softmax_grad<double, false>), SoftmaxArgs),
        KERNEL("log_softmax_grad.float32", (softmax_grad<float, true>), SoftmaxArgs),
        KERNEL("log_softmax_grad.float64", (softmax_grad<double, true>), SoftmaxArgs),
        KERNEL("softmax_output_grad.float32", softmax_output_grad<float>, SoftmaxOutputGradArgs),
        KERNEL("softmax_output_grad.float64", softmax_output_grad<double>, SoftmaxOutputGradArgs))
