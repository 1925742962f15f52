// sample: reading images between their pixels, in float32 and float64.
#pragma once
#include "../kernel.h"

namespace minimx {

// bilinear_sampler                data, grid, out
// bilinear_sampler_data_gradient  dy, grid, ddata
// bilinear_sampler_grid_gradient  dy, data, grid, dgrid
//
// data is (images, channels, height, width), grid (images, 2, points): x and y from -1 (the first pixel) to 1 (the
// last one), out (images, channels, points). Each point is the mean of the four pixels around it, weighted by
// closeness; pixels outside of the image are 0.
struct SamplerArgs {
  int64_t images;
  int64_t channels;
  int64_t height;
  int64_t width;
  int64_t points;
};
MINIMX_ARGS(SamplerArgs, images, channels, height, width, points)

// deformable_columns                  data, offset, mask, columns
// deformable_columns_data_gradient    dcolumns, offset, mask, ddata
// deformable_columns_offset_gradient  dcolumns, data, offset, mask, doffset, dmask
//
// What a convolution sees through each of its windows when every tap is moved: columns is (channels, taps, images,
// out_height, out_width). The channels form `groups`; offset is (images, groups, taps, 2 (y, x), out_height,
// out_width), mask, which may be null, the same without the 2, and what the tap is multiplied by. With clamp = 1 a tap
// within the last row or column and the next is as if in it, and one above or left of the image is 0; otherwise pixels
// outside are 0 as in bilinear_sampler.
struct DeformableArgs {
  int64_t images;
  int64_t channels;
  int64_t height;
  int64_t width;
  int64_t groups;
  int64_t kernel_height;
  int64_t kernel_width;
  int64_t stride_height;
  int64_t stride_width;
  int64_t dilate_height;
  int64_t dilate_width;
  int64_t pad_height;
  int64_t pad_width;
  int64_t out_height;
  int64_t out_width;
  int64_t clamp;
};
MINIMX_ARGS(DeformableArgs, images, channels, height, width, groups, kernel_height, kernel_width, stride_height,
            stride_width, dilate_height, dilate_width, pad_height, pad_width, out_height, out_width, clamp)

}  // namespace minimx
