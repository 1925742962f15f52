// Error and gamma functions of vectors.
#pragma once
#include "vtrig.h"

namespace minimx {
namespace {

// Below 1 an odd polynomial, above it 1 - exp(log(erfc)) with the logarithm as a polynomial on [1, 4].
inline Vec<float> verf(Vec<float> x) {
  Vec<float> size = vabs(x);
  size = size > 4.f ? num(x, 4) : size;
  const Vec<float> z = size * size;
  const Vec<float> near = size * poly(z, 1.12837917, -0.376126258, 0.112835851, -0.0268538119, 0.00518832756,
                                      -0.000801019251, 7.85385768e-05);
  const Vec<float> log_rest = poly(size, 0.000188469563, -1.12958032, -0.63321638, -0.108422119, 0.025210352,
                                   -0.00420528939, 0.000441473597, -2.16976946e-05);
  return vcopysign(size < 1.f ? near : num(x, 1) - exp_near(log_rest), x);
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

// log gamma(1 + t) on [-0.35, 0.65], log gamma(2 + t) on [-0.65, 1], log gamma(5.5 + t) on [-2.5, 2.5]: the zeros at 1
// and 2 are factors, so that the digits near them are right.
inline Vec<float> lgamma_one(Vec<float> t) {
  return t * poly(t, -0.577215667, 0.822466969, -0.400684759, 0.270585952, -0.207436966, 0.16948479, -0.142995937,
                  0.124854046, -0.119284381, 0.115765815, -0.0825629116, 0.0275038324);
}
inline Vec<float> lgamma_two(Vec<float> t) {
  return t * poly(t, 0.422784333, 0.322467037, -0.0673521452, 0.0205807134, -0.00738784295, 0.00289178356,
                  -0.0011809319, 0.000501078732, -0.000247121038, 0.000123357987, -3.30856241e-5);
}
inline Vec<float> lgamma_some(Vec<float> t) {
  return (t + num(t, 3.5)) * poly(t, 1.130804, 0.137225524, -0.0107298896, 0.00117935427, -0.000150073039,
                                  2.09294546e-5, -3.1087928e-6, 4.10113532e-7, -5.41331686e-8, 1.86339306e-8,
                                  -3.63661245e-9);
}
// Stirling's series, for x from 8 on, with the logarithm of x.
inline Vec<float> lgamma_many(Vec<float> x, Vec<float> log) {
  const Vec<float> u = num(x, 1) / x;
  return (x - num(x, 0.5)) * (log - num(x, 1)) +
         (num(x, 0.41893853320467274) + u * poly(u * u, 0.0833333333, -0.00277769891, 0.000780058302));
}

// Which of these there are is asked once for a vector: most arrays have numbers of one kind. The _r forms, for what is
// not positive, leave the C library's global sign alone, which threads would fight over.
inline Vec<float> vlgamma(Vec<float> x) {
  const Mask<float> small = x < 0.65f, large = x >= 8.f;
  const Vec<float> log = any((Mask<float>)small | (Mask<float>)large) ? vlog(x) : x;
  Vec<float> y = x;
  if (any(x < 1.35f)) {
    const Vec<float> one = lgamma_one(small ? x : x - num(x, 1));
    y = small ? one - log : one;
  }
  if (any((Mask<float>)(x >= 1.35f) & (Mask<float>)(x < 3.f))) {
    const Vec<float> two = lgamma_two(x - num(x, 2));
    y = x >= 1.35f ? two : y;
  }
  if (any((Mask<float>)(x >= 3.f) & ~large)) {
    const Vec<float> some = lgamma_some(x - num(x, 5.5));
    y = x >= 3.f ? some : y;
  }
  if (any(large)) {
    const Vec<float> many = lgamma_many(x, log);
    y = large ? many : y;
  }
  if (any(~(Mask<float>)(x > 0)))
    y = lanewise(x, y, [](float a, float found) {
      int sign;
      return a > 0 ? found : lgammaf_r(a, &sign);
    });
  return y;
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
