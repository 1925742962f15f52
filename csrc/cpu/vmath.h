// Mathematical functions of vectors: what csrc/ewise.def is written with, and what fused epilogues, softmax and the
// recurrent cells call.
//
// float is computed in vectors throughout, within 1 ulp (vexp) to 4 ulp; the polynomials are minimax fits on the
// reduced range named beside them. double has vectors for exp, log and what follows from them, and calls the C library
// lane by lane for the rest: it exists to check gradients, not to be fast. A NaN always comes out as NaN, so clamps are
// written with the constant as the chosen side.
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

// One or zero, by a comparison of vectors of a's type.
template <class V, class M>
inline V flag(V a, M mask) {
  return mask ? num(a, 1) : num(a, 0);
}

template <class M>
inline bool any(M mask) {
  const auto words = (Vec<int64_t>)mask;
  int64_t all = 0;
  for (int i = 0; i < kLanes<int64_t>; ++i) all |= words[i];
  return all != 0;
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
inline V vexp(V x) {
  const Reduced<V> k = reduce_exp(x);
  const V y = exp_rest(k.r) * (k.r * k.r) + k.r + num(x, 1);
  return y * k.scale1 * k.scale2;
}

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

inline Vec<float> vtanh(Vec<float> x) {
  Vec<float> size = vabs(x);
  size = size > 20.f ? num(x, 20) : size;
  const Vec<float> e = vexpm1(size + size);
  return vcopysign(e / (e + num(x, 2)), x);
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

inline Halves widen(Vec<float> a) {
  HalfFloats parts[2];
  __builtin_memcpy(parts, &a, sizeof a);
  return {__builtin_convertvector(parts[0], Vec<double>), __builtin_convertvector(parts[1], Vec<double>)};
}
inline Vec<float> narrow(Vec<double> low, Vec<double> high) {
  const HalfFloats parts[2] = {__builtin_convertvector(low, HalfFloats), __builtin_convertvector(high, HalfFloats)};
  Vec<float> out;
  __builtin_memcpy(&out, parts, sizeof out);
  return out;
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

// ---- trigonometry --------------------------------------------------------------------------------------------------

// x = quadrant * pi/2 + r, done in double: exact enough for every float up to kReducible.
constexpr float kReducible = 1e6f;

inline Vec<double> reduce_quadrant(Vec<double> x, HalfInts& quadrant) {
  const Vec<double> magic = num(x, 0x1.8p52);
  const Vec<double> rounded = x * num(x, 0.63661977236758134) + magic;
  const Vec<double> n = rounded - magic;
  quadrant = __builtin_convertvector((Vec<int64_t>)rounded, HalfInts);
  return (x - n * num(x, 0x1.921fb544p0)) - n * num(x, 0x1.0b4611a626331p-34);
}
inline Vec<float> reduce_quadrant(Vec<float> x, Vec<int32_t>& quadrant) {
  const Halves wide = widen(x);
  HalfInts parts[2];
  const Vec<double> low = reduce_quadrant(wide.low, parts[0]);
  const Vec<double> high = reduce_quadrant(wide.high, parts[1]);
  __builtin_memcpy(&quadrant, parts, sizeof quadrant);
  return narrow(low, high);
}

// Sine and cosine for |r| <= pi/4.
inline Vec<float> sin_near(Vec<float> r) {
  const Vec<float> z = r * r;
  return r + r * z * poly(z, -0.166666666, 0.00833332915, -0.000198392571, 2.71756919e-06);
}
inline Vec<float> cos_near(Vec<float> r) {
  const Vec<float> z = r * r;
  return num(r, 1) - z * num(r, 0.5) + z * z * poly(z, 0.0416666666, -0.00138888834, 2.47994369e-05, -2.72033462e-07);
}

inline Vec<float> sin_shifted(Vec<float> x, int shift) {
  Vec<int32_t> quadrant;
  const Vec<float> r = reduce_quadrant(x, quadrant);
  quadrant += shift;
  const Vec<float> y = (quadrant & 1) != 0 ? cos_near(r) : sin_near(r);
  return (Vec<float>)((Vec<int32_t>)y ^ ((quadrant & 2) << 30));
}
inline Vec<float> vsin(Vec<float> x) {
  if (any(vabs(x) > kReducible)) return lanewise(x, [](float a) { return sinf(a); });
  return x == 0 ? x : sin_shifted(x, 0);
}
inline Vec<float> vcos(Vec<float> x) {
  if (any(vabs(x) > kReducible)) return lanewise(x, [](float a) { return cosf(a); });
  return sin_shifted(x, 1);
}
inline Vec<float> vtan(Vec<float> x) {
  if (any(vabs(x) > kReducible)) return lanewise(x, [](float a) { return tanf(a); });
  Vec<int32_t> quadrant;
  const Vec<float> r = reduce_quadrant(x, quadrant), z = r * r;
  const Vec<float> t = r + r * z *
                               poly(z, 0.333333547, 0.133324968, 0.0540784585, 0.021187692, 0.0110782992,
                                    -0.000215472064, 0.00452581341);
  return x == 0 ? x : ((quadrant & 1) != 0 ? num(x, -1) / t : t);
}
inline Vec<double> vsin(Vec<double> x) {
  return lanewise(x, [](double a) { return sin(a); });
}
inline Vec<double> vcos(Vec<double> x) {
  return lanewise(x, [](double a) { return cos(a); });
}
inline Vec<double> vtan(Vec<double> x) {
  return lanewise(x, [](double a) { return tan(a); });
}

constexpr double kPi = 3.14159265358979323846;

// The arc tangent of numbers in [0, 1].
inline Vec<float> atan_near(Vec<float> u) {
  const Vec<float> z = u * u;
  return u + u * z *
                 poly(z, -0.333333019, 0.199986386, -0.142652446, 0.109575719, -0.0841944598, 0.0582343204,
                      -0.0314554694, 0.0110643152, -0.00182718468);
}
inline Vec<float> vatan(Vec<float> x) {
  const Vec<float> size = vabs(x), one = num(x, 1);
  const Vec<float> near = atan_near(size > one ? one / size : size);
  return vcopysign(size > one ? num(x, kPi / 2) - near : near, x);
}
inline Vec<double> vatan(Vec<double> x) {
  return lanewise(x, [](double a) { return atan(a); });
}

// The angle of the point (x, y).
inline Vec<float> vatan2(Vec<float> y, Vec<float> x) {
  const Vec<float> up = vabs(y), right = vabs(x);
  const Vec<float> large = up > right ? up : right, small = up > right ? right : up;
  Vec<float> ratio = small / large;
  ratio = up == right ? num(x, 1) : ratio;  // also when both are infinite
  ratio = small == 0 ? num(x, 0) : ratio;   // also when both are zero
  Vec<float> angle = atan_near(ratio);
  angle = up > right ? num(x, kPi / 2) - angle : angle;
  angle = (Vec<int32_t>)x < 0 ? num(x, kPi) - angle : angle;
  angle = vcopysign(angle, y);
  return (Mask<float>)(x != x) | (Mask<float>)(y != y) ? x + y : angle;
}
inline Vec<double> vatan2(Vec<double> y, Vec<double> x) {
  return lanewise(y, x, [](double a, double b) { return atan2(a, b); });
}

// asin(|x|) below 1/2; above it, half of what is missing to pi/2.
inline Vec<float> asin_part(Vec<float> size) {
  const Vec<float> z = size > 0.5f ? num(size, 0.5) * (num(size, 1) - size) : size * size;
  const Vec<float> s = size > 0.5f ? vsqrt(z) : size;
  return s + s * z * poly(z, 0.166666594, 0.0750054208, 0.0445093583, 0.0318736939, 0.0141801317, 0.0378911344);
}
inline Vec<float> vasin(Vec<float> x) {
  const Vec<float> size = vabs(x), p = asin_part(size);
  return vcopysign(size > 0.5f ? num(x, kPi / 2) - (p + p) : p, x);
}
inline Vec<float> vacos(Vec<float> x) {
  const Vec<float> p = asin_part(vabs(x));
  const Vec<float> far = x < 0 ? num(x, kPi) - (p + p) : p + p;
  return vabs(x) > 0.5f ? far : num(x, kPi / 2) - vcopysign(p, x);
}
inline Vec<double> vasin(Vec<double> x) {
  return lanewise(x, [](double a) { return asin(a); });
}
inline Vec<double> vacos(Vec<double> x) {
  return lanewise(x, [](double a) { return acos(a); });
}

// ---- error and gamma functions -------------------------------------------------------------------------------------

// Below 1 an odd polynomial, above it 1 - exp(log(erfc)) with the logarithm as a polynomial on [1, 4].
inline Vec<float> verf(Vec<float> x) {
  Vec<float> size = vabs(x);
  size = size > 4.f ? num(x, 4) : size;
  const Vec<float> z = size * size;
  const Vec<float> near = size * poly(z, 1.12837917, -0.376126258, 0.112835851, -0.0268538119, 0.00518832756,
                                      -0.000801019251, 7.85385768e-05);
  const Vec<float> log_rest = poly(size, 0.000188469563, -1.12958032, -0.63321638, -0.108422119, 0.025210352,
                                   -0.00420528939, 0.000441473597, -2.16976946e-05);
  return vcopysign(size < 1.f ? near : num(x, 1) - vexp(log_rest), x);
}
inline Vec<double> verf(Vec<double> x) {
  return lanewise(x, [](double a) { return erf(a); });
}

// erfinv(x) / x as a polynomial of w = -log(1 - x²) below 5, of sqrt(w) above.
inline Vec<float> verfinv(Vec<float> x) {
  const Vec<float> w = -vlog((num(x, 1) - x) * (num(x, 1) + x));
  const Vec<float> near = poly(w - num(x, 2.5), 1.50140936, 0.246640286, -0.00417738678, -0.00125274188, 0.000218344439,
                               -4.96334785e-06, -3.46270476e-06, 4.66170664e-07, 2.32326443e-08, -8.79105645e-09);
  const Vec<float> far =
      poly(vsqrt(w) - num(x, 3), 2.83297681, 1.00167492, 0.00944503429, -0.00763646585, 0.00568917912, -0.00360129013,
           0.00147924256, -4.93517268e-05, -0.000304836294, 0.000110574641);
  return vabs(x) == 1.f ? x * num(x, __builtin_inf()) : x * (w < 5.f ? near : far);
}

// Winitzki's estimate (two digits), then three steps of Halley's iteration.
inline double erfinv_scalar(double x) {
  const double size = fabs(x);
  if (!(size < 1)) return size == 1 ? x * __builtin_inf() : __builtin_nan("");
  const double l = log((1 - size) * (1 + size)), m = 2 / (kPi * 0.147) + l / 2;
  double y = sqrt(sqrt(m * m - l / 0.147) - m);
  for (int i = 0; i < 3; ++i) {
    const double miss = size > 0.5 ? (1 - size) - erfc(y) : erf(y) - size;
    const double step = miss * 0.88622692545275801 * exp(y * y);
    y -= step / (1 + y * step);
  }
  return copysign(y, x);
}
inline Vec<double> verfinv(Vec<double> x) { return lanewise(x, erfinv_scalar); }

inline Vec<float> vgamma(Vec<float> x) {
  return lanewise(x, [](float a) { return static_cast<float>(tgamma(static_cast<double>(a))); });
}
inline Vec<double> vgamma(Vec<double> x) {
  return lanewise(x, [](double a) { return tgamma(a); });
}

// The _r forms leave the C library's global sign alone, which threads would fight over.
inline Vec<float> vlgamma(Vec<float> x) {
  return lanewise(x, [](float a) {
    int sign;
    return lgammaf_r(a, &sign);
  });
}
inline Vec<double> vlgamma(Vec<double> x) {
  return lanewise(x, [](double a) {
    int sign;
    return lgamma_r(a, &sign);
  });
}

// Reflection for negative numbers, recurrence up to 10, then the asymptotic series.
inline double digamma_scalar(double x) {
  if (x == -__builtin_inf() || (x <= 0 && x == floor(x))) return __builtin_nan("");
  double y = 0;
  if (x < 0) {
    y = -kPi / tan(kPi * x);
    x = 1 - x;
  }
  for (; x < 10; x += 1) y -= 1 / x;
  const double z = 1 / (x * x);
  const double tail =
      z * (1 / 12. - z * (1 / 120. - z * (1 / 252. - z * (1 / 240. - z * (1 / 132. - z * (691 / 32760. - z / 12))))));
  return y + log(x) - 0.5 / x - tail;
}
inline Vec<float> vdigamma(Vec<float> x) {
  return lanewise(x, [](float a) { return static_cast<float>(digamma_scalar(a)); });
}
inline Vec<double> vdigamma(Vec<double> x) { return lanewise(x, digamma_scalar); }

}  // namespace
}  // namespace minimx
