// row_norm: layer, instance and group normalisation.
//
// A row is swept for its statistics and then for its result, for which it still lies in a cache. The backward pass
// sweeps it once for the two sums that its gradient needs and once for the gradient. Sums over the rows are made in
// pieces whose number depends on the shape alone, so that the result does not depend on the number of threads.
#include "../args/row_norm.h"

#include <cmath>

#include "cuts.h"
#include "moments.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

// Runs body(first, last) over the rows, as many at once as make a call on another thread worth it.
template <class Body>
void each_rows(const RowNormArgs& a, const Context& context, const Body& body) {
  const int64_t work = a.rows * a.n / 8192, most = most_tasks(context);
  int64_t tasks = work < most ? work : most;
  tasks = context.threads == 1 || tasks < 1 ? 1 : tasks < a.rows ? tasks : a.rows;
  parallel(context, tasks, [&](int64_t task, int) { body(a.rows * task / tasks, a.rows * (task + 1) / tasks); });
}

template <class T>
void row_norm(const RowNormArgs& a, void* const* buffers, const Context& context) {
  const T *x = static_cast<const T*>(buffers[0]), *gamma = static_cast<const T*>(buffers[1]);
  const T* beta = static_cast<const T*>(buffers[2]);
  T *y = static_cast<T*>(buffers[3]), *mean = static_cast<T*>(buffers[4]), *std = static_cast<T*>(buffers[5]);
  each_rows(a, context, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const T* from = x + r * a.n;
      T* to = y + r * a.n;
      Moments m;
      for (int64_t j = 0; j < a.n; j += kRun) add_run(m, from + j, a.n - j < kRun ? a.n - j : kRun);
      const double deviation = std::sqrt(m.squares / m.count + a.eps);
      const T about = static_cast<T>(m.mean), inverse = static_cast<T>(1 / deviation);
      mean[r] = about;
      std[r] = static_cast<T>(deviation);
      if (a.period) {
        const T scale = inverse * gamma[r % a.period], shift = beta[r % a.period];
        for (int64_t j = 0; j < a.n; ++j) to[j] = (from[j] - about) * scale + shift;
      } else {
        for (int64_t j = 0; j < a.n; ++j) to[j] = (from[j] - about) * inverse * gamma[j] + beta[j];
      }
    }
  });
}

// dx = scale·(g - shift - slope·(x - mean)), where g is dy, or dy·gamma with a gamma for each column.
template <class T, class Slope, class Tail>
void row_slopes(T* dx, const T* x, int64_t n, T about, T inverse, T scale, const Slope& g, const Tail& tail, T* sums) {
  const Vec<T> middle = splat(about);
  double sum = 0, dot = 0;
  for (int64_t j = 0; j < n; j += kRun) {
    const int64_t count = n - j < kRun ? n - j : kRun;
    sum += static_cast<double>(
        sum_of<T>(count, [&](int64_t i) { return g(j + i); }, [&](int64_t i) { return tail(j + i); }));
    dot += static_cast<double>(sum_of<T>(
        count, [&](int64_t i) { return g(j + i) * (load(x + j + i) - middle); },
        [&](int64_t i) { return tail(j + i) * (x[j + i] - about); }));
  }
  const double size = static_cast<double>(n), inverse_ = static_cast<double>(inverse);
  const T shift = static_cast<T>(sum / size), slope = static_cast<T>(dot * inverse_ * inverse_ / size);
  for (int64_t j = 0; j < n; ++j) dx[j] = scale * (tail(j) - shift - slope * (x[j] - about));
  if (sums) {
    sums[0] = static_cast<T>(dot * inverse_);
    sums[1] = static_cast<T>(sum);
  }
}

template <class T>
struct Backward {
  const T *dy, *x, *gamma, *mean, *std;
  T *dx, *dgamma, *dbeta, *scratch;

  // gamma and beta of a column: each piece of the rows adds up its own, then the pieces are added.
  void by_column(const RowNormArgs& a, const Context& context) const {
    const int64_t n = a.n;
    parallel(context, a.parts, [&](int64_t part, int) {
      T *gammas = scratch + part * 2 * n, *betas = gammas + n;
      for (int64_t j = 0; j < 2 * n; ++j) gammas[j] = 0;
      for (int64_t r = a.rows * part / a.parts; r < a.rows * (part + 1) / a.parts; ++r) {
        const T *g = dy + r * n, *v = x + r * n;
        const T about = mean[r], inverse = 1 / std[r];
        row_slopes(
            dx + r * n, v, n, about, inverse, inverse, [&](int64_t i) { return load(g + i) * load(gamma + i); },
            [&](int64_t i) { return g[i] * gamma[i]; }, static_cast<T*>(nullptr));
        for (int64_t j = 0; j < n; ++j) {
          gammas[j] += g[j] * (v[j] - about) * inverse;
          betas[j] += g[j];
        }
      }
    });
    for (int64_t j = 0; j < n; ++j) dgamma[j] = dbeta[j] = 0;
    for (int64_t part = 0; part < a.parts; ++part) {
      const T *gammas = scratch + part * 2 * n, *betas = gammas + n;
      for (int64_t j = 0; j < n; ++j) {
        dgamma[j] += gammas[j];
        dbeta[j] += betas[j];
      }
    }
  }

  void by_row(const RowNormArgs& a, const Context& context) const {
    each_rows(a, context, [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) {
        const T* g = dy + r * a.n;
        const T inverse = 1 / std[r];
        row_slopes(
            dx + r * a.n, x + r * a.n, a.n, mean[r], inverse, inverse * gamma[r % a.period],
            [&](int64_t i) { return load(g + i); }, [&](int64_t i) { return g[i]; }, scratch + 2 * r);
      }
    });
    for (int64_t c = 0; c < a.period; ++c) {
      double gammas = 0, betas = 0;
      for (int64_t r = c; r < a.rows; r += a.period) {
        gammas += static_cast<double>(scratch[2 * r]);
        betas += static_cast<double>(scratch[2 * r + 1]);
      }
      dgamma[c] = static_cast<T>(gammas);
      dbeta[c] = static_cast<T>(betas);
    }
  }
};

template <class T>
void row_norm_backward(const RowNormArgs& a, void* const* buffers, const Context& context) {
  const auto in = [&](int i) { return static_cast<const T*>(buffers[i]); };
  const auto out = [&](int i) { return static_cast<T*>(buffers[i]); };
  const Backward<T> backward = {in(0), in(1), in(2), in(3), in(4), out(5), out(6), out(7), out(8)};
  if (a.period)
    backward.by_row(a, context);
  else
    backward.by_column(a, context);
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(row_norm, KERNEL("row_norm.float32", row_norm<float>, RowNormArgs),
        KERNEL("row_norm.float64", row_norm<double>, RowNormArgs),
        KERNEL("row_norm_backward.float32", row_norm_backward<float>, RowNormArgs),
        KERNEL("row_norm_backward.float64", row_norm_backward<double>, RowNormArgs))
