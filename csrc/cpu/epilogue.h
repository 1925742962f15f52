// The activations that ride on products and convolutions, applied to rows of a finished block while it is in the cache.
// The formulas are those of csrc/ewise.def, so that a rider gives what the elementwise kernel would have given.
#pragma once
#include "../args/epilogue.h"
#include "simd.h"
#include "vmath.h"

namespace minimx {
namespace {

template <class T, class F>
inline void map_row(T* p, int64_t n, F f) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(p + i, f(load(p + i)));
  if (i < n) store_part(p + i, f(load_part(p + i, static_cast<int>(n - i))), static_cast<int>(n - i));
}

template <class T>
inline void activate(T* p, int64_t stride, int64_t rows, int64_t columns, int64_t activation) {
  using V = Vec<T>;
  if (stride == columns) {
    columns *= rows;
    rows = 1;
  }
  for (int64_t r = 0; r < rows; ++r, p += stride) {
    switch (activation) {
      case kRelu:
        map_row(p, columns, [](V a) { return vmaximum(a, num(a, 0)); });
        break;
      case kSigmoid:
        map_row(p, columns, [](V a) { return vsigmoid(a); });
        break;
      case kTanh:
        map_row(p, columns, [](V a) { return vtanh(a); });
        break;
      case kSoftrelu:
        map_row(p, columns, [](V a) { return vsoftrelu(a); });
        break;
      case kSoftsign:
        map_row(p, columns, [](V a) { return a / (num(a, 1) + vabs(a)); });
        break;
      default:
        break;
    }
  }
}

}  // namespace
}  // namespace minimx
