// One number from all lanes of a vector.
#pragma once
#include "simd.h"

namespace minimx {
namespace {

// By halves: a short chain of operations, unlike lane_sum and lane_max, for loops that fold many short runs.
template <class T, class Join>
inline T fold_lanes(Vec<T> v, const Join& join) {
  T lanes[kLanes<T>];
  store<T>(lanes, v);
  for (int half = kLanes<T> / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] = join(lanes[i], lanes[i + half]);
  return lanes[0];
}

}  // namespace
}  // namespace minimx
