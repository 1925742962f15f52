// norm: batch normalisation.
//
// A channel is a set of runs of `inner` elements. Its statistics are made run by run, each about its own mean while it
// is in the cache, and joined in double: one sweep over the memory, as exact as two. Channels that lie
// side by side have norm_last.cpp.
#include "../args/norm.h"

#include <cmath>

#include "cuts.h"
#include "moments.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

template <class Body>
void each_channel(const BatchNormArgs& a, const Context& context, const Body& body) {
  const int64_t work = a.outer * a.channels * a.inner / 16384, most = most_tasks(context);
  const int64_t wanted = lesser(a.channels, lesser(work, most)),
                tasks = context.threads == 1 || wanted < 1 ? 1 : wanted;
  parallel(context, tasks,
           [&](int64_t task, int) { body(a.channels * task / tasks, a.channels * (task + 1) / tasks); });
}

// (x - mean)·scale + beta; x·scale + shift would lose what x and the mean have in common.
template <class T>
void normalize_run(const T* x, T* y, int64_t n, T mean, T scale, T beta) {
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * scale + beta;
}

template <class T>
T invert(double variance, double eps) {
  return static_cast<T>(1 / std::sqrt(variance + eps));
}

template <class T>
void batch_norm(const BatchNormArgs& a, void* const* buffers, const Context& context) {
  const T *x = static_cast<const T*>(buffers[0]), *gamma = static_cast<const T*>(buffers[1]);
  const T* beta = static_cast<const T*>(buffers[2]);
  T *y = static_cast<T*>(buffers[3]), *mean = static_cast<T*>(buffers[4]), *invstd = static_cast<T*>(buffers[5]);
  each_channel(a, context, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) {
      Moments m;
      for (int64_t i = 0; i < a.outer; ++i)
        for (int64_t j = 0; j < a.inner; j += kRun)
          add_run(m, x + (i * a.channels + c) * a.inner + j, lesser(kRun, a.inner - j));
      mean[c] = static_cast<T>(m.mean);
      invstd[c] = invert<T>(m.squares / m.count, a.eps);
      const T scale = invstd[c] * (a.fix_gamma ? 1 : gamma[c]);
      for (int64_t i = 0; i < a.outer; ++i) {
        const int64_t at = (i * a.channels + c) * a.inner;
        normalize_run(x + at, y + at, a.inner, mean[c], scale, beta[c]);
      }
    }
  });
}

template <class T>
void batch_norm_backward(const BatchNormArgs& a, void* const* buffers, const Context& context) {
  const T *dy = static_cast<const T*>(buffers[0]), *x = static_cast<const T*>(buffers[1]);
  const T *gamma = static_cast<const T*>(buffers[2]), *mean = static_cast<const T*>(buffers[3]);
  const T* invstd = static_cast<const T*>(buffers[4]);
  T *dx = static_cast<T*>(buffers[5]), *dgamma = static_cast<T*>(buffers[6]), *dbeta = static_cast<T*>(buffers[7]);
  const double count = static_cast<double>(a.outer * a.inner);
  each_channel(a, context, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) {
      double sum = 0, dot = 0;
      const T middle = mean[c];
      const Vec<T> about = splat(middle);
      for (int64_t i = 0; i < a.outer; ++i)
        for (int64_t j = 0; j < a.inner; j += kRun) {
          const int64_t at = (i * a.channels + c) * a.inner + j, n = lesser(kRun, a.inner - j);
          const T *g = dy + at, *v = x + at;
          sum += static_cast<double>(
              sum_of<T>(n, [&](int64_t k) { return load(g + k); }, [&](int64_t k) { return g[k]; }));
          dot += static_cast<double>(sum_of<T>(
              n, [&](int64_t k) { return load(g + k) * (load(v + k) - about); },
              [&](int64_t k) { return g[k] * (v[k] - middle); }));
        }
      const double inverse = static_cast<double>(invstd[c]);
      const T scale = invstd[c] * (a.fix_gamma ? 1 : gamma[c]);
      const T slope = static_cast<T>(dot * inverse * inverse / count), shift = static_cast<T>(sum / count);
      dbeta[c] = static_cast<T>(sum);
      dgamma[c] = a.fix_gamma ? 0 : static_cast<T>(dot * inverse);
      for (int64_t i = 0; i < a.outer; ++i) {
        const int64_t at = (i * a.channels + c) * a.inner;
        for (int64_t j = 0; j < a.inner; ++j) dx[at + j] = scale * (dy[at + j] - shift - slope * (x[at + j] - middle));
      }
    }
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(norm, KERNEL("batch_norm.float32", batch_norm<float>, BatchNormArgs),
        KERNEL("batch_norm.float64", batch_norm<double>, BatchNormArgs),
        KERNEL("batch_norm_backward.float32", batch_norm_backward<float>, BatchNormArgs),
        KERNEL("batch_norm_backward.float64", batch_norm_backward<double>, BatchNormArgs))
