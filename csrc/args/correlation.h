// correlation: how alike two images are at each place, for every displacement of the second; float32 and float64.
#pragma once
#include "../kernel.h"

namespace minimx {

// correlation           a, b, y
// correlation_gradient  dy, a, b, da, db
//
// a and b are (images, channels, height, width), seen with `pad` zeros around them; y is (images, (2·radius + 1)²,
// out_height, out_width). Number d of y's second axis displaces b by stride2·(d / (2·radius + 1) - radius) rows and
// stride2·(d % (2·radius + 1) - radius) columns; element (i, j) is the mean over kernel² pixels from (i, j)·stride1 +
// displacement on and over all channels of a·b, or with multiply = 0 of |a - b|.
struct CorrelationArgs {
  int64_t images;
  int64_t channels;
  int64_t height;
  int64_t width;
  int64_t out_height;
  int64_t out_width;
  int64_t kernel;
  int64_t displacement;
  int64_t radius;
  int64_t stride1;
  int64_t stride2;
  int64_t pad;
  int64_t multiply;
};
MINIMX_ARGS(CorrelationArgs, images, channels, height, width, out_height, out_width, kernel, displacement, radius,
            stride1, stride2, pad, multiply)

}  // namespace minimx
