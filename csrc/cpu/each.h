// What arithmetic that is written once for both devices needs of this one; csrc/cuda/each.cuh is its twin.
//
// A kernel is a struct whose operator(), marked EACH_DEVICE (defined after including this), computes one item; what
// runs it for all items is below.
#pragma once
#include <math.h>

#include "../kernel.h"

namespace minimx {
namespace {

constexpr bool kOnGpu = false;  // a thread for each item there, so that items should be small

template <class T>
inline T* operand(void* const* buffers, int i, const Context&) {
  return static_cast<T*>(buffers[i]);
}

// How many pieces `count` items, each of about `cost` operations, are cut into.
inline int64_t pieces_of(const Context& context, int64_t count, int64_t cost) {
  const int64_t work = count * cost / 32768 + 1, most = 8 * static_cast<int64_t>(context.threads);
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

}  // namespace
}  // namespace minimx

// The entries of a kernel in both precisions.
#define TYPED(name, function, Args) \
  KERNEL(name ".float32", function<float>, Args), KERNEL(name ".float64", function<double>, Args)
