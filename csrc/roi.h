// The kernels of args/roi.h for both devices.
//
// Except for the maximum, all of them are means of points in a bin: a `Regions` struct says which plane a bin reads and
// where its points are; reading and spreading gradients are written once over it.
//
// Included by csrc/cpu/roi.cpp after each.h, and by csrc/cuda/roi.cu after each.cuh.
#pragma once
#include "args/roi.h"

namespace minimx {
namespace {

constexpr double kRadians = 3.14159265358979323846 / 180;

// The points of a bin: rows and columns at equal distances, turned about a centre. `plane` is -1 where there is
// nothing.
template <class T>
struct Bin {
  int64_t plane, rows, columns;
  T y, x, step_y, step_x;
  T centre_y, centre_x, cosine, sine;
};

// The four pixels around a point, and their weights.
template <class T>
struct Around {
  int64_t at[4];
  T weight[4];
};

// Points up to `margin` pixels outside of the image count as on its border; those further out are nothing.
template <class T>
EACH_DEVICE inline bool look_around(T y, T x, int64_t height, int64_t width, T margin, T beyond, Around<T>* around,
                                    Around<T>* by_y, Around<T>* by_x) {
  const T bottom = static_cast<T>(height - 1), right = static_cast<T>(width - 1);
  if (!(y >= -margin && y <= bottom + beyond && x >= -margin && x <= right + beyond)) return false;
  const bool y_inside = y > 0 && y < bottom, x_inside = x > 0 && x < right;
  y = y < 0 ? 0 : y > bottom ? bottom : y;
  x = x < 0 ? 0 : x > right ? right : x;
  const int64_t top = static_cast<int64_t>(y), left = static_cast<int64_t>(x);
  const int64_t down = top + (top < height - 1), across = left + (left < width - 1);
  const T fy = y - static_cast<T>(top), fx = x - static_cast<T>(left);
  for (int i = 0; i < 4; ++i) {
    const T wy = i / 2 ? fy : 1 - fy, wx = i % 2 ? fx : 1 - fx;
    around->at[i] = (i / 2 ? down : top) * width + (i % 2 ? across : left);
    around->weight[i] = wy * wx;
    if (by_y) by_y->weight[i] = y_inside ? (i / 2 ? wx : -wx) : T(0);
    if (by_x) by_x->weight[i] = x_inside ? (i % 2 ? wy : -wy) : T(0);
  }
  return true;
}

template <class T>
EACH_DEVICE inline void point_of(const Bin<T>& bin, int64_t row, int64_t column, T* y, T* x) {
  const T down = bin.y + static_cast<T>(row) * bin.step_y, across = bin.x + static_cast<T>(column) * bin.step_x;
  *x = across * bin.cosine + down * bin.sine + bin.centre_x;
  *y = down * bin.cosine - across * bin.sine + bin.centre_y;
}

// ---- regions -------------------------------------------------------------------------------------------------------

// Straight and turned regions of which every bin is read at a grid of points.
template <class T, bool Rotated>
struct AlignedRegions {
  RoiArgs a;
  const T* rois;

  static constexpr bool kCountsAll = true;  // points outside of the image count in the mean
  ANYWHERE int64_t regions() const { return a.rois; }
  ANYWHERE int64_t bins() const { return a.pooled_height * a.pooled_width; }
  ANYWHERE int64_t channels() const { return a.position_sensitive ? a.channels / bins() : a.channels; }
  ANYWHERE int64_t height() const { return a.height; }
  ANYWHERE int64_t width() const { return a.width; }
  EACH_DEVICE T margin() const { return 1; }
  EACH_DEVICE T beyond() const { return 1; }

  EACH_DEVICE Bin<T> bin(int64_t region, int64_t channel, int64_t number) const {
    const T* roi = rois + region * (Rotated ? 6 : 5);
    const int64_t image = static_cast<int64_t>(roi[0]);
    Bin<T> bin = {-1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    if (!(roi[0] >= 0) || image >= a.images) return bin;
    bin.plane = image * a.channels + (a.position_sensitive ? channel * bins() + number : channel);
    const T scale = static_cast<T>(a.scale), offset = a.aligned ? T(0.5) : T(0);
    T width, height, left, top;
    if (Rotated) {
      width = roi[3] * scale;
      height = roi[4] * scale;
    } else {
      left = roi[1] * scale - offset;
      top = roi[2] * scale - offset;
      width = roi[3] * scale - offset - left;
      height = roi[4] * scale - offset - top;
    }
    const T least = a.aligned ? T(0) : T(1);
    width = width > least ? width : least;
    height = height > least ? height : least;
    if (Rotated) {
      const double angle = static_cast<double>(roi[5]) * kRadians;
      bin.cosine = static_cast<T>(cos(angle));
      bin.sine = static_cast<T>(sin(angle));
      bin.centre_x = roi[1] * scale;
      bin.centre_y = roi[2] * scale;
      left = -width / 2;
      top = -height / 2;
    }
    const T bin_height = height / static_cast<T>(a.pooled_height), bin_width = width / static_cast<T>(a.pooled_width);
    bin.rows = a.sample_ratio > 0 ? a.sample_ratio : static_cast<int64_t>(ceil(bin_height));
    bin.columns = a.sample_ratio > 0 ? a.sample_ratio : static_cast<int64_t>(ceil(bin_width));
    bin.rows = bin.rows > 0 ? bin.rows : 0;
    bin.columns = bin.columns > 0 ? bin.columns : 0;
    bin.step_y = bin_height / static_cast<T>(bin.rows);
    bin.step_x = bin_width / static_cast<T>(bin.columns);
    bin.y = top + static_cast<T>(number / a.pooled_width) * bin_height + bin.step_y / 2;
    bin.x = left + static_cast<T>(number % a.pooled_width) * bin_width + bin.step_x / 2;
    return bin;
  }
};

// What the two position-sensitive kinds have in common.
template <class T>
struct PsRegions {
  PsRoiArgs a;
  const T* rois;

  ANYWHERE int64_t regions() const { return a.rois; }
  ANYWHERE int64_t bins() const { return a.pooled_size * a.pooled_size; }
  ANYWHERE int64_t channels() const { return a.output_dim; }
  ANYWHERE int64_t height() const { return a.height; }
  ANYWHERE int64_t width() const { return a.width; }

  // The plane and the region's corner and size, `offset` pixels less.
  EACH_DEVICE Bin<T> start(int64_t region, int64_t channel, int64_t number, T offset, T* height, T* width) const {
    const T* roi = rois + region * 5;
    const int64_t image = static_cast<int64_t>(roi[0]);
    Bin<T> bin = {-1, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0};
    if (!(roi[0] >= 0) || image >= a.images) return bin;
    const int64_t i = number / a.pooled_size * a.group_size / a.pooled_size;
    const int64_t j = number % a.pooled_size * a.group_size / a.pooled_size;
    bin.plane = image * a.channels + (channel * a.group_size + i) * a.group_size + j;
    const T scale = static_cast<T>(a.scale);
    bin.x = round(roi[1]) * scale - offset;
    bin.y = round(roi[2]) * scale - offset;
    *width = (round(roi[3]) + 1) * scale - offset - bin.x;
    *height = (round(roi[4]) + 1) * scale - offset - bin.y;
    *width = *width > T(0.1) ? *width : T(0.1);
    *height = *height > T(0.1) ? *height : T(0.1);
    return bin;
  }
};

// Every pixel of the bin is a point.
template <class T>
struct PixelRegions : PsRegions<T> {
  static constexpr bool kCountsAll = true;
  EACH_DEVICE T margin() const { return 0; }
  EACH_DEVICE T beyond() const { return 0; }

  EACH_DEVICE static int64_t within(T x, int64_t most) {
    return x > 0 ? (x < static_cast<T>(most) ? static_cast<int64_t>(x) : most) : 0;
  }
  EACH_DEVICE Bin<T> bin(int64_t region, int64_t channel, int64_t number) const {
    T height, width;
    Bin<T> bin = this->start(region, channel, number, 0, &height, &width);
    if (bin.plane < 0) return bin;
    const int64_t pooled = this->a.pooled_size;
    const T high = height / static_cast<T>(pooled), wide = width / static_cast<T>(pooled);
    const T i = static_cast<T>(number / pooled), j = static_cast<T>(number % pooled);
    const int64_t top = within(floor(i * high + bin.y), this->a.height);
    const int64_t bottom = within(ceil((i + 1) * high + bin.y), this->a.height);
    const int64_t left = within(floor(j * wide + bin.x), this->a.width);
    const int64_t right = within(ceil((j + 1) * wide + bin.x), this->a.width);
    bin.rows = bottom > top ? bottom - top : 0;
    bin.columns = right > left ? right - left : 0;
    bin.y = static_cast<T>(top);
    bin.x = static_cast<T>(left);
    return bin;
  }
};

template <class T>
struct DeformedRegions : PsRegions<T> {
  const T* trans;

  static constexpr bool kCountsAll = false;
  EACH_DEVICE T margin() const { return T(0.5); }
  EACH_DEVICE T beyond() const { return T(0.5); }

  // Where the x of a bin's movement stands in trans; y is part_size² further.
  EACH_DEVICE int64_t trans_at(int64_t region, int64_t channel, int64_t number) const {
    const PsRoiArgs& a = this->a;
    const int64_t i = number / a.pooled_size * a.part_size / a.pooled_size;
    const int64_t j = number % a.pooled_size * a.part_size / a.pooled_size;
    const int64_t kind = channel / (a.output_dim / a.classes);
    return ((region * a.classes + kind) * 2 * a.part_size + i) * a.part_size + j;
  }
  EACH_DEVICE Bin<T> bin(int64_t region, int64_t channel, int64_t number, T* high, T* wide) const {
    const PsRoiArgs& a = this->a;
    Bin<T> bin = this->start(region, channel, number, T(0.5), high, wide);
    if (bin.plane < 0) return bin;
    T down = 0, across = 0;
    if (a.classes) {
      const T* moved = trans + trans_at(region, channel, number);
      across = moved[0] * static_cast<T>(a.trans_std);
      down = moved[a.part_size * a.part_size] * static_cast<T>(a.trans_std);
    }
    const T bin_height = *high / static_cast<T>(a.pooled_size), bin_width = *wide / static_cast<T>(a.pooled_size);
    bin.rows = bin.columns = a.sample_per_part;
    bin.step_y = bin_height / static_cast<T>(a.sample_per_part);
    bin.step_x = bin_width / static_cast<T>(a.sample_per_part);
    bin.y += static_cast<T>(number / a.pooled_size) * bin_height + down * *high;
    bin.x += static_cast<T>(number % a.pooled_size) * bin_width + across * *wide;
    return bin;
  }
  EACH_DEVICE Bin<T> bin(int64_t region, int64_t channel, int64_t number) const {
    T height, width;
    return bin(region, channel, number, &height, &width);
  }
};

// ---- means of bins -------------------------------------------------------------------------------------------------

// Calls body(corners) for the points of a bin that are in the image, after their number by which a mean divides.
template <class T, class Regions, class Body>
EACH_DEVICE inline void each_point(const Regions& r, const Bin<T>& bin, const Body& body) {
  Around<T> around;
  for (int64_t i = 0; i < bin.rows; ++i)
    for (int64_t j = 0; j < bin.columns; ++j) {
      T y, x;
      point_of(bin, i, j, &y, &x);
      if (look_around<T>(y, x, r.height(), r.width(), r.margin(), r.beyond(), &around, nullptr, nullptr)) body(around);
    }
}
template <class T, class Regions>
EACH_DEVICE inline T points_of(const Regions& r, const Bin<T>& bin) {
  if (Regions::kCountsAll) return static_cast<T>(bin.rows * bin.columns);
  int64_t count = 0;
  each_point(r, bin, [&](const Around<T>&) { ++count; });
  return static_cast<T>(count);
}

template <class T, class Regions>
struct ReadBins {
  Regions r;
  const T* data;
  T* y;

  EACH_DEVICE void operator()(int64_t i) const {
    const int64_t number = i % r.bins(), channel = i / r.bins() % r.channels();
    const Bin<T> bin = r.bin(i / r.bins() / r.channels(), channel, number);
    const T count = bin.plane < 0 ? T(0) : points_of(r, bin);
    T sum = 0;
    if (count > 0) {
      const T* plane = data + bin.plane * r.height() * r.width();
      each_point(r, bin, [&](const Around<T>& p) {
        for (int k = 0; k < 4; ++k) sum += plane[p.at[k]] * p.weight[k];
      });
    }
    y[i] = count > 0 ? sum / count : T(0);
  }
};

template <class T, class Regions>
struct SpreadBins {
  Regions r;
  const T* dy;
  T* ddata;

  EACH_DEVICE void operator()(int64_t channel, int64_t item) const {
    const int64_t number = item % r.bins(), region = item / r.bins();
    const Bin<T> bin = r.bin(region, channel, number);
    const T count = bin.plane < 0 ? T(0) : points_of(r, bin);
    if (!(count > 0)) return;
    const T g = dy[(region * r.channels() + channel) * r.bins() + number] / count;
    T* plane = ddata + bin.plane * r.height() * r.width();
    each_point(r, bin, [&](const Around<T>& p) {
      for (int k = 0; k < 4; ++k) add(plane + p.at[k], g * p.weight[k]);
    });
  }
};

// The gradient of what moves the bins of one class of one region, part by part.
template <class T>
struct TransSlopes {
  DeformedRegions<T> r;
  const T* dy;
  const T* data;
  T* dtrans;

  // An item is a pair of numbers of trans, and adds up over all bins and channels that it moves.
  EACH_DEVICE void operator()(int64_t item) const {
    const PsRoiArgs& a = r.a;
    const int64_t parts = a.part_size * a.part_size, part = item % parts, kind = item / parts % a.classes;
    const int64_t region = item / parts / a.classes, each = a.output_dim / a.classes;
    const int64_t at = ((region * a.classes + kind) * 2) * parts + part;
    T by_x = 0, by_y = 0;
    for (int64_t number = 0; number < r.bins(); ++number) {
      if (r.trans_at(region, kind * each, number) != at) continue;
      for (int64_t channel = kind * each; channel < (kind + 1) * each; ++channel) {
        T height, width;
        const Bin<T> bin = r.bin(region, channel, number, &height, &width);
        const T count = bin.plane < 0 ? T(0) : points_of(r, bin);
        if (!(count > 0)) continue;
        const T g = dy[(region * a.output_dim + channel) * r.bins() + number] / count * static_cast<T>(a.trans_std);
        const T* plane = data + bin.plane * a.height * a.width;
        Around<T> around, slope_y, slope_x;
        for (int64_t i = 0; i < bin.rows; ++i)
          for (int64_t j = 0; j < bin.columns; ++j) {
            T y, x;
            point_of(bin, i, j, &y, &x);
            if (!look_around<T>(y, x, a.height, a.width, r.margin(), r.beyond(), &around, &slope_y, &slope_x)) continue;
            for (int k = 0; k < 4; ++k) {
              by_y += g * height * plane[around.at[k]] * slope_y.weight[k];
              by_x += g * width * plane[around.at[k]] * slope_x.weight[k];
            }
          }
      }
    }
    dtrans[at] = by_x;
    dtrans[at + parts] = by_y;
  }
};

template <class T, class Regions>
void read_bins(const Context& c, const Regions& r, const T* data, T* y) {
  for_each(c, r.regions() * r.channels() * r.bins(), ReadBins<T, Regions>{r, data, y}, 128);
}
template <class T, class Regions>
void spread_bins(const Context& c, const Regions& r, int64_t images, int64_t planes, const T* dy, T* ddata) {
  fill_zero(c, ddata, images * planes * r.height() * r.width());
  for_each_in_planes(c, r.channels(), r.regions() * r.bins(), SpreadBins<T, Regions>{r, dy, ddata}, 128);
}

// ---- maxima of bins ------------------------------------------------------------------------------------------------

struct Pixels {
  int64_t image, top, bottom, left, right;
};
template <class T>
struct PoolRegions {
  RoiArgs a;
  const T* data;
  const T* rois;

  ANYWHERE int64_t bins() const { return a.pooled_height * a.pooled_width; }
  EACH_DEVICE static int64_t within(int64_t x, int64_t most) { return x < 0 ? 0 : x > most ? most : x; }
  // The pixels of a bin; image is -1 where there is none of that number.
  EACH_DEVICE Pixels pixels(int64_t region, int64_t number) const {
    const T* roi = rois + region * 5;
    const int64_t image = static_cast<int64_t>(roi[0]);
    if (!(roi[0] >= 0) || image >= a.images) return {-1, 0, 0, 0, 0};
    const T scale = static_cast<T>(a.scale);
    const int64_t x1 = static_cast<int64_t>(round(roi[1] * scale)), y1 = static_cast<int64_t>(round(roi[2] * scale));
    const int64_t x2 = static_cast<int64_t>(round(roi[3] * scale)), y2 = static_cast<int64_t>(round(roi[4] * scale));
    const int64_t wide = x2 - x1 + 1 > 1 ? x2 - x1 + 1 : 1, high = y2 - y1 + 1 > 1 ? y2 - y1 + 1 : 1;
    const int64_t i = number / a.pooled_width, j = number % a.pooled_width;
    return {image, within(i * high / a.pooled_height + y1, a.height),
            within(((i + 1) * high + a.pooled_height - 1) / a.pooled_height + y1, a.height),
            within(j * wide / a.pooled_width + x1, a.width),
            within(((j + 1) * wide + a.pooled_width - 1) / a.pooled_width + x1, a.width)};
  }
  EACH_DEVICE const T* plane(const Pixels& p, int64_t channel) const {
    return data + (p.image * a.channels + channel) * a.height * a.width;
  }
  EACH_DEVICE T largest(const Pixels& p, int64_t channel) const {
    if (p.image < 0 || p.top >= p.bottom || p.left >= p.right) return 0;
    const T* from = plane(p, channel);
    T best = from[p.top * a.width + p.left];
    for (int64_t y = p.top; y < p.bottom; ++y)
      for (int64_t x = p.left; x < p.right; ++x) best = from[y * a.width + x] > best ? from[y * a.width + x] : best;
    return best;
  }
  // Where the first of the largest pixels of a bin lies in data, or -1.
  EACH_DEVICE int64_t place(const Pixels& p, int64_t channel) const {
    if (p.image < 0) return -1;
    const T *from = plane(p, channel), best = largest(p, channel);
    for (int64_t y = p.top; y < p.bottom; ++y)
      for (int64_t x = p.left; x < p.right; ++x)
        if (from[y * a.width + x] == best) return from - data + y * a.width + x;
    return -1;
  }
};

// An item is a bin, on the CPU with all its channels.
template <class T>
struct RoiPool {
  PoolRegions<T> r;
  T* y;
  EACH_DEVICE void operator()(int64_t item) const {
    const int64_t bin = kOnGpu ? item / r.a.channels : item, region = bin / r.bins(), number = bin % r.bins();
    const int64_t first = kOnGpu ? item % r.a.channels : 0, last = kOnGpu ? first + 1 : r.a.channels;
    const Pixels p = r.pixels(region, number);
    for (int64_t c = first; c < last; ++c) y[(region * r.a.channels + c) * r.bins() + number] = r.largest(p, c);
  }
};
constexpr int64_t kPooledTogether = kOnGpu ? 1 : 16;  // channels
template <class T>
struct RoiPoolGradient {
  PoolRegions<T> r;
  const T* dy;
  T* ddata;
  EACH_DEVICE void operator()(int64_t some, int64_t bin) const {
    const int64_t region = bin / r.bins(), number = bin % r.bins(), end = (some + 1) * kPooledTogether;
    const Pixels p = r.pixels(region, number);
    for (int64_t c = some * kPooledTogether; c < end && c < r.a.channels; ++c) {
      const int64_t place = r.place(p, c);
      if (place >= 0) add(ddata + place, dy[(region * r.a.channels + c) * r.bins() + number]);
    }
  }
};

// ---- kernels -------------------------------------------------------------------------------------------------------

template <class T>
void roi_pool(const RoiArgs& a, void* const* b, const Context& c) {
  const PoolRegions<T> r = {a, operand<const T>(b, 0, c), operand<const T>(b, 1, c)};
  const int64_t bins = a.rois * a.pooled_height * a.pooled_width;
  for_each(c, kOnGpu ? bins * a.channels : bins, RoiPool<T>{r, operand<T>(b, 2, c)}, 16 * a.channels);
}
template <class T>
void roi_pool_gradient(const RoiArgs& a, void* const* b, const Context& c) {
  const PoolRegions<T> r = {a, operand<const T>(b, 1, c), operand<const T>(b, 2, c)};
  T* ddata = operand<T>(b, 3, c);
  fill_zero(c, ddata, a.images * a.channels * a.height * a.width);
  const int64_t groups = (a.channels + kPooledTogether - 1) / kPooledTogether;
  for_each_in_planes(c, groups, a.rois * a.pooled_height * a.pooled_width,
                     RoiPoolGradient<T>{r, operand<const T>(b, 0, c), ddata}, 16 * kPooledTogether);
}
template <class T, bool Rotated>
void read_aligned(const RoiArgs& a, void* const* b, const Context& c) {
  const AlignedRegions<T, Rotated> r = {a, operand<const T>(b, 1, c)};
  read_bins<T>(c, r, operand<const T>(b, 0, c), operand<T>(b, 2, c));
}
template <class T, bool Rotated>
void spread_aligned(const RoiArgs& a, void* const* b, const Context& c) {
  const AlignedRegions<T, Rotated> r = {a, operand<const T>(b, 1, c)};
  spread_bins<T>(c, r, a.images, a.channels, operand<const T>(b, 0, c), operand<T>(b, 2, c));
}
template <class T>
void rotated_roi(const RoiArgs& a, void* const* b, const Context& c) {
  read_aligned<T, true>(a, b, c);
}
template <class T>
void rotated_roi_gradient(const RoiArgs& a, void* const* b, const Context& c) {
  spread_aligned<T, true>(a, b, c);
}
template <class T>
void ps_roi(const PsRoiArgs& a, void* const* b, const Context& c) {
  const PixelRegions<T> r = {{a, operand<const T>(b, 1, c)}};
  read_bins<T>(c, r, operand<const T>(b, 0, c), operand<T>(b, 2, c));
}
template <class T>
void ps_roi_gradient(const PsRoiArgs& a, void* const* b, const Context& c) {
  const PixelRegions<T> r = {{a, operand<const T>(b, 1, c)}};
  spread_bins<T>(c, r, a.images, a.channels, operand<const T>(b, 0, c), operand<T>(b, 2, c));
}
template <class T>
DeformedRegions<T> deformed(const PsRoiArgs& a, void* const* b, int rois, const Context& c) {
  return {{a, operand<const T>(b, rois, c)}, operand<const T>(b, rois + 1, c)};
}
template <class T>
void deformable_roi(const PsRoiArgs& a, void* const* b, const Context& c) {
  read_bins<T>(c, deformed<T>(a, b, 1, c), operand<const T>(b, 0, c), operand<T>(b, 3, c));
}
template <class T>
void deformable_roi_gradient(const PsRoiArgs& a, void* const* b, const Context& c) {
  spread_bins<T>(c, deformed<T>(a, b, 1, c), a.images, a.channels, operand<const T>(b, 0, c), operand<T>(b, 3, c));
}
template <class T>
void deformable_roi_trans(const PsRoiArgs& a, void* const* b, const Context& c) {
  const TransSlopes<T> one = {deformed<T>(a, b, 2, c), operand<const T>(b, 0, c), operand<const T>(b, 1, c),
                              operand<T>(b, 4, c)};
  for_each(c, a.rois * a.classes * a.part_size * a.part_size, one, 1024);
}

}  // namespace
}  // namespace minimx

#define ROI_KERNELS                                                                                                 \
  KERNELS(roi, TYPED("roi_pool", roi_pool, RoiArgs), TYPED("roi_pool_gradient", roi_pool_gradient, RoiArgs),        \
          TYPED("roi_align", roi_align, RoiArgs), TYPED("roi_align_gradient", roi_align_gradient, RoiArgs),         \
          TYPED("rotated_roi", rotated_roi, RoiArgs), TYPED("rotated_roi_gradient", rotated_roi_gradient, RoiArgs), \
          TYPED("ps_roi", ps_roi, PsRoiArgs), TYPED("ps_roi_gradient", ps_roi_gradient, PsRoiArgs),                 \
          TYPED("deformable_roi", deformable_roi, PsRoiArgs),                                                       \
          TYPED("deformable_roi_gradient", deformable_roi_gradient, PsRoiArgs),                                     \
          TYPED("deformable_roi_trans", deformable_roi_trans, PsRoiArgs))
