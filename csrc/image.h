// Images in memory: decoding, encoding and what is done with pixels before they become a batch.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace minimx {

// What is wrong with an image, in one sentence without a full stop; whoever knows the file adds its name.
struct ImageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Rows of interleaved 8-bit samples without gaps. Colours are RGB; four channels are RGB and either alpha or nothing.
struct Image {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;

  void resize(int64_t h, int64_t w, int64_t c) {  // keeps memory, not contents
    height = h;
    width = w;
    channels = c;
    pixels.resize(static_cast<size_t>(h * w * c));
  }
  uint8_t* row(int64_t y) { return pixels.data() + y * width * channels; }
  const uint8_t* row(int64_t y) const { return pixels.data() + y * width * channels; }
};

enum class Format { jpeg, png, bmp, other };
Format image_format(const uint8_t* data, size_t bytes);

struct ImageInfo {
  int64_t height, width, channels;  // as stored
  int orientation;                  // EXIF's 1..8
};

// What a caller wants: gray, RGB, RGB with a fourth byte that means nothing, or as stored (for four channels: RGBA).
enum class Pixels { gray, rgb, rgbx, stored };

// The largest image that is read; the memory for the next power of two may not exist.
constexpr int64_t kMaxPixels = int64_t{1} << 28;

// Turns an image so that EXIF orientation `orientation` becomes 1.
void apply_orientation(Image& image, int orientation);
void flip_columns(Image& image);
// Rows of BGR, RGB, gray, RGBX, RGBA from another channel count; `to` is 1, 3 or 4.
void convert_channels(const Image& from, int64_t to, Image& out);
void swap_red_blue(Image& image);

ImageInfo png_info(const uint8_t* data, size_t bytes);
void decode_png(const uint8_t* data, size_t bytes, Pixels wanted, Image& out);
ImageInfo bmp_info(const uint8_t* data, size_t bytes);
void decode_bmp(const uint8_t* data, size_t bytes, Pixels wanted, Image& out);

// Whole images of any format known here, upright.
ImageInfo read_info(const uint8_t* data, size_t bytes);
void decode_image(const uint8_t* data, size_t bytes, Pixels wanted, bool upright, Image& out);

// zlib's format; false unless exactly `out_bytes` come out of whole data.
bool inflate_zlib(const uint8_t* data, size_t bytes, uint8_t* out, size_t out_bytes);

}  // namespace minimx
