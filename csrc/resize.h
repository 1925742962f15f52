// The kernels of args/resize.h for both devices. On the CPU an item is a row of the output, elsewhere an element of it.
//
// Included by csrc/cpu/resize.cpp after each.h, and by csrc/cuda/resize.cu after each.cuh.
#pragma once
#include "args/resize.h"

namespace minimx {
namespace {

// A row of `width` elements as items: whole, or each for itself.
ANYWHERE inline int64_t items_in(int64_t width) { return kOnGpu ? width : 1; }
struct Span {
  int64_t row, first, last;
};
EACH_DEVICE inline Span span_of(int64_t item, int64_t width) {
  if (kOnGpu) return {item / width, item % width, item % width + 1};
  return {item, 0, width};
}

template <class T>
struct UpsampleNearest {
  ResizeArgs a;
  const T* x;
  T* y;

  EACH_DEVICE void operator()(int64_t item) const {
    // A row of the input makes all the rows of its squares.
    const int64_t down = a.out_height / a.in_height, across = a.out_width / a.in_width;
    const Span s = span_of(item, a.in_width);
    const T* from = x + s.row * a.in_width;
    T* to = y + s.row * down * a.out_width;
    if (across == 2) {
      for (int64_t j = s.first; j < s.last; ++j) to[2 * j] = to[2 * j + 1] = from[j];
    } else {
      for (int64_t j = s.first; j < s.last; ++j)
        for (int64_t k = 0; k < across; ++k) to[j * across + k] = from[j];
    }
    for (int64_t i = 1; i < down; ++i)
      for (int64_t j = s.first * across; j < s.last * across; ++j) to[i * a.out_width + j] = to[j];
  }
};

// The two neighbours of output o and the weight of the second.
struct Between {
  int64_t low, high;
  double weight;
};
EACH_DEVICE inline Between between(int64_t o, int64_t in, int64_t out, int64_t align_corners) {
  double at = 0;
  if (!align_corners) {
    at = (static_cast<double>(o) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5;
    if (at < 0) at = 0;
  } else if (out > 1) {
    at = static_cast<double>(o) * (static_cast<double>(in - 1) / static_cast<double>(out - 1));
  }
  int64_t low = static_cast<int64_t>(at);
  if (low > in - 1) low = in - 1;
  return {low, low + (low < in - 1), at - static_cast<double>(low)};
}

// The neighbours of every output along a row, found once for all rows.
template <class T>
struct Columns {
  int64_t* low;
  int64_t* high;
  T* weight;

  static Columns in(void* memory, int64_t n) {
    int64_t* low = static_cast<int64_t*>(memory);
    return {low, low + n, reinterpret_cast<T*>(low + 2 * n)};
  }
};
template <class T>
struct FindColumns {
  ResizeArgs a;
  Columns<T> columns;

  EACH_DEVICE void operator()(int64_t o) const {
    const Between along = between(o, a.in_width, a.out_width, a.align_corners);
    columns.low[o] = along.low;
    columns.high[o] = along.high;
    columns.weight[o] = static_cast<T>(along.weight);
  }
};

template <class T>
struct BilinearResize {
  ResizeArgs a;
  Columns<T> columns;
  const T* x;
  T* y;

  EACH_DEVICE void operator()(int64_t item) const {
    const Span s = span_of(item, a.out_width);
    const Between down = between(s.row % a.out_height, a.in_height, a.out_height, a.align_corners);
    const T* plane = x + s.row / a.out_height * a.in_height * a.in_width;
    const T *above = plane + down.low * a.in_width, *below = plane + down.high * a.in_width;
    const T lower = static_cast<T>(down.weight), upper = static_cast<T>(1 - down.weight);
    for (int64_t j = s.first; j < s.last; ++j) {
      const int64_t low = columns.low[j], high = columns.high[j];
      const T left = upper * above[low] + lower * below[low], right = upper * above[high] + lower * below[high];
      y[s.row * a.out_width + j] = left * (1 - columns.weight[j]) + right * columns.weight[j];
    }
  }
};

template <class T>
struct BilinearResizeGradient {
  ResizeArgs a;
  Columns<T> columns;
  const T* dy;
  T* dx;

  EACH_DEVICE void operator()(int64_t plane, int64_t item) const {
    const Span s = span_of(item, a.out_width);
    const Between down = between(s.row, a.in_height, a.out_height, a.align_corners);
    T* to = dx + plane * a.in_height * a.in_width;
    T *above = to + down.low * a.in_width, *below = to + down.high * a.in_width;
    const T lower = static_cast<T>(down.weight), upper = static_cast<T>(1 - down.weight);
    for (int64_t j = s.first; j < s.last; ++j) {
      const T g = dy[(plane * a.out_height + s.row) * a.out_width + j];
      const T right = columns.weight[j] * g, left = g - right;
      add(above + columns.low[j], upper * left);
      add(above + columns.high[j], upper * right);
      add(below + columns.low[j], lower * left);
      add(below + columns.high[j], lower * right);
    }
  }
};

// The pixels whose mean output o is.
EACH_DEVICE inline int64_t bin_start(int64_t o, int64_t in, int64_t out) { return o * in / out; }
EACH_DEVICE inline int64_t bin_end(int64_t o, int64_t in, int64_t out) { return ((o + 1) * in + out - 1) / out; }

template <class T>
struct AdaptiveAverage {
  ResizeArgs a;
  const T* x;
  T* y;

  EACH_DEVICE void operator()(int64_t i) const {
    const int64_t ox = i % a.out_width, oy = i / a.out_width % a.out_height, plane = i / a.out_width / a.out_height;
    const int64_t top = bin_start(oy, a.in_height, a.out_height), bottom = bin_end(oy, a.in_height, a.out_height);
    const int64_t left = bin_start(ox, a.in_width, a.out_width), right = bin_end(ox, a.in_width, a.out_width);
    T sum = 0;
    for (int64_t v = top; v < bottom; ++v) {
      T row = 0;
      for (int64_t h = left; h < right; ++h) row += x[(plane * a.in_height + v) * a.in_width + h];
      sum += row;
    }
    y[i] = sum / static_cast<T>((bottom - top) * (right - left));
  }
};

template <class T>
struct AdaptiveAverageGradient {
  ResizeArgs a;
  const T* dy;
  T* dx;

  EACH_DEVICE void operator()(int64_t i) const {
    const int64_t h = i % a.in_width, v = i / a.in_width % a.in_height, plane = i / a.in_width / a.in_height;
    T sum = 0;
    for (int64_t oy = first_bin(v, a.in_height, a.out_height); oy < a.out_height; ++oy) {
      const int64_t top = bin_start(oy, a.in_height, a.out_height), bottom = bin_end(oy, a.in_height, a.out_height);
      if (top > v) break;
      if (bottom <= v) continue;
      for (int64_t ox = first_bin(h, a.in_width, a.out_width); ox < a.out_width; ++ox) {
        const int64_t left = bin_start(ox, a.in_width, a.out_width), right = bin_end(ox, a.in_width, a.out_width);
        if (left > h) break;
        if (right <= h) continue;
        const T g = dy[(plane * a.out_height + oy) * a.out_width + ox];
        sum += g / static_cast<T>((bottom - top) * (right - left));
      }
    }
    dx[i] = sum;
  }
  // An output from which on all that hold the pixel are found.
  EACH_DEVICE static int64_t first_bin(int64_t pixel, int64_t in, int64_t out) {
    const int64_t bin = pixel * out / in;
    return bin > 0 ? bin - 1 : 0;
  }
};

template <class T>
struct ImageToColumns {
  ColumnsArgs a;
  const T* image;
  T* columns;

  EACH_DEVICE void operator()(int64_t item) const {
    const Span s = span_of(item, a.out_width);
    int64_t rest = s.row;
    const int64_t oy = rest % a.out_height, oz = rest / a.out_height % a.out_depth;
    rest /= a.out_height * a.out_depth;
    const int64_t kx = rest % a.kernel_width, ky = rest / a.kernel_width % a.kernel_height;
    rest /= a.kernel_width * a.kernel_height;
    const int64_t kz = rest % a.kernel_depth, plane = rest / a.kernel_depth;
    const int64_t z = oz * a.stride_depth + kz * a.dilate_depth - a.pad_depth;
    const int64_t y = oy * a.stride_height + ky * a.dilate_height - a.pad_height;
    const int64_t x = kx * a.dilate_width - a.pad_width;
    const bool there = z >= 0 && z < a.in_depth && y >= 0 && y < a.in_height;
    const T* from = image + (there ? ((plane * a.in_depth + z) * a.in_height + y) * a.in_width : 0);
    for (int64_t j = s.first; j < s.last; ++j) {
      const int64_t at = x + j * a.stride_width;
      columns[s.row * a.out_width + j] = there && at >= 0 && at < a.in_width ? from[at] : T(0);
    }
  }
};

template <class T>
struct ColumnsToImage {
  ColumnsArgs a;
  const T* columns;
  T* image;

  // The output whose tap k meets the pixel, or -1.
  EACH_DEVICE static int64_t meets(int64_t pixel, int64_t k, int64_t stride, int64_t out) {
    const int64_t at = pixel - k;
    return at >= 0 && at % stride == 0 && at / stride < out ? at / stride : -1;
  }
  EACH_DEVICE void operator()(int64_t i) const {
    const int64_t x = i % a.in_width + a.pad_width, y = i / a.in_width % a.in_height + a.pad_height;
    const int64_t plane_z = i / a.in_width / a.in_height;
    const int64_t z = plane_z % a.in_depth + a.pad_depth, plane = plane_z / a.in_depth;
    T sum = 0;
    for (int64_t kz = 0; kz < a.kernel_depth; ++kz) {
      const int64_t oz = meets(z, kz * a.dilate_depth, a.stride_depth, a.out_depth);
      if (oz < 0) continue;
      for (int64_t ky = 0; ky < a.kernel_height; ++ky) {
        const int64_t oy = meets(y, ky * a.dilate_height, a.stride_height, a.out_height);
        if (oy < 0) continue;
        for (int64_t kx = 0; kx < a.kernel_width; ++kx) {
          const int64_t ox = meets(x, kx * a.dilate_width, a.stride_width, a.out_width);
          if (ox < 0) continue;
          const int64_t tap = ((plane * a.kernel_depth + kz) * a.kernel_height + ky) * a.kernel_width + kx;
          sum += columns[((tap * a.out_depth + oz) * a.out_height + oy) * a.out_width + ox];
        }
      }
    }
    image[i] = sum;
  }
};

template <class T>
void upsample_nearest(const ResizeArgs& a, void* const* b, const Context& c) {
  for_each(c, a.planes * a.in_height * items_in(a.in_width),
           UpsampleNearest<T>{a, operand<const T>(b, 0, c), operand<T>(b, 1, c)},
           a.out_width * a.out_height / a.in_height);
}
template <class T>
Columns<T> find_columns(const ResizeArgs& a, void* const* b, const Context& c) {
  const Columns<T> columns = Columns<T>::in(operand<void>(b, 2, c), a.out_width);
  for_each(c, a.out_width, FindColumns<T>{a, columns}, 32);
  return columns;
}
template <class T>
void bilinear_resize(const ResizeArgs& a, void* const* b, const Context& c) {
  for_each(c, a.planes * a.out_height * items_in(a.out_width),
           BilinearResize<T>{a, find_columns<T>(a, b, c), operand<const T>(b, 0, c), operand<T>(b, 1, c)},
           8 * a.out_width);
}
template <class T>
void bilinear_resize_gradient(const ResizeArgs& a, void* const* b, const Context& c) {
  T* dx = operand<T>(b, 1, c);
  fill_zero(c, dx, a.planes * a.in_height * a.in_width);
  for_each_in_planes(c, a.planes, a.out_height * items_in(a.out_width),
                     BilinearResizeGradient<T>{a, find_columns<T>(a, b, c), operand<const T>(b, 0, c), dx},
                     8 * a.out_width);
}
template <class T>
void adaptive_average(const ResizeArgs& a, void* const* b, const Context& c) {
  const int64_t outputs = a.planes * a.out_height * a.out_width;
  for_each(c, outputs, AdaptiveAverage<T>{a, operand<const T>(b, 0, c), operand<T>(b, 1, c)},
           a.in_height * a.in_width / (a.out_height * a.out_width) + 8);
}
template <class T>
void adaptive_average_gradient(const ResizeArgs& a, void* const* b, const Context& c) {
  for_each(c, a.planes * a.in_height * a.in_width,
           AdaptiveAverageGradient<T>{a, operand<const T>(b, 0, c), operand<T>(b, 1, c)});
}
template <class T>
void im2col(const ColumnsArgs& a, void* const* b, const Context& c) {
  const int64_t taps = a.planes * a.kernel_depth * a.kernel_height * a.kernel_width;
  for_each(c, taps * a.out_depth * a.out_height * items_in(a.out_width),
           ImageToColumns<T>{a, operand<const T>(b, 0, c), operand<T>(b, 1, c)}, a.out_width);
}
template <class T>
void col2im(const ColumnsArgs& a, void* const* b, const Context& c) {
  for_each(c, a.planes * a.in_depth * a.in_height * a.in_width,
           ColumnsToImage<T>{a, operand<const T>(b, 0, c), operand<T>(b, 1, c)},
           4 * a.kernel_depth * a.kernel_height * a.kernel_width);
}

}  // namespace
}  // namespace minimx

#define RESIZE_KERNELS                                                               \
  KERNELS(resize, TYPED("upsample_nearest", upsample_nearest, ResizeArgs),           \
          TYPED("bilinear_resize", bilinear_resize, ResizeArgs),                     \
          TYPED("bilinear_resize_gradient", bilinear_resize_gradient, ResizeArgs),   \
          TYPED("adaptive_average", adaptive_average, ResizeArgs),                   \
          TYPED("adaptive_average_gradient", adaptive_average_gradient, ResizeArgs), \
          TYPED("im2col", im2col, ColumnsArgs), TYPED("col2im", col2im, ColumnsArgs))
