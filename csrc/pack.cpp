#include "pack.h"

#include <algorithm>

namespace minimx {

namespace {

struct Placed {
  int64_t start;
  int64_t end;
  int64_t first;
  int64_t last;
};

}  // namespace

std::pair<std::vector<int64_t>, int64_t> pack(const std::vector<Lifetime>& lifetimes) {
  std::vector<Placed> placed;  // in order of their starts
  placed.reserve(lifetimes.size());
  std::vector<int64_t> offsets;
  offsets.reserve(lifetimes.size());
  int64_t size = 0;
  for (const Lifetime& one : lifetimes) {
    int64_t at = 0;
    for (const Placed& other : placed) {
      if (other.last < one.first || other.first > one.last) continue;
      if (other.start - at >= one.bytes) break;
      at = std::max(at, other.end);
    }
    const Placed now{at, at + one.bytes, one.first, one.last};
    placed.insert(std::upper_bound(placed.begin(), placed.end(), now,
                                   [](const Placed& a, const Placed& b) { return a.start < b.start; }),
                  now);
    offsets.push_back(at);
    size = std::max(size, now.end);
  }
  return {offsets, size};
}

}  // namespace minimx
