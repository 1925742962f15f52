// Kernels with planted mistakes, and right ones beside them; `mistakes NAME` runs one on the emulated device and says
// "right", "wrong" or what the emulator complained about.
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "cuda/device.cuh"
#include "device.h"

namespace {

constexpr int kSize = 128;

template <bool Barrier>
__global__ void reverse(const float* in, float* out) {
  SHARED(float, tile, [kSize]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = in[i];
  if (Barrier) __syncthreads();
  out[i] = tile[kSize - 1 - i];
}

// Rotates three times; without the second barrier a fast thread overwrites what a slow one still has to read.
template <bool Barrier>
__global__ void rounds(const float* in, float* out) {
  SHARED(float, tile, [kSize]);
  const int i = static_cast<int>(threadIdx.x);
  float value = in[i];
  for (int round = 0; round < 3; ++round) {
    tile[i] = value;
    __syncthreads();
    value = tile[(i + 1) % kSize];
    if (Barrier) __syncthreads();
  }
  out[i] = value;
}

__global__ void reverse_dynamic(const float* in, float* out) {
  DYNAMIC_SHARED(float, tile);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = in[i];
  __syncthreads();
  out[i] = tile[kSize - 1 - i];
}

// The sum of all numbers, in every place.
__global__ void atomic(const float* in, float* out) {
  SHARED(float, total, [1]);
  if (threadIdx.x == 0) total[0] = 0;
  __syncthreads();
  atomicAdd(&total[0], in[threadIdx.x]);
  __syncthreads();
  out[threadIdx.x] = total[0];
}

__global__ void shuffle(const float* in, float* out) {
  const float value = in[threadIdx.x];
  const float total = minimx::cuda::fold_block(value, 0.f, minimx::cuda::Add());
  out[threadIdx.x] = __shfl_down_sync(minimx::cuda::kAllLanes, value, 1) + total;
}

// Right only where the lanes of a warp move together.
__global__ void lockstep(const float* in, float* out) {
  SHARED(float, tile, [kSize]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = in[i];
  out[i] = tile[i ^ 1];
}

__global__ void divergent_barrier(const float* in, float* out) {
  if (threadIdx.x < 40)
    __syncthreads();
  else
    __syncthreads();
  out[threadIdx.x] = in[threadIdx.x];
}
__global__ void early_return(const float* in, float* out) {
  if (threadIdx.x == 5) return;
  __syncthreads();
  out[threadIdx.x] = in[threadIdx.x];
}
__global__ void half_warp_shuffle(const float* in, float* out) {
  float value = in[threadIdx.x];
  if (threadIdx.x % 32 < 16) value = __shfl_xor_sync(minimx::cuda::kAllLanes, value, 1);
  out[threadIdx.x] = value;
}
__global__ void shared_overflow(const float* in, float* out) {
  SHARED(float, tile, [kSize]);
  tile[threadIdx.x + 1] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}
__global__ void block_overflow(const float* in, float* out) { out[threadIdx.x + 1] = in[threadIdx.x]; }
__global__ void copy(const float* in, float* out) { out[threadIdx.x] = in[threadIdx.x]; }

using Kernel = void (*)(const float*, float*);

float expected(const std::string& name, const std::vector<float>& in, int i) {
  if (name.rfind("reverse", 0) == 0) return in[kSize - 1 - i];
  if (name.rfind("rounds", 0) == 0) return in[(i + 3) % kSize];
  if (name == "lockstep") return in[i ^ 1];
  float total = 0;
  for (float x : in) total += x;
  if (name == "atomic") return total;
  return in[i % 32 == 31 ? i : i + 1] + total;
}

Kernel find(const std::string& name) {
  if (name == "reverse") return reverse<true>;
  if (name == "reverse-without-barrier") return reverse<false>;
  if (name == "rounds") return rounds<true>;
  if (name == "rounds-without-second-barrier") return rounds<false>;
  if (name == "reverse-dynamic" || name == "dynamic-overflow") return reverse_dynamic;
  if (name == "atomic") return atomic;
  if (name == "shuffle") return shuffle;
  if (name == "lockstep") return lockstep;
  if (name == "divergent-barrier") return divergent_barrier;
  if (name == "early-return") return early_return;
  if (name == "half-warp-shuffle") return half_warp_shuffle;
  if (name == "shared-overflow") return shared_overflow;
  if (name == "block-overflow") return block_overflow;
  return copy;
}

void run(const std::string& name) {
  const minimx::Gpu gpu = minimx::emulated_gpu(1);
  void* stream = gpu.make_stream(0);
  const minimx::Context context{1, nullptr, stream};
  constexpr size_t bytes = kSize * sizeof(float);
  std::vector<float> in(kSize), out(kSize);
  for (int i = 0; i < kSize; ++i) in[i] = static_cast<float>(i * i % 31);
  auto* from = static_cast<float*>(gpu.driver->allocate(bytes, stream));
  auto* to = static_cast<float*>(gpu.driver->allocate(bytes, stream));
  gpu.driver->to_device(from, in.data(), bytes, stream);
  if (name == "host-access") std::printf("%f\n", static_cast<double>(*from));
  const size_t shared = name == "reverse-dynamic" ? bytes : name == "dynamic-overflow" ? bytes - 4 : 0;
  LAUNCH(find(name), 1, name == "too-many-threads" ? 2048 : kSize, shared, context)
  (name == "host-pointer" ? in.data() : from, to);
  gpu.driver->to_host(out.data(), to, bytes, stream);
  gpu.driver->release(from, bytes, stream);
  gpu.driver->release(to, bytes, stream);
  bool right = true;
  for (int i = 0; i < kSize; ++i) right = right && out[i] == expected(name, in, i);
  std::puts(right ? "right" : "wrong");
}

}  // namespace

int main(int, char** arguments) {
  try {
    run(arguments[1]);
  } catch (const std::exception& error) {
    std::puts(error.what());
    return 1;
  }
}
