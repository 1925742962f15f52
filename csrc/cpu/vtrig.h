// Sines, tangents and their inverses for vectors.
#pragma once
#include "vexplog.h"

namespace minimx {
namespace {

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
  HalfInts first, second;
  const Vec<double> low = reduce_quadrant(wide.low, first);
  const Vec<double> high = reduce_quadrant(wide.high, second);
  quadrant = (Vec<int32_t>)HalfCut::join((HalfFloats)first, (HalfFloats)second);
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

}  // namespace
}  // namespace minimx
