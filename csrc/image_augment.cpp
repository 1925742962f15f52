#include "image_augment.h"

#include <algorithm>
#include <cstring>

#include "args/image.h"
#include "device.h"

namespace minimx {

// ---- random numbers -------------------------------------------------------------------------------------------------

namespace {

// Philox4x32-10.
void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{c[0]} * 0xD2511F53, p1 = uint64_t{c[2]} * 0xCD9E8D57;
    c[0] = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0;
    c[1] = static_cast<uint32_t>(p1);
    c[2] = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1;
    c[3] = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
}

}  // namespace

double Draws::uniform() {
  if (used_ == 4) {
    words_[0] = static_cast<uint32_t>(image_);
    words_[1] = static_cast<uint32_t>(image_ >> 32);
    words_[2] = static_cast<uint32_t>(epoch_);
    words_[3] = block_++;
    philox(words_, static_cast<uint32_t>(key_), static_cast<uint32_t>(key_ >> 32));
    used_ = 0;
  }
  return words_[used_++] * 0x1p-32;
}

int64_t Draws::integer(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(uniform() * static_cast<double>(high - low + 1));
}

double Draws::normal() {
  const double u = uniform(), v = uniform();
  return std::sqrt(-2 * std::log(u + 0x1p-33)) * std::cos(2 * 3.14159265358979323846 * v);
}

// ---- one image ------------------------------------------------------------------------------------------------------

namespace {

constexpr int kHorizontalUnit = 1 << 14;

int64_t item_bytes(const std::string& dtype) { return dtype == "float32" ? 4 : dtype == "float16" ? 2 : 1; }

const KernelEntry* kernel(const std::string& kind) {
  const KernelEntry* entry = device("cpu", 0).find("image_row." + kind);
  if (!entry)
    throw std::invalid_argument("images of dtype " + kind + " are not made; float32, float16, uint8, int8 are");
  return entry;
}

// Where a place of the result lies in the source window: the first of two neighbours and the weight of the second.
struct Place {
  int64_t at;
  double weight;
};
Place place(int64_t i, int64_t count, int64_t size) {
  const double p = (static_cast<double>(i) + 0.5) * static_cast<double>(count) / static_cast<double>(size) - 0.5;
  if (p <= 0) return {0, 0};
  const auto at = static_cast<int64_t>(p);
  if (at >= count - 1) return {count - 1, 0};
  return {at, p - static_cast<double>(at)};
}

void expand_gray(const uint8_t* from, int64_t n, uint8_t* to) {
  for (int64_t i = 0; i < n; ++i) std::memset(to + 4 * i, from[i], 4);
}

void expand_rgb(const uint8_t* from, int64_t n, int64_t channels, uint8_t* to) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < 4; ++k) to[4 * i + k] = k < channels ? from[channels * i + k] : 255;
}

}  // namespace

Augmenter::Augmenter(const AugmentConfig& config)
    : config_(config), planes_(kernel(config.dtype)), pixels_(kernel("pixels")) {}

size_t Augmenter::bytes_per_image() const {
  return static_cast<size_t>(config_.channels * config_.height * config_.width * item_bytes(config_.dtype));
}

bool Augmenter::changes_aspect() const {
  const AugmentConfig& c = config_;
  return std::isnan(c.min_aspect_ratio) ? c.max_aspect_ratio != 0 : c.max_aspect_ratio != 1 || c.min_aspect_ratio != 1;
}

bool Augmenter::needs_affine() const {
  const AugmentConfig& c = config_;
  return c.max_rotate_angle > 0 || c.max_shear_ratio > 0 || c.rotate > 0 || !c.rotate_list.empty() ||
         c.max_random_scale != 1 || c.min_random_scale != 1 || (changes_aspect() && !c.random_resized_crop) ||
         c.max_img_size != 1e10 || c.min_img_size != 0;
}

bool Augmenter::changes_colour() const {
  const AugmentConfig& c = config_;
  return c.brightness > 0 || c.contrast > 0 || c.saturation > 0 || c.pca_noise > 0 || c.random_h || c.random_s ||
         c.random_l;
}

// What is taken of an image of this size, before anything is stretched because it is too small.
Augmenter::Step Augmenter::choose_crop(int64_t h, int64_t w, Draws& draws) const {
  const AugmentConfig& c = config_;
  if (c.random_resized_crop && (changes_aspect() || c.max_random_area != 1 || c.min_random_area != 1)) {
    const bool given = !std::isnan(c.min_aspect_ratio);
    const double low = given ? c.min_aspect_ratio : 1 - c.max_aspect_ratio;
    const double high = given ? c.max_aspect_ratio : 1 + c.max_aspect_ratio;
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double area = draws.uniform(c.min_random_area, c.max_random_area) * static_cast<double>(h * w);
      const double ratio = draws.uniform(low, high);
      auto cw = static_cast<int64_t>(std::round(std::sqrt(area * ratio)));
      auto ch = static_cast<int64_t>(std::round(std::sqrt(area / ratio)));
      if (draws.coin()) std::swap(cw, ch);
      const double across = draws.uniform(), down = draws.uniform();
      if (cw < 1 || ch < 1 || cw > w || ch > h) continue;
      const auto left = static_cast<int64_t>(across * static_cast<double>(w - cw + 1));
      const auto top = static_cast<int64_t>(down * static_cast<double>(h - ch + 1));
      return {h, w, top, left, ch, cw, true};
    }
  } else if (c.max_crop_size != -1 || c.min_crop_size != -1) {
    if (c.max_crop_size > h || c.max_crop_size > w || c.min_crop_size > c.max_crop_size || c.min_crop_size < 1)
      throw ImageError("max_crop_size " + std::to_string(c.max_crop_size) + " and min_crop_size " +
                       std::to_string(c.min_crop_size) + " do not go with an image of " + std::to_string(h) + "x" +
                       std::to_string(w));
    const int64_t size = draws.integer(c.min_crop_size, c.max_crop_size);
    const int64_t top = c.rand_crop ? draws.integer(0, h - size) : (h - size) / 2;
    const int64_t left = c.rand_crop ? draws.integer(0, w - size) : (w - size) / 2;
    return {h, w, top, left, size, size, true};
  }
  return plain_crop(h, w, draws);
}

// A piece of the result's size; all of an image that is too small for that.
Augmenter::Step Augmenter::plain_crop(int64_t h, int64_t w, Draws& draws) const {
  const AugmentConfig& c = config_;
  if (h < c.height || w < c.width) return {h, w, 0, 0, h, w, false};
  const int64_t top = c.rand_crop ? draws.integer(0, h - c.height) : (h - c.height) / 2;
  const int64_t left = c.rand_crop ? draws.integer(0, w - c.width) : (w - c.width) / 2;
  return {h, w, top, left, c.height, c.width, false};
}

void Augmenter::stretch(Image& image, int64_t h, int64_t w, Draws& draws) {
  if (h == image.height && w == image.width) return;
  if (h < 1 || w < 1 || h * w > kMaxPixels)
    throw ImageError("an image of " + std::to_string(image.height) + "x" + std::to_string(image.width) +
                     " cannot be resized to " + std::to_string(h) + "x" + std::to_string(w));
  const int64_t wanted = config_.inter_method;
  const double draw = wanted == kRandom ? draws.uniform() : 0;
  resize_image(image, h, w, resolve_interpolation(static_cast<int>(wanted), image.height, image.width, h, w, draw),
               other_);
  std::swap(image, other_);
}

void Augmenter::affine(Image& image, Draws& draws) {
  const AugmentConfig& c = config_;
  const double shear = draws.uniform(-c.max_shear_ratio, c.max_shear_ratio);
  int64_t angle = draws.integer(-c.max_rotate_angle, c.max_rotate_angle);
  if (c.rotate > 0) angle = c.rotate;
  if (!c.rotate_list.empty())
    angle = c.rotate_list[static_cast<size_t>(draws.integer(0, static_cast<int64_t>(c.rotate_list.size()) - 1))];
  const double scale = draws.uniform(c.min_random_scale, c.max_random_scale);
  const bool given = !std::isnan(c.min_aspect_ratio), crops = c.random_resized_crop;
  const double ratio = crops   ? 1
                       : given ? draws.uniform(c.min_aspect_ratio, c.max_aspect_ratio)
                               : draws.uniform(1 - c.max_aspect_ratio, 1 + c.max_aspect_ratio);
  const double a = std::cos(static_cast<double>(angle) / 180 * 3.14159265358979323846);
  const double b = std::sin(static_cast<double>(angle) / 180 * 3.14159265358979323846);
  const double hs = 2 * scale / (1 + ratio), ws = ratio * hs;
  auto limited = [&](int64_t n) {
    return std::max(c.min_img_size, std::min(c.max_img_size, scale * static_cast<double>(n)));
  };
  const double h = limited(image.height), w = limited(image.width);
  if (!(h >= 1 && w >= 1 && h * w <= static_cast<double>(kMaxPixels)))
    throw ImageError("scaling an image of " + std::to_string(image.height) + "x" + std::to_string(image.width) +
                     " leaves no size that can be made");
  double m[6] = {hs * a - shear * b * ws, hs * b + shear * a * ws, 0, -b * ws, a * ws, 0};
  const auto cols = static_cast<double>(image.width), rows = static_cast<double>(image.height);
  m[2] = (w - (m[0] * cols + m[1] * rows)) / 2;
  m[5] = (h - (m[3] * cols + m[4] * rows)) / 2;
  const int method =
      resolve_interpolation(static_cast<int>(c.inter_method), image.height, image.width, static_cast<int64_t>(h),
                            static_cast<int64_t>(w), c.inter_method == kRandom ? draws.uniform() : 0);
  warp_affine(image, m, static_cast<int64_t>(h), static_cast<int64_t>(w), method, static_cast<uint8_t>(c.fill_value),
              other_);
  std::swap(image, other_);
}

void Augmenter::shift(Image& image, Draws& draws) {
  const AugmentConfig& c = config_;
  const double dx = draws.uniform(-c.width_shift, c.width_shift) * static_cast<double>(image.width);
  const double dy = draws.uniform(-c.height_shift, c.height_shift) * static_cast<double>(image.height);
  const double m[6] = {1, 0, dx, 0, 1, dy};
  warp_affine(image, m, image.height, image.width, c.inter_method == kNearest ? kNearest : kLinear,
              static_cast<uint8_t>(c.fill_value), other_);
  std::swap(image, other_);
}

// An image that is smaller than the result is first stretched to its height, then to its width.
void Augmenter::small_to_size(Image& image, Draws& draws) {
  const AugmentConfig& c = config_;
  if (image.height < c.height)
    stretch(image, c.height,
            static_cast<int64_t>(static_cast<float>(c.height) / static_cast<float>(image.height) *
                                 static_cast<float>(image.width)),
            draws);
  if (image.width < c.width)
    stretch(image,
            std::max(c.height, static_cast<int64_t>(static_cast<float>(c.width) / static_cast<float>(image.width) *
                                                    static_cast<float>(image.height))),
            c.width, draws);
}

void Augmenter::colours(Image& image, Draws& draws) {
  const AugmentConfig& c = config_;
  if (c.brightness > 0 || c.contrast > 0 || c.saturation > 0) {
    const double b = 1 + draws.uniform(-c.brightness, c.brightness), k = 1 + draws.uniform(-c.contrast, c.contrast);
    const double s = 1 + draws.uniform(-c.saturation, c.saturation);
    int order[3] = {0, 1, 2};
    std::swap(order[2], order[draws.integer(0, 2)]);
    std::swap(order[1], order[draws.integer(0, 1)]);
    for (int what : order) {
      if (what == 0 && c.brightness > 0) scale_brightness(image, b);
      if (what == 1 && c.contrast > 0) scale_contrast(image, k);
      if (what == 2 && c.saturation > 0) scale_saturation(image, s);
    }
  }
  if (c.random_h || c.random_s || c.random_l) {
    // A sum of two uniform numbers makes large shifts rarer.
    auto some = [&](int64_t most) {
      const double u = (draws.uniform() + 4 * draws.uniform()) / 5;
      return static_cast<int>(u * static_cast<double>(most) * 2 - static_cast<double>(most));
    };
    const int h = some(c.random_h), s = some(c.random_s), l = some(c.random_l);
    shift_hls(image, h, l, s);
  }
  if (c.pca_noise > 0) {
    // Eigenvectors of ImageNet's colours times their eigenvalues.
    static constexpr double e[3][3] = {{55.46 * -0.5675, 4.794 * 0.7192, 1.148 * 0.4009},
                                       {55.46 * -0.5808, 4.794 * -0.0045, 1.148 * -0.8140},
                                       {55.46 * -0.5836, 4.794 * -0.6948, 1.148 * 0.4203}};
    double n[3], add[3];
    for (double& v : n) v = draws.normal() * c.pca_noise;
    for (int k = 0; k < 3; ++k) add[k] = e[k][0] * n[0] + e[k][1] * n[1] + e[k][2] * n[2];
    add_colour(image, add[0], add[1], add[2]);
  }
}

void Augmenter::decode(const uint8_t* data, size_t bytes, Image& out) {
  const Pixels wanted = config_.channels == 1 ? Pixels::gray : config_.channels == 3 ? Pixels::rgbx : Pixels::stored;
  if (image_format(data, bytes) == Format::jpeg) {
    const ImageInfo info = jpeg_.open(data, bytes);
    jpeg_.read_all(wanted, out);
    apply_orientation(out, info.orientation);
  } else {
    decode_image(data, bytes, wanted, true, out);
  }
  if (config_.channels == 4 && out.channels != 4)
    throw ImageError("data_shape asks for 4 channels, the image has " + std::to_string(out.channels));
}

// ---- the pass of image_row ------------------------------------------------------------------------------------------

void Augmenter::fill_tables(const Axis& axis, bool mirrored, int64_t row_first) {
  const auto padded = static_cast<size_t>((axis.taken + kImageStep - 1) / kImageStep * kImageStep);
  places_.assign(padded, 0);
  weights_.assign(8 * padded, 0);
  for (int64_t i = 0; i < axis.taken; ++i) {
    const Place p = place(axis.first + i, axis.count, axis.size);
    const auto x = static_cast<size_t>(mirrored ? axis.taken - 1 - i : i);
    const auto right = static_cast<int16_t>(std::lround(p.weight * kHorizontalUnit));
    places_[x] = static_cast<int32_t>(axis.from + p.at - row_first);
    for (size_t k = 0; k < 4; ++k) {
      weights_[8 * x + 2 * k] = static_cast<int16_t>(kHorizontalUnit - right);
      weights_[8 * x + 2 * k + 1] = right;
    }
  }
}

// `row` gives a row of the source as pixels of four bytes, of columns row_first on; it is asked in rising order, for at
// most two at a time.
void Augmenter::rows(const Axis& vertical, const Axis& horizontal, bool mirrored,
                     const std::function<const uint8_t*(int64_t)>& row, int64_t row_first, int64_t row_pixels,
                     const char* kind, void* out, Draws* draws) {
  const AugmentConfig& c = config_;
  fill_tables(horizontal, mirrored, row_first);
  blended_.resize(static_cast<size_t>(4 * (row_pixels + 8)));
  double mean[4] = {}, scale[4] = {1, 1, 1, 1}, add[4] = {};
  const bool to_pixels = kind != nullptr;
  if (!to_pixels) {
    const double contrast =
        c.max_random_contrast > 0 ? 1 + draws->uniform(-c.max_random_contrast, c.max_random_contrast) : 1;
    const double light =
        c.max_random_illumination > 0 ? draws->uniform(-c.max_random_illumination, c.max_random_illumination) : 0;
    for (size_t k = 0; k < 4; ++k) {
      scale[k] = c.scale * contrast / c.deviation[k];
      add[k] = light * c.scale / c.deviation[k];
      if (c.mean_image.empty()) mean[k] = c.mean[k];
    }
  }
  const bool by_image = !to_pixels && !c.mean_image.empty() && c.dtype == "float32";
  ImageRowArgs args{horizontal.taken, row_pixels, 0,       c.channels, vertical.taken * horizontal.taken,
                    {mean, 4},        {scale, 4}, {add, 4}};
  const double one[4] = {1, 1, 1, 1}, zero[4] = {};
  if (by_image) args.scale = {one, 4}, args.add = {zero, 4};
  const Context context{1, nullptr, nullptr};
  const KernelEntry* entry = to_pixels ? pixels_ : planes_;
  const int64_t item = to_pixels ? 4 : item_bytes(c.dtype);
  for (int64_t y = 0; y < vertical.taken; ++y) {
    const Place p = place(vertical.first + y, vertical.count, vertical.size);
    args.lower = std::lround(p.weight * 256);
    const uint8_t* first = row(vertical.from + p.at);
    const uint8_t* second = args.lower ? row(vertical.from + p.at + 1) : first;
    char* target = static_cast<char*>(out) + y * horizontal.taken * item;
    void* buffers[] = {const_cast<uint8_t*>(first),
                       const_cast<uint8_t*>(second),
                       places_.data(),
                       weights_.data(),
                       blended_.data(),
                       target};
    entry->run(&args, buffers, context);
  }
  if (!by_image) return;
  const int64_t plane = vertical.taken * horizontal.taken, width = horizontal.taken;
  for (int64_t k = 0; k < c.channels; ++k)
    for (int64_t y = 0; y < vertical.taken; ++y) {
      float* o = static_cast<float*>(out) + k * plane + y * width;
      const float* m = c.mean_image.data() + k * plane + y * width;
      const auto s = static_cast<float>(scale[k]), a = static_cast<float>(add[k]);
      for (int64_t x = 0; x < width; ++x) o[x] = (o[x] - m[mirrored ? width - 1 - x : x]) * s + a;
    }
}

// Decodes only what the result shows of the image that jpeg_ has open.
void Augmenter::from_jpeg(const Axis& vertical, const Axis& horizontal, bool mirrored, const char* kind, void* out,
                          Draws& draws) {
  auto first_of = [](const Axis& a) { return a.from + place(a.first, a.count, a.size).at; };
  auto last_of = [](const Axis& a) {
    const Place p = place(a.first + a.taken - 1, a.count, a.size);
    return a.from + std::min(p.at + 1, a.count - 1);
  };
  const int64_t top = first_of(vertical), left = first_of(horizontal), right = last_of(horizontal) + 1;
  const bool gray = config_.channels == 1;
  const int64_t x = jpeg_.start(gray ? Pixels::gray : Pixels::rgbx, top, left, right);
  const int64_t width = jpeg_.width();
  // Off its alignment: libjpeg-turbo writes aligned rows past the caches, and these are read again at once.
  constexpr int64_t kOff = 4;
  for (auto& line : lines_) line.resize(static_cast<size_t>(4 * width + kOff));
  if (gray) gray_.resize(static_cast<size_t>(width));
  int64_t next = top;
  auto row = [&](int64_t y) -> const uint8_t* {
    for (; next <= y; ++next) {
      uint8_t* line = lines_[next & 1].data() + kOff;
      jpeg_.read_row(gray ? gray_.data() : line);
      if (gray && next >= y - 1) expand_gray(gray_.data(), width, line);
    }
    return lines_[y & 1].data() + kOff;
  };
  rows(vertical, horizontal, mirrored, row, x, width, kind, out, &draws);
  jpeg_.stop();
}

// An image that already has the result's size, but for what is cut off around it.
void Augmenter::finish(const Image& image, bool mirrored, bool flipped, Draws& draws, void* out) {
  const Axis vertical{0, image.height, image.height, 0, image.height};
  const Axis horizontal{0, image.width, image.width, 0, image.width};
  auto row = [&](int64_t y) -> const uint8_t* {
    const uint8_t* from = image.row(flipped ? image.height - 1 - y : y);
    if (image.channels == 4) return from;
    lines_[0].resize(static_cast<size_t>(4 * image.width));
    if (image.channels == 1)
      expand_gray(from, image.width, lines_[0].data());
    else
      expand_rgb(from, image.width, image.channels, lines_[0].data());
    return lines_[0].data();
  };
  rows(vertical, horizontal, mirrored, row, 0, image.width, nullptr, out, &draws);
}

Augmenter::Size Augmenter::run(const uint8_t* data, size_t bytes, Draws& draws, void* out, std::vector<float>* label) {
  const AugmentConfig& c = config_;
  const bool jpeg = image_format(data, bytes) == Format::jpeg;
  const bool mirrored = (c.rand_mirror && draws.coin()) || c.mirror;
  const bool flipped = c.rand_flip && draws.coin();
  const bool moved = c.width_shift > 0 || c.height_shift > 0;
  auto shorter_to = [&](int64_t& h, int64_t& w) {
    if (c.resize <= 0) return;
    if (h > w) {
      h = c.resize * h / w;
      w = c.resize;
    } else {
      w = c.resize * w / h;
      h = c.resize;
    }
  };
  if (c.detection) {
    decode(data, bytes, image_);
    int64_t h = image_.height, w = image_.width;
    shorter_to(h, w);
    stretch(image_, h, w, draws);
    detect(image_, draws, *label);
    const Size size{image_.height, image_.width};
    if (size.height != c.height || size.width != c.width) std::memset(out, 0, bytes_per_image());
    finish(image_, false, false, draws, out);
    return size;
  }
  if (jpeg && !needs_affine() && c.pad == 0 && !flipped && !moved) {
    const ImageInfo info = jpeg_.open(data, bytes);
    int64_t h = info.height, w = info.width;
    shorter_to(h, w);
    const bool resized = h != info.height || w != info.width;
    Draws ahead = draws;
    if (info.orientation == 1 && h > 0 && w > 0) {
      const Step s = choose_crop(h, w, ahead);
      const bool stretched = s.stretch && (s.h != c.height || s.w != c.width);
      const bool fits = s.stretch || (s.h == c.height && s.w == c.width);
      if (fits && !(resized && stretched) && ((!resized && !stretched) || c.inter_method == kLinear)) {
        draws = ahead;
        const Axis vertical =
            stretched ? Axis{s.top, s.h, c.height, 0, c.height} : Axis{0, info.height, h, s.top, c.height};
        const Axis horizontal =
            stretched ? Axis{s.left, s.w, c.width, 0, c.width} : Axis{0, info.width, w, s.left, c.width};
        if (!changes_colour()) {
          from_jpeg(vertical, horizontal, mirrored, nullptr, out, draws);
          return {c.height, c.width};
        }
        image_.resize(c.height, c.width, 4);
        from_jpeg(vertical, horizontal, mirrored, "pixels", image_.pixels.data(), draws);
        colours(image_, draws);
        finish(image_, false, false, draws, out);
        return {c.height, c.width};
      }
    }
  }
  decode(data, bytes, image_);
  int64_t h = image_.height, w = image_.width;
  shorter_to(h, w);
  stretch(image_, h, w, draws);
  if (needs_affine()) affine(image_, draws);
  if (moved) shift(image_, draws);
  if (c.pad > 0) {
    pad_image(image_, c.pad, static_cast<uint8_t>(c.fill_value), other_);
    std::swap(image_, other_);
  }
  Draws before = draws;
  Step s = choose_crop(image_.height, image_.width, draws);
  if (!s.stretch && (s.h != c.height || s.w != c.width)) {
    draws = before;
    small_to_size(image_, draws);
    s = plain_crop(image_.height, image_.width, draws);
  }
  if (s.h != image_.height || s.w != image_.width) {
    crop_image(image_, s.top, s.left, s.h, s.w, other_);
    std::swap(image_, other_);
  }
  if (s.stretch) stretch(image_, c.height, c.width, draws);
  if (changes_colour()) colours(image_, draws);
  finish(image_, mirrored, flipped, draws, out);
  return {c.height, c.width};
}

}  // namespace minimx
