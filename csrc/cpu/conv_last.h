// The geometry of channels-last convolution: what a sweep reads, where its weights lie, how its output is cut.
#pragma once
#include "../args/conv_last.h"
#include "conv_last_tile.h"
#include "cuts.h"

namespace minimx {
namespace {

// One spatial dimension of a sweep: output o meets the inputs start + o·stride + t·dilate and goes to result index
// first + o·every. Its tap t is tap from + t·step of the kernel.
struct Axis {
  int64_t in, out, taps, stride, dilate, start;
  int64_t result, first, every;
  int64_t from, step;

  int64_t reach() const { return (taps - 1) * dilate; }
  bool inside() const { return start >= 0 && start + (out - 1) * stride + reach() < in; }
  // Whether every output meets one input, and fills the result: such dimensions can be joined.
  bool single() const { return taps == 1 && start == 0 && every == 1 && result == out; }
  bool plain() const { return single() && stride == 1 && in == out; }
};

inline Axis forward_axis(const ConvLastArgs& a, int d) {
  return {a.in[d], a.out[d], a.kernel[d], a.stride[d], a.dilate[d], -a.pad[d], a.out[d], 0, 1, 0, 1};
}

// A data gradient is one sweep over dy for every class of pixels of dx that the same taps reach: those whose index plus
// the padding has one remainder by the stride. The taps are turned around.
inline Axis class_axis(const ConvLastArgs& a, int d, int64_t remainder) {
  const int64_t stride = a.stride[d], pad = a.pad[d], dilate = a.dilate[d];
  Axis s{};
  s.in = a.out[d];
  s.taps = a.kernel[d] > remainder ? ceil_div(a.kernel[d] - remainder, stride) : 0;
  s.stride = 1;
  s.dilate = stride == 1 ? dilate : 1;
  const int64_t begin = pad > remainder ? ceil_div(pad - remainder, stride) : 0;
  s.first = begin * stride + remainder - pad;
  s.out = s.first < a.in[d] ? ceil_div(a.in[d] - s.first, stride) : 0;
  s.start = begin - greater(0, s.taps - 1) * s.dilate;
  s.result = a.in[d];
  s.every = stride;
  s.from = remainder + greater(0, s.taps - 1) * stride;
  s.step = -stride;
  return s;
}

// A convolution of `depth` channels to `width` ones by some of the taps.
struct Sweep {
  int64_t images, depth, width;
  int64_t pitch;  // elements from pixel to pixel of the result
  Axis row, column;
  bool picked;  // the pixels of one row are picked from images, between which others lie

  int64_t terms() const { return row.taps * column.taps * depth; }
  int64_t outputs() const { return images * row.out * column.out; }
};

inline int64_t pitch_of(const ConvLastArgs& a) { return a.pitch ? a.pitch : a.filters; }

inline Sweep forward_sweep(const ConvLastArgs& a) {
  return {a.batch, a.channels, a.filters, pitch_of(a), forward_axis(a, 0), forward_axis(a, 1), false};
}

// Calls body(sweep) for every class of a data gradient whose pixels have `depth` elements. Of a small image some
// classes have no pixels, but weights they have all the same.
template <class Body>
void each_class(const ConvLastArgs& a, int64_t depth, const Body& body) {
  for (int64_t i = 0; i < a.stride[0]; ++i)
    for (int64_t j = 0; j < a.stride[1]; ++j)
      body(Sweep{a.batch, depth, a.channels, a.channels, class_axis(a, 0, i), class_axis(a, 1, j), false});
}

// Channels that are summed up before the next tap: what a row of taps reads of them stays in the first-level cache.
constexpr int64_t kChannelsAtOnce = 64;

// The order of the terms: rows of taps, chunks of channels, taps of a row, channels of a chunk; or, with so few
// channels that those of neighbouring pixels make one run, rows of taps. A row of outputs leaves out the rows of taps
// that lie outside of the image, which stand at the beginning or the end.
struct Terms {
  bool wide;  // a run is a row of taps
  int64_t chunks;
  int64_t runs;

  explicit Terms(const Sweep& s) {
    wide = s.depth < 16 && s.column.dilate == 1 && s.column.taps > 1;
    chunks = wide ? 1 : ceil_div(s.depth, kChannelsAtOnce);
    runs = wide ? s.row.taps : chunks * s.row.taps * s.column.taps;
  }
  int64_t chunk(int64_t i, int64_t depth) const { return begin_of(i, depth, chunks); }
};

// The rows of taps that meet pixels from output row `row`.
struct TapRows {
  int64_t lo, hi;
};
inline TapRows tap_rows(const Axis& a, int64_t row) {
  const int64_t first = a.start + row * a.stride;
  const int64_t lo = first < 0 ? lesser(a.taps, ceil_div(-first, a.dilate)) : 0;
  const int64_t hi = first < a.in ? lesser(a.taps, (a.in - 1 - first) / a.dilate + 1) : 0;
  return {lo, greater(lo, hi)};
}

// How the input of a box of outputs lies in memory.
struct Source {
  bool in_place;
  int64_t pixel, row;  // elements between pixels and rows
  int64_t size;        // of the copy
};

struct Box {
  int64_t row, rows, column, columns;
};

template <class T>
Source source_of(const Sweep& s, const Box& b) {
  Source r{};
  // Pixels a multiple of a page apart share one set of the first-level cache.
  const bool crowded = s.depth * static_cast<int64_t>(sizeof(T)) % 4096 == 0;
  r.in_place = s.row.inside() && s.column.inside() && !crowded && !s.picked;
  if (r.in_place) {
    r.pixel = s.depth;
    r.row = s.column.in * s.depth;
    return r;
  }
  const int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  r.pixel = Terms(s).wide ? s.depth : (ceil_div(s.depth, line) | 1) * line;
  r.row = ((b.columns - 1) * s.column.stride + s.column.reach() + 1) * r.pixel;
  r.size = ceil_div(((b.rows - 1) * s.row.stride + s.row.reach() + 1) * r.row, line) * line;
  return r;
}

inline void fill_runs(const Sweep& s, const Source& source, Run* runs) {
  const Terms terms(s);
  for (int64_t i = 0; i < s.row.taps; ++i) {
    const int64_t row = i * s.row.dilate * source.row;
    if (terms.wide) {
      *runs++ = {static_cast<int32_t>(row), static_cast<int32_t>(s.column.taps * s.depth)};
      continue;
    }
    for (int64_t c = 0; c < terms.chunks; ++c) {
      const int64_t lo = terms.chunk(c, s.depth), hi = terms.chunk(c + 1, s.depth);
      for (int64_t j = 0; j < s.column.taps; ++j)
        *runs++ = {static_cast<int32_t>(row + j * s.column.dilate * source.pixel + lo), static_cast<int32_t>(hi - lo)};
    }
  }
}

// Vectors of the result's channels are dealt out evenly to panels of at most kVectors, whose weights lie together.
template <class T>
struct Panels {
  int64_t vectors, count, last;
  explicit Panels(int64_t width)
      : vectors(ceil_div(width, kLanes<T>)),
        count(ceil_div(vectors, kVectors)),
        last(width - (vectors - 1) * kLanes<T>) {}
  int64_t begin(int64_t i) const { return begin_of(i, vectors, count); }
  // Calls body(first vector, the one after the last) for every panel, without a division for each.
  template <class Body>
  void each(const Body& body) const {
    const int64_t size = vectors / count, larger = vectors % count;
    for (int64_t i = 0, v = 0, sum = 0; i < count; ++i) {
      sum += larger;
      const int64_t next = v + size + (sum >= count);
      if (sum >= count) sum -= count;
      body(v, next);
      v = next;
    }
  }
};

}  // namespace
}  // namespace minimx
