// What kernels on boxes share: how much two overlap, and dropping those that overlap a better one too much.
//
// Included after each.h or each.cuh.
#pragma once
#include "kernel.h"

namespace minimx {
namespace {

// Boxes side by side in memory, so that one is compared with many at once.
template <class T>
struct Boxes {
  T *left, *top, *right, *bottom, *kind, *alive;

  EACH_DEVICE static Boxes in(T* memory, int64_t n) {
    return {memory, memory + n, memory + 2 * n, memory + 3 * n, memory + 4 * n, memory + 5 * n};
  }
  EACH_DEVICE void set(int64_t i, T x1, T y1, T x2, T y2, T of_kind) const {
    left[i] = x1;
    top[i] = y1;
    right[i] = x2;
    bottom[i] = y2;
    kind[i] = of_kind;
    alive[i] = 1;
  }
};

template <class T>
EACH_DEVICE inline T positive(T x) {
  return x > 0 ? x : T(0);
}
template <class T>
EACH_DEVICE inline T larger(T a, T b) {
  return a > b ? a : b;
}
template <class T>
EACH_DEVICE inline T smaller(T a, T b) {
  return a < b ? a : b;
}

// Intersection over union. `more` is added to widths and heights: 1 where corners are pixels that belong to the box.
template <class T>
EACH_DEVICE inline T overlap(T l1, T t1, T r1, T b1, T l2, T t2, T r2, T b2, T more) {
  const T wide = positive(smaller(r1, r2) - larger(l1, l2) + more);
  const T high = positive(smaller(b1, b2) - larger(t1, t2) + more), common = wide * high;
  const T one = positive(r1 - l1 + more) * positive(b1 - t1 + more);
  const T whole = one + positive(r2 - l2 + more) * positive(b2 - t2 + more) - common;
  return whole > 0 ? common / whole : T(0);
}

// Drops what overlaps an earlier box of its kind too much; ends when `enough` are kept. `strict`: exactly the threshold
// is allowed.
template <class T>
EACH_DEVICE void suppress(const Team& team, const Boxes<T>& b, int64_t n, T threshold, bool any_kind, bool strict,
                          T more, int64_t enough) {
  int64_t kept = 0;
  for (int64_t i = 0; i < n && kept < enough; ++i) {
    if (b.alive[i] == 0) continue;
    ++kept;
    const T l = b.left[i], t = b.top[i], r = b.right[i], d = b.bottom[i], kind = b.kind[i];
    const int64_t first = i + 1;
    team.each(n - first, [&](int64_t k) {
      const int64_t j = first + k;
      const T much = overlap(l, t, r, d, b.left[j], b.top[j], b.right[j], b.bottom[j], more);
      const bool drop = (strict ? much > threshold : much >= threshold) && (any_kind || b.kind[j] == kind);
      b.alive[j] = drop ? T(0) : b.alive[j];
    });
  }
}

// How many of sorted keys stand before the first that is not above `least`.
template <class T>
EACH_DEVICE inline int64_t above(const T* keys, const int64_t* order, int64_t n, T least) {
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (keys[order[middle]] > least)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

template <class T>
EACH_DEVICE inline T nothing() {
  return static_cast<T>(-HUGE_VALF);
}

template <class T>
EACH_DEVICE inline void to_corners(const T* box, bool centre, T* corners) {
  const T x = box[0], y = box[1], w = box[2], h = box[3];
  corners[0] = centre ? x - w / 2 : x;
  corners[1] = centre ? y - h / 2 : y;
  corners[2] = centre ? x + w / 2 : w;
  corners[3] = centre ? y + h / 2 : h;
}

// Scratch: so many int64, then elements.
template <class T>
struct Scratch {
  int64_t* whole;
  T* parts;
  Scratch(void* const* b, int i, int64_t count, const Context& c)
      : whole(operand<int64_t>(b, i, c)), parts(reinterpret_cast<T*>(whole + count)) {}
};

}  // namespace
}  // namespace minimx
