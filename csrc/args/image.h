// image_row: one row of a batch's image from two rows of a decoded one: blended, stretched, normalised, laid out.
#pragma once
#include "../kernel.h"

namespace minimx {

// Pixels are four bytes: up to three colours and one that may mean nothing. `lower` (0..256) is the weight of the
// second row in 256ths. Pixel x of the result is the blend of the pixels places[x] and places[x] + 1 with the weights
// in 2^-14 that stand, as pairs of int16 and four times each, in weights[8 x]. Both tables go on to a multiple of
// kImageStep pixels. Mirroring is a matter of the tables.
//
// Buffers: row, second row (both `columns` pixels), places (int32), weights (int16), scratch of columns + 8 pixels of
// eight bytes, out.
//   image_row.float32, .float16: `planes` planes, `plane` elements apart: (pixel - mean) * scale + add, after rounding
//     the pixel to a whole number.
//   image_row.uint8: planes of pixels.   image_row.int8: planes of pixel - mean, limited to the type.
//   image_row.pixels: four bytes a pixel, for what has to be done with whole images.
struct ImageRowArgs {
  int64_t width;
  int64_t columns;
  int64_t lower;
  int64_t planes;
  int64_t plane;
  Reals mean;
  Reals scale;
  Reals add;
};
MINIMX_ARGS(ImageRowArgs, width, columns, lower, planes, plane, mean, scale, add)

constexpr int64_t kImageStep = 16;

}  // namespace minimx
