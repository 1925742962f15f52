// Winograd's transforms for windows of R taps: M outputs of a row from A = M + R - 1 inputs by A products instead of
// R·M.
//
// The taps are the coefficients of a polynomial, and so are the slopes of M outputs: both are evaluated at A points.
// Outputs and the gradients of taps come from products by the transpose of that, and inputs are multiplied by the
// polynomials that vanish at all points but one.
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

// The finite points: 0, pairs of p and -p, and one more if their number is even. The last point is infinity, where a
// polynomial is its last coefficient.
template <int A>
struct Points;
// As exact as summing up.
template <>
struct Points<4> {
  static constexpr double at[] = {0, 1, -1};
};
// Rounding errors are two to three times those of a sum.
template <>
struct Points<5> {
  static constexpr double at[] = {0, 0.75, -0.75, 2};
};
// The usual 1 and 2 lose twice as much to rounding as these, which are close to one another's reciprocals and whose
// products are numbers of few bits: with them errors are about twice those of a sum.
template <>
struct Points<6> {
  static constexpr double at[] = {0, 0.625, -0.625, 1.5, -1.5};
};

template <int N>
struct Polynomial {
  double at[N] = {};
};

// What is known of the points when the kernels are compiled. A pair shares its even and its odd coefficients.
template <int A>
struct PointTable {
  static constexpr int kPairs = (A - 2) / 2;
  static constexpr bool kSingle = A % 2 == 1;
  // These vanish at all finite points but 0; but none; but the single one; but a pair, divided by (x - p) and (x + p)
  // and, for odd, multiplied by p.
  Polynomial<A> zero, infinity, single, even[kPairs], odd[kPairs];
  // Powers of a pair's positive point, the even and the odd ones, and of the single one.
  Polynomial<A> even_powers[kPairs], odd_powers[kPairs], powers;
  // 1 / Π (p - q) over all other finite points q.
  double share[A - 1];

  static constexpr Polynomial<A> vanishing(int but, int and_but, double factor) {
    Polynomial<A> r;
    r.at[0] = factor;
    for (int i = 0; i < A - 1; ++i) {
      if (i == but || i == and_but) continue;
      for (int k = A - 1; k > 0; --k) r.at[k] = r.at[k - 1] - Points<A>::at[i] * r.at[k];
      r.at[0] *= -Points<A>::at[i];
    }
    return r;
  }
  static constexpr Polynomial<A> powers_of(double point, int first, int every) {
    Polynomial<A> r;
    double power = 1;
    for (int k = 0; k < A; ++k, power *= point)
      if (k % every == first) r.at[k] = power;
    return r;
  }
  constexpr PointTable()
      : zero(vanishing(0, 0, 1)),
        infinity(vanishing(-1, -1, 1)),
        single(vanishing(A - 2, A - 2, 1)),
        even{},
        odd{},
        even_powers{},
        odd_powers{},
        powers(powers_of(Points<A>::at[A - 2], 0, 1)),
        share{} {
    for (int i = 0; i < kPairs; ++i) {
      const double point = Points<A>::at[2 * i + 1];
      even[i] = vanishing(2 * i + 1, 2 * i + 2, 1);
      odd[i] = vanishing(2 * i + 1, 2 * i + 2, point);
      even_powers[i] = powers_of(point, 0, 2);
      odd_powers[i] = powers_of(point, 1, 2);
    }
    for (int i = 0; i < A - 1; ++i) {
      share[i] = 1;
      for (int j = 0; j < A - 1; ++j)
        if (j != i) share[i] /= Points<A>::at[i] - Points<A>::at[j];
    }
  }
};

// The five transforms. Each makes kTo elements of kFrom ones, group by group: those of a group share most of their
// terms.
template <class T, int M, int R>
struct Winograd {
  static constexpr int A = M + R - 1, kPairs = PointTable<A>::kPairs, kSingle = A - 2;
  static constexpr PointTable<A> kPoints{};
  using V = Vec<T>;

  // The groups of A elements: the ends, the pairs, the single one. Those of fewer: the even and the odd ones.
  template <int From>
  struct ToPoints {
    static constexpr int kFrom = From, kTo = A, kGroups = A - 1 - kPairs;
    static constexpr int group(int i) { return i == 0 || i == A - 1 ? 0 : (i + 1) / 2; }
  };
  template <int To>
  struct FromPoints {
    static constexpr int kFrom = A, kTo = To, kGroups = 2;
    static constexpr int group(int i) { return i % 2; }
  };

  struct Input : ToPoints<A> {
    static void make(int group, const V (&x)[A], V (&y)[A]) {
      if (group == 0) {
        y[0] = sum<A>(kPoints.zero, x);
        y[A - 1] = sum<A>(kPoints.infinity, x);
      } else if (group <= kPairs) {
        const int i = group - 1;
        put_pair(sum<A - 2>(kPoints.even[i], x + 1), sum<A - 2>(kPoints.odd[i], x), y + 2 * i + 1);
      } else {
        y[kSingle] = sum<A>(kPoints.single, x);
      }
    }
  };
  struct Weights : ToPoints<R> {
    static void make(int group, const V (&w)[R], V (&y)[A]) {
      evaluate(group, w, y);
#pragma GCC unroll 8
      for (int i = 0; i < A - 1; ++i)
        if (Weights::group(i) == group) y[i] = by(kPoints.share[i], y[i]);
    }
  };
  struct Output : FromPoints<M> {
    static void make(int group, const V (&m)[A], V (&y)[M]) { collect(group, m, y); }
  };
  // The transposes of the last two: a gradient goes the other way.
  struct Slope : ToPoints<M> {
    static void make(int group, const V (&y)[M], V (&m)[A]) { evaluate(group, y, m); }
  };
  struct Gradient : FromPoints<R> {
    static void make(int group, const V (&y)[A], V (&w)[R]) {
      V shares[A];
#pragma GCC unroll 8
      for (int i = 0; i < A; ++i) shares[i] = i < A - 1 ? by(kPoints.share[i], y[i]) : y[i];
      collect(group, shares, w);
    }
  };

 private:
  static V by(double factor, V v) { return factor == 1 ? v : splat(static_cast<T>(factor)) * v; }
  static void put_pair(V even, V odd, V* y) {
    y[0] = even + odd;
    y[1] = even - odd;
  }
  // Σ c[k] · x[k] for k < N. Coefficients of one come first, which leaves a multiply-add for each of the others.
  template <int N>
  static V sum(const Polynomial<A>& c, const V* x) {
    V total{};
    bool first = true;
#pragma GCC unroll 2
    for (int ones = 1; ones >= 0; --ones)
#pragma GCC unroll 8
      for (int k = 0; k < N; ++k) {
        if (c.at[k] == 0 || (c.at[k] == 1) != ones) continue;
        total = first ? by(c.at[k], x[k]) : total + by(c.at[k], x[k]);
        first = false;
      }
    return total;
  }
  template <int N>
  static void evaluate(int group, const V (&x)[N], V (&y)[A]) {
    if (group == 0) {
      y[0] = x[0];
      y[A - 1] = x[N - 1];
    } else if (group <= kPairs) {
      const int i = group - 1;
      put_pair(sum<N>(kPoints.even_powers[i], x), sum<N>(kPoints.odd_powers[i], x), y + 2 * i + 1);
    } else {
      y[kSingle] = sum<N>(kPoints.powers, x);
    }
  }
  template <int N>
  static void collect(int group, const V (&m)[A], V (&y)[N]) {
#pragma GCC unroll 8
    for (int k = group; k < N; k += 2) {
      V total = k == 0 ? m[0] : V{};
#pragma GCC unroll 8
      for (int i = 0; i < kPairs; ++i) {
        const V plus = m[2 * i + 1], minus = m[2 * i + 2];
        const V term =
            k % 2 == 0 ? by(kPoints.even_powers[i].at[k], plus + minus) : by(kPoints.odd_powers[i].at[k], plus - minus);
        total = k == 0 || i > 0 ? total + term : term;
      }
      if (PointTable<A>::kSingle) total += by(kPoints.powers.at[k], m[kSingle]);
      y[k] = k == N - 1 ? total + m[A - 1] : total;
    }
  }
};

// Transforms along columns, then along rows: take(i, j) gives the element of row i and column j, put(i, row) gets one
// row of the result after the other. One group of rows at a time, whose columns are taken when it is its turn: there
// are not as many registers as elements, and to take an element again is less work than to store it and load it.
template <class T, class Way, class Take, class Put>
inline void both_ways(const Take& take, const Put& put) {
#pragma GCC unroll 8
  for (int g = 0; g < Way::kGroups; ++g) {
    Vec<T> half[Way::kTo][Way::kFrom];
#pragma GCC unroll 8
    for (int j = 0; j < Way::kFrom; ++j) {
      Vec<T> column[Way::kFrom], made[Way::kTo];
#pragma GCC unroll 8
      for (int i = 0; i < Way::kFrom; ++i) column[i] = take(i, j);
      Way::make(g, column, made);
#pragma GCC unroll 8
      for (int i = 0; i < Way::kTo; ++i)
        if (Way::group(i) == g) half[i][j] = made[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < Way::kTo; ++i) {
      if (Way::group(i) != g) continue;
      Vec<T> row[Way::kTo];
#pragma GCC unroll 8
      for (int h = 0; h < Way::kGroups; ++h) Way::make(h, half[i], row);
      put(i, row);
    }
  }
}

}  // namespace
}  // namespace minimx
