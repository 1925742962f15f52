// pack: places buffers of known lifetimes in one piece of memory.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

namespace minimx {

// A buffer of `bytes` that is used from call `first` to call `last`.
struct Lifetime {
  int64_t bytes;
  int64_t first;
  int64_t last;
};

// An offset for every lifetime, and how much memory they take together. They are placed in the order given, each at the
// lowest offset where it overlaps nothing that was placed before and is alive at the same time.
std::pair<std::vector<int64_t>, int64_t> pack(const std::vector<Lifetime>& lifetimes);

}  // namespace minimx
