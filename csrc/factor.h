// The factorisations of args/factor.h for one matrix, as both devices compute them: small matrices, one worker for
// each.
//
// Included by csrc/cpu/factor.cpp and csrc/cuda/factor.cu, which say in EACH_DEVICE what a function is marked with.
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
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
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
EACH_DEVICE inline void trsm_one(const TriangularArgs& g, const T* a, const T* b, T* x) {
  const int64_t rows = g.rows, columns = g.columns, n = g.rightside ? columns : rows;
  // op(a)[i, j] is a[i * down + j * along].
  const int64_t down = g.transpose ? 1 : n, along = g.transpose ? n : 1;
  const bool lower = (g.lower != 0) != (g.transpose != 0);
  const T alpha = static_cast<T>(g.alpha);
  if (g.rightside) {
    for (int64_t r = 0; r < rows; ++r) {
      T* const to = x + r * columns;
      for (int64_t s = 0; s < n; ++s) {
        const int64_t j = lower ? n - 1 - s : s;
        T rest = alpha * b[r * columns + j];
        for (int64_t i = lower ? j + 1 : 0; i < (lower ? n : j); ++i) rest -= to[i] * a[i * down + j * along];
        to[j] = rest / a[j * down + j * along];
      }
    }
    return;
  }
  for (int64_t s = 0; s < n; ++s) {
    const int64_t i = lower ? s : n - 1 - s;
    T* const to = x + i * columns;
    for (int64_t c = 0; c < columns; ++c) to[c] = alpha * b[i * columns + c];
    for (int64_t j = lower ? 0 : i + 1; j < (lower ? i : n); ++j) {
      const T factor = a[i * down + j * along];
      for (int64_t c = 0; c < columns; ++c) to[c] -= factor * x[j * columns + c];
    }
    for (int64_t c = 0; c < columns; ++c) to[c] /= a[i * down + i * along];
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

// Gauss-Jordan elimination with the largest element of each column as its pivot.
template <class T>
EACH_DEVICE inline void invert_one(const T* a, T* inverse, T* sign, T* logdet, T* work, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      work[i * n + j] = a[i * n + j];
      inverse[i * n + j] = static_cast<T>(i == j);
    }
  T positive = 1, logarithm = 0;
  for (int64_t p = 0; p < n; ++p) {
    int64_t best = p;
    for (int64_t i = p + 1; i < n; ++i)
      if (magnitude(work[i * n + p]) > magnitude(work[best * n + p])) best = i;
    exchange_rows(work, p, best, n);
    exchange_rows(inverse, p, best, n);
    const T pivot = work[p * n + p];
    if (best != p) positive = -positive;
    if (pivot <= 0) positive = pivot < 0 ? -positive : 0;
    logarithm += log(magnitude(pivot));
    for (int64_t c = 0; c < n; ++c) {
      work[p * n + c] /= pivot;
      inverse[p * n + c] /= pivot;
    }
    for (int64_t i = 0; i < n; ++i) {
      if (i == p) continue;
      const T factor = work[i * n + p];
      for (int64_t c = 0; c < n; ++c) {
        work[i * n + c] -= factor * work[p * n + c];
        inverse[i * n + c] -= factor * inverse[p * n + c];
      }
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

// Turns rows i and j of a matrix by the angle whose cosine and sine are given.
template <class T>
EACH_DEVICE inline void turn(T* x, T* y, int64_t step, int64_t n, T cosine, T sine) {
  for (int64_t c = 0; c < n; ++c, x += step, y += step) {
    const T kept = *x;
    *x = cosine * kept - sine * *y;
    *y = sine * kept + cosine * *y;
  }
}

// Jacobi's method: plane rotations until nothing is left beside the diagonal, which takes about ten rounds.
template <class T>
EACH_DEVICE inline void syevd_one(const T* a, T* u, T* values, T* work, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      work[i * n + j] = i > j ? a[i * n + j] : a[j * n + i];
      u[i * n + j] = static_cast<T>(i == j);
    }
  constexpr T kEpsilon = sizeof(T) == 4 ? static_cast<T>(1e-9) : static_cast<T>(1e-19);
  for (int round = 0; round < 60; ++round) {
    bool done = true;
    for (int64_t p = 0; p < n; ++p)
      for (int64_t q = p + 1; q < n; ++q) {
        const T beside = work[p * n + q];
        if (!(magnitude(beside) > kEpsilon * (magnitude(work[p * n + p]) + magnitude(work[q * n + q])))) continue;
        done = false;
        const T slope = (work[q * n + q] - work[p * n + p]) / (2 * beside);
        const T tangent = (slope < 0 ? T(-1) : T(1)) / (magnitude(slope) + static_cast<T>(sqrt(slope * slope + 1)));
        const T cosine = 1 / static_cast<T>(sqrt(tangent * tangent + 1)), sine = tangent * cosine;
        turn(work + p, work + q, n, n, cosine, sine);
        turn(work + p * n, work + q * n, 1, n, cosine, sine);
        work[p * n + q] = work[q * n + p] = 0;
        turn(u + p * n, u + q * n, 1, n, cosine, sine);
      }
    if (done) break;
  }
  for (int64_t i = 0; i < n; ++i) values[i] = work[i * n + i];
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
struct Trsm {
  TriangularArgs g;
  const T* a;
  const T* b;
  T* x;
  EACH_DEVICE void operator()(int64_t q) const {
    const int64_t n = g.rightside ? g.columns : g.rows, size = g.rows * g.columns;
    trsm_one(g, a + q * n * n, b + q * size, x + q * size);
  }
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
    invert_one(a + at, inverse + at, sign + q, logdet + q, work + at, g.rows);
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
  for_each(context, g.batch, Potrf<T>{g, at<T>(b, 0), at<T>(b, 1)});
}
template <class T>
void trsm(const TriangularArgs& g, void* const* b, const Context& context) {
  for_each(context, g.batch, Trsm<T>{g, at<T>(b, 0), at<T>(b, 1), at<T>(b, 2)});
}
template <class T>
void invert(const FactorArgs& g, void* const* b, const Context& context) {
  for_each(context, g.batch, Invert<T>{g, at<T>(b, 0), at<T>(b, 1), at<T>(b, 2), at<T>(b, 3), at<T>(b, 4)});
}
template <class T>
void gelqf(const FactorArgs& g, void* const* b, const Context& context) {
  for_each(context, g.batch, Gelqf<T>{g, at<T>(b, 0), at<T>(b, 1), at<T>(b, 2)});
}
template <class T>
void syevd(const FactorArgs& g, void* const* b, const Context& context) {
  for_each(context, g.batch, Syevd<T>{g, at<T>(b, 0), at<T>(b, 1), at<T>(b, 2), at<T>(b, 3)});
}

}  // namespace
}  // namespace minimx

#define FACTOR_KERNELS                                                                                               \
  KERNELS(factor, KERNEL("potrf.float32", potrf<float>, FactorArgs),                                                 \
          KERNEL("potrf.float64", potrf<double>, FactorArgs), KERNEL("trsm.float32", trsm<float>, TriangularArgs),   \
          KERNEL("trsm.float64", trsm<double>, TriangularArgs), KERNEL("invert.float32", invert<float>, FactorArgs), \
          KERNEL("invert.float64", invert<double>, FactorArgs), KERNEL("gelqf.float32", gelqf<float>, FactorArgs),   \
          KERNEL("gelqf.float64", gelqf<double>, FactorArgs), KERNEL("syevd.float32", syevd<float>, FactorArgs),     \
          KERNEL("syevd.float64", syevd<double>, FactorArgs))
