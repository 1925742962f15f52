// reduce: folds along any axes, and the position of the extreme along one.
//
// After collapsing, the last axis is either reduced ("rows": whole runs of memory become one number) or kept
// ("columns": rows of memory are folded onto each other). Both walk memory in order, a few cache lines at a time.
#include "../args/reduce.h"

#include "cuts.h"
#include "fold.h"
#include "simd.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int kMaxAxes = 16;
constexpr int64_t kTaskElements = 1 << 14;  // work worth handing to a thread

template <class T>
constexpr bool kIsReal = static_cast<T>(0.5) != T(0);
template <class T>
constexpr T kHighest =
    kIsReal<T> ? static_cast<T>(__builtin_inff()) : static_cast<T>((uint64_t(1) << (8 * sizeof(T) - 1)) - 1);
template <class T>
constexpr T kLowest = kIsReal<T> ? -kHighest<T> : static_cast<T>(-kHighest<T> - T(1));

// What is folded: the start value, what happens to an element first, and how two values join. V is T or a vector of T.
// Plain is the same for values that are folds already.
struct Sum {
  using Plain = Sum;
  template <class T>
  static constexpr T start = T(0);
  template <class V>
  static V map(V x) {
    return x;
  }
  template <class V>
  static V join(V a, V b) {
    return a + b;
  }
};
struct SumSquares : Sum {
  template <class V>
  static V map(V x) {
    return x * x;
  }
};
struct SumAbs : Sum {
  template <class V>
  static V map(V x) {
    return x < V{} ? -x : x;
  }
};
struct NanSum : Sum {
  template <class V>
  static V map(V x) {
    return x == x ? x : V{};
  }
};
struct Prod {
  using Plain = Prod;
  template <class T>
  static constexpr T start = T(1);
  template <class V>
  static V map(V x) {
    return x;
  }
  template <class V>
  static V join(V a, V b) {
    return a * b;
  }
};
struct NanProd : Prod {
  template <class V>
  static V map(V x) {
    return x == x ? x : V{} + 1;
  }
};
struct Max {
  using Plain = Max;
  template <class T>
  static constexpr T start = kLowest<T>;
  template <class V>
  static V map(V x) {
    return x;
  }
  // A NaN in either operand comes out: b by the comparison being false, a by the second test.
  template <class V>
  static V join(V a, V b) {
    return (a > b) | !(a == a) ? a : b;
  }
  template <class V>
  static auto better(V a, V b) {
    return a > b;
  }
};
struct Min {
  using Plain = Min;
  template <class T>
  static constexpr T start = kHighest<T>;
  template <class V>
  static V map(V x) {
    return x;
  }
  template <class V>
  static V join(V a, V b) {
    return (a < b) | !(a == a) ? a : b;
  }
  template <class V>
  static auto better(V a, V b) {
    return a < b;
  }
};

// Blocks of sixteen blocks of sixteen blocks: how many values joined at each level of the cascade before they move up.
constexpr int kRadix = 16;
constexpr int kLevels = 6;

template <class T>
inline Mask<T> lane_numbers() {
  Mask<T> v{};
  for (int i = 0; i < kLanes<T>; ++i) v[i] = i;
  return v;
}

// The first n < kLanes elements behind p, with the start value in the other lanes; reads the whole vector that ends
// there.
template <class T, class Op>
inline Vec<T> tail(const T* p, int64_t n) {
  const int64_t others = kLanes<T> - n;
  const Mask<T> ours = lane_numbers<T>() >= splat(static_cast<MaskInt<T>>(others));
  return ours ? Op::map(load<T>(p - others)) : splat<T>(Op::template start<T>);
}

template <class T, class Op>
inline T lane_fold(Vec<T> v) {
  return fold_lanes<T>(v, [](T a, T b) { return Op::join(a, b); });
}

template <class T, class Op>
inline T fold_few(const T* p, int64_t n) {
  T folded = n > 0 ? Op::map(p[0]) : Op::template start<T>;
  for (int64_t i = 1; i < n; ++i) folded = Op::join(folded, Op::map(p[i]));
  return folded;
}

// A row too short to need blocks.
template <class T, class Op>
inline T fold_short(const T* p, int64_t n) {
  constexpr int lanes = kLanes<T>;
  if (n < lanes) return fold_few<T, Op>(p, n);
  Vec<T> s0 = Op::map(load<T>(p)), s1 = splat<T>(Op::template start<T>);
  int64_t i = lanes;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    s0 = Op::join(s0, Op::map(load<T>(p + i)));
    s1 = Op::join(s1, Op::map(load<T>(p + i + lanes)));
  }
  if (i + lanes <= n) s0 = Op::join(s0, Op::map(load<T>(p + i))), i += lanes;
  if (i < n) s1 = Op::join(s1, tail<T, Op>(p + i, n - i));
  return lane_fold<T, Op>(Op::join(s0, s1));
}

// A run this long is folded as four at a time: memory brings four streams of lines sooner than one.
constexpr int64_t kLong = 1 << 12;

// Folds runs of memory into one number.
template <class T, class Op>
class RowFold {
 public:
  RowFold() { clear(); }

  void add(const T* p, int64_t n) {
    constexpr int lanes = kLanes<T>;
    if (n < lanes) {
      if (n <= 0) return;
      Vec<T> v = splat<T>(Op::template start<T>);
      v[0] = fold_few<T, Op>(p, n);
      sums_[0] = Op::join(sums_[0], v);
      step(1);
      return;
    }
    if (n >= kLong) {
      const int64_t quarter = n / (4 * lanes) * lanes;
      take(p, quarter / lanes, quarter, lanes);
      p += 4 * quarter;
      n -= 4 * quarter;
    }
    const int64_t whole = n / (4 * lanes);
    take(p, whole, lanes, 4 * lanes);
    p += whole * 4 * lanes;
    n -= whole * 4 * lanes;
    if (n == 0) return;
    int k = 0;
    for (; n >= lanes; n -= lanes, p += lanes, ++k) sums_[k] = Op::join(sums_[k], Op::map(load<T>(p)));
    if (n > 0) sums_[3] = Op::join(sums_[3], tail<T, Op>(p, n));
    step(1);
  }

  T result() {
    Vec<T> v = Op::join(Op::join(sums_[0], sums_[1]), Op::join(sums_[2], sums_[3]));
    for (int l = 0; l < kLevels; ++l)
      if (counts_[l]) v = Op::join(levels_[l], v);
    return lane_fold<T, Op>(v);
  }

 private:
  void clear() {
    for (int i = 0; i < 4; ++i) sums_[i] = splat<T>(Op::template start<T>);
    filled_ = 0;
  }

  // Steps of four vectors that are `apart`; the next four are `on` from them.
  void take(const T* p, int64_t steps, int64_t apart, int64_t on) {
    while (steps > 0) {
      const int64_t some = steps < kRadix - filled_ ? steps : kRadix - filled_;
      Vec<T> s0 = sums_[0], s1 = sums_[1], s2 = sums_[2], s3 = sums_[3];
      for (int64_t i = 0; i < some; ++i, p += on) {
        s0 = Op::join(s0, Op::map(load<T>(p)));
        s1 = Op::join(s1, Op::map(load<T>(p + apart)));
        s2 = Op::join(s2, Op::map(load<T>(p + 2 * apart)));
        s3 = Op::join(s3, Op::map(load<T>(p + 3 * apart)));
      }
      sums_[0] = s0, sums_[1] = s1, sums_[2] = s2, sums_[3] = s3;
      steps -= some;
      step(some);
    }
  }

  void step(int64_t steps) {
    filled_ += steps;
    if (filled_ < kRadix) return;
    Vec<T> v = Op::join(Op::join(sums_[0], sums_[1]), Op::join(sums_[2], sums_[3]));
    clear();
    for (int l = 0; l < kLevels; ++l) {
      v = counts_[l] ? Op::join(levels_[l], v) : v;
      levels_[l] = v;
      if (++counts_[l] < kRadix || l + 1 == kLevels) return;
      counts_[l] = 0;
    }
  }

  Vec<T> sums_[4];
  int64_t filled_;
  Vec<T> levels_[kLevels] = {};
  int64_t counts_[kLevels] = {};
};

constexpr int kMaxWidth = 512;  // columns folded together: all levels of them stay in the first-level cache

// into[c] = into[c] joined with Rows rows, or just these rows.
template <int Rows, class T, class Op>
inline void fold_rows(T* into, bool fresh, const T* p, int64_t stride, int64_t width) {
  auto folded = [&](auto read, int64_t c) {
    auto v = Op::map(read(p + c));
    if constexpr (Rows > 1) v = Op::join(v, Op::map(read(p + stride + c)));
    if constexpr (Rows > 2)
      v = Op::join(v, Op::join(Op::map(read(p + 2 * stride + c)), Op::map(read(p + 3 * stride + c))));
    if constexpr (Rows > 4) {
      auto w = Op::join(Op::map(read(p + 4 * stride + c)), Op::map(read(p + 5 * stride + c)));
      v = Op::join(v, Op::join(w, Op::join(Op::map(read(p + 6 * stride + c)), Op::map(read(p + 7 * stride + c)))));
    }
    return v;
  };
  auto vector = [](const T* q) { return load<T>(q); };
  auto element = [](const T* q) { return *q; };
  int64_t c = 0;
  for (; c + kLanes<T> <= width; c += kLanes<T>) {
    const Vec<T> v = folded(vector, c);
    store<T>(into + c, fresh ? v : Op::join(load<T>(into + c), v));
  }
  for (; c < width; ++c) {
    const T v = folded(element, c);
    into[c] = fresh ? v : Op::join(into[c], v);
  }
}

// Folds rows of up to kMaxWidth columns onto each other.
template <class T, class Op>
class ColumnFold {
 public:
  explicit ColumnFold(int64_t width) : width_(width) {}

  // Only the last call may bring rows narrower than the fold.
  void add(const T* p, int64_t rows, int64_t stride, int64_t width) {
    while (rows > 0) {
      const bool fresh = filled_ == 0;
      T* into = levels_[0];
      if (fresh && width < width_)
        for (int64_t c = 0; c < width_; ++c) into[c] = Op::template start<T>;
      const bool replace = fresh && width == width_;
      int64_t taken = 1;
      if (rows >= 8)
        fold_rows<8, T, Op>(into, replace, p, stride, width), taken = 8;
      else if (rows >= 4)
        fold_rows<4, T, Op>(into, replace, p, stride, width), taken = 4;
      else if (rows >= 2)
        fold_rows<2, T, Op>(into, replace, p, stride, width), taken = 2;
      else
        fold_rows<1, T, Op>(into, replace, p, stride, width);
      p += taken * stride;
      rows -= taken;
      if (++filled_ == kRadix) rise();
    }
  }

  // All columns of the fold, in memory that lives as long as it does.
  T* result() {
    if (filled_ == 0)
      for (int64_t c = 0; c < width_; ++c) levels_[0][c] = Op::template start<T>;
    for (int l = 1; l < kLevels; ++l)
      if (counts_[l]) fold_rows<1, T, Plain>(levels_[0], false, levels_[l], 0, width_);
    return levels_[0];
  }

 private:
  using Plain = typename Op::Plain;

  void rise() {
    filled_ = 0;
    for (int l = 1; l < kLevels; ++l) {
      fold_rows<1, T, Plain>(levels_[l], counts_[l] == 0, levels_[l - 1], 0, width_);
      if (++counts_[l] < kRadix || l + 1 == kLevels) return;
      counts_[l] = 0;
    }
  }

  int64_t width_;
  int64_t filled_ = 0;
  int64_t counts_[kLevels] = {};
  T levels_[kLevels][kMaxWidth];
};

// Some axes of the input: their combined length, and where the i-th index tuple lies.
struct Axes {
  int n = 0;
  int64_t count = 1;
  int64_t sizes[kMaxAxes];
  int64_t strides[kMaxAxes];

  // To be called from the last axis to the first.
  void add(int64_t size, int64_t stride) {
    sizes[n] = size;
    strides[n++] = stride;
    count *= size;
  }
  int64_t offset(int64_t i) const {
    int64_t at = 0;
    for (int d = 0; d + 1 < n; ++d) {
      at += i % sizes[d] * strides[d];
      i /= sizes[d];
    }
    return n ? at + i * strides[n - 1] : 0;
  }
};

template <class T, class Op>
void reduce(const ReduceArgs& a, void* const* buffers, const Context& context) {
  const T* in = static_cast<const T*>(buffers[0]);
  T* out = static_cast<T*>(buffers[1]);
  const bool columns = a.shape.n > 0 && !a.reduced[a.shape.n - 1];
  Axes kept, folded;  // without the last axis
  const int64_t last = a.shape.n ? a.shape[a.shape.n - 1] : 1;
  int64_t stride = last;
  for (int64_t d = a.shape.n - 2; d >= 0; --d) {
    (a.reduced[d] ? folded : kept).add(a.shape[d], stride);
    stride *= a.shape[d];
  }
  const int64_t outputs = kept.count * (columns ? last : 1);
  const int64_t length = folded.count * (columns ? 1 : last);
  if (length == 0)
    for (int64_t i = 0; i < outputs; ++i) out[i] = Op::template start<T>;
  if (length == 0 || outputs == 0) return;

  // A piece of work is some outputs (a group of whole units) of one part of the fold.
  const int64_t parts = a.parts;
  T* results = parts > 1 ? static_cast<T*>(buffers[2]) : out;
  const int64_t chunks = columns ? (last + kMaxWidth - 1) / kMaxWidth : 1;
  const int64_t units = kept.count * chunks;
  const int64_t unit_work = (columns ? lesser(last, kMaxWidth) : 1) * (length / parts) + 1;
  const bool small = outputs * length < 2 * kTaskElements;
  const int64_t group = small ? units : 1 + kTaskElements / unit_work;
  const int64_t groups = (units + group - 1) / group;

  parallel(context, groups * parts, [&](int64_t task, int) {
    const int64_t part = task / groups;
    const int64_t begin = length * part / parts, end = length * (part + 1) / parts;
    T* to = results + part * outputs;
    const int64_t first = task % groups * group;
    for (int64_t unit = first; unit < lesser(first + group, units); ++unit) {
      const T* from = in + kept.offset(unit / chunks);
      if (!columns && !folded.n && parts == 1 && last <= 32 * kLanes<T>) {
        to[unit] = fold_short<T, Op>(from, last);
        continue;
      }
      if (!columns) {
        RowFold<T, Op> fold;
        int64_t run = begin / last, at = begin % last;
        for (int64_t left = end - begin; left > 0; ++run, at = 0) {
          const int64_t count = lesser(last - at, left);
          fold.add(from + folded.offset(run) + at, count);
          left -= count;
        }
        to[unit] = fold.result();
        continue;
      }
      const int64_t left = unit % chunks * kMaxWidth;
      const int64_t width = lesser(last - left, kMaxWidth);
      // Narrow rows that lie behind each other are taken several at a time, as one wide row.
      const int64_t behind = folded.n && folded.strides[0] == last ? folded.sizes[0] : 1;
      int64_t wide = 1;
      if (behind > 1 && last <= kMaxWidth / 4) {
        wide = kMaxWidth / 2 / width;
        if (wide > kLanes<T>) wide = wide / kLanes<T> * kLanes<T>;
        wide = lesser(wide, behind);
      }
      ColumnFold<T, Op> fold(width * wide);
      for (int64_t i = begin; i < end;) {
        const int64_t at = i % behind;
        const int64_t count = lesser(behind - at, end - i);
        const T* p = from + folded.offset(i) + left;
        fold.add(p, count / wide, last * wide, width * wide);
        if (count % wide) fold.add(p + count / wide * wide * last, 1, 0, count % wide * width);
        i += count;
      }
      T* sums = fold.result();
      while (wide > 1) {
        const int64_t half = (wide + 1) / 2;
        fold_rows<1, T, typename Op::Plain>(sums, false, sums + half * width, 0, (wide - half) * width);
        wide = half;
      }
      for (int64_t c = 0; c < width; ++c) to[unit / chunks * last + left + c] = sums[c];
    }
  });

  for (int64_t step = 1; step < parts; step *= 2)
    for (int64_t part = 0; part + step < parts; part += 2 * step)
      fold_rows<1, T, typename Op::Plain>(results + part * outputs, false, results + (part + step) * outputs, 0,
                                          outputs);
  if (results != out)
    for (int64_t i = 0; i < outputs; ++i) out[i] = results[i];
  if (a.scale != 1)
    for (int64_t i = 0; i < outputs; ++i) out[i] = static_cast<T>(out[i] * a.scale);
}

// The position in a run: blocks are searched for their extreme only, and the block that has it once more for the place.
template <class T, class Op>
int64_t row_position(const T* p, int64_t n) {
  constexpr int64_t block = 2048;
  T best = p[0];
  int64_t best_block = 0;
  for (int64_t b = 0; b < n && best == best; b += block) {
    RowFold<T, Op> fold;
    fold.add(p + b, lesser(block, n - b));
    const T v = fold.result();
    if (Op::better(v, best) || v != v) {
      best = v;
      best_block = b;
    }
  }
  int64_t i = best_block;
  while (i < n && p[i] != best && p[i] == p[i]) ++i;
  return i;
}

template <class T, class Op>
void arg_reduce(const ArgReduceArgs& a, void* const* buffers, const Context& context) {
  const T* in = static_cast<const T*>(buffers[0]);
  float* out = static_cast<float*>(buffers[1]);
  const int64_t work = a.outer * a.n * a.inner;
  if (a.inner == 1) {
    const int64_t group = work < 2 * kTaskElements ? a.outer : 1 + kTaskElements / (a.n + 1);
    parallel(context, (a.outer + group - 1) / group, [&](int64_t task, int) {
      for (int64_t o = task * group; o < lesser((task + 1) * group, a.outer); ++o)
        out[o] = static_cast<float>(row_position<T, Op>(in + o * a.n, a.n));
    });
    return;
  }
  const int64_t chunks = (a.inner + kMaxWidth - 1) / kMaxWidth;
  const int64_t units = a.outer * chunks;
  const int64_t group = work < 2 * kTaskElements ? units : 1 + kTaskElements / (a.n * lesser(a.inner, kMaxWidth) + 1);
  parallel(context, (units + group - 1) / group, [&](int64_t task, int) {
    T best[kMaxWidth];
    MaskInt<T> place[kMaxWidth];
    for (int64_t unit = task * group; unit < lesser((task + 1) * group, units); ++unit) {
      const int64_t left = unit % chunks * kMaxWidth;
      const int64_t width = lesser(a.inner - left, kMaxWidth);
      const T* p = in + unit / chunks * a.n * a.inner + left;
      for (int64_t c = 0; c < width; ++c) best[c] = p[c], place[c] = 0;
      for (int64_t i = 1; i < a.n; ++i) {
        const T* row = p + i * a.inner;
        int64_t c = 0;
        for (; c + kLanes<T> <= width; c += kLanes<T>) {
          const Vec<T> v = load<T>(row + c), b = load<T>(best + c);
          const Mask<T> wins = (Op::better(v, b) | (v != v)) & (b == b);
          store<T>(best + c, wins ? v : b);
          const Mask<T> at = load<MaskInt<T>>(place + c);
          store<MaskInt<T>>(place + c, wins ? splat<MaskInt<T>>(static_cast<MaskInt<T>>(i)) : at);
        }
        for (; c < width; ++c)
          if ((Op::better(row[c], best[c]) || row[c] != row[c]) && best[c] == best[c])
            best[c] = row[c], place[c] = static_cast<MaskInt<T>>(i);
      }
      for (int64_t c = 0; c < width; ++c) out[unit / chunks * a.inner + left + c] = static_cast<float>(place[c]);
    }
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

#define REAL(name, function, Op, Args) \
  KERNEL(name ".float32", (function<float, Op>), Args), KERNEL(name ".float64", (function<double, Op>), Args)
#define ANY(name, function, Op, Args)                                                   \
  REAL(name, function, Op, Args), KERNEL(name ".int32", (function<int32_t, Op>), Args), \
      KERNEL(name ".int64", (function<int64_t, Op>), Args)

KERNELS(reduce, ANY("sum", reduce, Sum, ReduceArgs), ANY("prod", reduce, Prod, ReduceArgs),
        ANY("max", reduce, Max, ReduceArgs), ANY("min", reduce, Min, ReduceArgs),
        REAL("sum_squares", reduce, SumSquares, ReduceArgs), REAL("sum_abs", reduce, SumAbs, ReduceArgs),
        REAL("nansum", reduce, NanSum, ReduceArgs), REAL("nanprod", reduce, NanProd, ReduceArgs),
        ANY("argmax", arg_reduce, Max, ArgReduceArgs), ANY("argmin", arg_reduce, Min, ArgReduceArgs))
