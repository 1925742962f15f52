// What is done with whole images: resizing, affine maps, borders, colours. Results follow OpenCV's fixed-point
// arithmetic, because that is what made the pixels in MXNet.
#pragma once
#include "image.h"

namespace minimx {

// OpenCV's numbers for ways to interpolate; 9 and 10 are MXNet's.
enum Interpolation { kNearest = 0, kLinear = 1, kCubic = 2, kArea = 3, kLanczos = 4, kAuto = 9, kRandom = 10 };
// What `method` means for one image; `draw` is a random number in [0, 1).
int resolve_interpolation(int method, int64_t from_h, int64_t from_w, int64_t to_h, int64_t to_w, double draw);

// T is uint8_t, float or double.
template <class T>
void resize_pixels(const T* from, int64_t from_h, int64_t from_w, int64_t channels, T* to, int64_t to_h, int64_t to_w,
                   int method);
void resize_image(const Image& from, int64_t to_h, int64_t to_w, int method, Image& to);
void crop_image(const Image& from, int64_t top, int64_t left, int64_t h, int64_t w, Image& to);

// Pixel (x, y) of the result lies at m * (x, y, 1) in the source; `m` maps forwards (source to result), row by row.
void warp_affine(const Image& from, const double m[6], int64_t to_h, int64_t to_w, int method, uint8_t fill, Image& to);
void pad_image(const Image& from, int64_t by, uint8_t fill, Image& to);

// Colours of RGB or RGBX; gray images are left as they are where nothing else makes sense.
void scale_brightness(Image& image, double factor);
void scale_contrast(Image& image, double factor);
void scale_saturation(Image& image, double factor);
void shift_hls(Image& image, int h, int l, int s);  // h in units of two degrees
void add_colour(Image& image, double r, double g, double b);

}  // namespace minimx
