// The driver of the emulated device: MINIMX_EMULATE=2 gives this process gpu(0) and gpu(1).
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "../device.h"
#include "emulate.h"
#include "families_cuda.inc"
#include "memory.h"

namespace minimx {

namespace cuda {
#define DECLARE_FAMILY(family) extern const KernelTable family##_kernels;
MINIMX_CUDA_FAMILIES(DECLARE_FAMILY)
}  // namespace cuda

namespace {

constexpr size_t kDeviceBytes = size_t{16} << 30;  // address space, not memory
constexpr size_t kAlignment = 256;                 // cudaMalloc's
constexpr size_t kGuard = 256;                     // after every block; found changed when the block is released
constexpr unsigned char kGuardByte = 0xA5;
constexpr unsigned char kPoison = 0xFF;  // NaN as float or double
constexpr int kMaxDevices = 8;
constexpr size_t kHugePage = size_t{2} << 20;  // opening and closing costs a step for every page in use

// One device's memory: a reserved range, its free pieces by address, and who has it open.
struct Region {
  std::mutex mutex;
  char* base = nullptr;
  std::map<char*, size_t> free;
  size_t top = 0;  // bytes from base that have ever been handed out
  int open = 0;
};
Region regions[kMaxDevices];  // a stream is the address of its device's region

Region& region_of(const void* stream) { return *static_cast<Region*>(const_cast<void*>(stream)); }

void protect(Region& region, int access) {
  if (region.top && mprotect(region.base, region.top, access) != 0)
    throw std::runtime_error("the emulated device cannot change the access to its memory");
}

size_t block_bytes(size_t bytes) { return (bytes + kGuard + kAlignment - 1) / kAlignment * kAlignment; }

void* allocate(size_t bytes, void* stream) {
  Region& region = region_of(stream);
  const size_t size = block_bytes(bytes);
  char* block = nullptr;
  {
    std::lock_guard<std::mutex> lock(region.mutex);
    auto piece = std::find_if(region.free.begin(), region.free.end(), [&](const auto& p) { return p.second >= size; });
    if (piece == region.free.end()) return nullptr;
    block = piece->first;
    const size_t rest = piece->second - size;
    region.free.erase(piece);
    if (rest) region.free[block + size] = rest;
    const size_t end = (static_cast<size_t>(block - region.base) + size + kHugePage - 1) / kHugePage * kHugePage;
    if (end > region.top) {
      if (region.open) mprotect(region.base + region.top, end - region.top, PROT_READ | PROT_WRITE);
      region.top = end;
    }
  }
  const emulate::OpenMemory open(stream);
  std::memset(block, kPoison, bytes);
  std::memset(block + bytes, kGuardByte, size - bytes);
  return block;
}

void release(void* data, size_t bytes, void* stream) {
  Region& region = region_of(stream);
  char* block = static_cast<char*>(data);
  size_t size = block_bytes(bytes);
  {
    const emulate::OpenMemory open(stream);
    for (size_t i = bytes; i < size; ++i)
      if (static_cast<unsigned char>(block[i]) != kGuardByte)
        throw std::logic_error("emulated device: a write past the end of a block of " + std::to_string(bytes) +
                               " bytes");
    std::memset(block, kPoison, bytes);  // who still reads it, reads NaN
  }
  std::lock_guard<std::mutex> lock(region.mutex);
  auto next = region.free.lower_bound(block);
  if (next != region.free.end() && block + size == next->first) {
    size += next->second;
    next = region.free.erase(next);
  }
  if (next != region.free.begin() && std::prev(next)->first + std::prev(next)->second == block)
    std::prev(next)->second += size;
  else
    region.free[block] = size;
}

void to_device(void* dst, const void* src, size_t bytes, void* stream) {
  const emulate::OpenMemory open(stream);
  std::memcpy(dst, src, bytes);
}
void to_host(void* dst, const void* src, size_t bytes, void* stream) { to_device(dst, src, bytes, stream); }

void on_device(void* dst, const void* src, size_t bytes, void* stream, void* src_stream) {
  const emulate::OpenMemory open(stream), open_source(src_stream);
  std::memmove(dst, src, bytes);
}

void wait(void*) {}

void memory(int64_t* free_bytes, int64_t* total_bytes, void* stream) {
  Region& region = region_of(stream);
  std::lock_guard<std::mutex> lock(region.mutex);
  *free_bytes = 0;
  for (const auto& [address, size] : region.free) *free_bytes += static_cast<int64_t>(size);
  *total_bytes = kDeviceBytes;
}

void* make_stream(int id) {
  Region& region = regions[id];
  if (!region.base) {
    const size_t bytes = kDeviceBytes + kHugePage;
    void* base = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) throw std::runtime_error("no address space for the emulated device");
    region.base = static_cast<char*>(base) + kHugePage - reinterpret_cast<uintptr_t>(base) % kHugePage;
#ifdef MADV_HUGEPAGE
    madvise(region.base, kDeviceBytes, MADV_HUGEPAGE);
#endif
    region.free[region.base] = kDeviceBytes;
  }
  return &region;
}

const Driver driver = {allocate, release, to_device, to_host, on_device, wait, memory};

#define ADDRESS(family) &cuda::family##_kernels,
const KernelTable* const tables[] = {MINIMX_CUDA_FAMILIES(ADDRESS)};

}  // namespace

Gpu emulated_gpu(int devices) {
  if (devices > kMaxDevices)
    throw std::invalid_argument("MINIMX_EMULATE: at most " + std::to_string(kMaxDevices) + " devices");
  return {&driver, tables, static_cast<int>(std::size(tables)), devices, make_stream};
}

}  // namespace minimx

namespace emulate {

OpenMemory::OpenMemory(const void* stream) : stream_(stream) {
  minimx::Region& region = minimx::region_of(stream);
  std::lock_guard<std::mutex> lock(region.mutex);
  if (region.open++ == 0) minimx::protect(region, PROT_READ | PROT_WRITE);
}

OpenMemory::~OpenMemory() {
  minimx::Region& region = minimx::region_of(stream_);
  std::lock_guard<std::mutex> lock(region.mutex);
  if (--region.open == 0) mprotect(region.base, region.top, PROT_NONE);
}

bool owns(const void* stream, const void* pointer) {
  const minimx::Region& region = minimx::region_of(stream);
  const char* p = static_cast<const char*>(pointer);
  return p >= region.base && p < region.base + region.top;
}

}  // namespace emulate
