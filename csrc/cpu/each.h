// What arithmetic that is written once for both devices needs of this one; csrc/cuda/each.cuh is its twin.
//
// A kernel is a struct whose operator(), marked EACH_DEVICE (defined after including this), computes one item; what
// runs it for all items is below.
#pragma once
#include <math.h>

#include "cuts.h"

#define ANYWHERE

namespace minimx {
namespace {

constexpr bool kOnGpu = false;  // a thread for each item there, so that items should be small

template <class T>
inline T* operand(void* const* buffers, int i, const Context&) {
  return static_cast<T*>(buffers[i]);
}

// How many pieces `count` items, each of about `cost` operations, are cut into.
inline int64_t pieces_of(const Context& context, int64_t count, int64_t cost) {
  const int64_t work = count * cost / 32768 + 1, most = most_tasks(context);
  const int64_t wanted = work < most ? work : most;
  return context.threads == 1 || count == 0 ? 1 : wanted < count ? wanted : count;
}

// one(i) for every i below `count`.
template <class One>
void for_each(const Context& context, int64_t count, const One& one, int64_t cost = 16) {
  const int64_t pieces = pieces_of(context, count, cost);
  parallel(context, pieces, [&](int64_t piece, int) {
    const int64_t last = count * (piece + 1) / pieces;
    for (int64_t i = count * piece / pieces; i < last; ++i) one(i);
  });
}

// one(plane, item) for every item of every plane. Items of one plane may `add` to the same number.
template <class One>
void for_each_in_planes(const Context& context, int64_t planes, int64_t items, const One& one, int64_t cost = 16) {
  for_each(
      context, planes,
      [&](int64_t plane) {
        for (int64_t item = 0; item < items; ++item) one(plane, item);
      },
      items * cost);
}

template <class T>
inline void add(T* to, T value) {
  *to += value;
}

template <class T>
void fill_zero(const Context& context, T* out, int64_t count) {
  for_each(context, count, [=](int64_t i) { out[i] = 0; }, 1);
}

// Workers that share one item: here one alone. All of a team do the same calls; what `each` and `once` wrote is there
// for all of them afterwards.
struct Team {
  template <class F>
  void each(int64_t count, const F& f) const {
    for (int64_t i = 0; i < count; ++i) f(i);
  }
  template <class F>
  void once(const F& f) const {
    f();
  }
  // The first i with the largest f(i), or -1 when none is above `least`.
  template <class T, class F>
  int64_t best(int64_t count, T least, const F& f) const {
    int64_t found = -1;
    for (int64_t i = 0; i < count; ++i) {
      const T value = f(i);
      if (value > least) {
        least = value;
        found = i;
      }
    }
    return found;
  }
  // The numbers of `count` keys from the largest down, equal ones in order; none is NaN. `work` has room for `count`.
  template <class T>
  void sort(const T* keys, int64_t* order, int64_t* work, int64_t count) const {
    constexpr int64_t kShort = 16;
    for (int64_t start = 0; start < count; start += kShort)
      for (int64_t i = start; i < count && i < start + kShort; ++i) {
        int64_t at = i;
        for (; at > start && keys[order[at - 1]] < keys[i]; --at) order[at] = order[at - 1];
        order[at] = i;
      }
    for (int64_t length = kShort; length < count; length *= 2) {
      for (int64_t start = 0; start < count; start += 2 * length) {
        const int64_t middle = start + length < count ? start + length : count;
        const int64_t end = middle + length < count ? middle + length : count;
        int64_t a = start, b = middle;
        for (int64_t to = start; to < end; ++to)
          work[to] = b >= end || (a < middle && keys[order[a]] >= keys[order[b]]) ? order[a++] : order[b++];
      }
      for (int64_t i = 0; i < count; ++i) order[i] = work[i];
    }
  }
};

// one(team, i) for every i below `count`.
template <class One>
void for_each_team(const Context& context, int64_t count, const One& one) {
  parallel(context, count, [&](int64_t i, int) { one(Team{}, i); });
}

}  // namespace
}  // namespace minimx

// The entries of a kernel in both precisions.
#define TYPED(name, function, Args) \
  KERNEL(name ".float32", function<float>, Args), KERNEL(name ".float64", function<double>, Args)
