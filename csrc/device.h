// A device: where memory comes from, how bytes get in and out, and which kernels it has.
#pragma once
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernel.h"
#include "storage.h"
#include "threads.h"

namespace minimx {

// What a device's driver provides; plain functions, so that the CUDA half can live in a shared object of its own. The
// stream says which device is meant. The host may change `src` when to_device returns.
struct Driver {
  void* (*allocate)(size_t bytes, void* stream);  // null when there is none left
  void (*release)(void* data, size_t bytes, void* stream);
  void (*to_device)(void* dst, const void* src, size_t bytes, void* stream);
  void (*to_host)(void* dst, const void* src, size_t bytes, void* stream);  // waits
  void (*on_device)(void* dst, const void* src, size_t bytes, void* stream, void* src_stream);
  void (*wait)(void* stream);
  void (*memory)(int64_t* free_bytes, int64_t* total_bytes, void* stream);
};

// The gpu devices of this process, real or emulated; `devices` is 0 where there are none.
struct Gpu {
  const Driver* driver;
  const KernelTable* const* tables;
  int table_count;
  int devices;
  void* (*make_stream)(int id);
};
const Gpu& gpu();
Gpu emulated_gpu(int devices);

// Blocks given back, by size, kept for the next request.
class Pool {
 public:
  Pool(const Driver& driver, void* stream) : driver_(driver), stream_(stream) {}
  void* take(size_t bytes, size_t* block);
  void give(void* data, size_t block);
  void empty_cache();
  MemoryStats stats() const;

 private:
  const Driver& driver_;
  void* stream_;
  mutable std::mutex mutex_;
  std::unordered_map<size_t, std::vector<void*>> free_;
  MemoryStats stats_{};
};

struct Device {
  std::string type;  // "cpu" or "gpu"
  int id;
  const Driver& driver;
  std::unordered_map<std::string, const KernelEntry*> kernels;
  Context context;
  Pool pool;

  const KernelEntry* find(const std::string& name) const {
    auto it = kernels.find(name);
    return it == kernels.end() ? nullptr : it->second;
  }
  // What a kernel run now may use: on the CPU, as many threads as are wanted now.
  Context context_now() const {
    Context now = context;
    if (type == "cpu") now.threads = thread_count();
    return now;
  }
};

Device& device(const std::string& type, int id);  // throws std::invalid_argument when there is none
int device_count(const std::string& type);
const char* cpu_level();  // "baseline", "avx2", "avx512", "avx512bf16", "wide" or "neon"

}  // namespace minimx
