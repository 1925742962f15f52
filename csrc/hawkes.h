// The kernel of args/hawkes.h for one sequence, as both devices compute it. Included by csrc/cpu/hawkes.cpp and
// csrc/cuda/hawkes.cu, which say in EACH_DEVICE what a function is marked with and how for_each runs sequences.
#pragma once
#include <math.h>

#include "args/hawkes.h"

namespace minimx {
namespace {

template <class T>
struct Hawkes {
  HawkesArgs g;
  const T *mu, *alpha, *beta, *state, *lags;
  const int64_t *numbers, *lengths;
  const T* end;
  T *likelihood, *after, *by_mu, *by_alpha, *by_beta, *scratch;

  EACH_DEVICE void operator()(int64_t q) const {
    const int64_t k = g.marks, at = q * k;
    T* const last = scratch + 2 * at;  // the time of each mark's last event
    T* const by_decay = last + k;      // the slope of each mark's state by beta
    for (int64_t m = 0; m < k; ++m) {
      after[at + m] = state[at + m];
      last[m] = by_decay[m] = by_mu[at + m] = by_alpha[at + m] = by_beta[at + m] = 0;
    }
    T sum = 0, time = 0;
    const int64_t length = lengths[q] < 0 ? 0 : lengths[q] < g.steps ? lengths[q] : g.steps;
    for (int64_t j = 0; j < length; ++j) {
      const int64_t number = numbers[q * g.steps + j], m = number < 0 ? 0 : number < k ? number : k - 1;
      time += lags[q * g.steps + j];
      const T since = time - last[m];
      const T decayed = decay(m, since);
      const T excited = after[at + m] * decayed, intensity = mu[at + m] + alpha[m] * beta[m] * excited;
      const T slope = by_decay[m] * decayed - excited * since;
      sum += log(intensity);
      by_mu[at + m] += 1 / intensity;
      by_alpha[at + m] += beta[m] * excited / intensity;
      by_beta[at + m] += alpha[m] * (excited + beta[m] * slope) / intensity;
      sum -= passed(m, at, since, decayed, by_decay[m]);
      after[at + m] = 1 + excited;
      by_decay[m] = slope;
      last[m] = time;
    }
    for (int64_t m = 0; m < k; ++m) {
      const T since = end[q] - last[m], decayed = decay(m, since);
      sum -= passed(m, at, since, decayed, by_decay[m]);
      after[at + m] *= decayed;
    }
    likelihood[q] = sum;
  }

  EACH_DEVICE T decay(int64_t m, T since) const { return exp(-beta[m] * since); }

  // The integral of a mark's intensity since its last event, which the slopes lose, too.
  EACH_DEVICE T passed(int64_t m, int64_t at, T since, T decayed, T slope) const {
    const T s = after[at + m], gone = 1 - decayed;
    by_mu[at + m] -= since;
    by_alpha[at + m] -= s * gone;
    by_beta[at + m] -= alpha[m] * (slope * gone + s * since * decayed);
    return mu[at + m] * since + alpha[m] * s * gone;
  }
};

template <class T>
void hawkes(const HawkesArgs& g, void* const* b, const Context& context) {
  const auto real = [b](int i) { return static_cast<T*>(b[i]); };
  const auto whole = [b](int i) { return static_cast<const int64_t*>(b[i]); };
  for_each(context, g.batch,
           Hawkes<T>{g, real(0), real(1), real(2), real(3), real(4), whole(5), whole(6), real(7), real(8), real(9),
                     real(10), real(11), real(12), real(13)});
}

}  // namespace
}  // namespace minimx

#define HAWKES_KERNELS                                                 \
  KERNELS(hawkes, KERNEL("hawkes.float32", hawkes<float>, HawkesArgs), \
          KERNEL("hawkes.float64", hawkes<double>, HawkesArgs))
