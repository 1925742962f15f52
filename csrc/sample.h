// The kernels of args/sample.h for both devices.
//
// Both families read images at given points: what a grid says, or where the taps of a convolution are moved to. A
// `Points` struct says where point number p of a group of channels is, and where its value goes; the three kernels are
// written once over it.
//
// Included by csrc/cpu/sample.cpp after each.h, and by csrc/cuda/sample.cu after each.cuh.
#pragma once
#include "args/sample.h"

namespace minimx {
namespace {

constexpr int64_t kPoints = kOnGpu ? 1 : 64;    // points whose corners are found once for all channels
constexpr int64_t kChannels = kOnGpu ? 1 : 16;  // channels of a group that one task adds gradients to

// The four pixels around a point: their places in a plane and weights. Those outside of the image weigh 0.
template <class T>
struct Corners {
  int64_t at[4];
  T weight[4];
};

// The slopes of the value by x and y are the sums of pixel·weight with these weights.
template <class T>
struct CornerSlopes {
  T by_x[4], by_y[4];
};

struct Size {
  int64_t height, width;
  int64_t clamp;  // how the border is treated: see DeformableArgs
};

template <class T>
EACH_DEVICE inline void find_corners(T x, T y, const Size& size, Corners<T>* corners, CornerSlopes<T>* slopes) {
  const T lowest = size.clamp ? T(0) : T(-1), width = static_cast<T>(size.width), height = static_cast<T>(size.height);
  const bool above = size.clamp ? x >= lowest && y >= lowest : x > lowest && y > lowest;
  const bool inside = above && x < width && y < height;  // false for NaN
  if (!inside) x = y = 0;
  const T left = floor(x), top = floor(y);
  int64_t x0 = static_cast<int64_t>(left), y0 = static_cast<int64_t>(top);
  T right = x - left, down = y - top;
  const bool last_x = size.clamp && x0 >= size.width - 1, last_y = size.clamp && y0 >= size.height - 1;
  if (last_x) right = 0;
  if (last_y) down = 0;
  for (int i = 0; i < 4; ++i) {
    const int64_t px = x0 + i % 2, py = y0 + i / 2;
    const bool there = inside && px >= 0 && px < size.width && py >= 0 && py < size.height;
    const T wx = i % 2 ? right : 1 - right, wy = i / 2 ? down : 1 - down;
    corners->at[i] = there ? py * size.width + px : 0;
    corners->weight[i] = there ? wx * wy : T(0);
    if (slopes) {
      slopes->by_x[i] = there && !last_x ? (i % 2 ? wy : -wy) : T(0);
      slopes->by_y[i] = there && !last_y ? (i / 2 ? wx : -wx) : T(0);
    }
  }
}

template <class T>
EACH_DEVICE inline T dot4(const T* plane, const int64_t* at, const T* weight) {
  return plane[at[0]] * weight[0] + plane[at[1]] * weight[1] + plane[at[2]] * weight[2] + plane[at[3]] * weight[3];
}

// ---- where points are ----------------------------------------------------------------------------------------------

template <class T>
struct GridPoints {
  SamplerArgs a;
  const T* grid;

  ANYWHERE int64_t images() const { return a.images; }
  ANYWHERE int64_t groups() const { return 1; }
  ANYWHERE int64_t channels() const { return a.channels; }
  ANYWHERE int64_t points() const { return a.points; }
  ANYWHERE Size size() const { return {a.height, a.width, 0}; }
  EACH_DEVICE T scale(int64_t length) const { return static_cast<T>(length - 1) / 2; }
  EACH_DEVICE void place(int64_t image, int64_t, int64_t p, T* x, T* y, T* mask) const {
    const T* at = grid + image * 2 * a.points + p;
    *x = (at[0] + 1) * scale(a.width);
    *y = (at[a.points] + 1) * scale(a.height);
    *mask = 1;
  }
  EACH_DEVICE int64_t out(int64_t image, int64_t channel, int64_t p) const {
    return (image * a.channels + channel) * a.points + p;
  }
  EACH_DEVICE void set_slopes(T* dgrid, T*, int64_t image, int64_t, int64_t p, T by_x, T by_y, T) const {
    T* at = dgrid + image * 2 * a.points + p;
    at[0] = by_x * scale(a.width);
    at[a.points] = by_y * scale(a.height);
  }
};

template <class T>
struct TapPoints {
  DeformableArgs a;
  const T* offset;
  const T* mask_;

  ANYWHERE int64_t images() const { return a.images; }
  ANYWHERE int64_t groups() const { return a.groups; }
  ANYWHERE int64_t channels() const { return a.channels; }
  ANYWHERE int64_t places() const { return a.out_height * a.out_width; }
  ANYWHERE int64_t taps() const { return a.kernel_height * a.kernel_width; }
  ANYWHERE int64_t points() const { return taps() * places(); }
  ANYWHERE Size size() const { return {a.height, a.width, a.clamp}; }
  EACH_DEVICE int64_t offset_at(int64_t image, int64_t group, int64_t p) const {
    return ((image * a.groups + group) * taps() + p / places()) * 2 * places() + p % places();
  }
  EACH_DEVICE void place(int64_t image, int64_t group, int64_t p, T* x, T* y, T* mask) const {
    const int64_t tap = p / places(), at = p % places();
    const T* moved = offset + offset_at(image, group, p);
    *y = moved[0] +
         static_cast<T>(at / a.out_width * a.stride_height - a.pad_height + tap / a.kernel_width * a.dilate_height);
    *x = moved[places()] +
         static_cast<T>(at % a.out_width * a.stride_width - a.pad_width + tap % a.kernel_width * a.dilate_width);
    *mask = mask_ ? mask_[(image * a.groups + group) * points() + p] : T(1);
  }
  EACH_DEVICE int64_t out(int64_t image, int64_t channel, int64_t p) const {
    return ((channel * taps() + p / places()) * a.images + image) * places() + p % places();
  }
  EACH_DEVICE void set_slopes(T* doffset, T* dmask, int64_t image, int64_t group, int64_t p, T by_x, T by_y,
                              T by_mask) const {
    T* at = doffset + offset_at(image, group, p);
    at[0] = by_y;
    at[places()] = by_x;
    if (mask_) dmask[(image * a.groups + group) * points() + p] = by_mask;
  }
};

// ---- the three kernels ---------------------------------------------------------------------------------------------

// A task's share: some points of one group of channels of one image.
struct Share {
  int64_t image, group, first, last;
};
template <class Points>
EACH_DEVICE inline Share share_of(const Points& points, int64_t task) {
  const int64_t pieces = (points.points() + kPoints - 1) / kPoints, first = task % pieces * kPoints;
  const int64_t last = first + kPoints < points.points() ? first + kPoints : points.points();
  return {task / pieces / points.groups(), task / pieces % points.groups(), first, last};
}

template <class T, class Points>
struct ReadPoints {
  Points points;
  const T* data;
  T* out;

  EACH_DEVICE void operator()(int64_t task) const {
    const Share s = share_of(points, task);
    const Size size = points.size();
    Corners<T> corners[kPoints];
    for (int64_t p = s.first; p < s.last; ++p) {
      T x, y, mask;
      points.place(s.image, s.group, p, &x, &y, &mask);
      Corners<T>& c = corners[p - s.first];
      find_corners<T>(x, y, size, &c, nullptr);
      for (T& weight : c.weight) weight *= mask;
    }
    const int64_t each = points.channels() / points.groups();
    for (int64_t c = s.group * each; c < (s.group + 1) * each; ++c) {
      const T* plane = data + (s.image * points.channels() + c) * size.height * size.width;
      for (int64_t p = s.first; p < s.last; ++p) {
        const Corners<T>& at = corners[p - s.first];
        out[points.out(s.image, c, p)] = dot4(plane, at.at, at.weight);
      }
    }
  }
};

// Adds one point's gradient to a few planes.
template <class T, class Points>
struct SpreadPoints {
  Points points;
  const T* dy;
  T* ddata;

  ANYWHERE int64_t each() const { return points.channels() / points.groups(); }
  ANYWHERE int64_t pieces() const { return (each() + kChannels - 1) / kChannels; }
  EACH_DEVICE void operator()(int64_t plane, int64_t p) const {
    const int64_t image = plane / pieces() / points.groups(), group = plane / pieces() % points.groups();
    const int64_t first = group * each() + plane % pieces() * kChannels;
    const int64_t last = first + kChannels < (group + 1) * each() ? first + kChannels : (group + 1) * each();
    const Size size = points.size();
    T x, y, mask;
    points.place(image, group, p, &x, &y, &mask);
    Corners<T> corners;
    find_corners<T>(x, y, size, &corners, nullptr);
    for (int64_t c = first; c < last; ++c) {
      T* to = ddata + (image * points.channels() + c) * size.height * size.width;
      const T g = dy[points.out(image, c, p)] * mask;
      for (int i = 0; i < 4; ++i)
        if (corners.weight[i] != 0) add(to + corners.at[i], g * corners.weight[i]);
    }
  }
};

template <class T, class Points>
struct SlopePoints {
  Points points;
  const T* dy;
  const T* data;
  T* dpoints;
  T* dmask;

  EACH_DEVICE void operator()(int64_t task) const {
    const Share s = share_of(points, task);
    const Size size = points.size();
    const int64_t each = points.channels() / points.groups();
    for (int64_t p = s.first; p < s.last; ++p) {
      T x, y, mask;
      points.place(s.image, s.group, p, &x, &y, &mask);
      Corners<T> corners;
      CornerSlopes<T> slopes;
      find_corners<T>(x, y, size, &corners, &slopes);
      T by_x = 0, by_y = 0, by_mask = 0;
      for (int64_t c = s.group * each; c < (s.group + 1) * each; ++c) {
        const T* plane = data + (s.image * points.channels() + c) * size.height * size.width;
        const T g = dy[points.out(s.image, c, p)];
        by_x += g * dot4(plane, corners.at, slopes.by_x);
        by_y += g * dot4(plane, corners.at, slopes.by_y);
        by_mask += g * dot4(plane, corners.at, corners.weight);
      }
      points.set_slopes(dpoints, dmask, s.image, s.group, p, by_x * mask, by_y * mask, by_mask);
    }
  }
};

template <class Points>
int64_t tasks_of(const Points& points) {
  return points.images() * points.groups() * ((points.points() + kPoints - 1) / kPoints);
}
template <class T, class Points>
void read_points(const Context& context, const Points& points, const T* data, T* out) {
  for_each(context, tasks_of(points), ReadPoints<T, Points>{points, data, out}, 8 * kPoints * points.channels());
}
template <class T, class Points>
void spread_points(const Context& context, const Points& points, const T* dy, T* ddata) {
  const Size size = points.size();
  fill_zero(context, ddata, points.images() * points.channels() * size.height * size.width);
  const SpreadPoints<T, Points> one = {points, dy, ddata};
  for_each_in_planes(context, points.images() * points.groups() * one.pieces(), points.points(), one, 8 * kChannels);
}
template <class T, class Points>
void slope_points(const Context& context, const Points& points, const T* dy, const T* data, T* dpoints, T* dmask) {
  for_each(context, tasks_of(points), SlopePoints<T, Points>{points, dy, data, dpoints, dmask},
           16 * kPoints * points.channels());
}

template <class T>
void bilinear_sampler(const SamplerArgs& a, void* const* b, const Context& c) {
  read_points<T>(c, GridPoints<T>{a, operand<const T>(b, 1, c)}, operand<const T>(b, 0, c), operand<T>(b, 2, c));
}
template <class T>
void bilinear_sampler_data_gradient(const SamplerArgs& a, void* const* b, const Context& c) {
  spread_points<T>(c, GridPoints<T>{a, operand<const T>(b, 1, c)}, operand<const T>(b, 0, c), operand<T>(b, 2, c));
}
template <class T>
void bilinear_sampler_grid_gradient(const SamplerArgs& a, void* const* b, const Context& c) {
  slope_points<T>(c, GridPoints<T>{a, operand<const T>(b, 2, c)}, operand<const T>(b, 0, c), operand<const T>(b, 1, c),
                  operand<T>(b, 3, c), static_cast<T*>(nullptr));
}
template <class T>
void deformable_columns(const DeformableArgs& a, void* const* b, const Context& c) {
  read_points<T>(c, TapPoints<T>{a, operand<const T>(b, 1, c), operand<const T>(b, 2, c)}, operand<const T>(b, 0, c),
                 operand<T>(b, 3, c));
}
template <class T>
void deformable_columns_data_gradient(const DeformableArgs& a, void* const* b, const Context& c) {
  spread_points<T>(c, TapPoints<T>{a, operand<const T>(b, 1, c), operand<const T>(b, 2, c)}, operand<const T>(b, 0, c),
                   operand<T>(b, 3, c));
}
template <class T>
void deformable_columns_offset_gradient(const DeformableArgs& a, void* const* b, const Context& c) {
  slope_points<T>(c, TapPoints<T>{a, operand<const T>(b, 2, c), operand<const T>(b, 3, c)}, operand<const T>(b, 0, c),
                  operand<const T>(b, 1, c), operand<T>(b, 4, c), operand<T>(b, 5, c));
}

}  // namespace
}  // namespace minimx

#define SAMPLE_KERNELS                                                                                 \
  KERNELS(sample, TYPED("bilinear_sampler", bilinear_sampler, SamplerArgs),                            \
          TYPED("bilinear_sampler_data_gradient", bilinear_sampler_data_gradient, SamplerArgs),        \
          TYPED("bilinear_sampler_grid_gradient", bilinear_sampler_grid_gradient, SamplerArgs),        \
          TYPED("deformable_columns", deformable_columns, DeformableArgs),                             \
          TYPED("deformable_columns_data_gradient", deformable_columns_data_gradient, DeformableArgs), \
          TYPED("deformable_columns_offset_gradient", deformable_columns_offset_gradient, DeformableArgs))
