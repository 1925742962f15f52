// Exponentials, logarithms and powers of vectors.
#pragma once
#include "varith.h"

namespace minimx {
namespace {

// ---- exponentials --------------------------------------------------------------------------------------------------

// x = n ln 2 + r with |r| <= ln 2 / 2; 2^n as two factors, so that results in the subnormal range and next to overflow
// come out right.
template <class V>
struct Reduced {
  V r, scale1, scale2;
};

inline Reduced<Vec<float>> reduce_exp(Vec<float> x) {
  x = x > 89.f ? num(x, 89) : x;
  x = x < -104.f ? num(x, -104) : x;
  const Vec<float> magic = num(x, 0x1.8p23);
  const Vec<float> rounded = x * num(x, 0x1.715476p0) + magic;
  const Vec<float> n = rounded - magic;
  const Vec<int32_t> k = (Vec<int32_t>)rounded - (Vec<int32_t>)magic;
  const Vec<int32_t> k1 = k >> 1;
  return {x - n * num(x, 0.693359375) - n * num(x, -2.12194440e-4), (Vec<float>)((k1 + 127) << 23),
          (Vec<float>)((k - k1 + 127) << 23)};
}
inline Reduced<Vec<double>> reduce_exp(Vec<double> x) {
  x = x > 710.0 ? num(x, 710) : x;
  x = x < -746.0 ? num(x, -746) : x;
  const Vec<double> magic = num(x, 0x1.8p52);
  const Vec<double> rounded = x * num(x, 0x1.71547652b82fep0) + magic;
  const Vec<double> n = rounded - magic;
  const Vec<int64_t> k = (Vec<int64_t>)rounded - (Vec<int64_t>)magic;
  // AVX2 shifts 64-bit lanes logically only: keep what is shifted positive.
  const Vec<int64_t> k1 = (Vec<int64_t>)((Vec<uint64_t>)(k + 2048) >> 1) - 1024;
  return {x - n * num(x, 0x1.62e42feep-1) - n * num(x, 0x1.a39ef35793c76p-33), (Vec<double>)((k1 + 1023) << 52),
          (Vec<double>)((k - k1 + 1023) << 52)};
}

// (exp(r) - 1 - r) / r² for |r| <= ln 2 / 2; the Taylor series for double.
inline Vec<float> exp_rest(Vec<float> r) {
  return poly(r, 0.500000008, 0.166666658, 0.0416662651, 0.00833351071, 0.00139468669, 0.00019788162);
}
inline Vec<double> exp_rest(Vec<double> r) {
  return poly(r, 1 / 2., 1 / 6., 1 / 24., 1 / 120., 1 / 720., 1 / 5040., 1 / 40320., 1 / 362880., 1 / 3628800.,
              1 / 39916800., 1 / 479001600., 1 / 6227020800.);
}

template <class V>
inline V exp_anywhere(V x) {
  const Reduced<V> k = reduce_exp(x);
  const V y = exp_rest(k.r) * (k.r * k.r) + k.r + num(x, 1);
  return y * k.scale1 * k.scale2;
}
// The same for |x| <= kExpNear, where the result is normal: n is added to the exponent of exp(r).
constexpr float kExpNear = 87;
inline Vec<float> exp_near(Vec<float> x) {
  const Vec<float> magic = num(x, 0x1.8p23);
  const Vec<float> rounded = x * num(x, 0x1.715476p0) + magic;
  const Vec<float> n = rounded - magic;
  const Vec<float> r = x - n * num(x, 0.693359375) - n * num(x, -2.12194440e-4);
  const Vec<float> y = exp_rest(r) * (r * r) + r + num(x, 1);
  return (Vec<float>)((Vec<int32_t>)y + ((Vec<int32_t>)rounded << 23));
}
// Out of line, so that it costs the loops around vexp no registers.
[[gnu::noinline, gnu::cold]] static Vec<float> exp_far(Vec<float> x) { return exp_anywhere(x); }

inline Vec<float> vexp(Vec<float> x) {
  if (any(~(Mask<float>)(vabs(x) <= kExpNear))) return exp_far(x);
  return exp_near(x);
}
inline Vec<double> vexp(Vec<double> x) { return exp_anywhere(x); }

inline Vec<float> vexpm1(Vec<float> x) {
  const Reduced<Vec<float>> k = reduce_exp(x);
  const Vec<float> y = exp_rest(k.r) * (k.r * k.r) + k.r;
  // 2^n (y + 1) - 1, where 2^n is one number unless the result is close to overflow.
  const Vec<float> scale = k.scale1 * k.scale2;
  const Vec<float> near = y * scale + (scale - num(x, 1));
  const Vec<float> far = (y + num(x, 1)) * k.scale1 * k.scale2;
  return x == 0 ? x : (x > 60.f ? far : near);
}
inline Vec<double> vexpm1(Vec<double> x) {
  return lanewise(x, [](double a) { return expm1(a); });
}

template <class V>
inline V vsigmoid(V x) {
  return num(x, 1) / (num(x, 1) + vexp(-x));
}

// An odd polynomial below 0.6, 1 - 2 / (exp(2 |x|) + 1) above it.
inline Vec<float> vtanh(Vec<float> x) {
  Vec<float> size = vabs(x);
  size = size > 10.f ? num(x, 10) : size;
  const Vec<float> z = size * size;
  const Vec<float> near =
      size + size * z * poly(z, -0.333332993, 0.133319582, -0.0537866837, 0.0208053849, -0.00590586875);
  const Vec<float> far = num(x, 1) - num(x, 2) / (exp_near(size + size) + num(x, 1));
  return vcopysign(size < 0.6f ? near : far, x);
}
inline Vec<double> vtanh(Vec<double> x) {
  return lanewise(x, [](double a) { return tanh(a); });
}

inline Vec<float> vcosh(Vec<float> x) {
  const Vec<float> h = vexp(vabs(x) * num(x, 0.5));
  return num(x, 0.5) * h * h + num(x, 0.5) / (h * h);
}
inline Vec<double> vcosh(Vec<double> x) {
  return lanewise(x, [](double a) { return cosh(a); });
}

inline Vec<float> vsinh(Vec<float> x) {
  const Vec<float> size = vabs(x);
  const Vec<float> e = vexpm1(size < 1.f ? size : num(x, 1));
  const Vec<float> small = num(x, 0.5) * (e + e / (e + num(x, 1)));
  const Vec<float> h = vexp(size * num(x, 0.5));
  const Vec<float> large = num(x, 0.5) * h * h - num(x, 0.5) / (h * h);
  return vcopysign(size < 1.f ? small : large, x);
}
inline Vec<double> vsinh(Vec<double> x) {
  return lanewise(x, [](double a) { return sinh(a); });
}

// ---- logarithms ----------------------------------------------------------------------------------------------------

// x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for positive finite x.
template <class V>
struct Split {
  V e, f;
};

inline Split<Vec<float>> split_log(Vec<float> x) {
  const Mask<float> tiny = x < 0x1p-126f;
  const Vec<int32_t> bits = (Vec<int32_t>)(tiny ? x * num(x, 0x1p24) : x) - 0x3f3504f3;
  const Vec<int32_t> e = (bits >> 23) - (tiny & 24);
  return {__builtin_convertvector(e, Vec<float>), (Vec<float>)((bits & 0x7fffff) + 0x3f3504f3) - num(x, 1)};
}
inline Split<Vec<double>> split_log(Vec<double> x) {
  const Mask<double> tiny = x < 0x1p-1022;
  const Vec<int64_t> bits = (Vec<int64_t>)(tiny ? x * num(x, 0x1p54) : x) - 0x3fe6a09e667f3bcd;
  // AVX2 shifts 64-bit lanes logically only: the exponent goes through the shift with 1024 added.
  const Vec<int64_t> shifted = (Vec<int64_t>)((Vec<uint64_t>)(bits + (int64_t{1024} << 52)) >> 52);
  const Vec<int64_t> e = shifted - 1024 - (tiny & 54);
  const Vec<double> magic = num(x, 0x1.8p52);
  return {(Vec<double>)(e + (Vec<int64_t>)magic) - magic,
          (Vec<double>)((bits & 0xfffffffffffff) + 0x3fe6a09e667f3bcd) - num(x, 1)};
}

// log(1 + f) - f on the range of split_log; for double the series of 2 atanh(f / (2 + f)).
inline Vec<float> log_rest(Vec<float> f) {
  const Vec<float> square = f * f;
  return square * f *
             poly(f, 0.333333126, -0.250000096, 0.200021187, -0.166679957, 0.142195509, -0.124055914, 0.118881746,
                  -0.116756413, 0.0674660133) -
         num(f, 0.5) * square;
}
inline Vec<double> log_rest(Vec<double> f) {
  const Vec<double> s = f / (f + num(f, 2)), z = s * s, half = num(f, 0.5) * f * f;
  const Vec<double> tail =
      z * poly(z, 2 / 3., 2 / 5., 2 / 7., 2 / 9., 2 / 11., 2 / 13., 2 / 15., 2 / 17., 2 / 19., 2 / 21., 2 / 23.);
  return s * (half + tail) - half;
}

// What every logarithm gives outside of (0, infinity).
template <class V>
inline V log_ends(V x, V y) {
  y = x == num(x, __builtin_inf()) ? x : y;
  y = x == 0 ? num(x, -__builtin_inf()) : y;
  return x >= 0 ? y : num(x, __builtin_nan(""));
}

inline void ln2_parts(Vec<float> x, Vec<float>& high, Vec<float>& low) {
  high = num(x, 0.693359375);
  low = num(x, -2.12194440e-4);
}
inline void ln2_parts(Vec<double> x, Vec<double>& high, Vec<double>& low) {
  high = num(x, 0x1.62e42feep-1);
  low = num(x, 0x1.a39ef35793c76p-33);
}

template <class V>
inline V vlog(V x) {
  const Split<V> s = split_log(x);
  V high, low;
  ln2_parts(x, high, low);
  return log_ends(x, s.e * high + (s.f + (log_rest(s.f) + s.e * low)));
}
template <class V>
inline V vlog2(V x) {
  const Split<V> s = split_log(x);
  return log_ends(x, s.e + (s.f + log_rest(s.f)) * num(x, 1.4426950408889634));
}
template <class V>
inline V vlog10(V x) {
  const Split<V> s = split_log(x);
  return log_ends(x, s.e * num(x, 0.30102999566398120) + (s.f + log_rest(s.f)) * num(x, 0.43429448190325183));
}

// log(1 + x) = log(u) + (x - (u - 1)) / u, where u is 1 + x rounded.
inline Vec<float> vlog1p(Vec<float> x) {
  const Vec<float> u = x + num(x, 1);
  const Vec<float> y = vlog(u) + (x - (u - num(x, 1))) / u;
  const Mask<float> as_log = (Mask<float>)(u == 0) | (Mask<float>)(u == num(x, __builtin_inf()));
  return x == 0 ? x : (as_log ? vlog(u) : y);
}
inline Vec<double> vlog1p(Vec<double> x) {
  return lanewise(x, [](double a) { return log1p(a); });
}

template <class V>
inline V vsoftrelu(V x) {
  return (x > 0 ? x : num(x, 0)) + vlog1p(vexp(-vabs(x)));
}

inline Vec<float> vasinh(Vec<float> x) {
  const Vec<float> size = vabs(x), square = size * size;
  const Vec<float> near = vlog1p(size + square / (num(x, 1) + vsqrt(square + num(x, 1))));
  const Vec<float> far = vlog(size) + num(x, 0.693147180559945309);
  return vcopysign(size > 0x1p30f ? far : near, x);
}
inline Vec<double> vasinh(Vec<double> x) {
  return lanewise(x, [](double a) { return asinh(a); });
}

inline Vec<float> vacosh(Vec<float> x) {
  const Vec<float> t = x - num(x, 1);
  const Vec<float> near = vlog1p(t + vsqrt(t * (t + num(x, 2))));
  const Vec<float> far = vlog(x) + num(x, 0.693147180559945309);
  return x >= 1.f ? (x > 0x1p30f ? far : near) : num(x, __builtin_nan(""));
}
inline Vec<double> vacosh(Vec<double> x) {
  return lanewise(x, [](double a) { return acosh(a); });
}

inline Vec<float> vatanh(Vec<float> x) {
  const Vec<float> size = vabs(x);
  return vcopysign(num(x, 0.5) * vlog1p((size + size) / (num(x, 1) - size)), x);
}
inline Vec<double> vatanh(Vec<double> x) {
  return lanewise(x, [](double a) { return atanh(a); });
}

// ---- powers --------------------------------------------------------------------------------------------------------

// The two halves of a float vector as double vectors, and back.
struct Halves {
  Vec<double> low, high;
};
typedef float HalfFloats __attribute__((vector_size(MINIMX_VECTOR_BYTES / 2)));
typedef int32_t HalfInts __attribute__((vector_size(MINIMX_VECTOR_BYTES / 2)));

// By shuffles: a vector that is stored and read back in pieces waits for memory.
template <int... I>
struct Cut {
  static constexpr int N = sizeof...(I);
  static HalfFloats low(Vec<float> a) { return __builtin_shufflevector(a, a, I...); }
  static HalfFloats high(Vec<float> a) { return __builtin_shufflevector(a, a, (I + N)...); }
  static Vec<float> join(HalfFloats a, HalfFloats b) { return __builtin_shufflevector(a, b, I..., (I + N)...); }
};
#if MINIMX_VECTOR_BYTES == 64
using HalfCut = Cut<0, 1, 2, 3, 4, 5, 6, 7>;
#elif MINIMX_VECTOR_BYTES == 32
using HalfCut = Cut<0, 1, 2, 3>;
#else
using HalfCut = Cut<0, 1>;
#endif

inline Halves widen(Vec<float> a) {
  return {__builtin_convertvector(HalfCut::low(a), Vec<double>),
          __builtin_convertvector(HalfCut::high(a), Vec<double>)};
}
inline Vec<float> narrow(Vec<double> low, Vec<double> high) {
  return HalfCut::join(__builtin_convertvector(low, HalfFloats), __builtin_convertvector(high, HalfFloats));
}

// a^b = exp(b log a) in double, with the digits that a float needs.
inline Vec<double> power_for_float(Vec<double> a, Vec<double> b) {
  const Vec<double> one = num(a, 1), infinity = num(a, __builtin_inf());
  const Vec<double> size = vabs(a);
  const Split<Vec<double>> split = split_log(size);
  const Vec<double> s = split.f / (split.f + num(a, 2)), z = s * s;
  Vec<double> log =
      split.e * num(a, 0.69314718055994531) + s * poly(z, 2., 2 / 3., 2 / 5., 2 / 7., 2 / 9., 2 / 11., 2 / 13.);
  log = size == 0 ? -infinity : log;
  log = size == infinity ? infinity : log;

  Vec<double> power = b * log;  // NaN where b is 0 and the logarithm infinite: that is set right below
  power = power > 200.0 ? num(a, 200) : power;
  power = power < -200.0 ? num(a, -200) : power;
  const Vec<double> magic = num(a, 0x1.8p52);
  const Vec<double> rounded = power * num(a, 0x1.71547652b82fep0) + magic;
  const Vec<double> r = power - (rounded - magic) * num(a, 0.69314718055994531);
  const Vec<int64_t> k = (Vec<int64_t>)rounded - (Vec<int64_t>)magic;
  const auto scale = (Vec<double>)((k + 1023) << 52);
  Vec<double> y = scale * poly(r, 1., 1., 1 / 2., 1 / 6., 1 / 24., 1 / 120., 1 / 720., 1 / 5040., 1 / 40320.);

  const Mask<double> integer = b == round_even(b);
  const Vec<double> half = b * num(a, 0.5);
  const Mask<double> odd = integer & (half != round_even(half));
  y = odd ? vcopysign(y, a) : y;
  const Mask<double> undefined = ((a < 0) & ~integer & (size != infinity)) | (a != a);
  y = undefined ? num(a, __builtin_nan("")) : y;
  const Mask<double> certain = (b == 0) | (a == one) | ((size == one) & (vabs(b) == infinity));
  return certain ? one : y;
}
inline Vec<float> vpow(Vec<float> a, Vec<float> b) {
  if (!any(b != 2.f)) return a * a;
  const Halves x = widen(a), y = widen(b);
  return narrow(power_for_float(x.low, y.low), power_for_float(x.high, y.high));
}
inline Vec<double> vpow(Vec<double> a, Vec<double> b) {
  if (!any(b != 2.0)) return a * a;
  return lanewise(a, b, [](double x, double y) { return pow(x, y); });
}

// A third of the exponent as a start, then two steps of Halley's iteration.
inline Vec<float> vcbrt(Vec<float> x) {
  const Vec<float> size = vabs(x);
  const Mask<float> tiny = size < 0x1p-126f;
  const Vec<float> a = tiny ? size * num(x, 0x1p24) : size;
  const Vec<float> third = __builtin_convertvector((Vec<int32_t>)a, Vec<float>) * num(x, 1 / 3.);
  Vec<float> t = (Vec<float>)(__builtin_convertvector(third, Vec<int32_t>) + 0x2a514067);
  for (int i = 0; i < 2; ++i) {
    const Vec<float> q = t * t * (t / a);
    t = t - t * ((q - num(x, 1)) / (q + q + num(x, 1)));
  }
  t = tiny ? t * num(x, 0x1p-8) : t;
  const Mask<float> itself = (Mask<float>)(x == 0) | ~(Mask<float>)(size < num(x, __builtin_inf()));
  return itself ? x : vcopysign(t, x);
}
inline Vec<double> vcbrt(Vec<double> x) {
  return lanewise(x, [](double a) { return cbrt(a); });
}

inline Vec<float> vhypot(Vec<float> a, Vec<float> b) {
  const Halves x = widen(a), y = widen(b);
  const Vec<float> out = narrow(vsqrt(x.low * x.low + y.low * y.low), vsqrt(x.high * x.high + y.high * y.high));
  const Vec<float> infinity = num(a, __builtin_inf());
  return (Mask<float>)(vabs(a) == infinity) | (Mask<float>)(vabs(b) == infinity) ? infinity : out;
}
inline Vec<double> vhypot(Vec<double> a, Vec<double> b) {
  return lanewise(a, b, [](double x, double y) { return hypot(x, y); });
}

}  // namespace
}  // namespace minimx
