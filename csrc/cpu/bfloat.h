// Pairs of bfloat16 in vectors: their products, summed up in float32, and the ways between them and floats.
//
// dot_pairs is what AVX512_BF16 has an instruction for. It is the only thing here that a level without it computes in
// another way, and to the same bits but for numbers below the smallest normal one, which the instruction takes for
// zero.
#pragma once
#include "convert.h"
#include "simd.h"

namespace minimx {
namespace {

// Each 32 bits are two neighbours in memory, the first one in the lower half.
using Pairs = Vec<uint32_t>;
// As many bfloat16 as a vector has floats.
typedef uint16_t Bfloats __attribute__((vector_size(MINIMX_VECTOR_BYTES / 2)));

inline Vec<float> firsts(Pairs p) { return (Vec<float>)(p << 16); }
inline Vec<float> seconds(Pairs p) { return (Vec<float>)(p & 0xffff0000u); }

// sum + a's second · b's second + a's first · b's first, rounded after each sum: products are exact.
inline Vec<float> dot_pairs(Vec<float> sum, Pairs a, Pairs b) {
#if defined(__AVX512BF16__) && MINIMX_VECTOR_BYTES == 64
  return (Vec<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
  sum += seconds(a) * seconds(b);
  return sum + firsts(a) * firsts(b);
#endif
}

inline Vec<float> widened(Bfloats h) { return (Vec<float>)(__builtin_convertvector(h, Pairs) << 16); }
inline Bfloats narrowed(Vec<float> v) {
#if defined(__AVX512BF16__) && MINIMX_VECTOR_BYTES == 64
  return (Bfloats)_mm512_cvtneps_pbh((__m512)v);
#else
  return __builtin_convertvector(bfloat16_bits((Pairs)v), Bfloats);
#endif
}

// The first n bfloat16 at p, and zeros. They may begin at any even address.
template <class V>
inline V load_bfloat(const BFloat16* p, int64_t n = sizeof(V) / 2) {
  V v{};
  if (n >= static_cast<int64_t>(sizeof(V) / 2))
    __builtin_memcpy(&v, p, sizeof v);
  else
    __builtin_memcpy(&v, p, static_cast<size_t>(n) * 2);
  return v;
}
inline void store_bfloat(BFloat16* p, Bfloats h, int64_t n = kLanes<float>) {
  if (n == kLanes<float>)
    __builtin_memcpy(p, &h, sizeof h);
  else
    __builtin_memcpy(p, &h, static_cast<size_t>(n) * 2);
}
inline uint32_t load_pair(const BFloat16* p) {
  uint32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return pair;
}

// What numbers are computed in, by what they are stored as.
template <class S>
struct ComputedIn {
  using type = S;
};
template <>
struct ComputedIn<BFloat16> {
  using type = float;
};

// Pairs of neighbours in two rows, one above the other.
inline Pairs interleaved(Bfloats above, Bfloats below) {
  return __builtin_convertvector(above, Pairs) | __builtin_convertvector(below, Pairs) << 16;
}

}  // namespace
}  // namespace minimx
