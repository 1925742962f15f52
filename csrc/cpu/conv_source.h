// Where a convolution finds its input: in x itself, or in a padded copy in which the pixels that a tap meets lie side
// by side whatever the stride. Either way the input of tap k for the output at offset p is source[p + offset[k]].
#pragma once
#include <cstring>

#include "../args/conv.h"
#include "cuts.h"
#include "simd.h"

namespace minimx {
namespace {

// Elements added to every region of scratch: vectors may be read or written past its end.
constexpr int64_t kSlack = 64;

// One spatial dimension. Output i goes to index first + i * every of the result (a data gradient with a stride fills
// its result class by class).
struct Axis {
  int64_t in, out, kernel, stride, dilate, pad;
  int64_t result, first, every;

  // Taps that meet pixels of the same remainder by the stride share a phase: a copy of every stride-th pixel.
  int64_t phases() const {
    int64_t a = stride, b = dilate;
    while (b) {
      const int64_t r = a % b;
      a = b;
      b = r;
    }
    return lesser(kernel, stride / a);
  }
  int64_t phase(int64_t tap) const { return tap % phases(); }
  int64_t shift(int64_t tap) const { return tap * dilate / stride; }
  int64_t reach() const { return shift(kernel - 1); }
  // The input index that output 0 meets through phase f.
  int64_t start(int64_t f) const { return f * dilate % stride - pad; }
};

struct Shape {
  int64_t channels, filters;  // of one group
  Axis axis[3];
  // The order of the terms: (channel, tap), or (tap row, channel, tap column) for weights that are turned anyway, where
  // the taps that see nothing but padding are then the first or the last terms.
  bool rows_first;

  int64_t taps() const { return axis[0].kernel * axis[1].kernel * axis[2].kernel; }
  int64_t terms() const { return channels * taps(); }
  int64_t in_size() const { return axis[0].in * axis[1].in * axis[2].in; }
  int64_t out_size() const { return axis[0].out * axis[1].out * axis[2].out; }
  int64_t result_size() const { return axis[0].result * axis[1].result * axis[2].result; }
};

// Part of the output.
struct Box {
  int64_t lo[3], hi[3];
  int64_t size(int a) const { return hi[a] - lo[a]; }
};

inline Box whole(const Shape& s) {
  Box b{};
  for (int a = 0; a < 3; ++a) b.hi[a] = s.axis[a].out;
  return b;
}

// How the input of a box lies in memory.
struct Source {
  bool in_place;
  int64_t rows;     // of one plane of depth
  int64_t pitch;    // between rows
  int64_t phase;    // between phases
  int64_t channel;  // between channels
  int64_t origin;   // in place: of the box's first pixel within the channel
  int64_t size;     // elements of the copy
};

// Whether every tap of every output meets a pixel, pixels of one row side by side.
inline bool can_stay(const Shape& s) {
  for (const Axis& a : s.axis)
    if (a.stride != 1 || a.pad > 0 || a.out + a.reach() - a.pad > a.in) return false;
  return s.channels * s.in_size() < INT32_MAX;
}

template <class T>
Source copied(const Shape& s, const Box& box) {
  const Axis& w = s.axis[2];
  const int64_t width = box.size(2) + w.reach(), begin = box.lo[2] * w.stride + w.start(0);
  // The zeros that end one row are those that begin the next: with a stride of one they are stored once.
  int64_t shared = 0;
  if (w.stride == 1) shared = greater(0, lesser(lesser(-begin, begin + width - w.in), w.reach()));
  Source r{};
  r.pitch = width - shared;
  r.rows = box.size(1) + s.axis[1].reach();
  r.phase = (box.size(0) + s.axis[0].reach()) * r.rows * r.pitch + width - r.pitch;
  // An odd number of lines: channels a power of two apart would share a few sets of the first-level cache.
  const int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  r.channel = (ceil_div(s.axis[0].phases() * s.axis[1].phases() * w.phases() * r.phase, line) | 1) * line;
  r.size = s.channels * r.channel + kSlack;
  return r;
}
template <class T>
Source located(const Shape& s, const Box& box, bool in_place) {
  if (!in_place) return copied<T>(s, box);
  Source r{};
  r.in_place = true;
  r.rows = s.axis[1].in;
  r.pitch = s.axis[2].in;
  r.channel = s.in_size();
  for (int a = 0; a < 3; ++a) r.origin = r.origin * s.axis[a].in + box.lo[a] - s.axis[a].pad;
  return r;
}

// One row of the copy: row[j] = x[begin + j * step], zero outside of x.
template <class T>
inline void copy_row(T* row, const T* x, int64_t width, int64_t begin, int64_t step, int64_t in) {
  int64_t lo = begin < 0 ? ceil_div(-begin, step) : 0;
  int64_t hi = begin < in ? (in - 1 - begin) / step + 1 : 0;
  lo = lesser(lo, width);
  hi = greater(lo, lesser(hi, width));
  for (int64_t j = 0; j < lo; ++j) row[j] = 0;
  const T* from = x + begin;
  if (step == 1)
    for (int64_t j = lo; j < hi; ++j) row[j] = from[j];
  else if (step == 2)
    for (int64_t j = lo; j < hi; ++j) row[j] = from[2 * j];
  else
    for (int64_t j = lo; j < hi; ++j) row[j] = from[j * step];
  for (int64_t j = hi; j < width; ++j) row[j] = 0;
}

// Copies channels first..last-1 of x to their places in `to`.
template <class T>
void copy_source(const Shape& s, const Box& box, const Source& source, const T* x, T* to, int64_t first, int64_t last) {
  const Axis &d = s.axis[0], &h = s.axis[1], &w = s.axis[2];
  const int64_t depth = box.size(0) + d.reach(), width = box.size(2) + w.reach();
  for (int64_t c = first; c < last; ++c) {
    T* phase = to + c * source.channel;
    for (int64_t fd = 0; fd < d.phases(); ++fd)
      for (int64_t fh = 0; fh < h.phases(); ++fh)
        for (int64_t fw = 0; fw < w.phases(); ++fw, phase += source.phase) {
          T* row = phase;
          for (int64_t i = 0; i < depth; ++i) {
            const int64_t z = (box.lo[0] + i) * d.stride + d.start(fd);
            for (int64_t j = 0; j < source.rows; ++j, row += source.pitch) {
              const int64_t y = (box.lo[1] + j) * h.stride + h.start(fh);
              if (z < 0 || z >= d.in || y < 0 || y >= h.in)
                for (int64_t e = 0; e < width; ++e) row[e] = 0;
              else
                copy_row(row, x + ((c * d.in + z) * h.in + y) * w.in, width, box.lo[2] * w.stride + w.start(fw),
                         w.stride, w.in);
            }
          }
        }
    for (T* gap = phase; gap < to + (c + 1) * source.channel; ++gap) *gap = 0;
  }
  for (int64_t e = 0; e < kSlack; ++e) to[last * source.channel + e] = 0;
}

// The offset of each term from the pixel of its output.
inline void fill_offsets(const Shape& s, const Source& source, int32_t* offset) {
  const Axis &d = s.axis[0], &h = s.axis[1], &w = s.axis[2];
  const int64_t outer = s.rows_first ? 1 : s.channels, inner = s.rows_first ? s.channels : 1;
  for (int64_t c0 = 0; c0 < outer; ++c0)
    for (int64_t kd = 0; kd < d.kernel; ++kd)
      for (int64_t kh = 0; kh < h.kernel; ++kh)
        for (int64_t c1 = 0; c1 < inner; ++c1)
          for (int64_t kw = 0; kw < w.kernel; ++kw) {
            const int64_t phase = (d.phase(kd) * h.phases() + h.phase(kh)) * w.phases() + w.phase(kw);
            const int64_t pixel = (d.shift(kd) * source.rows + h.shift(kh)) * source.pitch + w.shift(kw);
            *offset++ = static_cast<int32_t>((c0 + c1) * source.channel + phase * source.phase + pixel);
          }
}

// The vectors that cover the outputs of a box, each at `from` in the source and `to` in the result.
//
// By rows, the last vector of a row is moved back to end with the row. Flat, the rows of one plane of depth are one run
// of pixels with the gaps between rows computed along; such a result goes through a buffer unless there are no gaps.
struct Cover {
  bool flat;
  bool direct;     // into the result itself
  int64_t run;     // flat: pixels of one plane, gaps included
  int64_t count;   // vectors
  int64_t buffer;  // elements of buffer per filter
};

// Terms that are summed up at once: their weights and pixels stay in the first-level cache.
constexpr int64_t kTermsAtOnce = 320;

template <class T>
Cover cover(const Shape& s, const Box& box, const Source& source, bool buffered) {
  constexpr int64_t L = kLanes<T>;
  const Axis& w = s.axis[2];
  const int64_t width = box.size(2), rows = box.size(0) * box.size(1);
  Cover c{};
  c.run = (box.size(1) - 1) * source.pitch + width;
  const int64_t by_rows = rows * ceil_div(width, L), flat = box.size(0) * ceil_div(c.run, L);
  const bool unit = s.axis[0].every * s.axis[1].every * w.every == 1 && w.result == w.out && !buffered;
  const bool gapless = unit && source.pitch == width && width == w.out && c.run >= L;
  const bool rows_fit = unit && width >= L;
  // Going through the buffer costs about as much as eight terms.
  c.flat = gapless || !rows_fit || flat * (s.terms() + 8) < by_rows * s.terms();
  c.direct = c.flat ? gapless : true;
  c.count = c.flat ? flat : by_rows;
  c.buffer = c.direct && s.terms() <= kTermsAtOnce ? 0 : c.count * L;
  return c;
}

template <class T>
void fill_places(const Shape& s, const Box& box, const Source& source, const Cover& c, int32_t* from, int32_t* to) {
  constexpr int64_t L = kLanes<T>;
  const Axis &h = s.axis[1], &w = s.axis[2];
  for (int64_t z = 0; z < box.size(0); ++z) {
    const int64_t plane = z * source.rows * source.pitch;
    if (c.flat) {
      const int64_t vectors = ceil_div(c.run, L);
      const int64_t begin = c.direct ? ((box.lo[0] + z) * h.result + box.lo[1]) * w.result : z * vectors * L;
      for (int64_t v = 0; v < vectors; ++v) {
        const int64_t at = c.direct ? lesser(v * L, c.run - L) : v * L;
        *from++ = static_cast<int32_t>(plane + at);
        *to++ = static_cast<int32_t>(begin + at);
      }
      continue;
    }
    for (int64_t y = 0; y < box.size(1); ++y) {
      const int64_t row = ((box.lo[0] + z) * h.result + box.lo[1] + y) * w.result + box.lo[2];
      for (int64_t v = 0; v < box.size(2); v += L) {
        const int64_t at = lesser(v, box.size(2) - L);
        *from++ = static_cast<int32_t>(plane + y * source.pitch + at);
        *to++ = static_cast<int32_t>(row + at);
      }
    }
  }
}

}  // namespace
}  // namespace minimx
