// Winograd's transforms for windows of three: M outputs of a row from M + 2 inputs by M + 2 products instead of 3·M.
#pragma once
#include "simd.h"

// For functions whose results must not depend on the caller, say on the number of threads: which products are fused
// with sums is up to the compiler, and it may decide otherwise in every copy that it makes.
#if defined(__clang__)
#define ONE_COPY [[gnu::noinline]]
#else
#define ONE_COPY [[gnu::noinline, gnu::noclone]]
#endif

namespace minimx {
namespace {

template <class T, int M>
struct Winograd;

// Points 0, 1, -1 and infinity. As exact as summing up.
template <class T>
struct Winograd<T, 2> {
  using V = Vec<T>;
  static void input(const V (&x)[4], V (&y)[4]) {
    y[0] = x[0] - x[2];
    y[1] = x[1] + x[2];
    y[2] = x[2] - x[1];
    y[3] = x[1] - x[3];
  }
  static void weights(const V (&w)[3], V (&y)[4]) {
    const V half = splat(static_cast<T>(0.5)), sum = (w[0] + w[2]) * half, odd = w[1] * half;
    y[0] = w[0];
    y[1] = sum + odd;
    y[2] = sum - odd;
    y[3] = w[2];
  }
  static void output(const V (&m)[4], V (&y)[2]) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
  }
  // The transposes of the last two: a gradient goes the other way.
  static void slope(const V (&y)[2], V (&m)[4]) {
    m[0] = y[0];
    m[1] = y[0] + y[1];
    m[2] = y[0] - y[1];
    m[3] = -y[1];
  }
  static void gradient(const V (&y)[4], V (&w)[3]) {
    const V half = splat(static_cast<T>(0.5)), even = (y[1] + y[2]) * half;
    w[0] = y[0] + even;
    w[1] = (y[1] - y[2]) * half;
    w[2] = even + y[3];
  }
};

// Points 0, a, -a, b, -b and infinity. The usual 1 and 2 lose twice as much to rounding as these, which are close to
// one another's reciprocals and whose products are numbers of few bits: with them errors are about twice those of a
// sum.
template <class T>
struct Winograd<T, 4> {
  using V = Vec<T>;
  static constexpr double a = 0.625, b = 1.5, aa = a * a, bb = b * b;
  static constexpr double by_a = 1 / (2 * aa * (aa - bb)), by_b = 1 / (2 * bb * (bb - aa)), by_0 = 1 / (aa * bb);
  static V by(double factor, V v) { return splat(static_cast<T>(factor)) * v; }
  static void input(const V (&x)[6], V (&y)[6]) {
    const V even_a = x[4] - by(bb, x[2]), odd_a = by(a, x[3]) - by(a * bb, x[1]);
    const V even_b = x[4] - by(aa, x[2]), odd_b = by(b, x[3]) - by(b * aa, x[1]);
    y[0] = by(aa * bb, x[0]) - by(aa + bb, x[2]) + x[4];
    y[1] = even_a + odd_a;
    y[2] = even_a - odd_a;
    y[3] = even_b + odd_b;
    y[4] = even_b - odd_b;
    y[5] = by(aa * bb, x[1]) - by(aa + bb, x[3]) + x[5];
  }
  static void weights(const V (&w)[3], V (&y)[6]) {
    const V even_a = by(by_a, w[0]) + by(by_a * aa, w[2]), odd_a = by(by_a * a, w[1]);
    const V even_b = by(by_b, w[0]) + by(by_b * bb, w[2]), odd_b = by(by_b * b, w[1]);
    y[0] = by(by_0, w[0]);
    y[1] = even_a + odd_a;
    y[2] = even_a - odd_a;
    y[3] = even_b + odd_b;
    y[4] = even_b - odd_b;
    y[5] = w[2];
  }
  static void output(const V (&m)[6], V (&y)[4]) {
    const V even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + even_a + even_b;
    y[1] = by(a, odd_a) + by(b, odd_b);
    y[2] = by(aa, even_a) + by(bb, even_b);
    y[3] = by(a * aa, odd_a) + by(b * bb, odd_b) + m[5];
  }
  static void slope(const V (&y)[4], V (&m)[6]) {
    const V even_a = y[0] + by(aa, y[2]), odd_a = by(a, y[1]) + by(a * aa, y[3]);
    const V even_b = y[0] + by(bb, y[2]), odd_b = by(b, y[1]) + by(b * bb, y[3]);
    m[0] = y[0];
    m[1] = even_a + odd_a;
    m[2] = even_a - odd_a;
    m[3] = even_b + odd_b;
    m[4] = even_b - odd_b;
    m[5] = y[3];
  }
  static void gradient(const V (&y)[6], V (&w)[3]) {
    const V even_a = y[1] + y[2], odd_a = y[1] - y[2], even_b = y[3] + y[4], odd_b = y[3] - y[4];
    w[0] = by(by_0, y[0]) + by(by_a, even_a) + by(by_b, even_b);
    w[1] = by(by_a * a, odd_a) + by(by_b * b, odd_b);
    w[2] = by(by_a * aa, even_a) + by(by_b * bb, even_b) + y[5];
  }
};

// The same along columns, then along rows: take(i, j) gives the element of row i and column j, and f (one of the above)
// makes P of N elements. A column is taken when it is its turn, for there are not as many registers as elements.
template <class T, int N, int P, class Take, class F>
inline void both_ways(const Take& take, Vec<T> (&y)[P][P], const F& f) {
  Vec<T> half[P][N];
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) {
    Vec<T> column[N], result[P];
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) column[i] = take(i, j);
    f(column, result);
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i) half[i][j] = result[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < P; ++i) f(half[i], y[i]);
}

}  // namespace
}  // namespace minimx
