#include "storage.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "device.h"

namespace minimx {

namespace {

// Blocks come in steps of an eighth of their power of two (64 bytes at least), so that sizes that differ by a little
// share blocks and at most an eighth is wasted.
size_t block_size(size_t bytes) {
  size_t step = 64;
  while (step * 16 <= bytes) step *= 2;
  return std::max<size_t>(64, (bytes + step - 1) / step * step);
}

}  // namespace

void* Pool::take(size_t bytes, size_t* block) {
  const size_t size = block_size(bytes);
  *block = size;
  std::lock_guard<std::mutex> lock(mutex_);
  ++stats_.allocations;
  void* data = nullptr;
  auto found = free_.find(size);
  if (found != free_.end() && !found->second.empty()) {
    data = found->second.back();
    found->second.pop_back();
  } else {
    ++stats_.misses;
    data = driver_.allocate(size, stream_);
    if (!data) {  // the cache may hold blocks of other sizes that the system could use again
      for (auto& [cached, blocks] : free_) {
        for (void* b : blocks) driver_.release(b, cached, stream_);
        stats_.held -= static_cast<int64_t>(cached * blocks.size());
      }
      free_.clear();
      data = driver_.allocate(size, stream_);
    }
    if (!data) {
      throw std::runtime_error("out of memory: asked for " + std::to_string(size) + " bytes while " +
                               std::to_string(stats_.used) + " are in use");
    }
    stats_.held += static_cast<int64_t>(size);
  }
  stats_.used += static_cast<int64_t>(size);
  stats_.peak = std::max(stats_.peak, stats_.used);
  return data;
}

void Pool::give(void* data, size_t block) {
  std::lock_guard<std::mutex> lock(mutex_);
  stats_.used -= static_cast<int64_t>(block);
  free_[block].push_back(data);
}

void Pool::empty_cache() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto& [size, blocks] : free_) {
    for (void* data : blocks) driver_.release(data, size, stream_);
    stats_.held -= static_cast<int64_t>(size * blocks.size());
  }
  free_.clear();
}

MemoryStats Pool::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

namespace {
// Versions of blocks are far apart, so that no two blocks that ever were have one in common.
uint64_t first_version() {
  static std::atomic<uint64_t> blocks{0};
  return (blocks.fetch_add(1, std::memory_order_relaxed) + 1) << 32;
}
}  // namespace

Storage::Storage(Device& device, size_t bytes) : device_(device), bytes_(bytes), version_(first_version()) {
  data_ = static_cast<char*>(device.pool.take(bytes, &block_));
}

Storage::Storage(Device& device, void* data, size_t bytes, std::shared_ptr<void> owner)
    : device_(device),
      data_(static_cast<char*>(data)),
      bytes_(bytes),
      block_(0),
      owner_(std::move(owner)),
      version_(first_version()),
      lent_(true) {}

Storage::~Storage() {
  if (block_) device_.pool.give(data_, block_);
}

void copy_bytes(Device& to, void* dst, Device& from, const void* src, size_t bytes) {
  if (bytes == 0) return;
  if (&to.driver == &from.driver) {
    to.driver.on_device(dst, src, bytes, to.context.stream, from.context.stream);
  } else if (from.type == "cpu") {
    to.driver.to_device(dst, src, bytes, to.context.stream);
  } else if (to.type == "cpu") {
    from.driver.to_host(dst, src, bytes, from.context.stream);
  } else {
    throw std::invalid_argument("no way to copy from " + from.type + " to " + to.type);
  }
}

}  // namespace minimx
