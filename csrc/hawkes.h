// The kernel of args/hawkes.h for both devices. Kinds do not excite each other, so that each of a row's is an item.
//
// Included by csrc/cpu/hawkes.cpp after each.h, and by csrc/cuda/hawkes.cu after each.cuh.
#pragma once
#include "args/hawkes.h"

namespace minimx {
namespace {

template <class T>
struct Hawkes {
  HawkesArgs a;
  const T* mu;
  const T* alpha;
  const T* beta;
  const T* state;
  const T* lags;
  const int64_t* marks;
  const int64_t* valid;
  const T* max_time;
  T* out[8];

  EACH_DEVICE void operator()(int64_t item) const {
    const int64_t row = item / a.kinds, kind = item % a.kinds;
    const T rate = mu[item], pull = alpha[kind], decay = beta[kind];
    // The sum of terms, and its derivatives by decay and by its start.
    T sum = state[item], by_decay = 0, by_start = 1, time = 0, last = 0;
    T total = 0, by_rate = 0, by_pull = 0, total_by_decay = 0, total_by_start = 0;
    const int64_t events = valid[row] < a.events ? valid[row] : a.events;
    for (int64_t j = 0; j <= events; ++j) {
      const bool end = j == events;
      if (!end) {
        time += lags[row * a.events + j];
        if (marks[row * a.events + j] != kind) continue;
      }
      const T apart = (end ? max_time[row] : time) - last, left = exp(-decay * apart);
      const T slope = by_decay * left - sum * apart * left;
      if (!end) {
        const T now = rate + pull * decay * sum * left;
        total += log(now);
        by_rate += 1 / now;
        by_pull += decay * sum * left / now;
        total_by_decay += pull * (sum * left + decay * slope) / now;
        total_by_start += pull * decay * by_start * left / now;
      }
      total -= rate * apart + pull * sum * (1 - left);
      by_rate -= apart;
      by_pull -= sum * (1 - left);
      total_by_decay -= pull * (by_decay - slope);
      total_by_start -= pull * by_start * (1 - left);
      sum = sum * left + (end ? T(0) : T(1));
      by_decay = slope;
      by_start *= left;
      last = time;
    }
    const T results[8] = {total, sum, by_rate, by_pull, total_by_decay, total_by_start, by_decay, by_start};
    for (int64_t i = 0; i < 8; ++i) out[i][item] = results[i];
  }
};

template <class T>
void hawkes(const HawkesArgs& a, void* const* b, const Context& c) {
  Hawkes<T> one = {a,
                   operand<const T>(b, 0, c),
                   operand<const T>(b, 1, c),
                   operand<const T>(b, 2, c),
                   operand<const T>(b, 3, c),
                   operand<const T>(b, 4, c),
                   operand<const int64_t>(b, 5, c),
                   operand<const int64_t>(b, 6, c),
                   operand<const T>(b, 7, c),
                   {}};
  for (int i = 0; i < 8; ++i) one.out[i] = operand<T>(b, 8 + i, c);
  for_each(c, a.rows * a.kinds, one, 32 * a.events);
}

}  // namespace
}  // namespace minimx

#define HAWKES_KERNELS KERNELS(hawkes, TYPED("hawkes", hawkes, HawkesArgs))
