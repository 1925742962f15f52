// What arithmetic that is written once for both devices needs of this one; csrc/cpu/each.h is its twin.
#pragma once
#include "device.cuh"

#define ANYWHERE __host__ __device__

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

// Workers that share one item: the threads of a block.
struct Team {
  template <class F>
  __device__ void each(int64_t count, const F& f) const {
    for (int64_t i = threadIdx.x; i < count; i += cuda::kThreads) f(i);
    __syncthreads();
  }
  template <class F>
  __device__ void once(const F& f) const {
    if (threadIdx.x == 0) f();
    __syncthreads();
  }
  struct Smaller {
    __device__ int64_t operator()(int64_t a, int64_t b) const { return a < b ? a : b; }
  };
  template <class T, class F>
  __device__ int64_t best(int64_t count, T least, const F& f) const {
    T value = least;
    int64_t found = count;
    for (int64_t i = threadIdx.x; i < count; i += cuda::kThreads) {
      const T here = f(i);
      if (here > value) {
        value = here;
        found = i;
      }
    }
    const T top = cuda::fold_block(value, least, cuda::Larger());
    const int64_t first = cuda::fold_block(value == top ? found : count, count, Smaller());
    return first < count ? first : -1;
  }
  template <class T>
  __device__ void sort(const T* keys, int64_t* order, int64_t*, int64_t count) const {
    each(count, [&](int64_t i) {
      int64_t rank = 0;
      for (int64_t j = 0; j < count; ++j) rank += keys[j] > keys[i] || (keys[j] == keys[i] && j < i);
      order[rank] = i;
    });
  }
};

template <class One>
__global__ void run_teams(int64_t count, One one) {
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) one(Team{}, i);
}
template <class One>
void for_each_team(const Context& context, int64_t count, const One& one) {
  if (count == 0) return;
  const auto kernel = run_teams<One>;
  LAUNCH(kernel, cuda::blocks_for(count, 1), cuda::kThreads, 0, context)(count, one);
}

}  // namespace
}  // namespace minimx

// The entries of a kernel in both precisions.
#define TYPED(name, function, Args) \
  KERNEL(name ".float32", function<float>, Args), KERNEL(name ".float64", function<double>, Args)
