// norm_last: batch normalisation of rows whose channels lie side by side.
//
// Vectors lie along the channels. Rows are cut into parts, which do not depend on the number of threads, and a part
// into blocks: a block's sums are made in the numbers' own type while it is in the first-level cache, and joined in
// double.
#include "../args/norm_last.h"

#include <cmath>

#include "bfloat.h"
#include "cuts.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

// Rows of a block, and vectors of channels that are summed up at once.
constexpr int64_t kBlock = 64;
constexpr int kWide = 4;
constexpr int64_t kWorthATask = 1 << 15;

// What is known of the parts, and of all: two doubles for each channel, then three numbers for each channel.
template <class T>
struct Scratch {
  double* parts;
  T* whole;
  Scratch(const BatchNormLastArgs& a, void* memory)
      : parts(static_cast<double*>(memory)), whole(reinterpret_cast<T*>(parts + 2 * a.parts * a.channels)) {}
  double* part(const BatchNormLastArgs& a, int64_t i) const { return parts + 2 * i * a.channels; }
};

// Calls body(lo, hi) for pieces of 0..n-1.
template <class Body>
void in_pieces(const Context& context, int64_t n, int64_t work, const Body& body) {
  const int64_t wanted = lesser(n, lesser(work / kWorthATask, most_tasks(context)));
  const int64_t tasks = context.threads == 1 || wanted < 1 ? 1 : wanted;
  parallel(context, tasks, [&](int64_t task, int) { body(begin_of(task, n, tasks), begin_of(task + 1, n, tasks)); });
}

// sum[v] = Σ f(row, vector v) over the rows of a block, for `vectors` vectors of which the last may be a part.
template <class T, class F>
inline void sum_rows(int64_t first, int64_t last, int vectors, Vec<T> (&sum)[kWide], const F& f) {
#pragma GCC unroll 4
  for (int v = 0; v < kWide; ++v) sum[v] = Vec<T>{};
  if (vectors == kWide)
    for (int64_t r = first; r < last; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kWide; ++v) sum[v] += f(r, v);
  else
    for (int64_t r = first; r < last; ++r)
      for (int v = 0; v < vectors; ++v) sum[v] += f(r, v);
}

// A few vectors of channels from c on.
template <class T>
struct Chunk {
  int64_t c;
  int vectors;
  int last;  // channels in the last vector
  Chunk(int64_t from, int64_t channels) : c(from) {
    const int64_t left = lesser(kWide * kLanes<T>, channels - from);
    vectors = static_cast<int>((left + kLanes<T> - 1) / kLanes<T>);
    last = static_cast<int>(left - (vectors - 1) * kLanes<T>);
  }
  Vec<T> take(const T* row, int v) const {
    const T* p = row + c + v * kLanes<T>;
    return v + 1 < vectors || last == kLanes<T> ? load(p) : load_part(p, last);
  }
  Vec<T> take(const BFloat16* row, int v) const {
    return widened(load_bfloat<Bfloats>(row + c + v * kLanes<T>, v + 1 < vectors ? kLanes<T> : last));
  }
  int64_t lanes() const { return (vectors - 1) * kLanes<T> + last; }
};

template <class S>
void moments_of(const BatchNormLastArgs& a, const S* x, int64_t first, int64_t last, double* means, double* squares) {
  using T = typename ComputedIn<S>::type;
  for (int64_t c = 0; c < a.channels; c += kWide * kLanes<T>) {
    const Chunk<T> chunk(c, a.channels);
    for (int64_t r0 = first; r0 < last; r0 += kBlock) {
      const int64_t r1 = lesser(last, r0 + kBlock);
      Vec<T> sum[kWide], middle[kWide], square[kWide];
      sum_rows<T>(r0, r1, chunk.vectors, sum, [&](int64_t r, int v) { return chunk.take(x + r * a.channels, v); });
      const T n = static_cast<T>(r1 - r0);
      for (int v = 0; v < kWide; ++v) middle[v] = sum[v] / splat(n);
      sum_rows<T>(r0, r1, chunk.vectors, square, [&](int64_t r, int v) {
        const Vec<T> d = chunk.take(x + r * a.channels, v) - middle[v];
        return d * d;
      });
      const double before = static_cast<double>(r0 - first), share = static_cast<double>(n) / (before + n);
      for (int64_t i = 0; i < chunk.lanes(); ++i) {
        const double mean = static_cast<double>(middle[i / kLanes<T>][i % kLanes<T>]);
        const double squared = static_cast<double>(square[i / kLanes<T>][i % kLanes<T>]);
        if (r0 == first) {
          means[c + i] = mean;
          squares[c + i] = squared;
        } else {
          const double apart = mean - means[c + i];
          means[c + i] += apart * share;
          squares[c + i] += squared + apart * apart * before * share;
        }
      }
    }
  }
}

template <class S>
void batch_norm_last(const BatchNormLastArgs& a, void* const* buffers, const Context& context) {
  using T = typename ComputedIn<S>::type;
  const S* const x = static_cast<const S*>(buffers[0]);
  const T *gamma = static_cast<const T*>(buffers[1]), *beta = static_cast<const T*>(buffers[2]);
  S* const y = static_cast<S*>(buffers[3]);
  T *mean = static_cast<T*>(buffers[4]), *invstd = static_cast<T*>(buffers[5]);
  const Scratch<T> scratch(a, buffers[6]);
  const int64_t rows = a.rows, work = rows * a.channels;
  in_pieces(context, a.parts, work, [&](int64_t lo, int64_t hi) {
    for (int64_t p = lo; p < hi; ++p)
      moments_of(a, x, begin_of(p, rows, a.parts), begin_of(p + 1, rows, a.parts), scratch.part(a, p),
                 scratch.part(a, p) + a.channels);
  });
  T* const scale = scratch.whole;
  for (int64_t c = 0; c < a.channels; ++c) {
    double count = 0, middle = 0, squares = 0;
    for (int64_t p = 0; p < a.parts; ++p) {
      const double n = static_cast<double>(begin_of(p + 1, rows, a.parts) - begin_of(p, rows, a.parts));
      const double* part = scratch.part(a, p);
      const double apart = part[c] - middle;
      middle += apart * n / (count + n);
      squares += part[a.channels + c] + apart * apart * count * n / (count + n);
      count += n;
    }
    mean[c] = static_cast<T>(middle);
    invstd[c] = static_cast<T>(1 / std::sqrt(squares / count + a.eps));
    scale[c] = invstd[c] * (a.fix_gamma ? 1 : gamma[c]);
  }
  in_pieces(context, rows, work, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; ++r) {
      const S* from = x + r * a.channels;
      S* to = y + r * a.channels;
      for (int64_t c = 0; c < a.channels; ++c)
        to[c] = Stored<S, T>::from((from_stored<T>(from[c]) - mean[c]) * scale[c] + beta[c]);
    }
  });
}

template <class S>
void batch_norm_last_backward(const BatchNormLastArgs& a, void* const* buffers, const Context& context) {
  using T = typename ComputedIn<S>::type;
  const S *dy = static_cast<const S*>(buffers[0]), *x = static_cast<const S*>(buffers[1]);
  const T *gamma = static_cast<const T*>(buffers[2]), *mean = static_cast<const T*>(buffers[3]);
  const T* invstd = static_cast<const T*>(buffers[4]);
  S* const dx = static_cast<S*>(buffers[5]);
  T *dgamma = static_cast<T*>(buffers[6]), *dbeta = static_cast<T*>(buffers[7]);
  const Scratch<T> scratch(a, buffers[8]);
  const int64_t rows = a.rows, work = 2 * rows * a.channels;
  in_pieces(context, a.parts, work, [&](int64_t lo, int64_t hi) {
    for (int64_t p = lo; p < hi; ++p) {
      double *sums = scratch.part(a, p), *dots = sums + a.channels;
      const int64_t first = begin_of(p, rows, a.parts), last = begin_of(p + 1, rows, a.parts);
      for (int64_t c = 0; c < a.channels; c += kWide * kLanes<T>) {
        const Chunk<T> chunk(c, a.channels);
        for (int64_t i = 0; i < chunk.lanes(); ++i) sums[c + i] = dots[c + i] = 0;
        for (int64_t r0 = first; r0 < last; r0 += kBlock) {
          const int64_t r1 = lesser(last, r0 + kBlock);
          Vec<T> sum[kWide], dot[kWide], middle[kWide] = {};
          for (int v = 0; v < chunk.vectors; ++v) middle[v] = chunk.take(mean, v);
          sum_rows<T>(r0, r1, chunk.vectors, sum, [&](int64_t r, int v) { return chunk.take(dy + r * a.channels, v); });
          sum_rows<T>(r0, r1, chunk.vectors, dot, [&](int64_t r, int v) {
            return chunk.take(dy + r * a.channels, v) * (chunk.take(x + r * a.channels, v) - middle[v]);
          });
          for (int64_t i = 0; i < chunk.lanes(); ++i) {
            sums[c + i] += static_cast<double>(sum[i / kLanes<T>][i % kLanes<T>]);
            dots[c + i] += static_cast<double>(dot[i / kLanes<T>][i % kLanes<T>]);
          }
        }
      }
    }
  });
  T *const scale = scratch.whole, *const slope = scale + a.channels, *const shift = slope + a.channels;
  for (int64_t c = 0; c < a.channels; ++c) {
    double sum = 0, dot = 0;
    for (int64_t p = 0; p < a.parts; ++p) {
      sum += scratch.part(a, p)[c];
      dot += scratch.part(a, p)[a.channels + c];
    }
    const double inverse = static_cast<double>(invstd[c]), count = static_cast<double>(rows);
    scale[c] = invstd[c] * (a.fix_gamma ? 1 : gamma[c]);
    slope[c] = static_cast<T>(dot * inverse * inverse / count);
    shift[c] = static_cast<T>(sum / count);
    dbeta[c] = static_cast<T>(sum);
    dgamma[c] = a.fix_gamma ? 0 : static_cast<T>(dot * inverse);
  }
  in_pieces(context, rows, work, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; ++r) {
      const S *g = dy + r * a.channels, *v = x + r * a.channels;
      S* to = dx + r * a.channels;
      for (int64_t c = 0; c < a.channels; ++c) {
        const T centred = from_stored<T>(v[c]) - mean[c];
        to[c] = Stored<S, T>::from(scale[c] * (from_stored<T>(g[c]) - shift[c] - slope[c] * centred));
      }
    }
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(norm_last, KERNEL("batch_norm_last.float32", batch_norm_last<float>, BatchNormLastArgs),
        KERNEL("batch_norm_last.float64", batch_norm_last<double>, BatchNormLastArgs),
        KERNEL("batch_norm_last.bfloat16", batch_norm_last<BFloat16>, BatchNormLastArgs),
        KERNEL("batch_norm_last_backward.float32", batch_norm_last_backward<float>, BatchNormLastArgs),
        KERNEL("batch_norm_last_backward.float64", batch_norm_last_backward<double>, BatchNormLastArgs),
        KERNEL("batch_norm_last_backward.bfloat16", batch_norm_last_backward<BFloat16>, BatchNormLastArgs))
