// The factorisations of args/factor.h for one matrix, as both devices compute them: small matrices, one worker for
// each.
//
// Included by csrc/cpu/factor.cpp and csrc/cuda/factor.cu, which say in EACH_DEVICE what a function is marked with, and
// which have a trsm each.
#pragma once
#include <math.h>

#include "args/factor.h"

namespace minimx {
namespace {

template <class T>
EACH_DEVICE inline T magnitude(T x) {
  return x < 0 ? -x : x;
}

template <class T>
EACH_DEVICE inline T dot_of(const T* a, const T* b, int64_t n) {
  constexpr int kParts = 8;  // sums that do not wait for each other
  T part[kParts] = {};
  int64_t i = 0;
  for (; i + kParts <= n; i += kParts)
    for (int p = 0; p < kParts; ++p) part[p] += a[i + p] * b[i + p];
  T sum = 0;
  for (; i < n; ++i) sum += a[i] * b[i];
  for (int p = 0; p < kParts; ++p) sum += part[p];
  return sum;
}

template <class T>
EACH_DEVICE inline void potrf_one(const T* a, T* l, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) l[i * n + j] = (a[i * n + j] - dot_of(l + i * n, l + j * n, j)) / l[j * n + j];
    l[i * n + i] = sqrt(a[i * n + i] - dot_of(l + i * n, l + i * n, i));
    for (int64_t j = i + 1; j < n; ++j) l[i * n + j] = 0;
  }
}

template <class T>
EACH_DEVICE inline void exchange_rows(T* a, int64_t i, int64_t j, int64_t n) {
  for (int64_t c = 0; c < n && i != j; ++c) {
    const T kept = a[i * n + c];
    a[i * n + c] = a[j * n + c];
    a[j * n + c] = kept;
  }
}

// Elimination with the largest element of each column as its pivot: below the diagonal for the determinant, everywhere
// (Gauss-Jordan) for the inverse, too.
template <bool Inverse, class T>
EACH_DEVICE inline void eliminate_one(const T* a, T* inverse, T* sign, T* logdet, T* work, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      work[i * n + j] = a[i * n + j];
      if (Inverse) inverse[i * n + j] = static_cast<T>(i == j);
    }
  T positive = 1, logarithm = 0;
  for (int64_t p = 0; p < n; ++p) {
    int64_t best = p;
    for (int64_t i = p + 1; i < n; ++i)
      if (magnitude(work[i * n + p]) > magnitude(work[best * n + p])) best = i;
    exchange_rows(work, p, best, n);
    if (Inverse) exchange_rows(inverse, p, best, n);
    const T pivot = work[p * n + p];
    if (best != p) positive = -positive;
    if (pivot <= 0) positive = pivot < 0 ? -positive : 0;
    logarithm += log(magnitude(pivot));
    if (!Inverse && positive == 0) break;
    if (Inverse)
      for (int64_t c = 0; c < n; ++c) {
        work[p * n + c] /= pivot;
        inverse[p * n + c] /= pivot;
      }
    for (int64_t i = Inverse ? 0 : p + 1; i < n; ++i) {
      if (i == p) continue;
      const T factor = Inverse ? work[i * n + p] : work[i * n + p] / pivot;
      T* const to = work + i * n;
      const T* const from = work + p * n;
      for (int64_t c = Inverse ? 0 : p + 1; c < n; ++c) to[c] -= factor * from[c];
      if (Inverse)
        for (int64_t c = 0; c < n; ++c) inverse[i * n + c] -= factor * inverse[p * n + c];
    }
  }
  *sign = positive;
  *logdet = positive == 0 ? static_cast<T>(-INFINITY) : logarithm;
}

// Gram-Schmidt, each row made orthogonal to those above it twice, which is as good as reflections.
template <class T>
EACH_DEVICE inline void gelqf_one(const T* a, T* q, T* l, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) {
    T* const row = q + i * columns;
    for (int64_t c = 0; c < columns; ++c) row[c] = a[i * columns + c];
    for (int64_t j = 0; j < rows; ++j) l[i * rows + j] = 0;
    for (int again = 0; again < 2; ++again)
      for (int64_t j = 0; j < i; ++j) {
        const T along = dot_of(q + j * columns, row, columns);
        l[i * rows + j] += along;
        for (int64_t c = 0; c < columns; ++c) row[c] -= along * q[j * columns + c];
      }
    const T length = sqrt(dot_of(row, row, columns));
    l[i * rows + i] = length;
    for (int64_t c = 0; c < columns; ++c) row[c] /= length;
  }
}

// work, symmetric, becomes tridiagonal by reflections: `diagonal` and what is beside it (beside[i] between i and i +
// 1). Row k of work keeps the vector of its reflection behind the diagonal and its factor on it. `spare` has n
// elements.
template <class T>
EACH_DEVICE inline void tridiagonal(T* work, T* diagonal, T* beside, T* spare, int64_t n) {
  for (int64_t k = 0; k + 2 < n; ++k) {
    T* const v = work + k * n;  // the row is the column: the matrix stays symmetric
    diagonal[k] = v[k];
    T largest = 0;
    for (int64_t i = k + 1; i < n; ++i) largest = magnitude(v[i]) > largest ? magnitude(v[i]) : largest;
    T rest = 0;
    for (int64_t i = k + 2; i < n; ++i) rest += v[i] / (largest + (largest == 0)) * (v[i] / (largest + (largest == 0)));
    if (rest == 0) {
      beside[k] = v[k + 1];
      v[k] = 0;
      continue;
    }
    const T first = v[k + 1] / largest, length = static_cast<T>(sqrt(first * first + rest));
    const T head = first + (first < 0 ? -length : length);
    beside[k] = first < 0 ? length * largest : -length * largest;
    for (int64_t i = k + 2; i < n; ++i) v[i] /= largest * head;
    v[k + 1] = 1;
    const T factor = 2 * head * head / (head * head + rest);
    v[k] = factor;
    // A -= v w^T + w v^T with w = factor A v - factor^2 / 2 (v^T A v) v.
    for (int64_t i = k + 1; i < n; ++i) spare[i] = factor * dot_of(work + i * n + k + 1, v + k + 1, n - k - 1);
    const T along = factor / 2 * dot_of(spare + k + 1, v + k + 1, n - k - 1);
    for (int64_t i = k + 1; i < n; ++i) spare[i] -= along * v[i];
    for (int64_t i = k + 1; i < n; ++i) {
      T* const to = work + i * n;
      const T a = v[i], b = spare[i];
      for (int64_t j = k + 1; j < n; ++j) to[j] -= a * spare[j] + b * v[j];
    }
  }
  if (n > 1) {
    diagonal[n - 2] = work[(n - 2) * n + n - 2];
    beside[n - 2] = work[(n - 2) * n + n - 1];
  }
  diagonal[n - 1] = work[n * n - 1];
}

// u = H_last ... H_1 H_0 of the reflections that `tridiagonal` left in work.
template <class T>
EACH_DEVICE inline void reflections(const T* work, T* u, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) u[i * n + j] = static_cast<T>(i == j);
  for (int64_t k = n - 3; k >= 0; --k) {
    const T* const v = work + k * n;
    if (v[k] == 0) continue;
    for (int64_t i = k + 1; i < n; ++i) {
      T* const row = u + i * n;
      const T along = v[k] * dot_of(row + k + 1, v + k + 1, n - k - 1);
      for (int64_t j = k + 1; j < n; ++j) row[j] -= along * v[j];
    }
  }
}

// Makes a tridiagonal matrix diagonal by plane rotations that chase what is beside the diagonal upwards (QL steps with
// shifts), which turn the rows of u as well.
template <class T>
EACH_DEVICE inline void diagonalise(T* diagonal, T* beside, T* u, int64_t n) {
  constexpr T kEpsilon = sizeof(T) == 4 ? static_cast<T>(6e-8) : static_cast<T>(1.1e-16);
  beside[n - 1] = 0;
  for (int64_t first = 0; first < n; ++first) {
    for (int step = 0; step < 60; ++step) {
      int64_t last = first;  // of the block that begins here and does not fall apart
      while (last + 1 < n &&
             magnitude(beside[last]) > kEpsilon * (magnitude(diagonal[last]) + magnitude(diagonal[last + 1])))
        ++last;
      if (last == first) break;
      const T half = (diagonal[first + 1] - diagonal[first]) / (2 * beside[first]);
      const T root = static_cast<T>(sqrt(half * half + 1));
      const T shift = diagonal[first] - beside[first] / (half + (half < 0 ? -root : root));
      T bulge = diagonal[last] - shift, sine = 1, cosine = 1, taken = 0;
      bool split = false;
      for (int64_t i = last - 1; i >= first; --i) {
        const T f = sine * beside[i], b = cosine * beside[i];
        const T length = static_cast<T>(sqrt(f * f + bulge * bulge));
        beside[i + 1] = length;
        if (length == 0) {  // the block falls apart here
          diagonal[i + 1] -= taken;
          beside[last] = 0;
          split = true;
          break;
        }
        sine = f / length;
        cosine = bulge / length;
        const T before = diagonal[i + 1] - taken;
        const T mixed = (diagonal[i] - before) * sine + 2 * cosine * b;
        taken = sine * mixed;
        diagonal[i + 1] = before + taken;
        bulge = cosine * mixed - b;
        T* const x = u + i * n;
        T* const y = x + n;
        for (int64_t c = 0; c < n; ++c) {
          const T kept = y[c];
          y[c] = sine * x[c] + cosine * kept;
          x[c] = cosine * x[c] - sine * kept;
        }
      }
      if (split) continue;
      diagonal[first] -= taken;
      beside[first] = bulge;
      beside[last] = 0;
    }
  }
}

template <class T>
EACH_DEVICE inline void syevd_one(const T* a, T* u, T* values, T* work, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) work[i * n + j] = i > j ? a[i * n + j] : a[j * n + i];
  if (n == 1) {
    values[0] = work[0];
    u[0] = 1;
    return;
  }
  // u is free until the reflections are known; the last row of work after that.
  tridiagonal(work, values, u, u + n, n);
  T* const beside = work + (n - 1) * n;
  for (int64_t i = 0; i + 1 < n; ++i) beside[i] = u[i];
  reflections(work, u, n);
  diagonalise(values, beside, u, n);
  for (int64_t i = 0; i < n; ++i) {
    int64_t least = i, largest = 0;
    for (int64_t j = i + 1; j < n; ++j)
      if (values[j] < values[least]) least = j;
    const T kept = values[i];
    values[i] = values[least];
    values[least] = kept;
    exchange_rows(u, i, least, n);
    T* const row = u + i * n;
    for (int64_t c = 1; c < n; ++c)
      if (magnitude(row[c]) > magnitude(row[largest])) largest = c;
    if (row[largest] < 0)
      for (int64_t c = 0; c < n; ++c) row[c] = -row[c];
  }
}

// What worker number q does with the q-th matrix: one function object per kernel, over its buffers.
template <class T>
struct Potrf {
  FactorArgs g;
  const T* a;
  T* l;
  EACH_DEVICE void operator()(int64_t q) const { potrf_one(a + q * g.rows * g.rows, l + q * g.rows * g.rows, g.rows); }
};
template <class T>
struct Invert {
  FactorArgs g;
  const T* a;
  T* inverse;
  T* sign;
  T* logdet;
  T* work;
  EACH_DEVICE void operator()(int64_t q) const {
    const int64_t at = q * g.rows * g.rows;
    eliminate_one<true>(a + at, inverse + at, sign + q, logdet + q, work + at, g.rows);
  }
};
template <class T>
struct Slogdet {
  FactorArgs g;
  const T* a;
  T* sign;
  T* logdet;
  T* work;
  EACH_DEVICE void operator()(int64_t q) const {
    const int64_t at = q * g.rows * g.rows;
    eliminate_one<false>(a + at, static_cast<T*>(nullptr), sign + q, logdet + q, work + at, g.rows);
  }
};
template <class T>
struct Gelqf {
  FactorArgs g;
  const T* a;
  T* q_out;
  T* l;
  EACH_DEVICE void operator()(int64_t q) const {
    const int64_t at = q * g.rows * g.columns;
    gelqf_one(a + at, q_out + at, l + q * g.rows * g.rows, g.rows, g.columns);
  }
};
template <class T>
struct Syevd {
  FactorArgs g;
  const T* a;
  T* u;
  T* values;
  T* work;
  EACH_DEVICE void operator()(int64_t q) const {
    const int64_t at = q * g.rows * g.rows;
    syevd_one(a + at, u + at, values + q * g.rows, work + at, g.rows);
  }
};

// The kernels, given for_each(context, batch, one): how a device runs one(q) for every matrix. Defined where this file
// is included.
template <class T>
inline T* at(void* const* buffers, int i) {
  return static_cast<T*>(buffers[i]);
}
template <class T>
void potrf(const FactorArgs& g, void* const* b, const Context& context) {
  for_each(context, g.batch, Potrf<T>{g, at<T>(b, 0), at<T>(b, 1)}, g.rows * g.rows * g.columns);
}
template <class T>
void invert(const FactorArgs& g, void* const* b, const Context& context) {
  for_each(context, g.batch, Invert<T>{g, at<T>(b, 0), at<T>(b, 1), at<T>(b, 2), at<T>(b, 3), at<T>(b, 4)},
           g.rows * g.rows * g.columns);
}
template <class T>
void slogdet(const FactorArgs& g, void* const* b, const Context& context) {
  for_each(context, g.batch, Slogdet<T>{g, at<T>(b, 0), at<T>(b, 1), at<T>(b, 2), at<T>(b, 3)},
           g.rows * g.rows * g.columns);
}
template <class T>
void gelqf(const FactorArgs& g, void* const* b, const Context& context) {
  for_each(context, g.batch, Gelqf<T>{g, at<T>(b, 0), at<T>(b, 1), at<T>(b, 2)}, g.rows * g.rows * g.columns);
}
template <class T>
void syevd(const FactorArgs& g, void* const* b, const Context& context) {
  for_each(context, g.batch, Syevd<T>{g, at<T>(b, 0), at<T>(b, 1), at<T>(b, 2), at<T>(b, 3)},
           g.rows * g.rows * g.columns);
}

}  // namespace
}  // namespace minimx

#define FACTOR_KERNELS                                                                                                \
  KERNELS(factor, KERNEL("potrf.float32", potrf<float>, FactorArgs),                                                  \
          KERNEL("potrf.float64", potrf<double>, FactorArgs), KERNEL("trsm.float32", trsm<float>, TriangularArgs),    \
          KERNEL("trsm.float64", trsm<double>, TriangularArgs), KERNEL("invert.float32", invert<float>, FactorArgs),  \
          KERNEL("invert.float64", invert<double>, FactorArgs), KERNEL("gelqf.float32", gelqf<float>, FactorArgs),    \
          KERNEL("slogdet.float32", slogdet<float>, FactorArgs),                                                      \
          KERNEL("slogdet.float64", slogdet<double>, FactorArgs), KERNEL("gelqf.float64", gelqf<double>, FactorArgs), \
          KERNEL("syevd.float32", syevd<float>, FactorArgs), KERNEL("syevd.float64", syevd<double>, FactorArgs))
