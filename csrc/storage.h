// Memory of a device: blocks from a pool that asks for huge pages and keeps what it got, because fresh pages cost ten
// times more than the work done in them.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace minimx {

struct Device;

// One block of a device's memory; goes back to the device's pool (or to its owner) when the last reference is dropped.
class Storage {
 public:
  Storage(Device& device, size_t bytes);                                           // from the pool
  Storage(Device& device, void* data, size_t bytes, std::shared_ptr<void> owner);  // somebody else's memory
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  char* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device& device() const { return device_; }

  // Whoever writes into the block says so; who has lent it out (to NumPy, DLPack) cannot know, and says that.
  // (Two that write at once may count as one: the version is another than before all the same.)
  void touch() { version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
  void lend() { lent_.store(true, std::memory_order_relaxed); }
  // A number that stays the same as long as nothing was written; 0 when that cannot be known.
  uint64_t version() const {
    return lent_.load(std::memory_order_relaxed) ? 0 : version_.load(std::memory_order_relaxed);
  }

 private:
  Device& device_;
  char* data_;
  size_t bytes_;
  size_t block_;  // size of the pool's block; 0 for foreign memory
  std::shared_ptr<void> owner_;
  std::atomic<uint64_t> version_;
  std::atomic<bool> lent_{false};
};
using StoragePtr = std::shared_ptr<Storage>;

// Copies between any two devices; returns when the source may be changed again.
void copy_bytes(Device& to, void* dst, Device& from, const void* src, size_t bytes);

struct MemoryStats {
  int64_t held;         // bytes the pool has from the system
  int64_t used;         // bytes of it in live Storage objects
  int64_t peak;         // the largest `used` so far
  int64_t allocations;  // requests answered
  int64_t misses;       // requests that had to ask the system
};

}  // namespace minimx
