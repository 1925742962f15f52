// How work is cut into pieces.
#pragma once
#include <cstdint>

#include "../kernel.h"

namespace minimx {
namespace {

// As many tasks as a call may usefully have: cores that others use, too, are unequally fast, and a thread that is done
// early takes over tasks of another.
inline int64_t most_tasks(const Context& context) { return 24 * static_cast<int64_t>(context.threads); }

constexpr int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
// Where piece i of `parts` even ones begins.
constexpr int64_t begin_of(int64_t i, int64_t total, int64_t parts) { return i * total / parts; }

// Even pieces of at most `most`. Tiles are short: asking where one begins must not cost a division.
struct Cuts {
  int64_t count, size, larger;  // the first `larger` pieces have one more than `size`
  Cuts(int64_t total, int64_t most) : count(ceil_div(total, most)) {
    size = count ? total / count : 0;
    larger = total - size * count;
  }
  int64_t begin(int64_t i) const { return i * size + lesser(i, larger); }
};

}  // namespace
}  // namespace minimx
