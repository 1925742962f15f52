// CUDA's execution model on the host, so that every .cu file of this directory also runs, and is tested, without a GPU.
//
// A launch runs its blocks one after the other; the threads of a block are fibres that switch at barriers and shuffles.
// MINIMX_EMULATE_ORDER (ascending, descending or shuffled) says which blocks go first, and which of the runnable
// threads: that one runs as far as it can. A kernel whose result depends on the order lacks a barrier. Shared memory is
// filled with NaN bytes when a block starts, and what CUDA leaves undefined is an error here: a barrier that not every
// thread reaches, a shuffle with a lane that is not there, a write past a shared array, a pointer that is not this
// device's memory, a launch beyond the limits.
//
// Kernels are written for nvcc with three spellings of our own: SHARED, DYNAMIC_SHARED and LAUNCH (see device.cuh).
#pragma once
#include <math.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../kernel.h"

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace emulate {

struct Thread {
  uint3 index;
  unsigned rank;  // in the block; rank / 32 is the warp, rank % 32 the lane
};
extern Thread* current;  // launches are serialised, so one of each is enough
extern uint3 block_index;
extern dim3 block_size, grid_size;

void barrier(const char* file, int line);

// All lanes of `mask` exchange eight bytes: gives lane `source`'s, or the own ones where `source` is out of 0..31.
uint64_t exchange(unsigned mask, uint64_t bytes, int source, const char* file, int line);
unsigned ballot(unsigned mask, bool vote, const char* file, int line);

void* shared_array(const void* key, size_t bytes);  // the block's array declared at `key`
void* dynamic_shared();

bool owns(const void* stream, const void* pointer);  // is this memory of the stream's device?
void run(dim3 grid, dim3 block, size_t shared, const void* stream, void (*body)(const void*), const void* state);
[[noreturn]] void foreign_pointer(const void* pointer);

template <class T>
void check_pointer(const void* stream, const T& argument) {
  if constexpr (std::is_pointer_v<T>)
    if (argument && !owns(stream, argument)) foreign_pointer(argument);
}

template <class... Parameters>
struct Launcher {
  void (*kernel)(Parameters...);
  dim3 grid, block;
  size_t shared;
  const void* stream;

  void operator()(std::remove_reference_t<Parameters>... arguments) const {
    (check_pointer(stream, arguments), ...);
    const auto call = [&] { kernel(arguments...); };
    run(grid, block, shared, stream, [](const void* state) { (*static_cast<const decltype(call)*>(state))(); }, &call);
  }
};
template <class... Parameters>
Launcher<Parameters...> launcher(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                                 const minimx::Context& context) {
  return {kernel, grid, block, shared, context.stream};
}

template <class T>
T exchange_value(unsigned mask, T value, int source, const char* file, int line) {
  static_assert(sizeof(T) <= 8);
  uint64_t bytes = 0;
  std::memcpy(&bytes, &value, sizeof value);
  bytes = exchange(mask, bytes, source, file, line);
  std::memcpy(&value, &bytes, sizeof value);
  return value;
}

// The lane that `offset` lanes of a `width`-wide segment lead to, or -1 (the own value) past its end.
inline int lane_down(int offset, int width) {
  const int lane = static_cast<int>(current->rank % 32);
  return lane % width + offset < width ? lane + offset : -1;
}
inline int lane_up(int offset, int width) {
  const int lane = static_cast<int>(current->rank % 32);
  return lane % width >= offset ? lane - offset : -1;
}
inline int lane_xor(int bits, int width) {
  const int lane = static_cast<int>(current->rank % 32);
  return lane / width == (lane ^ bits) / width ? lane ^ bits : -1;
}
inline int lane_at(int source, int width) {
  return static_cast<int>(current->rank % 32) / width * width + source % width;
}

}  // namespace emulate

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define threadIdx (::emulate::current->index)
#define blockIdx (::emulate::block_index)
#define blockDim (::emulate::block_size)
#define gridDim (::emulate::grid_size)

#define EMULATE_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
inline void __syncthreads(EMULATE_SITE) { ::emulate::barrier(file, line); }
inline void __syncwarp(unsigned mask = ~0u, EMULATE_SITE) { ::emulate::exchange(mask, 0, -1, file, line); }
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, EMULATE_SITE) {
  return ::emulate::exchange_value(mask, value, ::emulate::lane_xor(bits, width), file, line);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned offset, int width = 32, EMULATE_SITE) {
  return ::emulate::exchange_value(mask, value, ::emulate::lane_down(static_cast<int>(offset), width), file, line);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned offset, int width = 32, EMULATE_SITE) {
  return ::emulate::exchange_value(mask, value, ::emulate::lane_up(static_cast<int>(offset), width), file, line);
}
template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATE_SITE) {
  return ::emulate::exchange_value(mask, value, ::emulate::lane_at(source, width), file, line);
}
inline unsigned __ballot_sync(unsigned mask, bool vote, EMULATE_SITE) {
  return ::emulate::ballot(mask, vote, file, line);
}
inline bool __any_sync(unsigned mask, bool vote, EMULATE_SITE) {
  return ::emulate::ballot(mask, vote, file, line) != 0;
}
inline bool __all_sync(unsigned mask, bool vote, EMULATE_SITE) {
  return ::emulate::ballot(mask, !vote, file, line) == 0;
}
#undef EMULATE_SITE

// Fibres switch only where they wait, so plain code is atomic.
template <class T>
inline T atomicAdd(T* address, std::common_type_t<T> value) {
  const T old = *address;
  *address = old + value;
  return old;
}
template <class T>
inline T atomicMax(T* address, std::common_type_t<T> value) {
  const T old = *address;
  *address = old < value ? value : old;
  return old;
}
template <class T>
inline T atomicMin(T* address, std::common_type_t<T> value) {
  const T old = *address;
  *address = value < old ? value : old;
  return old;
}
template <class T>
inline T atomicExch(T* address, std::common_type_t<T> value) {
  const T old = *address;
  *address = value;
  return old;
}
template <class T>
inline T atomicCAS(T* address, std::common_type_t<T> expected, std::common_type_t<T> value) {
  const T old = *address;
  if (old == expected) *address = value;
  return old;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }

#define SHARED(T, name, extent)     \
  using name##_array = T extent;    \
  static const char name##_key = 0; \
  name##_array& name = *static_cast<name##_array*>(::emulate::shared_array(&name##_key, sizeof(name##_array)))
#define DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::emulate::dynamic_shared())
#define LAUNCH(kernel, grid, block, shared, context) ::emulate::launcher(kernel, grid, block, shared, context)
