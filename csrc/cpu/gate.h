// The gradient of relu, as it rides on products and convolutions; the elementwise function if_greater rounds alike.
#pragma once
#include "simd.h"

namespace minimx {
namespace {

template <class V>
inline V gated(V gate, V x) {
  return (gate > 0 ? V{} + 1 : V{}) * x;
}

}  // namespace
}  // namespace minimx
