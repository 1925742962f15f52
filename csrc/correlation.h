// The kernels of args/correlation.h for both devices. On the CPU an item is a row of the output, elsewhere an element.
//
// Included by csrc/cpu/correlation.cpp after each.h, and by csrc/cuda/correlation.cu after each.cuh.
#pragma once
#include "args/correlation.h"

namespace minimx {
namespace {

// Two rows of pixels that are compared: element j with element j·stride1 + first and + second, where these exist.
struct Rows {
  int64_t first_row, second_row, first, second;
};

struct Places {
  CorrelationArgs a;

  ANYWHERE int64_t side() const { return 2 * a.radius + 1; }
  ANYWHERE int64_t displacements() const { return side() * side(); }
  EACH_DEVICE double share() const { return 1.0 / static_cast<double>(a.kernel * a.kernel * a.channels); }
  EACH_DEVICE Rows rows(int64_t d, int64_t i, int64_t ky, int64_t kx) const {
    const int64_t y = i * a.stride1 + a.displacement + ky - a.pad, x = a.displacement + kx - a.pad;
    const int64_t down = (d / side() - a.radius) * a.stride2, across = (d % side() - a.radius) * a.stride2;
    return {y, y + down, x, x + across};
  }
  // The pixel of a plane, 0 outside of it.
  template <class T>
  EACH_DEVICE T pixel(const T* plane, int64_t y, int64_t x) const {
    return y >= 0 && y < a.height && x >= 0 && x < a.width ? plane[y * a.width + x] : T(0);
  }
  EACH_DEVICE bool inside(int64_t y) const { return y >= 0 && y < a.height; }
  // The j from first..last - 1 for which start + j·stride1 is a column.
  EACH_DEVICE void clip(int64_t start, int64_t* first, int64_t* last) const {
    const int64_t low = start < 0 ? (-start + a.stride1 - 1) / a.stride1 : 0;
    const int64_t high = start < a.width ? (a.width - 1 - start) / a.stride1 + 1 : 0;
    *first = *first > low ? *first : low;
    *last = *last < high ? *last : high;
  }
};

template <class T>
struct Correlate {
  Places places;
  const T* one;
  const T* other;
  T* out;

  EACH_DEVICE void operator()(int64_t item) const {
    const CorrelationArgs& a = places.a;
    const int64_t row = kOnGpu ? item / a.out_width : item;
    const int64_t start = kOnGpu ? item % a.out_width : 0, end = kOnGpu ? start + 1 : a.out_width;
    const int64_t i = row % a.out_height, d = row / a.out_height % places.displacements();
    const int64_t image = row / a.out_height / places.displacements();
    T* to = out + row * a.out_width;
    for (int64_t j = start; j < end; ++j) to[j] = 0;
    for (int64_t c = 0; c < a.channels; ++c) {
      const T* p = one + (image * a.channels + c) * a.height * a.width;
      const T* q = other + (image * a.channels + c) * a.height * a.width;
      for (int64_t k = 0; k < a.kernel * a.kernel; ++k) {
        const Rows r = places.rows(d, i, k / a.kernel, k % a.kernel);
        int64_t first = start, last = end;
        if (!a.multiply) {
          for (int64_t j = first; j < last; ++j) {
            const T apart = places.pixel(p, r.first_row, r.first + j * a.stride1) -
                            places.pixel(q, r.second_row, r.second + j * a.stride1);
            to[j] += apart < 0 ? -apart : apart;
          }
          continue;
        }
        if (!places.inside(r.first_row) || !places.inside(r.second_row)) continue;
        places.clip(r.first, &first, &last);
        places.clip(r.second, &first, &last);
        const T *x = p + r.first_row * a.width + r.first, *y = q + r.second_row * a.width + r.second;
        if (a.stride1 == 1)
          for (int64_t j = first; j < last; ++j) to[j] += x[j] * y[j];
        else
          for (int64_t j = first; j < last; ++j) to[j] += x[j * a.stride1] * y[j * a.stride1];
      }
    }
    const T share = static_cast<T>(places.share());
    for (int64_t j = start; j < end; ++j) to[j] *= share;
  }
};

template <class T>
struct CorrelateGradient {
  Places places;
  const T* dy;
  const T* one;
  const T* other;
  T* done;
  T* dother;

  EACH_DEVICE void operator()(int64_t plane, int64_t item) const {
    const CorrelationArgs& a = places.a;
    const int64_t row = kOnGpu ? item / a.out_width : item;
    const int64_t start = kOnGpu ? item % a.out_width : 0, end = kOnGpu ? start + 1 : a.out_width;
    const int64_t i = row % a.out_height, d = row / a.out_height, at = plane * a.height * a.width;
    const T* g = dy + (plane / a.channels * places.displacements() * a.out_height + row) * a.out_width;
    const T share = static_cast<T>(places.share());
    for (int64_t k = 0; k < a.kernel * a.kernel; ++k) {
      const Rows r = places.rows(d, i, k / a.kernel, k % a.kernel);
      const bool both = places.inside(r.first_row) && places.inside(r.second_row);
      if (a.multiply && !both) continue;
      int64_t first = start, last = end;
      if (a.multiply) {
        places.clip(r.first, &first, &last);
        places.clip(r.second, &first, &last);
      }
      for (int64_t j = first; j < last; ++j) {
        const int64_t x = r.first + j * a.stride1, y = r.second + j * a.stride1;
        const T p = places.pixel(one + at, r.first_row, x), q = places.pixel(other + at, r.second_row, y);
        const T slope = g[j] * share, sign = p >= q ? slope : -slope;
        if (places.inside(r.first_row) && x >= 0 && x < a.width)
          add(done + at + r.first_row * a.width + x, a.multiply ? slope * q : sign);
        if (places.inside(r.second_row) && y >= 0 && y < a.width)
          add(dother + at + r.second_row * a.width + y, a.multiply ? slope * p : -sign);
      }
    }
  }
};

template <class T>
void correlation(const CorrelationArgs& a, void* const* b, const Context& c) {
  const Correlate<T> one = {{a}, operand<const T>(b, 0, c), operand<const T>(b, 1, c), operand<T>(b, 2, c)};
  const int64_t rows = a.images * one.places.displacements() * a.out_height;
  for_each(c, kOnGpu ? rows * a.out_width : rows, one, a.out_width * a.channels * a.kernel * a.kernel);
}
template <class T>
void correlation_gradient(const CorrelationArgs& a, void* const* b, const Context& c) {
  const CorrelateGradient<T> one = {{a},
                                    operand<const T>(b, 0, c),
                                    operand<const T>(b, 1, c),
                                    operand<const T>(b, 2, c),
                                    operand<T>(b, 3, c),
                                    operand<T>(b, 4, c)};
  fill_zero(c, one.done, a.images * a.channels * a.height * a.width);
  fill_zero(c, one.dother, a.images * a.channels * a.height * a.width);
  const int64_t rows = one.places.displacements() * a.out_height;
  for_each_in_planes(c, a.images * a.channels, kOnGpu ? rows * a.out_width : rows, one,
                     2 * a.out_width * a.kernel * a.kernel);
}

}  // namespace
}  // namespace minimx

#define CORRELATION_KERNELS                                                \
  KERNELS(correlation, TYPED("correlation", correlation, CorrelationArgs), \
          TYPED("correlation_gradient", correlation_gradient, CorrelationArgs))
