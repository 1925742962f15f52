// How a sweep over channels-last images is cut, dealt out and given its input. The elements of a pixel are channels, or
// pairs of them in 32 bits: what a sweep does with them is its kernel's.
#pragma once
#include "conv_last.h"
#include "conv_last_pack.h"

namespace minimx {
namespace {

// Less work than this is not worth waking another thread.
constexpr int64_t kWorthATask = 1 << 18;

// Elements of input, and of output, that a box should have at most: both stay in the second-level cache, which is
// smaller where vectors are.
template <class E>
constexpr int64_t kBoxElements = (MINIMX_VECTOR_BYTES == 64 ? 512 : 192) * 1024 / sizeof(E);

// Copies the input of a box, with zeros for what lies outside. copy(from, count, to) copies `count` pixels of the
// image, from pixel `from` on, to where they are source.pixel apart.
template <class E, class Copy>
void copy_source(const Sweep& s, const Box& b, const Source& source, const Copy& copy, E* to) {
  const int64_t rows = (b.rows - 1) * s.row.stride + s.row.reach() + 1;
  const int64_t columns = (b.columns - 1) * s.column.stride + s.column.reach() + 1;
  const int64_t column = s.column.start + b.column * s.column.stride;
  const int64_t lo = lesser(columns, greater(0, -column)), hi = greater(lo, lesser(columns, s.column.in - column));
  for (int64_t i = 0; i < rows; ++i, to += source.row) {
    const int64_t row = s.row.start + b.row * s.row.stride + i;
    if (row < 0 || row >= s.row.in) {
      clear_run(to, source.row);
      continue;
    }
    clear_run(to, lo * source.pixel);
    copy(row * s.column.in + column + lo, hi - lo, to + lo * source.pixel);
    clear_run(to + hi * source.pixel, source.row - hi * source.pixel);
  }
}

// Copies the pixels that the outputs of a picked row meet in the images.
template <class E, class Copy>
void copy_picked(const Sweep& images, const Box& b, const Source& source, const Copy& copy, E* to) {
  for (int64_t o = b.column; o < b.column + b.columns; ++o, to += source.pixel) {
    const int64_t row = o / images.column.out, column = o % images.column.out * images.column.stride;
    const int64_t from = row / images.row.out * images.row.in + row % images.row.out * images.row.stride;
    copy(from * images.column.in + column, 1, to);
  }
}

// How a sweep is cut: boxes of rows (of columns when there is one row) of every image, and parts of the panels.
struct SweepCut {
  bool by_columns;
  int64_t length, boxes, parts;

  Box box(const Sweep& s, int64_t i) const {
    const int64_t total = by_columns ? s.column.out : s.row.out;
    const int64_t lo = begin_of(i, total, boxes), n = begin_of(i + 1, total, boxes) - lo;
    return by_columns ? Box{0, 1, lo, n} : Box{lo, n, 0, s.column.out};
  }
};

template <class E>
SweepCut cut_of(const Sweep& s, int64_t scratch, int threads) {
  SweepCut cut{};
  cut.by_columns = s.row.out == 1;
  const int64_t total = cut.by_columns ? s.column.out : s.row.out;
  // A box smaller than a few tiles reads its weights for too little.
  const int64_t least = cut.by_columns ? 4 * kPixels : greater(1, 4 * kPixels / s.column.out);
  const int64_t room = scratch - ceil_div(2 * Terms(s).runs, 64) * 64, most = lesser(room, kBoxElements<E>);
  // Large jobs are cut finer, for a worker may lose its core meanwhile; every box copies the rows around it anew.
  const bool large = s.outputs() * s.terms() * s.width > threads * (int64_t{1} << 28);
  const int64_t wanted = threads == 1 ? 1 : (large ? 4 : 2) * static_cast<int64_t>(threads);
  const auto size = [&](int64_t n) {
    const Box b = cut.by_columns ? Box{0, 1, 0, n} : Box{0, n, 0, s.column.out};
    const Source source = source_of<E>(s, b);
    return source.in_place ? b.rows * b.columns * s.column.stride * s.depth : source.size;
  };
  // One small image by many weights: these are dealt out instead of its rows, for each is then read by one thread only.
  const int64_t panels = Panels<E>(s.width).count, image = size(total);
  if (s.images == 1 && threads > 1 && panels >= 2 * threads && image <= lesser(room, 2 * kBoxElements<E>) &&
      s.terms() * s.width > 2 * image)
    return {cut.by_columns, total, 1, large ? wanted / 2 : threads};
  cut.length = total;
  while (cut.length > 1 && size(cut.length) > most) cut.length = ceil_div(cut.length, 2);
  if (s.images * ceil_div(total, cut.length) < wanted)
    cut.length = greater(lesser(cut.length, least), lesser(cut.length, total * s.images / wanted));
  cut.boxes = ceil_div(total, greater(1, cut.length));
  cut.parts = lesser(panels, ceil_div(threads, s.images * cut.boxes));
  return cut;
}

// Makes one long row of the pixels where each output meets one of them; they are picked where others lie between.
// Whether it did.
inline bool join_pixels(Sweep& s) {
  if (!s.row.single() || !s.column.single()) return false;
  s.picked = !s.row.plain() || !s.column.plain();
  s.row.stride = s.column.stride = 1;
  s.column.in = s.column.out = s.column.result = s.images * s.row.out * s.column.out;
  s.row.in = s.row.out = s.row.result = s.images = 1;
  return true;
}

// A panel of weights that a box meets. The first one finds the box's pixels in memory; `more`: there is another one,
// whose weights no other box has read.
struct Turn {
  int64_t panel;
  bool first, more;
};

// Calls fill(image, box, source, copy) for every box whose input is not read in place, and then, for every panel of its
// results, multiply(image, box, source, copy, runs, turn). `work` is in multiply-adds.
template <class E, class Fill, class Multiply>
void each_panel(const Sweep& s, int64_t work, E* scratch, int64_t scratch_size, const Context& context,
                const Fill& fill, const Multiply& multiply) {
  const bool alone = context.threads == 1 || work < 2 * kWorthATask;
  const int64_t per_thread = scratch_size / context.threads / 64 * 64;
  const Panels<E> panels(s.width);
  const int64_t run_elements = ceil_div(2 * Terms(s).runs, 64) * 64;
  const SweepCut cut = cut_of<E>(s, per_thread, alone ? 1 : context.threads);
  const int64_t units = s.images * cut.boxes * cut.parts;
  const int64_t tasks = alone ? 1 : lesser(units, most_tasks(context));
  parallel(context, tasks, [&](int64_t task, int thread) {
    Run* const runs = reinterpret_cast<Run*>(scratch + thread * per_thread);
    E* const copy = scratch + thread * per_thread + run_elements;
    int64_t last = -1;
    for (int64_t unit = begin_of(task, units, tasks); unit < begin_of(task + 1, units, tasks); ++unit) {
      const int64_t part = unit % cut.parts, where = unit / cut.parts, image = where / cut.boxes;
      const Box box = cut.box(s, where % cut.boxes);
      const Source source = source_of<E>(s, box);
      if (where != last) {
        if (!source.in_place) fill(image, box, source, copy);
        fill_runs(s, source, runs);
      }
      last = where;
      const int64_t p0 = begin_of(part, panels.count, cut.parts), p1 = begin_of(part + 1, panels.count, cut.parts);
      for (int64_t p = p0; p < p1; ++p)
        multiply(image, box, source, copy, runs, Turn{p, p == p0, p + 1 < p1 && units == cut.parts});
    }
  });
}

// Neighbouring outputs of one row, which are summed up in registers. Places are counted in elements: `from` and
// `weights` from where the box finds its first term and the panel its first weight, `at` from the beginning of y.
struct OutputTile {
  int64_t pixels, from, weights, at;
  const Run* runs;
  int64_t count;  // of runs
};

// Calls body(tile) for all outputs of a box, at most `most` pixels at once; a term of its panel has `wide` weights.
template <class Body>
void each_tile(const Sweep& s, const Box& box, const Source& source, const Run* runs, int64_t image, int64_t wide,
               int64_t most, const Body& body) {
  const int64_t per_row = Terms(s).runs / s.row.taps;
  const Cuts tiles(box.columns, most);
  for (int64_t i = 0; i < box.rows; ++i) {
    const TapRows taps = tap_rows(s.row, box.row + i);
    const int64_t row = image * s.row.result + s.row.first + (box.row + i) * s.row.every;
    for (int64_t j = 0; j < tiles.count; ++j) {
      const int64_t lo = tiles.begin(j), column = s.column.first + (box.column + lo) * s.column.every;
      body(OutputTile{tiles.begin(j + 1) - lo, i * s.row.stride * source.row + lo * s.column.stride * source.pixel,
                      taps.lo * s.column.taps * s.depth * wide, (row * s.column.result + column) * s.pitch,
                      runs + taps.lo * per_row, (taps.hi - taps.lo) * per_row});
    }
  }
}

// The place, in pixels of the images, of what a box's first output meets first.
inline int64_t first_pixel(const Sweep& s, const Box& box, int64_t image) {
  return (image * s.row.in + s.row.start + box.row * s.row.stride) * s.column.in + s.column.start +
         box.column * s.column.stride;
}

}  // namespace
}  // namespace minimx
