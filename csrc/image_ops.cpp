#include "image_ops.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace minimx {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int kUnit = 2048;  // 1.0 in OpenCV's fixed-point weights

uint8_t clamp_byte(int v) { return static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v); }

template <class T>
T rounded(double v) {
  if constexpr (std::is_same_v<T, uint8_t>)
    return clamp_byte(static_cast<int>(std::nearbyint(v)));
  else
    return static_cast<T>(v);
}

// For every place of the result: which places of the source count, and how much. Places outside are moved to the
// border.
struct Taps {
  int64_t count = 0;
  std::vector<int64_t> first;  // the lowest place, before clamping
  std::vector<float> weights;  // `count` for each place
  int64_t limit = 0;

  int64_t at(int64_t i, int64_t k) const {
    const int64_t p = first[static_cast<size_t>(i)] + k;
    return p < 0 ? 0 : p >= limit ? limit - 1 : p;
  }
  const float* of(int64_t i) const { return weights.data() + i * count; }
};

void cubic_weights(float x, float* w) {
  const float a = -0.75f;
  w[0] = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
  w[1] = ((a + 2) * x - (a + 3)) * x * x + 1;
  w[2] = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1;
  w[3] = 1 - w[0] - w[1] - w[2];
}

void lanczos_weights(float x, float* w) {
  if (x < 1e-7f) {
    for (int i = 0; i < 8; ++i) w[i] = i == 3;
    return;
  }
  double sum = 0, value[8];
  for (int i = 0; i < 8; ++i) {
    const double t = (x + 3 - i) * kPi;
    value[i] = std::sin(t) * std::sin(t / 4) / (t * t);
    sum += value[i];
  }
  for (int i = 0; i < 8; ++i) w[i] = static_cast<float>(value[i] / sum);
}

// Weights of a point between `left` (floor) and the next place, x behind it.
int point_taps(int method, float x, float* w) {
  if (method == kCubic) {
    cubic_weights(x, w);
    return 4;
  }
  if (method == kLanczos) {
    lanczos_weights(x, w);
    return 8;
  }
  w[0] = 1 - x;
  w[1] = x;
  return 2;
}

// OpenCV moves columns at the border, but weighs the border's row twice, which rounds differently.
Taps taps(int64_t from, int64_t to, int method, bool shrinking, bool columns) {
  Taps t;
  t.limit = from;
  const double scale = 1 / (static_cast<double>(to) / static_cast<double>(from));
  t.first.resize(static_cast<size_t>(to));
  if (method == kArea && shrinking) {
    t.count = static_cast<int64_t>(std::ceil(scale)) + 2;
    t.weights.assign(static_cast<size_t>(to * t.count), 0);
    for (int64_t i = 0; i < to; ++i) {
      const double begin = static_cast<double>(i) * scale, end = begin + scale;
      const double width = std::min(scale, static_cast<double>(from) - begin);
      const int64_t last = std::min(static_cast<int64_t>(std::floor(end)), from - 1);
      const int64_t whole = std::min(static_cast<int64_t>(std::ceil(begin)), last);
      float* w = t.weights.data() + i * t.count;
      t.first[static_cast<size_t>(i)] = whole - 1;
      if (static_cast<double>(whole) - begin > 1e-3)
        w[0] = static_cast<float>((static_cast<double>(whole) - begin) / width);
      for (int64_t p = whole; p < last; ++p) w[p - whole + 1] = static_cast<float>(1 / width);
      const double rest = end - static_cast<double>(last);
      if (rest > 1e-3) w[last - whole + 1] = static_cast<float>(std::min(std::min(rest, 1.0), width) / width);
    }
    return t;
  }
  t.count = method == kCubic ? 4 : method == kLanczos ? 8 : 2;
  t.weights.resize(static_cast<size_t>(to * t.count));
  for (int64_t i = 0; i < to; ++i) {
    int64_t left;
    float x;
    if (method == kArea) {  // growing: the pixels stay squares with narrow seams
      left = static_cast<int64_t>(std::floor(static_cast<double>(i) * scale));
      x = static_cast<float>(static_cast<double>(i + 1) - static_cast<double>(left + 1) / scale);
      x = x <= 0 ? 0 : x - std::floor(x);
    } else {
      x = static_cast<float>((static_cast<double>(i) + 0.5) * scale - 0.5);
      left = static_cast<int64_t>(std::floor(x));
      x -= static_cast<float>(left);
    }
    float* w = t.weights.data() + i * t.count;
    if (columns && t.count == 2 && (left < 0 || left >= from - 1)) x = 0;
    point_taps(method, x, w);
    t.first[static_cast<size_t>(i)] = left - (t.count / 2 - 1);
    if (columns && t.count == 2 && left < 0) t.first[static_cast<size_t>(i)] = 0;
  }
  return t;
}

template <class T>
void resize_nearest(const T* from, int64_t from_h, int64_t from_w, int64_t c, T* to, int64_t to_h, int64_t to_w) {
  const double sy = 1 / (static_cast<double>(to_h) / static_cast<double>(from_h));
  const double sx = 1 / (static_cast<double>(to_w) / static_cast<double>(from_w));
  std::vector<int64_t> columns(static_cast<size_t>(to_w));
  for (int64_t x = 0; x < to_w; ++x)
    columns[static_cast<size_t>(x)] =
        std::min(static_cast<int64_t>(std::floor(static_cast<double>(x) * sx)), from_w - 1) * c;
  for (int64_t y = 0; y < to_h; ++y) {
    const T* row =
        from + std::min(static_cast<int64_t>(std::floor(static_cast<double>(y) * sy)), from_h - 1) * from_w * c;
    for (int64_t x = 0; x < to_w; ++x)
      for (int64_t k = 0; k < c; ++k) *to++ = row[columns[static_cast<size_t>(x)] + k];
  }
}

// Rows are stretched when they are first needed and kept while they are.
template <class T, class Wide, class Across, class Down>
void resize_rows(const T* from, int64_t from_w, int64_t c, T* to, int64_t to_h, int64_t to_w, const Taps& rows,
                 const Across& across, const Down& down) {
  const int64_t n = to_w * c;
  std::vector<Wide> kept(static_cast<size_t>(rows.count * n));
  std::vector<int64_t> holds(static_cast<size_t>(rows.count), -1);
  std::vector<const Wide*> lines(static_cast<size_t>(rows.count));
  for (int64_t y = 0; y < to_h; ++y) {
    for (int64_t k = 0; k < rows.count; ++k) {
      const int64_t source = rows.at(y, k), slot = source % rows.count;
      Wide* line = kept.data() + slot * n;
      lines[static_cast<size_t>(k)] = line;
      if (holds[static_cast<size_t>(slot)] == source || rows.of(y)[k] == 0) continue;
      holds[static_cast<size_t>(slot)] = source;
      across(from + source * from_w * c, line);
    }
    down(y, lines.data(), to + y * n);
  }
}

// Weighted sums of neighbours in a row, cut to 16 bits: `out[k] = (a p[k] + b q[k]) >> 4`.
struct Stretch {
  std::vector<int> weights;
  std::vector<int64_t> left, right;
  int64_t channels;
  int64_t together = 0;  // so many from the left have p and q side by side in eight bytes of the row

  Stretch(const Taps& columns, int64_t from_w, int64_t to_w, int64_t c)
      : weights(static_cast<size_t>(2 * to_w)),
        left(static_cast<size_t>(to_w)),
        right(static_cast<size_t>(to_w)),
        channels(c) {
    for (int64_t x = 0; x < to_w; ++x) {
      const auto at = static_cast<size_t>(x);
      weights[2 * at] = fixed(columns.of(x)[0]);
      weights[2 * at + 1] = fixed(columns.of(x)[1]);
      left[at] = columns.at(x, 0) * c;
      right[at] = columns.at(x, 1) * c;
      if (together == x && right[at] == left[at] + c && left[at] + 8 <= from_w * c && x + 1 < to_w) ++together;
    }
  }

  static int fixed(float w) { return static_cast<int>(std::nearbyint(w * kUnit)); }

  template <int64_t C>  // 0: any number of channels
  void operator()(const uint8_t* row, int16_t* line) const {
    const int64_t c = C ? C : channels, count = static_cast<int64_t>(left.size());
    int64_t x = 0;
#ifdef __SSE2__
    if constexpr (C > 0)
      for (; x < together; ++x) {
        const auto at = static_cast<size_t>(x);
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + left[at]));
        const __m128i words = _mm_unpacklo_epi8(bytes, _mm_setzero_si128());
        const __m128i pairs = _mm_unpacklo_epi16(words, _mm_srli_si128(words, 2 * C));
        const __m128i both = _mm_set1_epi32(weights[2 * at] | weights[2 * at + 1] << 16);
        const __m128i sums = _mm_srai_epi32(_mm_madd_epi16(pairs, both), 4);
        // Of three channels the fourth word is written again by the next pixel.
        _mm_storel_epi64(reinterpret_cast<__m128i*>(line + x * C), _mm_packs_epi32(sums, sums));
      }
#endif
    for (; x < count; ++x) {
      const auto at = static_cast<size_t>(x);
      const uint8_t *p = row + left[at], *q = row + right[at];
      const int a = weights[2 * at], b = weights[2 * at + 1];
      for (int64_t k = 0; k < c; ++k) line[x * c + k] = static_cast<int16_t>((p[k] * a + q[k] * b) >> 4);
    }
  }
};

// A row between two: products cut to their upper 16 bits before the last sum.
void blend(const int16_t* p, const int16_t* q, int a, int b, uint8_t* out, int64_t count) {
  int64_t i = 0;
#ifdef __SSE2__
  const __m128i wa = _mm_set1_epi16(static_cast<int16_t>(a)), wb = _mm_set1_epi16(static_cast<int16_t>(b));
  for (; i + 8 <= count; i += 8) {
    const __m128i up = _mm_mulhi_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i)), wa);
    const __m128i down = _mm_mulhi_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q + i)), wb);
    const __m128i sum = _mm_srai_epi16(_mm_add_epi16(_mm_add_epi16(up, down), _mm_set1_epi16(2)), 2);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i), _mm_packus_epi16(sum, sum));
  }
#endif
  for (; i < count; ++i) out[i] = clamp_byte((((a * p[i]) >> 16) + ((b * q[i]) >> 16) + 2) >> 2);
}

// OpenCV's linear interpolation of bytes, with 11-bit weights.
void resize_linear_bytes(const uint8_t* from, int64_t from_w, int64_t c, uint8_t* to, int64_t to_h, int64_t to_w,
                         const Taps& rows, const Taps& columns) {
  const Stretch stretch(columns, from_w, to_w, c);
  resize_rows<uint8_t, int16_t>(
      from, from_w, c, to, to_h, to_w, rows,
      [&](const uint8_t* row, int16_t* line) {
        if (c == 3)
          stretch.operator()<3>(row, line);
        else if (c == 4)
          stretch.operator()<4>(row, line);
        else
          stretch.operator()<0>(row, line);
      },
      [&](int64_t y, const int16_t* const* lines, uint8_t* out) {
        const int a = Stretch::fixed(rows.of(y)[0]), b = Stretch::fixed(rows.of(y)[1]);
        blend(lines[0], b ? lines[1] : lines[0], a, b, out, to_w * c);
      });
}

}  // namespace

int resolve_interpolation(int method, int64_t from_h, int64_t from_w, int64_t to_h, int64_t to_w, double draw) {
  if (method == kAuto)
    return to_h > from_h && to_w > from_w ? kCubic : to_h < from_h && to_w < from_w ? kArea : kLinear;
  if (method == kRandom) return std::min(4, static_cast<int>(draw * 5));
  return method;
}

template <class T>
void resize_pixels(const T* from, int64_t from_h, int64_t from_w, int64_t c, T* to, int64_t to_h, int64_t to_w,
                   int method) {
  if (from_h == to_h && from_w == to_w) {
    std::memcpy(to, from, static_cast<size_t>(from_h * from_w * c) * sizeof(T));
    return;
  }
  if (method == kNearest) return resize_nearest(from, from_h, from_w, c, to, to_h, to_w);
  const bool shrinking = to_h <= from_h && to_w <= from_w;
  const Taps rows = taps(from_h, to_h, method, shrinking, false), columns = taps(from_w, to_w, method, shrinking, true);
  if constexpr (std::is_same_v<T, uint8_t>)
    if (columns.count == 2 && rows.count == 2 && !(method == kArea && shrinking))
      return resize_linear_bytes(from, from_w, c, to, to_h, to_w, rows, columns);
  using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
  resize_rows<T, Wide>(
      from, from_w, c, to, to_h, to_w, rows,
      [&](const T* row, Wide* line) {
        for (int64_t x = 0; x < to_w; ++x)
          for (int64_t k = 0; k < c; ++k) {
            Wide sum = 0;
            for (int64_t j = 0; j < columns.count; ++j)
              sum += static_cast<Wide>(row[columns.at(x, j) * c + k]) * columns.of(x)[j];
            *line++ = sum;
          }
      },
      [&](int64_t y, const Wide* const* lines, T* out) {
        for (int64_t i = 0; i < to_w * c; ++i) {
          Wide sum = 0;
          for (int64_t k = 0; k < rows.count; ++k)
            if (rows.of(y)[k] != 0) sum += lines[k][i] * rows.of(y)[k];
          out[i] = rounded<T>(static_cast<double>(sum));
        }
      });
}
template void resize_pixels(const uint8_t*, int64_t, int64_t, int64_t, uint8_t*, int64_t, int64_t, int);
template void resize_pixels(const float*, int64_t, int64_t, int64_t, float*, int64_t, int64_t, int);
template void resize_pixels(const double*, int64_t, int64_t, int64_t, double*, int64_t, int64_t, int);

void resize_image(const Image& from, int64_t to_h, int64_t to_w, int method, Image& to) {
  to.resize(to_h, to_w, from.channels);
  resize_pixels(from.pixels.data(), from.height, from.width, from.channels, to.pixels.data(), to_h, to_w, method);
}

void crop_image(const Image& from, int64_t top, int64_t left, int64_t h, int64_t w, Image& to) {
  to.resize(h, w, from.channels);
  for (int64_t y = 0; y < h; ++y)
    std::memcpy(to.row(y), from.row(top + y) + left * from.channels, static_cast<size_t>(w * from.channels));
}

void pad_image(const Image& from, int64_t by, uint8_t fill, Image& to) {
  to.resize(from.height + 2 * by, from.width + 2 * by, from.channels);
  std::memset(to.pixels.data(), fill, to.pixels.size());
  for (int64_t y = 0; y < from.height; ++y)
    std::memcpy(to.row(y + by) + by * from.channels, from.row(y), static_cast<size_t>(from.width * from.channels));
}

// Places in the source are cut to 1/32 pixel, as OpenCV does.
void warp_affine(const Image& from, const double m[6], int64_t to_h, int64_t to_w, int method, uint8_t fill,
                 Image& to) {
  to.resize(to_h, to_w, from.channels);
  const double det = m[0] * m[4] - m[1] * m[3], d = det != 0 ? 1 / det : 0;
  const double a = m[4] * d, b = -m[1] * d, e = -m[3] * d, f = m[0] * d;
  const double tx = -a * m[2] - b * m[5], ty = -e * m[2] - f * m[5];
  constexpr int kBits = 10, kSteps = 32;
  constexpr double kOne = 1 << kBits;
  if (method == kArea) method = kLinear;
  const int64_t round = method == kNearest ? (1 << kBits) / 2 : (1 << kBits) / kSteps / 2;
  auto fixed = [](double v) { return static_cast<int64_t>(std::nearbyint(std::clamp(v, -1e15, 1e15))); };
  float weights[kSteps][8];
  int n = 1;
  if (method != kNearest)
    for (int i = 0; i < kSteps; ++i) n = point_taps(method, static_cast<float>(i) / kSteps, weights[i]);
  const int64_t c = from.channels;
  for (int64_t y = 0; y < to_h; ++y) {
    uint8_t* out = to.row(y);
    const int64_t x_start = fixed((b * static_cast<double>(y) + tx) * kOne) + round;
    const int64_t y_start = fixed((f * static_cast<double>(y) + ty) * kOne) + round;
    for (int64_t x = 0; x < to_w; ++x, out += c) {
      const int64_t px = x_start + fixed(a * static_cast<double>(x) * kOne);
      const int64_t py = y_start + fixed(e * static_cast<double>(x) * kOne);
      if (method == kNearest) {
        const int64_t sx = px >> kBits, sy = py >> kBits;
        const bool inside = sx >= 0 && sy >= 0 && sx < from.width && sy < from.height;
        for (int64_t k = 0; k < c; ++k) out[k] = inside ? from.row(sy)[sx * c + k] : fill;
        continue;
      }
      const int64_t qx = px >> 5, qy = py >> 5;
      const int64_t sx = (qx >> 5) - (n / 2 - 1), sy = (qy >> 5) - (n / 2 - 1);
      const float *wx = weights[qx & 31], *wy = weights[qy & 31];
      for (int64_t k = 0; k < c; ++k) {
        float sum = 0;
        for (int j = 0; j < n; ++j)
          for (int i = 0; i < n; ++i) {
            const bool inside = sx + i >= 0 && sy + j >= 0 && sx + i < from.width && sy + j < from.height;
            sum += wx[i] * wy[j] * static_cast<float>(inside ? from.row(sy + j)[(sx + i) * c + k] : fill);
          }
        out[k] = clamp_byte(static_cast<int>(std::floor(sum + 0.5f)));
      }
    }
  }
}

// ---- colours --------------------------------------------------------------------------------------------------------

namespace {

// BGR2GRAY's weights.
int luma(const uint8_t* p) { return (p[0] * 4899 + p[1] * 9617 + p[2] * 1868 + 8192) >> 14; }

// Every sample through a table; the fourth byte of a pixel is not a colour.
void map_bytes(Image& image, const uint8_t (&table)[256]) {
  const int64_t c = image.channels, colours = c < 3 ? c : 3;
  uint8_t* p = image.pixels.data();
  for (int64_t i = 0; i < image.height * image.width; ++i, p += c)
    for (int64_t k = 0; k < colours; ++k) p[k] = table[p[k]];
}

void linear(Image& image, double factor, double offset) {
  uint8_t table[256];
  for (int i = 0; i < 256; ++i) table[i] = rounded<uint8_t>(i * factor + offset);
  map_bytes(image, table);
}

}  // namespace

void scale_brightness(Image& image, double factor) { linear(image, factor, 0); }

void scale_contrast(Image& image, double factor) {
  const int64_t c = image.channels, n = image.height * image.width;
  int64_t sum = 0;
  const uint8_t* p = image.pixels.data();
  for (int64_t i = 0; i < n; ++i, p += c) sum += c < 3 ? p[0] : luma(p);
  linear(image, factor, (1 - factor) * static_cast<double>(sum) / static_cast<double>(n));
}

void scale_saturation(Image& image, double factor) {
  const int64_t c = image.channels;
  if (c < 3) return;
  uint8_t* p = image.pixels.data();
  for (int64_t i = 0; i < image.height * image.width; ++i, p += c) {
    const double gray = luma(p) * (1 - factor);
    for (int64_t k = 0; k < 3; ++k) p[k] = rounded<uint8_t>(p[k] * factor + gray);
  }
}

void add_colour(Image& image, double r, double g, double b) {
  const int64_t c = image.channels;
  if (c < 3) return;
  uint8_t table[3][256];
  const double add[3] = {r, g, b};
  for (int k = 0; k < 3; ++k)
    for (int i = 0; i < 256; ++i) table[k][i] = rounded<uint8_t>(i + add[k]);
  uint8_t* p = image.pixels.data();
  for (int64_t i = 0; i < image.height * image.width; ++i, p += c)
    for (int64_t k = 0; k < 3; ++k) p[k] = table[k][p[k]];
}

// There and back with the values in between rounded to bytes.
void shift_hls(Image& image, int h, int l, int s) {
  const int64_t c = image.channels;
  if (c < 3) return;
  uint8_t* p = image.pixels.data();
  for (int64_t i = 0; i < image.height * image.width; ++i, p += c) {
    const float r = p[0] / 255.f, g = p[1] / 255.f, b = p[2] / 255.f;
    const float top = std::max(r, std::max(g, b)), bottom = std::min(r, std::min(g, b)), diff = top - bottom;
    float hue = 0, saturation = 0, light = (top + bottom) / 2;
    if (diff > 1e-7f) {
      saturation = light < 0.5f ? diff / (top + bottom) : diff / (2 - top - bottom);
      hue = top == r ? (g - b) * 60 / diff : top == g ? (b - r) * 60 / diff + 120 : (r - g) * 60 / diff + 240;
      if (hue < 0) hue += 360;
    }
    auto byte = [](float v, int limit, int add) {
      return std::clamp(static_cast<int>(clamp_byte(static_cast<int>(std::nearbyint(v)))) + add, 0, limit);
    };
    const float hh = static_cast<float>(byte(hue / 2, 180, h)) * 2;
    light = static_cast<float>(byte(light * 255, 255, l)) / 255;
    saturation = static_cast<float>(byte(saturation * 255, 255, s)) / 255;
    const float p2 = light <= 0.5f ? light * (1 + saturation) : light + saturation - light * saturation;
    const float p1 = 2 * light - p2;
    for (int k = 0; k < 3; ++k) {
      float t = (hh + static_cast<float>(120 * (1 - k))) / 60;
      t = t < 0 ? t + 6 : t >= 6 ? t - 6 : t;
      const float v = t < 1 ? p1 + (p2 - p1) * t : t < 3 ? p2 : t < 4 ? p1 + (p2 - p1) * (4 - t) : p1;
      p[k] = clamp_byte(static_cast<int>(std::nearbyint(v * 255)));
    }
  }
}

}  // namespace minimx
