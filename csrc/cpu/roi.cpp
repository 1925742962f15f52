// roi: regions of images; most of the arithmetic is in csrc/roi.h.
//
// roi_align is separable: a bin is the sum of pixels weighted by a number for their row and one for their column, which
// are the same for all channels. The two tables are made once for many channels, and a bin costs a pass over the pixels
// it touches, along rows that lie side by side.
#include "each.h"

#define EACH_DEVICE

#include "../roi.h"

namespace minimx {
namespace {

constexpr int64_t kTogether = 32;  // channels that share tables

// How much each of n pixels along an axis weighs in the mean of a bin; only first..last - 1 are written.
constexpr int64_t kMostBins = 64;  // beyond, bins are read point by point

template <class T>
void weigh(T* weight, int64_t n, T at, T step, int64_t points, int64_t* first, int64_t* last) {
  *first = n;
  *last = 0;
  const T end = static_cast<T>(n), share = 1 / static_cast<T>(points);
  for (int64_t i = 0; i < points; ++i) {
    T place = at + static_cast<T>(i) * step;
    if (!(place >= -1 && place <= end)) continue;
    place = place < 0 ? 0 : place > end - 1 ? end - 1 : place;
    const int64_t low = static_cast<int64_t>(place), high = low + (low < n - 1);
    if (*last == 0) {  // points ascend, so that what follows is above
      *first = *last = low;
    }
    while (*last <= high) weight[(*last)++] = 0;
    const T part = place - static_cast<T>(low);
    weight[low] += (1 - part) * share;
    weight[high] += part * share;
  }
}

template <class T>
struct Tables {
  int64_t plane, row_first[kMostBins], row_last[kMostBins], column_first[kMostBins], column_last[kMostBins], left,
      right;
  T *rows, *columns, *line;

  Tables(const RoiArgs& a, const T* rois, int64_t region, T* scratch)
      : rows(scratch), columns(scratch + a.pooled_height * a.height), line(columns + a.pooled_width * a.width) {
    const AlignedRegions<T, false> regions = {a, rois};
    plane = regions.bin(region, 0, 0).plane;
    if (plane < 0) return;
    for (int64_t i = 0; i < a.pooled_height; ++i) {
      const Bin<T> bin = regions.bin(region, 0, i * a.pooled_width);
      weigh(rows + i * a.height, a.height, bin.y, bin.step_y, bin.rows, row_first + i, row_last + i);
    }
    left = a.width;
    right = 0;
    for (int64_t j = 0; j < a.pooled_width; ++j) {
      const Bin<T> bin = regions.bin(region, 0, j);
      weigh(columns + j * a.width, a.width, bin.x, bin.step_x, bin.columns, column_first + j, column_last + j);
      left = left < column_first[j] ? left : column_first[j];
      right = right > column_last[j] ? right : column_last[j];
    }
  }
};

bool separable(const RoiArgs& a) {
  return !a.position_sensitive && a.pooled_height <= kMostBins && a.pooled_width <= kMostBins;
}
int64_t scratch_of(const RoiArgs& a) { return a.pooled_height * a.height + (a.pooled_width + 1) * a.width; }

template <class T>
void roi_align(const RoiArgs& a, void* const* b, const Context& c) {
  if (!separable(a)) return read_aligned<T, false>(a, b, c);
  const T *data = operand<const T>(b, 0, c), *rois = operand<const T>(b, 1, c);
  T *y = operand<T>(b, 2, c), *scratch = operand<T>(b, 3, c);
  const int64_t pieces = (a.channels + kTogether - 1) / kTogether, bins = a.pooled_height * a.pooled_width;
  parallel(c, a.rois * pieces, [&](int64_t task, int thread) {
    const int64_t region = task / pieces, start = task % pieces * kTogether;
    const int64_t end = start + kTogether < a.channels ? start + kTogether : a.channels;
    const Tables<T> t(a, rois, region, scratch + thread * scratch_of(a));
    for (int64_t channel = start; channel < end; ++channel) {
      T* to = y + (region * a.channels + channel) * bins;
      if (t.plane < 0) {
        for (int64_t i = 0; i < bins; ++i) to[i] = 0;
        continue;
      }
      const T* plane = data + (t.plane + channel) * a.height * a.width;
      for (int64_t i = 0; i < a.pooled_height; ++i) {
        for (int64_t x = t.left; x < t.right; ++x) t.line[x] = 0;
        for (int64_t v = t.row_first[i]; v < t.row_last[i]; ++v) {
          const T weight = t.rows[i * a.height + v];
          if (weight == 0) continue;
          const T* from = plane + v * a.width;
          for (int64_t x = t.left; x < t.right; ++x) t.line[x] += weight * from[x];
        }
        for (int64_t j = 0; j < a.pooled_width; ++j) {
          const T* weights = t.columns + j * a.width;
          T sum = 0;
          for (int64_t x = t.column_first[j]; x < t.column_last[j]; ++x) sum += weights[x] * t.line[x];
          to[i * a.pooled_width + j] = sum;
        }
      }
    }
  });
}

template <class T>
void roi_align_gradient(const RoiArgs& a, void* const* b, const Context& c) {
  if (!separable(a)) return spread_aligned<T, false>(a, b, c);
  const T *dy = operand<const T>(b, 0, c), *rois = operand<const T>(b, 1, c);
  T *ddata = operand<T>(b, 2, c), *scratch = operand<T>(b, 3, c);
  fill_zero(c, ddata, a.images * a.channels * a.height * a.width);
  // Regions may share pixels, so that a task takes some channels of all of them.
  const int64_t wanted = 2 * static_cast<int64_t>(c.threads), tasks = wanted < a.channels ? wanted : a.channels;
  const int64_t bins = a.pooled_height * a.pooled_width;
  parallel(c, tasks, [&](int64_t task, int thread) {
    for (int64_t region = 0; region < a.rois; ++region) {
      const Tables<T> t(a, rois, region, scratch + thread * scratch_of(a));
      if (t.plane < 0) continue;
      for (int64_t channel = a.channels * task / tasks; channel < a.channels * (task + 1) / tasks; ++channel) {
        const T* g = dy + (region * a.channels + channel) * bins;
        T* plane = ddata + (t.plane + channel) * a.height * a.width;
        for (int64_t i = 0; i < a.pooled_height; ++i) {
          for (int64_t x = t.left; x < t.right; ++x) t.line[x] = 0;
          for (int64_t j = 0; j < a.pooled_width; ++j) {
            const T* weights = t.columns + j * a.width;
            for (int64_t x = t.column_first[j]; x < t.column_last[j]; ++x)
              t.line[x] += weights[x] * g[i * a.pooled_width + j];
          }
          for (int64_t v = t.row_first[i]; v < t.row_last[i]; ++v) {
            const T weight = t.rows[i * a.height + v];
            if (weight == 0) continue;
            for (int64_t x = t.left; x < t.right; ++x) plane[v * a.width + x] += weight * t.line[x];
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace minimx

ROI_KERNELS
