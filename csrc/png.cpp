// PNG of every colour type, depth and interlacing, and uncompressed BMP. Samples of 16 bits keep their upper half.
#include <cstdlib>
#include <cstring>

#include "image.h"

namespace minimx {
namespace {

uint32_t u32(const uint8_t* p) { return static_cast<uint32_t>(p[0]) << 24 | p[1] << 16 | p[2] << 8 | p[3]; }
uint32_t little(const uint8_t* p) { return static_cast<uint32_t>(p[3]) << 24 | p[2] << 16 | p[1] << 8 | p[0]; }

// ---- PNG ------------------------------------------------------------------------------------------------------------

constexpr uint8_t kSignature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

struct Header {
  int64_t width, height;
  int depth, colour, samples;
  bool interlaced;
};

Header png_header(const uint8_t* data, size_t bytes) {
  if (bytes < 33 || std::memcmp(data, kSignature, 8) != 0 || std::memcmp(data + 12, "IHDR", 4) != 0)
    throw ImageError("the PNG data has no header");
  Header h{u32(data + 16), u32(data + 20), data[24], data[25], 0, data[28] != 0};
  h.samples = h.colour == 2 ? 3 : h.colour == 4 ? 2 : h.colour == 6 ? 4 : 1;
  const bool small = h.depth == 1 || h.depth == 2 || h.depth == 4;
  const bool known = h.colour == 0 ? small || h.depth == 8 || h.depth == 16
                     : h.colour == 3
                         ? small || h.depth == 8
                         : (h.colour == 2 || h.colour == 4 || h.colour == 6) && (h.depth == 8 || h.depth == 16);
  if (!known || data[26] || data[27] || data[28] > 1) throw ImageError("the PNG header holds unknown values");
  if (h.width < 1 || h.height < 1 || h.width > kMaxPixels || h.height > kMaxPixels || h.width * h.height > kMaxPixels ||
      h.width * h.height * h.samples * h.depth / 8 > 65536 + 1100 * static_cast<int64_t>(bytes))
    throw ImageError("an image of " + std::to_string(h.width) + "x" + std::to_string(h.height) +
                     " pixels cannot be in " + std::to_string(bytes) + " bytes of PNG");
  return h;
}

int64_t row_bytes(const Header& h, int64_t width) { return (width * h.samples * h.depth + 7) / 8; }

// The passes of Adam7: first column and row, and steps.
constexpr int kPasses[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                               {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

uint8_t paeth(int a, int b, int c) {
  const int pa = std::abs(b - c), pb = std::abs(a - c), pc = std::abs(a + b - 2 * c);
  return static_cast<uint8_t>(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

// Undoes the filter of a row in place; `above` is null for the first.
bool unfilter(int filter, uint8_t* row, const uint8_t* above, int64_t n, int64_t step) {
  switch (filter) {
    case 0:
      return true;
    case 1:
      for (int64_t i = step; i < n; ++i) row[i] = static_cast<uint8_t>(row[i] + row[i - step]);
      return true;
    case 2:
      if (above)
        for (int64_t i = 0; i < n; ++i) row[i] = static_cast<uint8_t>(row[i] + above[i]);
      return true;
    case 3:
      for (int64_t i = 0; i < n; ++i) {
        const int left = i >= step ? row[i - step] : 0, up = above ? above[i] : 0;
        row[i] = static_cast<uint8_t>(row[i] + (left + up) / 2);
      }
      return true;
    case 4:
      for (int64_t i = 0; i < n; ++i) {
        const int left = i >= step ? row[i - step] : 0, up = above ? above[i] : 0;
        row[i] = static_cast<uint8_t>(row[i] + paeth(left, up, above && i >= step ? above[i - step] : 0));
      }
      return true;
  }
  return false;
}

struct Palette {
  uint8_t rgba[256][4];
  bool transparent = false;
};

// One row of samples as stored to 8-bit samples: gray, RGB, RGBA with the palette looked up.
void unpack(const Header& h, const Palette& palette, const uint8_t* row, int64_t width, int out_samples, uint8_t* out,
            int64_t out_step) {
  for (int64_t x = 0; x < width; ++x, out += out_step) {
    if (h.depth < 8) {
      const int64_t bit = x * h.depth;
      const int value = row[bit / 8] >> (8 - h.depth - bit % 8) & ((1 << h.depth) - 1);
      if (h.colour == 3)
        std::memcpy(out, palette.rgba[value], static_cast<size_t>(out_samples));
      else
        out[0] = static_cast<uint8_t>(value * 255 / ((1 << h.depth) - 1));
    } else if (h.colour == 3) {
      std::memcpy(out, palette.rgba[row[x]], static_cast<size_t>(out_samples));
    } else {
      const int64_t bytes = h.depth / 8;
      const uint8_t* p = row + x * h.samples * bytes;
      if (h.colour == 4) {  // gray and alpha become RGBA
        out[0] = out[1] = out[2] = p[0];
        out[3] = p[bytes];
      } else {
        for (int s = 0; s < out_samples; ++s) out[s] = p[s * bytes];
      }
    }
  }
}

void to_wanted(Image& stored, Pixels wanted, Image& out) {
  const int64_t channels = wanted == Pixels::gray ? 1 : wanted == Pixels::rgb ? 3 : wanted == Pixels::rgbx ? 4 : 0;
  if (channels == 0 || channels == stored.channels) {
    std::swap(out, stored);
    return;
  }
  convert_channels(stored, channels, out);
}

}  // namespace

ImageInfo png_info(const uint8_t* data, size_t bytes) {
  const Header h = png_header(data, bytes);
  return {h.height, h.width, h.colour == 0 ? 1 : h.colour >= 4 ? 4 : 3, 1};
}

void decode_png(const uint8_t* data, size_t bytes, Pixels wanted, Image& out) {
  const Header h = png_header(data, bytes);
  Palette palette{};
  for (auto& entry : palette.rgba) entry[3] = 255;
  std::vector<uint8_t> packed;
  bool ended = false;
  for (size_t at = 8; at + 12 <= bytes && !ended;) {
    const size_t length = u32(data + at);
    const uint8_t *kind = data + at + 4, *content = data + at + 8;
    if (length > bytes - at - 12) break;
    if (std::memcmp(kind, "PLTE", 4) == 0) {
      for (size_t i = 0; i < length / 3 && i < 256; ++i) std::memcpy(palette.rgba[i], content + 3 * i, 3);
    } else if (std::memcmp(kind, "tRNS", 4) == 0 && h.colour == 3) {
      for (size_t i = 0; i < length && i < 256; ++i) palette.rgba[i][3] = content[i];
      palette.transparent = true;
    } else if (std::memcmp(kind, "IDAT", 4) == 0) {
      packed.insert(packed.end(), content, content + length);
    } else if (std::memcmp(kind, "IEND", 4) == 0) {
      ended = true;
    }
    at += 12 + length;
  }
  if (packed.empty() || !ended) throw ImageError("the PNG data ends early");
  int64_t total = 0;
  const int passes = h.interlaced ? 7 : 1;
  static constexpr int kWhole[4] = {0, 0, 1, 1};
  auto size_of = [&](int pass, int64_t& w, int64_t& hh) {
    const int* p = h.interlaced ? kPasses[pass] : kWhole;
    w = (h.width - p[0] + p[2] - 1) / p[2];
    hh = (h.height - p[1] + p[3] - 1) / p[3];
  };
  for (int pass = 0; pass < passes; ++pass) {
    int64_t w, hh;
    size_of(pass, w, hh);
    if (w > 0 && hh > 0) total += hh * (1 + row_bytes(h, w));
  }
  std::vector<uint8_t> raw(static_cast<size_t>(total));
  if (!inflate_zlib(packed.data(), packed.size(), raw.data(), raw.size()))
    throw ImageError("the compressed data of the PNG is damaged");
  const int samples = h.colour == 0 ? 1 : h.colour == 2 ? 3 : h.colour == 3 ? (palette.transparent ? 4 : 3) : 4;
  Image stored;
  stored.resize(h.height, h.width, samples);
  const int64_t step = (h.samples * h.depth + 7) / 8;
  uint8_t* row = raw.data();
  for (int pass = 0; pass < passes; ++pass) {
    const int* p = h.interlaced ? kPasses[pass] : kWhole;
    int64_t w, hh;
    size_of(pass, w, hh);
    if (w <= 0 || hh <= 0) continue;
    const int64_t n = row_bytes(h, w);
    const uint8_t* above = nullptr;
    for (int64_t y = 0; y < hh; ++y) {
      if (!unfilter(row[0], row + 1, above, n, step)) throw ImageError("the PNG has an unknown row filter");
      above = row + 1;
      unpack(h, palette, above, w, samples, stored.row(p[1] + y * p[3]) + p[0] * samples, int64_t{p[2]} * samples);
      row += n + 1;
    }
  }
  to_wanted(stored, wanted, out);
}

// ---- BMP ------------------------------------------------------------------------------------------------------------

namespace {

struct Bitmap {
  int64_t width, height, stride;
  int bits;
  bool top_down;
  const uint8_t *palette, *pixels;
  uint32_t colours;
};

Bitmap bitmap(const uint8_t* data, size_t bytes) {
  if (bytes < 54 || data[0] != 'B' || data[1] != 'M') throw ImageError("the BMP data has no header");
  const uint32_t size = little(data + 14), start = little(data + 10), compression = little(data + 30);
  Bitmap b{};
  b.width = static_cast<int32_t>(little(data + 18));
  b.height = static_cast<int32_t>(little(data + 22));
  b.top_down = b.height < 0;
  if (b.top_down) b.height = -b.height;
  b.bits = data[28] | data[29] << 8;
  if (size < 40 || (compression != 0 && !(compression == 3 && b.bits == 32)) ||
      (b.bits != 8 && b.bits != 24 && b.bits != 32))
    throw ImageError("only BMP of 8, 24 or 32 bits without compression is read");
  if (b.width < 1 || b.height < 1 || b.width > kMaxPixels || b.height > kMaxPixels || b.width * b.height > kMaxPixels)
    throw ImageError("the BMP header holds unknown values");
  b.stride = (b.width * b.bits + 31) / 32 * 4;
  b.palette = data + 14 + size;
  b.pixels = data + start;
  b.colours = b.bits == 8 ? (little(data + 46) ? little(data + 46) : 256) : 0;
  if (b.colours > 256 || size > bytes || 14 + static_cast<size_t>(size) + b.colours * 4 > bytes || start > bytes ||
      static_cast<size_t>(b.stride * b.height) > bytes - start)
    throw ImageError("the BMP data ends early");
  return b;
}

}  // namespace

ImageInfo bmp_info(const uint8_t* data, size_t bytes) {
  const Bitmap b = bitmap(data, bytes);
  return {b.height, b.width, 3, 1};
}

void decode_bmp(const uint8_t* data, size_t bytes, Pixels wanted, Image& out) {
  const Bitmap b = bitmap(data, bytes);
  Image stored;
  stored.resize(b.height, b.width, 3);
  for (int64_t y = 0; y < b.height; ++y) {
    const uint8_t* from = b.pixels + (b.top_down ? y : b.height - 1 - y) * b.stride;
    uint8_t* to = stored.row(y);
    for (int64_t x = 0; x < b.width; ++x, to += 3) {
      static constexpr uint8_t kBlack[3] = {};
      const uint8_t* p =
          b.bits == 8 ? (from[x] < b.colours ? b.palette + 4 * from[x] : kBlack) : from + x * (b.bits / 8);
      to[0] = p[2];
      to[1] = p[1];
      to[2] = p[0];
    }
  }
  to_wanted(stored, wanted, out);
}

}  // namespace minimx
