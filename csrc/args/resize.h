// resize: planes of another size: enlarged, interpolated or averaged; and the columns of a convolution. In float32 and
// float64.
#pragma once
#include "../kernel.h"

namespace minimx {

// upsample_nearest            x, y   every pixel becomes a square; out sizes are multiples of the in sizes
// bilinear_resize             x, y, scratch
// bilinear_resize_gradient    dy, dx, scratch
// adaptive_average            x, y   output o is the mean over floor(o·in/out) to ceil((o+1)·in/out) - 1
// adaptive_average_gradient   dy, dx
//
// x is (planes, in_height, in_width), y (planes, out_height, out_width). Between pixels, output o of `out` lies at
// o·(in-1)/(out-1) with align_corners = 1, else at (o+1/2)·in/out - 1/2, not below the first pixel nor beyond the last.
// Scratch: out_width·(2 int64 and 1 element).
struct ResizeArgs {
  int64_t planes;
  int64_t in_height;
  int64_t in_width;
  int64_t out_height;
  int64_t out_width;
  int64_t align_corners;
};
MINIMX_ARGS(ResizeArgs, planes, in_height, in_width, out_height, out_width, align_corners)

// im2col  image, columns   what each tap of the window sees, 0 outside of the image
// col2im  columns, image   the sum of what the columns hold for a pixel: the gradient of im2col
//
// image is (planes, in_depth, in_height, in_width), columns (planes, kernel..., out_depth, out_height, out_width).
// Arrays with fewer dimensions put ones in front.
struct ColumnsArgs {
  int64_t planes;
  int64_t in_depth;
  int64_t in_height;
  int64_t in_width;
  int64_t out_depth;
  int64_t out_height;
  int64_t out_width;
  int64_t kernel_depth;
  int64_t kernel_height;
  int64_t kernel_width;
  int64_t stride_depth;
  int64_t stride_height;
  int64_t stride_width;
  int64_t dilate_depth;
  int64_t dilate_height;
  int64_t dilate_width;
  int64_t pad_depth;
  int64_t pad_height;
  int64_t pad_width;
};
MINIMX_ARGS(ColumnsArgs, planes, in_depth, in_height, in_width, out_depth, out_height, out_width, kernel_depth,
            kernel_height, kernel_width, stride_depth, stride_height, stride_width, dilate_depth, dilate_height,
            dilate_width, pad_depth, pad_height, pad_width)

}  // namespace minimx
