// Vectors of the level being compiled, through compiler vector extensions: one source for SSE2, AVX2+FMA, AVX-512 and
// NEON.
//
// Everything is in an unnamed namespace, so that no level's code can be merged with another's by the linker.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

// MINIMX_VECTOR_BYTES may be wider than the machine's registers: the compiler then splits every operation, which is how
// the 64-byte code paths are tested on machines without AVX-512.
#ifndef MINIMX_VECTOR_BYTES
#if defined(__AVX512F__)
#define MINIMX_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define MINIMX_VECTOR_BYTES 32
#else
#define MINIMX_VECTOR_BYTES 16
#endif
#endif

namespace minimx {
namespace {

constexpr int kVectorBytes = MINIMX_VECTOR_BYTES;

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(MINIMX_VECTOR_BYTES)));
  typedef T unaligned __attribute__((vector_size(MINIMX_VECTOR_BYTES), aligned(sizeof(T)), may_alias));
};
template <class T>
using Vec = typename VectorOf<T>::type;

// Lanes of a vector of T.
template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

// The integer that has the size of T: what comparisons of vectors of T give (all ones or zero per lane).
template <int Size>
struct IntOfSize;
template <>
struct IntOfSize<4> {
  using type = int32_t;
};
template <>
struct IntOfSize<8> {
  using type = int64_t;
};
template <class T>
using MaskInt = typename IntOfSize<sizeof(T)>::type;
template <class T>
using Mask = Vec<MaskInt<T>>;

template <class T>
inline Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VectorOf<T>::unaligned*>(p);
}
template <class T>
inline void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VectorOf<T>::unaligned*>(p) = v;
}

// The subtraction of zero folds to one broadcast; adding would not, because of -0.
template <class T>
inline Vec<T> splat(T x) {
  return x - Vec<T>{};
}

// All ones in the first n lanes.
template <class T>
inline Mask<T> first_lanes(int n) {
  Mask<T> lane;
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
  return lane < splat<MaskInt<T>>(static_cast<MaskInt<T>>(n));
}

// The first n < kLanes elements; the others are zero and untouched in memory.
template <class T>
inline Vec<T> load_part(const T* p, int n) {
#if defined(__AVX512F__) && MINIMX_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << n) - 1), p);
  else
    return (Vec<T>)_mm512_maskz_loadu_epi64(static_cast<__mmask8>((1u << n) - 1), p);
#elif defined(__AVX2__) && MINIMX_VECTOR_BYTES == 32
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm256_maskload_epi32(reinterpret_cast<const int*>(p), (__m256i)first_lanes<T>(n));
  else
    return (Vec<T>)_mm256_maskload_epi64(reinterpret_cast<const long long*>(p), (__m256i)first_lanes<T>(n));
#else
  Vec<T> v{};
  __builtin_memcpy(&v, p, static_cast<size_t>(n) * sizeof(T));
  return v;
#endif
}
template <class T>
inline void store_part(T* p, Vec<T> v, int n) {
#if defined(__AVX512F__) && MINIMX_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1u << n) - 1), (__m512i)v);
  else
    _mm512_mask_storeu_epi64(p, static_cast<__mmask8>((1u << n) - 1), (__m512i)v);
#elif defined(__AVX2__) && MINIMX_VECTOR_BYTES == 32
  // In halves: a masked store costs more than these branches, which go the same way all through a kernel.
  constexpr int half = kLanes<T> / 2;
  __m128i rest = _mm256_castsi256_si128((__m256i)v);
  if (n & half) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), rest);
    rest = _mm256_extracti128_si256((__m256i)v, 1);
    p += half;
  }
  if (half == 4 && (n & 2)) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), rest);
    rest = _mm_unpackhi_epi64(rest, rest);
    p += 2;
  }
  if (n & 1) __builtin_memcpy(p, &rest, sizeof(T));
#else
  __builtin_memcpy(p, &v, static_cast<size_t>(n) * sizeof(T));
#endif
}

// Lane-wise choice by a comparison's mask.
template <class V, class M>
inline V select(M mask, V yes, V no) {
  return mask ? yes : no;
}

// Like the C comparisons they are written as, these return b when either operand is NaN.
template <class V>
inline V vmin(V a, V b) {
  return a < b ? a : b;
}
template <class V>
inline V vmax(V a, V b) {
  return a > b ? a : b;
}

template <class T>
inline T lane_sum(Vec<T> v) {
  T total = v[0];
  for (int i = 1; i < kLanes<T>; ++i) total += v[i];
  return total;
}
template <class T>
inline T lane_max(Vec<T> v) {
  T best = v[0];
  for (int i = 1; i < kLanes<T>; ++i) best = v[i] > best ? v[i] : best;
  return best;
}

}  // namespace
}  // namespace minimx
