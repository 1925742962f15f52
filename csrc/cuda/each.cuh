// What arithmetic that is written once for both devices needs of this one; csrc/cpu/each.h is its twin.
#pragma once
#include "device.cuh"

namespace minimx {
namespace {

constexpr bool kOnGpu = true;

template <class T>
T* operand(void* const* buffers, int i, const Context& context) {
  return cuda::output<T>(buffers, i, context);
}

template <class One>
__global__ void run_items(int64_t count, One one) {
  for (int64_t i = cuda::first_item(); i < count; i += cuda::item_stride()) one(i);
}
template <class One>
void for_each(const Context& context, int64_t count, const One& one, int64_t = 0) {
  if (count == 0) return;
  const auto kernel = run_items<One>;
  LAUNCH(kernel, cuda::blocks_for(count), cuda::kThreads, 0, context)(count, one);
}

template <class One>
__global__ void run_plane_items(int64_t count, int64_t items, One one) {
  for (int64_t i = cuda::first_item(); i < count; i += cuda::item_stride()) one(i / items, i % items);
}
template <class One>
void for_each_in_planes(const Context& context, int64_t planes, int64_t items, const One& one, int64_t = 0) {
  if (planes * items == 0) return;
  const auto kernel = run_plane_items<One>;
  LAUNCH(kernel, cuda::blocks_for(planes * items), cuda::kThreads, 0, context)(planes * items, items, one);
}

template <class T>
__device__ inline void add(T* to, T value) {
  atomicAdd(to, value);
}

template <class T>
void fill_zero(const Context& context, T* out, int64_t count) {
  cuda::launch_set_all(out, T(0), count, context);
}

}  // namespace
}  // namespace minimx

// The entries of a kernel in both precisions.
#define TYPED(name, function, Args) \
  KERNEL(name ".float32", function<float>, Args), KERNEL(name ".float64", function<double>, Args)
