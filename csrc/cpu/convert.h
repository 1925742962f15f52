// Runs of elements of any storage type, to and from the type a kernel computes in.
#pragma once
#include "../kernel.h"
#include "simd.h"

namespace minimx {
namespace {

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};
struct Bool {
  uint8_t value;
};

inline uint32_t bits_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float float_of(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

// The product moves the exponent and makes subnormal halves normal floats; only infinity and NaN need their exponent.
inline float half_to_float(uint16_t half) {
  const uint32_t size = half & 0x7fffu;
  const uint32_t bits = bits_of(float_of(size << 13) * 0x1p112f) | (size >= 0x7c00u ? 0x7f800000u : 0u);
  return float_of(bits | (half & 0x8000u) << 16);
}

// Rounds halves to even. A result below the normal halves is rounded by adding 1/2, whose last place is theirs.
inline uint16_t float_to_half(float x) {
  const uint32_t bits = bits_of(x), size = bits & 0x7fffffffu;
  const uint32_t normal = (size + 0xfffu + ((size >> 13) & 1u) - (112u << 23)) >> 13;
  const uint32_t small = bits_of(float_of(size) + 0.5f) - bits_of(0.5f);
  uint32_t half = size < 0x38800000u ? small : normal;
  half = size >= 0x477ff000u ? 0x7c00u : half;
  half = size > 0x7f800000u ? 0x7e00u : half;
  return static_cast<uint16_t>(half | (bits >> 16 & 0x8000u));
}

inline float bfloat16_to_float(uint16_t x) { return float_of(static_cast<uint32_t>(x) << 16); }
// The upper half of a float's bits, rounded to even. Bits are a number or a vector of them.
template <class Bits>
inline Bits bfloat16_bits(Bits bits) {
  const Bits rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return (bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : rounded;
}
inline uint16_t float_to_bfloat16(float x) { return static_cast<uint16_t>(bfloat16_bits(bits_of(x))); }

template <class T, class S>
inline T from_stored(S x) {
  return static_cast<T>(x);
}
template <class T>
inline T from_stored(Half x) {
  return static_cast<T>(half_to_float(x.bits));
}
template <class T>
inline T from_stored(BFloat16 x) {
  return static_cast<T>(bfloat16_to_float(x.bits));
}
template <class T>
inline T from_stored(Bool x) {
  return static_cast<T>(x.value != 0);
}

// Towards zero; a number too large for a small integer type keeps its low bits.
template <class S, class T>
struct Stored {
  static S from(T x) {
    if constexpr (sizeof(S) == 1 && T(0.5) != 0)
      return static_cast<S>(static_cast<int32_t>(x));
    else
      return static_cast<S>(x);
  }
};
template <class T>
struct Stored<Half, T> {
  static Half from(T x) { return {float_to_half(static_cast<float>(x))}; }
};
template <class T>
struct Stored<BFloat16, T> {
  static BFloat16 from(T x) { return {float_to_bfloat16(static_cast<float>(x))}; }
};
template <class T>
struct Stored<Bool, T> {
  static Bool from(T x) { return {static_cast<uint8_t>(x != 0)}; }
};

// Half runs of floats, eight at a time where the processor converts them; returns how many are done.
template <class T, class S>
inline int64_t load_fast(T*, const S*, int64_t) {
  return 0;
}
template <class T, class S>
inline int64_t store_fast(S*, const T*, int64_t) {
  return 0;
}
#if defined(__F16C__)
inline int64_t load_fast(float* to, const Half* from, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  return i;
}
inline int64_t store_fast(Half* to, const float* from, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), 0));
  return i;
}
#endif

// to[i] = from[i * stride]; stride counts elements.
template <class T, class S>
void load_run(T* to, const void* data, int64_t stride, int64_t n) {
  const S* from = static_cast<const S*>(data);
  if (stride == 1) {
    for (int64_t i = load_fast(to, from, n); i < n; ++i) to[i] = from_stored<T>(from[i]);
  } else if (stride == 0) {
    const T value = from_stored<T>(*from);
    for (int64_t i = 0; i < n; ++i) to[i] = value;
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = from_stored<T>(from[i * stride]);
  }
}

template <class T, class S>
void store_run(void* data, const T* from, int64_t n) {
  S* to = static_cast<S*>(data);
  for (int64_t i = store_fast(to, from, n); i < n; ++i) to[i] = Stored<S, T>::from(from[i]);
}

// What is known of a storage type, for a compute type T.
template <class T>
struct Conversion {
  int64_t bytes;
  void (*load)(T* to, const void* from, int64_t stride, int64_t n);
  void (*store)(void* to, const T* from, int64_t n);
};
template <class T, class S>
constexpr Conversion<T> kConversion = {sizeof(S), load_run<T, S>, store_run<T, S>};

template <class T>
inline const Conversion<T>& conversion(int64_t dtype) {
  switch (dtype) {
    case kFloat64:
      return kConversion<T, double>;
    case kFloat16:
      return kConversion<T, Half>;
    case kUint8:
      return kConversion<T, uint8_t>;
    case kInt32:
      return kConversion<T, int32_t>;
    case kInt8:
      return kConversion<T, int8_t>;
    case kInt64:
      return kConversion<T, int64_t>;
    case kBool:
      return kConversion<T, Bool>;
    case kBFloat16:
      return kConversion<T, BFloat16>;
    default:
      return kConversion<T, float>;
  }
}

template <class T>
constexpr DType kDType = kFloat32;
template <>
constexpr DType kDType<double> = kFloat64;
template <>
constexpr DType kDType<int32_t> = kInt32;
template <>
constexpr DType kDType<int64_t> = kInt64;

}  // namespace
}  // namespace minimx
