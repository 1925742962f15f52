// Random changes of images with boxes around objects, which move along.
//
// A label is: how long its head is, how many numbers an object has, whatever else is in the head; then for each object
// its class, left, top, right and bottom as parts of the image, and whatever follows.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "image_augment.h"

namespace minimx {
namespace {

struct Area {
  double left, top, right, bottom;
  double size() const { return std::max(0.0, right - left) * std::max(0.0, bottom - top); }
};

Area common(const Area& a, const Area& b) {
  return {std::max(a.left, b.left), std::max(a.top, b.top), std::min(a.right, b.right), std::min(a.bottom, b.bottom)};
}

class Objects {
 public:
  explicit Objects(std::vector<float>& label) : label_(label) {
    head_ = label.size() < 2 ? 0 : static_cast<size_t>(std::max(0.f, label[0]));
    width_ = label.size() < 2 ? 0 : static_cast<size_t>(std::max(0.f, label[1]));
    if (head_ < 2 || head_ > label.size() || width_ < 5 || (label.size() - head_) % width_)
      throw ImageError("a label of " + std::to_string(label.size()) +
                       " numbers is not [2 or more, 5 or more, ..., objects]");
  }
  size_t count() const { return (label_.size() - head_) / width_; }
  Area area(size_t i) const {
    const float* p = label_.data() + head_ + i * width_ + 1;
    return {p[0], p[1], p[2], p[3]};
  }
  void set(size_t i, const Area& a) {
    float* p = label_.data() + head_ + i * width_ + 1;
    p[0] = static_cast<float>(a.left);
    p[1] = static_cast<float>(a.top);
    p[2] = static_cast<float>(a.right);
    p[3] = static_cast<float>(a.bottom);
  }
  // Only the objects named, in this order.
  void keep(const std::vector<size_t>& which) {
    for (size_t k = 0; k < which.size(); ++k)
      std::copy_n(label_.data() + head_ + which[k] * width_, width_, label_.data() + head_ + k * width_);
    label_.resize(head_ + which.size() * width_);
  }
  // Coordinates as parts of `view` instead of the image.
  void look_through(const Area& view) {
    const double w = view.right - view.left, h = view.bottom - view.top;
    for (size_t i = 0; i < count(); ++i) {
      const Area a = area(i);
      auto part = [](double v) { return std::clamp(v, 0.0, 1.0); };
      set(i, {part((a.left - view.left) / w), part((a.top - view.top) / h), part((a.right - view.left) / w),
              part((a.bottom - view.top) / h)});
    }
  }

 private:
  std::vector<float>& label_;
  size_t head_, width_;
};

double at(const std::vector<double>& v, size_t i, double otherwise) {
  return v.empty() ? otherwise : v[std::min(i, v.size() - 1)];
}

// Whether the objects agree with a crop: one of them is covered, and covers, as much as sampler i asks.
bool satisfies(const AugmentConfig& c, size_t i, const Objects& objects, const Area& crop) {
  const double low[3] = {at(c.min_crop_overlaps, i, 0), at(c.min_crop_sample_coverages, i, 0),
                         at(c.min_crop_object_coverages, i, 0)};
  const double high[3] = {at(c.max_crop_overlaps, i, 1), at(c.max_crop_sample_coverages, i, 1),
                          at(c.max_crop_object_coverages, i, 1)};
  for (int k = 0; k < 3; ++k) {
    if (low[k] <= 0 && high[k] >= 1) continue;
    bool found = false;
    for (size_t o = 0; o < objects.count() && !found; ++o) {
      const Area a = objects.area(o);
      const double both = common(a, crop).size();
      const double whole = k == 0 ? a.size() + crop.size() - both : k == 1 ? crop.size() : a.size();
      const double part = whole > 0 ? both / whole : 0;
      found = part >= low[k] && part <= high[k];
    }
    if (!found) return false;
  }
  return true;
}

// The objects that stay in a crop.
std::vector<size_t> remaining(const AugmentConfig& c, const Objects& objects, const Area& crop) {
  std::vector<size_t> kept;
  for (size_t o = 0; o < objects.count(); ++o) {
    const Area a = objects.area(o);
    bool stays;
    if (c.emit_by_overlap) {
      stays = a.size() > 0 && common(a, crop).size() / a.size() > c.emit_overlap_thresh;
    } else {
      const double x = (a.left + a.right) / 2, y = (a.top + a.bottom) / 2;
      stays = x >= crop.left && x <= crop.right && y >= crop.top && y <= crop.bottom;
    }
    if (stays) kept.push_back(o);
  }
  return kept;
}

}  // namespace

void Augmenter::detect_colours(Image& image, Draws& draws) {
  const AugmentConfig& c = config_;
  auto some = [&](double probability, int64_t most) {
    const double chance = draws.uniform(), amount = draws.uniform(-1, 1);
    return chance < probability ? static_cast<int>(amount * static_cast<double>(most)) : 0;
  };
  const int h = some(c.random_hue_prob, c.random_h), s = some(c.random_saturation_prob, c.random_s);
  const int l = some(c.random_illumination_prob, c.random_l);
  if (h || s || l) shift_hls(image, h, l, s);
  const double chance = draws.uniform(), amount = draws.uniform(-c.contrast, c.contrast);
  if (chance < c.random_contrast_prob) scale_brightness(image, 1 + amount);
}

// Makes `image` ready to be laid out: at most as large as the result.
void Augmenter::detect(Image& image, Draws& draws, std::vector<float>& label) {
  const AugmentConfig& c = config_;
  Objects objects(label);
  detect_colours(image, draws);
  if (draws.uniform() < c.rand_mirror_prob) {
    flip_columns(image);
    for (size_t i = 0; i < objects.count(); ++i) {
      const Area a = objects.area(i);
      objects.set(i, {1 - a.right, a.top, 1 - a.left, a.bottom});
    }
  }
  const auto h = static_cast<double>(image.height), w = static_cast<double>(image.width);
  if (c.max_pad_scale > 1 && draws.uniform() < c.rand_pad_prob) {
    const double scale = draws.uniform(1, c.max_pad_scale);
    const double x = draws.uniform(0, scale - 1), y = draws.uniform(0, scale - 1);
    const auto left = static_cast<int64_t>(x * w), top = static_cast<int64_t>(y * h);
    const int64_t new_w = left + image.width + static_cast<int64_t>((scale - 1 - x) * w);
    const int64_t new_h = top + image.height + static_cast<int64_t>((scale - 1 - y) * h);
    if (new_w * new_h > kMaxPixels) throw ImageError("max_pad_scale makes the image too large");
    other_.resize(new_h, new_w, image.channels);
    std::memset(other_.pixels.data(), static_cast<int>(c.fill_value), other_.pixels.size());
    for (int64_t r = 0; r < image.height; ++r)
      std::memcpy(other_.row(top + r) + left * image.channels, image.row(r),
                  static_cast<size_t>(image.width * image.channels));
    std::swap(image, other_);
    objects.look_through({-x, -y, scale - x, scale - y});
  }
  if (c.num_crop_sampler > 0 && draws.uniform() < c.rand_crop_prob) {
    const auto rows = static_cast<double>(image.height), columns = static_cast<double>(image.width);
    std::vector<size_t> samplers(static_cast<size_t>(c.num_crop_sampler));
    std::iota(samplers.begin(), samplers.end(), size_t{0});
    for (size_t i = samplers.size(); i > 1; --i)
      std::swap(samplers[i - 1], samplers[static_cast<size_t>(draws.integer(0, static_cast<int64_t>(i) - 1))]);
    bool done = false;
    for (size_t k = 0; k < samplers.size() && !done; ++k) {
      const size_t i = samplers[k];
      const int64_t trials =
          c.max_crop_trials.empty() ? 25 : c.max_crop_trials[std::min(i, c.max_crop_trials.size() - 1)];
      for (int64_t t = 0; t < trials && !done; ++t) {
        const double scale = draws.uniform(at(c.min_crop_scales, i, 0), at(c.max_crop_scales, i, 1)) + 1e-12;
        const double aspect = columns / rows;
        const double low = std::max(at(c.min_crop_aspect_ratios, i, 1) / aspect, scale * scale);
        const double high = std::min(at(c.max_crop_aspect_ratios, i, 1) / aspect, 1 / (scale * scale));
        const double ratio = std::sqrt(low < high ? draws.uniform(low, high) : low);
        const double cw = std::min(1.0, scale * ratio), ch = std::min(1.0, scale / ratio);
        const double x = draws.uniform(0, 1 - cw), y = draws.uniform(0, 1 - ch);
        const Area crop{x, y, x + cw, y + ch};
        if (objects.count() > 0 && !satisfies(c, i, objects, crop)) continue;
        const std::vector<size_t> kept = remaining(c, objects, crop);
        if (objects.count() > 0 && kept.empty()) continue;
        const auto left = static_cast<int64_t>(x * columns), top = static_cast<int64_t>(y * rows);
        const auto new_w = std::max<int64_t>(1, static_cast<int64_t>(cw * columns));
        const auto new_h = std::max<int64_t>(1, static_cast<int64_t>(ch * rows));
        objects.keep(kept);
        objects.look_through(crop);
        crop_image(image, std::min(top, image.height - new_h), std::min(left, image.width - new_w), new_h, new_w,
                   other_);
        std::swap(image, other_);
        done = true;
      }
    }
  }
  int64_t to_h = c.height, to_w = c.width;
  if (c.resize_mode != 0) {  // shrink (1) never makes larger, fit (2) does; both keep the shape
    const auto rows = static_cast<double>(image.height), columns = static_cast<double>(image.width);
    double ratio = std::min(static_cast<double>(c.height) / rows, static_cast<double>(c.width) / columns);
    if (c.resize_mode == 1) ratio = std::min(ratio, 1.0);
    to_h = std::clamp<int64_t>(static_cast<int64_t>(ratio * rows + 0.5), 1, c.height);
    to_w = std::clamp<int64_t>(static_cast<int64_t>(ratio * columns + 0.5), 1, c.width);
  }
  stretch(image, to_h, to_w, draws);
}

}  // namespace minimx
