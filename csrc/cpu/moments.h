// Mean and variance of long runs of numbers in one sweep over the memory.
#pragma once
#include "simd.h"

namespace minimx {
namespace {

// Elements whose deviations are taken about their own mean: they stay in the first-level cache in between.
constexpr int64_t kRun = 4096;

// Σ f(i) over 0..n-1, where f gives vectors and `tail` single elements.
template <class T, class F, class G>
inline T sum_of(int64_t n, const F& f, const G& tail) {
  constexpr int L = kLanes<T>;
  Vec<T> a{}, b{};
  int64_t i = 0;
  for (; i + 2 * L <= n; i += 2 * L) {
    a += f(i);
    b += f(i + L);
  }
  T total = lane_sum<T>(a + b);
  for (; i < n; ++i) total += tail(i);
  return total;
}

struct Moments {
  double count = 0, mean = 0, squares = 0;  // squares: of the deviations from the mean

  void join(double n, double other_mean, double other_squares) {
    const double total = count + n, apart = other_mean - mean;
    mean += apart * n / total;
    squares += other_squares + apart * apart * count * n / total;
    count = total;
  }
};

template <class T>
inline void add_run(Moments& m, const T* x, int64_t n) {
  const T mean =
      sum_of<T>(n, [&](int64_t i) { return load(x + i); }, [&](int64_t i) { return x[i]; }) / static_cast<T>(n);
  const Vec<T> about = splat(mean);
  const T squares = sum_of<T>(
      n,
      [&](int64_t i) {
        const Vec<T> d = load(x + i) - about;
        return d * d;
      },
      [&](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
  m.join(static_cast<double>(n), static_cast<double>(mean), static_cast<double>(squares));
}

}  // namespace
}  // namespace minimx
