// The driver of real GPUs, built by nvcc into minimx/_cuda; csrc/gpu.cpp opens it and asks what it found.
#include <cstring>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <string>

#include "../device.h"
#include "families_cuda.inc"
#include "stream.h"

namespace minimx {
namespace cuda {

#define DECLARE_FAMILY(family) extern const KernelTable family##_kernels;
MINIMX_CUDA_FAMILIES(DECLARE_FAMILY)

namespace {

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
}

void* allocate(size_t bytes, void* stream) {
  select(stream);
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // the pool will give memory back and ask again
    return nullptr;
  }
  check(status, "cudaMalloc");
  return data;
}

void release(void* data, size_t, void* stream) {
  select(stream);
  cudaFree(data);
}

void to_device(void* dst, const void* src, size_t bytes, void* stream) {
  check(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyHostToDevice, select(stream)), "copy to the device");
}

void to_host(void* dst, const void* src, size_t bytes, void* stream) {
  const cudaStream_t s = select(stream);
  check(cudaGetLastError(), "a launch before this point");  // a launch itself gives no answer
  check(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, s), "copy to the host");
  check(cudaStreamSynchronize(s), "a kernel or copy before this point");
}

void on_device(void* dst, const void* src, size_t bytes, void* stream, void* src_stream) {
  if (stream != src_stream) check(cudaStreamSynchronize(select(src_stream)), "a kernel or copy before this point");
  const cudaStream_t s = select(stream);
  check(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, s), "copy on the device");
  if (stream != src_stream) check(cudaStreamSynchronize(s), "copy between devices");
}

void wait(void* stream) {
  check(cudaStreamSynchronize(select(stream)), "a kernel or copy before this point");
  check(cudaGetLastError(), "a launch before this point");
}

void memory(int64_t* free_bytes, int64_t* total_bytes, void* stream) {
  select(stream);
  size_t free_now = 0, total = 0;
  check(cudaMemGetInfo(&free_now, &total), "cudaMemGetInfo");
  *free_bytes = static_cast<int64_t>(free_now);
  *total_bytes = static_cast<int64_t>(total);
}

void* make_stream(int id) {
  auto* made = new Stream{id, nullptr};  // lives as long as the process
  check(cudaSetDevice(id), "cudaSetDevice");
  check(cudaStreamCreateWithFlags(&made->stream, cudaStreamNonBlocking), "cudaStreamCreate");
  return made;
}

const Driver driver = {allocate, release, to_device, to_host, on_device, wait, memory};

#define ADDRESS(family) &family##_kernels,
const KernelTable* const tables[] = {MINIMX_CUDA_FAMILIES(ADDRESS)};

}  // namespace
}  // namespace cuda
}  // namespace minimx

extern "C" __attribute__((visibility("default"))) void minimx_open_cuda(minimx::Gpu* gpu) {
  using namespace minimx::cuda;
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) {  // no driver or no device
    cudaGetLastError();
    devices = 0;
  }
  *gpu = {&driver, tables, static_cast<int>(std::size(tables)), devices, make_stream};
}
