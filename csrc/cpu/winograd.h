// Winograd's transforms for windows of three: M outputs of a row from M + 2 inputs by M + 2 products instead of 3·M.
#pragma once
#include "simd.h"

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

// Points 0, 1, -1, 2, -2 and infinity. Rounding errors are a few times those of a sum.
template <class T>
struct Winograd<T, 4> {
  using V = Vec<T>;
  static V by(double factor, V v) { return splat(static_cast<T>(factor)) * v; }
  static void input(const V (&x)[6], V (&y)[6]) {
    const V a = x[4] - by(4, x[2]), b = x[3] - by(4, x[1]), c = x[4] - x[2], d = by(2, x[3] - x[1]);
    y[0] = by(4, x[0]) - by(5, x[2]) + x[4];
    y[1] = a + b;
    y[2] = a - b;
    y[3] = c + d;
    y[4] = c - d;
    y[5] = by(4, x[1]) - by(5, x[3]) + x[5];
  }
  static void weights(const V (&w)[3], V (&y)[6]) {
    const V sum = by(-1.0 / 6, w[0] + w[2]), odd = by(1.0 / 6, w[1]);
    const V even = by(1.0 / 24, w[0]) + by(1.0 / 6, w[2]), other = by(1.0 / 12, w[1]);
    y[0] = by(0.25, w[0]);
    y[1] = sum - odd;
    y[2] = sum + odd;
    y[3] = even + other;
    y[4] = even - other;
    y[5] = w[2];
  }
  static void output(const V (&m)[6], V (&y)[4]) {
    const V a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = b + by(2, d);
    y[2] = a + by(4, c);
    y[3] = b + by(8, d) + m[5];
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
