#include "image.h"

#include <cstring>
#include <utility>

#include "jpeg.h"

namespace minimx {

Format image_format(const uint8_t* data, size_t bytes) {
  if (bytes >= 3 && data[0] == 0xff && data[1] == 0xd8 && data[2] == 0xff) return Format::jpeg;
  if (bytes >= 8 && std::memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0) return Format::png;
  if (bytes >= 2 && data[0] == 'B' && data[1] == 'M') return Format::bmp;
  return Format::other;
}

namespace {

[[noreturn]] void unknown_format(const uint8_t* data, size_t bytes) {
  if (bytes == 0) throw ImageError("the image has no bytes");
  std::string start;
  for (size_t i = 0; i < bytes && i < 4; ++i) {
    static const char* digits = "0123456789abcdef";
    start += std::string(i ? " " : "") + digits[data[i] >> 4] + digits[data[i] & 15];
  }
  throw ImageError("the image is neither JPEG, PNG nor BMP: its " + std::to_string(bytes) + " bytes begin with " +
                   start);
}

JpegReader& jpeg_reader() {
  static thread_local JpegReader reader;
  return reader;
}

}  // namespace

ImageInfo read_info(const uint8_t* data, size_t bytes) {
  switch (image_format(data, bytes)) {
    case Format::jpeg:
      return jpeg_reader().open(data, bytes);
    case Format::png:
      return png_info(data, bytes);
    case Format::bmp:
      return bmp_info(data, bytes);
    default:
      unknown_format(data, bytes);
  }
}

void decode_image(const uint8_t* data, size_t bytes, Pixels wanted, bool upright, Image& out) {
  switch (image_format(data, bytes)) {
    case Format::jpeg: {
      const ImageInfo info = jpeg_reader().open(data, bytes);
      jpeg_reader().read_all(wanted, out);
      if (upright) apply_orientation(out, info.orientation);
      return;
    }
    case Format::png:
      return decode_png(data, bytes, wanted, out);
    case Format::bmp:
      return decode_bmp(data, bytes, wanted, out);
    default:
      unknown_format(data, bytes);
  }
}

void flip_columns(Image& image) {
  const int64_t c = image.channels;
  for (int64_t y = 0; y < image.height; ++y) {
    uint8_t *a = image.row(y), *b = a + (image.width - 1) * c;
    for (; a < b; a += c, b -= c)
      for (int64_t k = 0; k < c; ++k) std::swap(a[k], b[k]);
  }
}

void apply_orientation(Image& image, int orientation) {
  if (orientation <= 1) return;
  if (orientation == 2) return flip_columns(image);
  const bool turned = orientation >= 5;
  const int64_t h = image.height, w = image.width, c = image.channels;
  Image out;
  out.resize(turned ? w : h, turned ? h : w, c);
  for (int64_t y = 0; y < out.height; ++y)
    for (int64_t x = 0; x < out.width; ++x) {
      int64_t sy = turned ? x : y, sx = turned ? y : x;
      if (orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8) {
        if (turned)
          sx = w - 1 - sx;
        else
          sy = h - 1 - sy;
      }
      if (orientation == 3) sx = w - 1 - sx;
      if (orientation == 6 || orientation == 7) sy = h - 1 - sy;
      std::memcpy(out.row(y) + x * c, image.row(sy) + sx * c, static_cast<size_t>(c));
    }
  std::swap(image, out);
}

void convert_channels(const Image& from, int64_t to, Image& out) {
  out.resize(from.height, from.width, to);
  const int64_t c = from.channels, n = from.height * from.width;
  const uint8_t* p = from.pixels.data();
  uint8_t* q = out.pixels.data();
  for (int64_t i = 0; i < n; ++i, p += c, q += to) {
    if (to == 1) {
      // libpng's weights, cut and not rounded, which is what reading a PNG as gray meant in MXNet.
      q[0] = c < 3 || (p[0] == p[1] && p[0] == p[2])
                 ? p[0]
                 : static_cast<uint8_t>((9797 * p[0] + 19234 * p[1] + 3737 * p[2]) >> 15);
    } else {
      q[0] = p[0];
      q[1] = c < 3 ? p[0] : p[1];
      q[2] = c < 3 ? p[0] : p[2];
      if (to == 4) q[3] = c == 4 ? p[3] : 255;
    }
  }
}

void swap_red_blue(Image& image) {
  if (image.channels < 3) return;
  for (size_t i = 0; i < image.pixels.size(); i += static_cast<size_t>(image.channels))
    std::swap(image.pixels[i], image.pixels[i + 2]);
}

}  // namespace minimx
