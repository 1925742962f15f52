// Results written past the caches: large ones that would only push out what is still needed, and whose lines would be
// read first just to be overwritten. It pays for whole cache lines written at once, so results are made in a small
// piece of memory that stays in a cache and copied from there.
#pragma once
#include "move.h"
#include "simd.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kStreamBytes = int64_t{16} << 20;  // an output this large would only push others out of the caches
constexpr int64_t kLineBytes = 64;

// `to` is aligned to a vector of the level and `bytes` a multiple of one. They should be whole lines, or what follows
// at once should complete them.
inline void stream_lines(char* to, const char* from, int64_t bytes) {
#if defined(__AVX512F__)
  for (int64_t i = 0; i < bytes; i += 64)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_loadu_si512(from + i));
#elif defined(__AVX2__)
  for (int64_t i = 0; i < bytes; i += 32)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i),
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i)));
#else
  __builtin_memcpy(to, from, static_cast<size_t>(bytes));
#endif
}

// A run that starts and ends anywhere: its whole lines past the caches, the rest as usual.
template <class T>
inline void stream_run(T* to, const T* from, int64_t n) {
  const int64_t before = -reinterpret_cast<int64_t>(to) & (kLineBytes - 1), bytes = n * static_cast<int64_t>(sizeof(T));
  const int64_t head = before < bytes ? before / static_cast<int64_t>(sizeof(T)) : n;
  const int64_t lines = (bytes - head * static_cast<int64_t>(sizeof(T))) & -kLineBytes;
  const int64_t tail = head + lines / static_cast<int64_t>(sizeof(T));
  if (head) copy_run(to, from, head);
  stream_lines(reinterpret_cast<char*>(to + head), reinterpret_cast<const char*>(from + head), lines);
  if (tail < n) copy_run(to + tail, from + tail, n - tail);
}

// Before another thread may read what was written.
inline void finish_streams() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx
