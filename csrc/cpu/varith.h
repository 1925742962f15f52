// What every function of vectors is made of: constants, signs, rounding, arithmetic that C has no operator for.
#pragma once
#include <math.h>

#include "simd.h"

namespace minimx {
namespace {

template <class V>
struct ElementOf;
template <>
struct ElementOf<Vec<float>> {
  using type = float;
};
template <>
struct ElementOf<Vec<double>> {
  using type = double;
};
template <>
struct ElementOf<Vec<int32_t>> {
  using type = int32_t;
};
template <>
struct ElementOf<Vec<int64_t>> {
  using type = int64_t;
};
template <class V>
using Element = typename ElementOf<V>::type;

template <class V>
constexpr bool kReal = Element<V>(0.5) != 0;

// A constant of a vector's own type: num(a, 0.5).
template <class V>
inline V num(V, double value) {
  return splat<Element<V>>(static_cast<Element<V>>(value));
}

// The value itself, which the compiler may not merge with what is done to it: a product stays rounded.
template <class V>
inline V rounded(V value) {
#if __has_builtin(__builtin_assoc_barrier)
  return __builtin_assoc_barrier(value);
#elif __has_builtin(__arithmetic_fence)
  return __arithmetic_fence(value);
#else
  return value;
#endif
}

// One or zero, by a comparison of vectors of a's type.
template <class V, class M>
inline V flag(V a, M mask) {
  return mask ? num(a, 1) : num(a, 0);
}

template <class M>
inline bool any(M mask) {
#if defined(__AVX512F__) && MINIMX_VECTOR_BYTES == 64
  return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__) && MINIMX_VECTOR_BYTES == 32
  return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
  const auto words = (Vec<int64_t>)mask;
  int64_t all = 0;
  for (int i = 0; i < kLanes<int64_t>; ++i) all |= words[i];
  return all != 0;
#endif
}

template <class V, class F>
inline V lanewise(V a, F f) {
  V out = a;
  for (int i = 0; i < kLanes<Element<V>>; ++i) out[i] = f(a[i]);
  return out;
}
template <class V, class F>
inline V lanewise(V a, V b, F f) {
  V out = a;
  for (int i = 0; i < kLanes<Element<V>>; ++i) out[i] = f(a[i], b[i]);
  return out;
}

// p0 + p1 x + p2 x² + ...
template <class V>
inline V poly(V x, double p0) {
  return num(x, p0);
}
template <class V, class... P>
inline V poly(V x, double p0, P... rest) {
  return poly(x, rest...) * x + num(x, p0);
}

// ---- signs, rounding, arithmetic -----------------------------------------------------------------------------------

inline Mask<float> sign_bits(Vec<float>) { return splat<int32_t>(INT32_MIN); }
inline Mask<double> sign_bits(Vec<double>) { return splat<int64_t>(INT64_MIN); }

inline Vec<float> vabs(Vec<float> a) { return (Vec<float>)((Mask<float>)a & ~sign_bits(a)); }
inline Vec<double> vabs(Vec<double> a) { return (Vec<double>)((Mask<double>)a & ~sign_bits(a)); }
template <class V>
inline V vabs(V a) {
  return a < 0 ? -a : a;
}

// The magnitude of a with the sign of b.
template <class V>
inline V vcopysign(V a, V b) {
  using M = Mask<Element<V>>;
  return (V)(((M)a & ~sign_bits(a)) | ((M)b & sign_bits(a)));
}

template <class V>
inline V vsign(V a) {
  return flag(a, a > 0) - flag(a, a < 0);
}

inline Vec<float> vsqrt(Vec<float> a) {
  return lanewise(a, [](float x) { return __builtin_sqrtf(x); });
}
inline Vec<double> vsqrt(Vec<double> a) {
  return lanewise(a, [](double x) { return __builtin_sqrt(x); });
}

// From this magnitude on every number is an integer; adding and subtracting it rounds smaller ones, halves to even.
inline Vec<float> integers_from(Vec<float> a) { return num(a, 0x1p23); }
inline Vec<double> integers_from(Vec<double> a) { return num(a, 0x1p52); }

template <class V>
inline V round_even(V a) {
  const V limit = integers_from(a);
  const V size = vabs(a);
  return size < limit ? vcopysign((size + limit) - limit, a) : a;
}
template <class V>
inline V vfloor(V a) {
  if constexpr (!kReal<V>)
    return a;
  else {
    const V r = round_even(a);
    return vcopysign(r > a ? r - num(a, 1) : r, a);
  }
}
template <class V>
inline V vceil(V a) {
  if constexpr (!kReal<V>)
    return a;
  else
    return -vfloor(-a);
}
template <class V>
inline V vtrunc(V a) {
  if constexpr (!kReal<V>)
    return a;
  else
    return vcopysign(vfloor(vabs(a)), a);
}
// Halves to the lower neighbour, as MXNet's rint.
template <class V>
inline V vrint(V a) {
  if constexpr (!kReal<V>)
    return a;
  else {
    const V f = vfloor(a);
    return vcopysign(a - f > num(a, 0.5) ? f + num(a, 1) : f, a);
  }
}
// Halves away from zero.
template <class V>
inline V vround(V a) {
  if constexpr (!kReal<V>)
    return a;
  else {
    const V t = vtrunc(a);
    return vabs(a - t) >= num(a, 0.5) ? t + vcopysign(num(a, 1), a) : t;
  }
}

// Integers: towards zero, and 0 for a division by zero; the lowest number by -1 wraps instead of trapping.
template <class T>
inline T divide_integer(T a, T b) {
  if (b == 0) return 0;
  if (b == -1) return static_cast<T>(0 - static_cast<uint64_t>(a));
  return a / b;
}
template <class V>
inline V vdiv(V a, V b) {
  if constexpr (kReal<V>)
    return a / b;
  else
    return lanewise(a, b, divide_integer<Element<V>>);
}

// The remainder with the sign of the divisor; 0 by a zero divisor.
inline float remainder_of(float a, float b) { return fmodf(a, b); }
inline double remainder_of(double a, double b) { return fmod(a, b); }
template <class T>
inline T remainder_of(T a, T b) {
  return b == -1 ? 0 : a % b;
}
template <class T>
inline T modulo(T a, T b) {
  if (b == 0) return 0;
  const T r = remainder_of(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
template <class V>
inline V vmod(V a, V b) {
  return lanewise(a, b, modulo<Element<V>>);
}

// Unlike vmin and vmax, these give NaN when either operand is NaN.
template <class V>
inline V vminimum(V a, V b) {
  return a != a ? a : (a < b ? a : b);
}
template <class V>
inline V vmaximum(V a, V b) {
  return a != a ? a : (a > b ? a : b);
}

template <class V>
inline V vclip(V a, V low, V high) {
  return a > high ? high : (a < low ? low : a);
}

}  // namespace
}  // namespace minimx
