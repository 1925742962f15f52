// What the kernels that only move data share: how much is worth a task, and copies of short runs.
#pragma once
#include <cstdint>
#include <cstring>

#include "../kernel.h"

namespace minimx {
namespace {

// Tasks for moving `bytes`: one below 64 KB, else at most six per thread and none under 32 KB.
inline int64_t pieces(const Context& context, int64_t bytes) {
  if (context.threads == 1 || bytes < 64 * 1024) return 1;
  const int64_t most = 6 * static_cast<int64_t>(context.threads);
  const int64_t wanted = bytes / (32 * 1024);
  return wanted < most ? wanted : most;
}

// memcpy of a run of any length without a call for the short ones: two moves that may overlap.
template <class Chunk>
inline void copy_ends(char* out, const char* in, int64_t bytes) {
  Chunk first, last;
  __builtin_memcpy(&first, in, sizeof first);
  __builtin_memcpy(&last, in + bytes - sizeof last, sizeof last);
  __builtin_memcpy(out, &first, sizeof first);
  __builtin_memcpy(out + bytes - sizeof last, &last, sizeof last);
}
template <class T>
inline void copy_run(T* out, const T* in, int64_t n) {
  typedef int64_t Two __attribute__((vector_size(16)));
  const int64_t bytes = n * static_cast<int64_t>(sizeof(T));
  char* to = reinterpret_cast<char*>(out);
  const char* from = reinterpret_cast<const char*>(in);
  if (bytes > 32)
    std::memcpy(to, from, static_cast<size_t>(bytes));
  else if (bytes >= 16)
    copy_ends<Two>(to, from, bytes);
  else if (bytes >= 8)
    copy_ends<int64_t>(to, from, bytes);
  else if (bytes >= 4)
    copy_ends<int32_t>(to, from, bytes);
  else
    for (int64_t i = 0; i < n; ++i) out[i] = in[i];
}

template <class T>
inline void fill_run(T* out, int64_t n, T value) {
  if (value == T{})
    std::memset(out, 0, static_cast<size_t>(n) * sizeof(T));
  else
    for (int64_t i = 0; i < n; ++i) out[i] = value;
}

}  // namespace
}  // namespace minimx
