// Single elements of any storage type, to and from the type a kernel computes in; the same numbers as
// csrc/cpu/convert.h.
#pragma once
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

__device__ inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
__device__ inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// The product moves the exponent and makes subnormal halves normal floats; only infinity and NaN need their exponent.
__device__ inline float half_to_float(uint16_t half) {
  const uint32_t size = half & 0x7fffu;
  const uint32_t bits = bits_of(float_of(size << 13) * 0x1p112f) | (size >= 0x7c00u ? 0x7f800000u : 0u);
  return float_of(bits | (half & 0x8000u) << 16);
}
// Rounds halves to even. A result below the normal halves is rounded by adding 1/2, whose last place is theirs.
__device__ inline uint16_t float_to_half(float x) {
  const uint32_t bits = bits_of(x), size = bits & 0x7fffffffu;
  const uint32_t normal = (size + 0xfffu + ((size >> 13) & 1u) - (112u << 23)) >> 13;
  const uint32_t small = bits_of(float_of(size) + 0.5f) - bits_of(0.5f);
  uint32_t half = size < 0x38800000u ? small : normal;
  half = size >= 0x477ff000u ? 0x7c00u : half;
  half = size > 0x7f800000u ? 0x7e00u : half;
  return static_cast<uint16_t>(half | (bits >> 16 & 0x8000u));
}
__device__ inline uint16_t float_to_bfloat16(float x) {
  const uint32_t bits = bits_of(x);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16 | 0x40u) : rounded);
}

template <class T>
__device__ inline T load_as(const void* data, int64_t i, int64_t dtype) {
  switch (dtype) {
    case kFloat64:
      return static_cast<T>(static_cast<const double*>(data)[i]);
    case kFloat16:
      return static_cast<T>(half_to_float(static_cast<const uint16_t*>(data)[i]));
    case kUint8:
      return static_cast<T>(static_cast<const uint8_t*>(data)[i]);
    case kInt32:
      return static_cast<T>(static_cast<const int32_t*>(data)[i]);
    case kInt8:
      return static_cast<T>(static_cast<const int8_t*>(data)[i]);
    case kInt64:
      return static_cast<T>(static_cast<const int64_t*>(data)[i]);
    case kBool:
      return static_cast<T>(static_cast<const uint8_t*>(data)[i] != 0);
    case kBFloat16:
      return static_cast<T>(float_of(static_cast<uint32_t>(static_cast<const uint16_t*>(data)[i]) << 16));
    default:
      return static_cast<T>(static_cast<const float*>(data)[i]);
  }
}

// Towards zero; a number too large for a small integer type keeps its low bits.
template <class S, class T>
__device__ inline S small_integer(T x) {
  if constexpr (kReal<T>)
    return static_cast<S>(static_cast<int32_t>(x));
  else
    return static_cast<S>(x);
}
template <class T>
__device__ inline void store_as(void* data, int64_t i, int64_t dtype, T x) {
  switch (dtype) {
    case kFloat64:
      static_cast<double*>(data)[i] = static_cast<double>(x);
      break;
    case kFloat16:
      static_cast<uint16_t*>(data)[i] = float_to_half(static_cast<float>(x));
      break;
    case kUint8:
      static_cast<uint8_t*>(data)[i] = small_integer<uint8_t>(x);
      break;
    case kInt32:
      static_cast<int32_t*>(data)[i] = static_cast<int32_t>(x);
      break;
    case kInt8:
      static_cast<int8_t*>(data)[i] = small_integer<int8_t>(x);
      break;
    case kInt64:
      static_cast<int64_t*>(data)[i] = static_cast<int64_t>(x);
      break;
    case kBool:
      static_cast<uint8_t*>(data)[i] = x != 0;
      break;
    case kBFloat16:
      static_cast<uint16_t*>(data)[i] = float_to_bfloat16(static_cast<float>(x));
      break;
    default:
      static_cast<float*>(data)[i] = static_cast<float>(x);
  }
}

}  // namespace
}  // namespace cuda
}  // namespace minimx
