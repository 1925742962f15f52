// conv_last: convolution of channels-last images, forward and both gradients.
//
// Vectors lie along the filters; the input is broadcast, pixel by pixel, from rows that are copied first only where
// padding has to be put around them. The weights are packed once into the order in which the tiles read them. The
// weight gradient sums up over the pixels of one strip after the other, of which dy is packed and x stays where it is.
#include "../args/conv_last.h"

#include "conv_last_sweep.h"
#include "epilogue.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

// ---- Weights --------------------------------------------------------------------------------------------------------

template <class T>
void conv_last_weights(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  const Sweep s = forward_sweep(a);
  const Panels<T> panels(s.width);
  const int64_t tasks = lesser(panels.count, 4 * static_cast<int64_t>(context.threads));
  const bool small = s.terms() * s.width < kWorthATask / 16;
  parallel(context, small ? 1 : tasks, [&](int64_t task, int) {
    pack_forward(s, static_cast<const T*>(buffers[0]), static_cast<T*>(buffers[1]),
                 small ? 0 : begin_of(task, panels.count, tasks),
                 small ? panels.count : begin_of(task + 1, panels.count, tasks));
  });
}

template <class T>
void conv_last_turned(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  T* packed = static_cast<T*>(buffers[1]);
  const int64_t kernel = a.kernel[0] * a.kernel[1];
  each_class(a, a.filters, [&](const Sweep& s) {
    const Panels<T> panels(s.width);
    const bool small = s.terms() * s.width < kWorthATask / 16;
    const int64_t tasks = small ? 1 : lesser(panels.count, 4 * static_cast<int64_t>(context.threads));
    parallel(context, tasks, [&](int64_t task, int) {
      pack_turned(s, kernel, a.kernel[1], static_cast<const T*>(buffers[0]), packed,
                  begin_of(task, panels.count, tasks), begin_of(task + 1, panels.count, tasks));
    });
    packed += s.terms() * panels.vectors * kLanes<T>;
  });
}

// ---- Sweeps ---------------------------------------------------------------------------------------------------------

template <class T>
struct Riders {
  const T *bias, *residual, *scale;
  int64_t activation;
};

// The outputs of a box by the filters of one panel. `from` is where the box's first output finds its first term.
template <class T>
void sweep_panel(const Sweep& s, const Box& box, const Source& source, const T* from, const Run* runs, int64_t image,
                 const Turn& turn, const T* packed, const Riders<T>& riders, T* y) {
  constexpr int L = kLanes<T>;
  const Panels<T> panels(s.width);
  const int64_t p = turn.panel, v0 = panels.begin(p), v1 = panels.begin(p + 1), filter = v0 * L;
  const bool partial = v1 == panels.vectors && panels.last < L;
  const auto& table = partial ? kLastTiles<T, true> : kLastTiles<T, false>;
  const T* const weights = packed + filter * s.terms();
  LastEnds<T> ends{};
  ends.pixel = s.column.every * s.pitch;
  ends.bias = riders.bias ? riders.bias + filter : nullptr;
  ends.scale = riders.scale ? riders.scale + filter : nullptr;
  ends.relu = riders.activation == kRelu;
  ends.gate = riders.activation == kGate;
  ends.last = static_cast<int>(panels.last);
  // A box for all reads every weight once; others find them in the cache, but a box's first panel has its pixels from
  // memory, which follow one another where one tap meets each of them.
  const int64_t most = tile_pixels(v1 - v0), tiles = box.rows * ceil_div(box.columns, most);
  const bool follow = turn.first && source.in_place && s.row.taps * s.column.taps * s.column.stride == 1;
  Stretch<T> next(packed + v1 * L * s.terms(), turn.more ? (panels.begin(p + 2) - v1) * L * s.terms() : 0, tiles);
  each_tile(s, box, source, runs, image, (v1 - v0) * L, most, [&](const OutputTile& t) {
    ends.y = y + t.at + filter;
    ends.ahead = next.next();
    if (follow) ends.ahead = {from + t.from + t.pixels * source.pixel, t.pixels * source.pixel / Ahead<T>::kLine};
    ends.residual = riders.residual ? riders.residual + t.at + filter : nullptr;
    table.at[v1 - v0 - 1][t.pixels - 1](from + t.from, s.column.stride * source.pixel, t.runs, t.count,
                                        weights + t.weights, ends);
    if (riders.activation > kRelu)
      activate(ends.y, ends.pixel, t.pixels, lesser(v1 * L, s.width) - filter, riders.activation);
  });
}

template <class T>
void sweep(Sweep s, const T* x, const T* packed, const Riders<T>& riders, T* y, T* scratch, int64_t scratch_size,
           const Context& context) {
  if (s.outputs() * s.width == 0) return;
  const Sweep images = s;
  join_pixels(s);
  const auto fill = [&](int64_t image, const Box& box, const Source& source, T* copy) {
    const auto pixels = [&](int64_t from, int64_t count, T* to) {
      const T* at = x + (image * s.row.in * s.column.in + from) * s.depth;
      if (source.pixel == s.depth) return copy_run(to, at, count * s.depth);
      for (int64_t j = 0; j < count; ++j) copy_run(to + j * source.pixel, at + j * s.depth, s.depth);
    };
    if (s.picked)
      copy_picked(images, box, source, pixels, copy);
    else
      copy_source(s, box, source, pixels, copy);
  };
  each_panel(
      s, s.outputs() * s.terms() * s.width, scratch, scratch_size, context, fill,
      [&](int64_t image, const Box& box, const Source& source, const T* copy, const Run* runs, const Turn& turn) {
        const T* from = source.in_place ? x + first_pixel(s, box, image) * s.depth : copy;
        sweep_panel(s, box, source, from, runs, image, turn, packed, riders, y);
      });
}

template <class T>
Riders<T> riders_of(const ConvLastArgs& a, void* const* buffers) {
  return {static_cast<const T*>(buffers[2]), static_cast<const T*>(buffers[3]), static_cast<const T*>(buffers[4]),
          a.activation};
}

template <class T>
void conv_last_forward(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  sweep(forward_sweep(a), static_cast<const T*>(buffers[0]), static_cast<const T*>(buffers[1]),
        riders_of<T>(a, buffers), static_cast<T*>(buffers[5]), static_cast<T*>(buffers[6]), a.scratch, context);
}

template <class T>
void conv_last_data_gradient(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  const T* packed = static_cast<const T*>(buffers[1]);
  const Riders<T> riders = riders_of<T>(a, buffers);
  T* const dx = static_cast<T*>(buffers[5]);
  const T* const rest = a.activation == kGate ? nullptr : riders.residual;
  if ((a.kernel[0] < a.stride[0] || a.kernel[1] < a.stride[1]) && rest != dx) {  // some pixels are not reached
    const int64_t size = a.batch * a.in[0] * a.in[1] * a.channels, tasks = 4 * static_cast<int64_t>(context.threads);
    parallel(context, size > kWorthATask ? tasks : 1, [&](int64_t task, int) {
      const int64_t n = size > kWorthATask ? tasks : 1, lo = begin_of(task, size, n);
      if (rest)
        copy_run(dx + lo, rest + lo, begin_of(task + 1, size, n) - lo);
      else
        clear_run(dx + lo, begin_of(task + 1, size, n) - lo);
    });
  }
  each_class(a, a.filters, [&](const Sweep& s) {
    if (s.terms())
      sweep(s, static_cast<const T*>(buffers[0]), packed, riders, dx, static_cast<T*>(buffers[6]), a.scratch, context);
    packed += s.terms() * Panels<T>(s.width).vectors * kLanes<T>;
  });
}

// ---- Weight gradient ------------------------------------------------------------------------------------------------

// Pixels that are summed up at once: the terms of a band and a panel of dy share the first-level cache.
constexpr int64_t kStripPixels = MINIMX_VECTOR_BYTES == 64 ? 256 : 128, kFiltersAtOnce = 512;
// Where there are many pixels and few sums, parts of the pixels are summed up apart: x and dy are then read only once.
// Their number does not depend on that of the threads, and so neither does the result.
constexpr int64_t kParts = 8, kSumsOfAPart = 1 << 17, kManyPixels = 4096;
// Bands of terms whose pixels are copied together.
constexpr int64_t kBandsAtOnce = 256 / kPixels;

// The patches of one band of terms: `count` neighbouring channels of one tap, or of a row of taps.
struct Band {
  int64_t row_tap, column_tap, channel, count, at;  // at: the first one's place among all terms
};

// Terms are cut into stretches that lie side by side in x, and each stretch evenly into bands.
struct Bands {
  Sweep s;
  bool wide;
  int64_t stretch, per_stretch, count;

  explicit Bands(const Sweep& sweep) : s(sweep), wide(Terms(sweep).wide) {
    stretch = wide ? s.column.taps * s.depth : s.depth;
    per_stretch = ceil_div(stretch, kPixels);
    count = per_stretch * s.row.taps * (wide ? 1 : s.column.taps);
  }
  // Those that are copied when band i is the first of its thread or of its group: all up to `end` in its stretch.
  Band group(int64_t i, int64_t end) const {
    const int64_t within = i % per_stretch, first = i - within;
    const int64_t stop = lesser(first + lesser(per_stretch, (within / kBandsAtOnce + 1) * kBandsAtOnce), end);
    Band whole = at(i);
    const Band last = at(stop - 1);
    whole.count = last.channel + last.count - whole.channel;
    return whole;
  }
  bool begins_group(int64_t i) const { return i % per_stretch % kBandsAtOnce == 0; }
  Band at(int64_t i) const {
    const int64_t which = i / per_stretch, lo = begin_of(i % per_stretch, stretch, per_stretch);
    const int64_t hi = begin_of(i % per_stretch + 1, stretch, per_stretch);
    const int64_t columns = wide ? 1 : s.column.taps;
    return {which / columns, which % columns, lo, hi - lo, which * stretch + lo};
  }
};

// The pixels of output rows r0..r1-1 that a tap meets in x. Rows go on from image to image.
inline int64_t find_pixels(const Sweep& s, int64_t row_tap, int64_t column_tap, int64_t r0, int64_t r1, Pixels* runs) {
  const int64_t begin = s.column.start + column_tap * s.column.dilate;
  const int64_t lo = lesser(s.column.out, begin < 0 ? ceil_div(-begin, s.column.stride) : 0);
  const int64_t hi = begin < s.column.in ? lesser(s.column.out, (s.column.in - 1 - begin) / s.column.stride + 1) : 0;
  int64_t count = 0;
  for (int64_t r = r0; r < r1 && lo < hi; ++r) {
    const int64_t y = s.row.start + r % s.row.out * s.row.stride + row_tap * s.row.dilate;
    if (y < 0 || y >= s.row.in) continue;
    const int64_t pixel = (r / s.row.out * s.row.in + y) * s.column.in + begin + lo * s.column.stride;
    runs[count++] = {pixel * s.depth, (r - r0) * s.column.out + lo, hi - lo};
  }
  return count;
}

// Copies `terms` of these pixels, which are `apart` in x, to `pitch` elements apart.
template <class T>
void gather_pixels(const T* x, int64_t apart, int64_t terms, const Pixels* from, int64_t count, T* patches,
                   int64_t pitch, Pixels* to) {
  int64_t at = 0;
  for (int64_t r = 0; r < count; ++r) {
    to[r] = {at, from[r].dy, from[r].count};
    for (int64_t p = 0; p < from[r].count; ++p, at += pitch) copy_run(patches + at, x + from[r].x + p * apart, terms);
  }
}

// For bands of a row of taps, which may lie half outside of the image: copies what x has to patches[p * pitch + i].
template <class T>
void pack_patches(const Sweep& s, const Band& band, const T* x, int64_t r0, int64_t r1, T* patches, int64_t pitch) {
  for (int64_t r = r0; r < r1; ++r) {
    const int64_t y = s.row.start + r % s.row.out * s.row.stride + band.row_tap * s.row.dilate;
    const bool inside = y >= 0 && y < s.row.in;
    const T* row = x + (r / s.row.out * s.row.in + y) * s.column.in * s.depth;
    for (int64_t j = 0; j < s.column.out; ++j, patches += pitch) {
      const int64_t first = (s.column.start + j * s.column.stride) * s.depth + band.channel;
      if (inside && first >= 0 && first + band.count <= s.column.in * s.depth) {
        copy_run(patches, row + first, band.count);
        continue;
      }
      for (int64_t i = 0; i < band.count; ++i)
        patches[i] = inside && first + i >= 0 && first + i < s.column.in * s.depth ? row[first + i] : 0;
    }
  }
}

template <class T>
void conv_last_weight_gradient(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  constexpr int L = kLanes<T>;
  const Sweep s = forward_sweep(a);
  const T* const x = static_cast<const T*>(buffers[0]);
  const T* const dy = static_cast<const T*>(buffers[1]);
  T* const dw = static_cast<T*>(buffers[2]);
  T* const sums = static_cast<T*>(buffers[3]);
  const int64_t pitch = ceil_div(s.width, 16) * 16, terms = s.terms();
  const int64_t work = s.outputs() * terms * s.width;
  const int64_t most = terms * pitch <= kSumsOfAPart && s.outputs() >= kManyPixels ? kParts : 1;
  const int64_t one = ceil_div(terms * pitch, 64) * 64, taken = most * one, wide = lesser(pitch, kFiltersAtOnce);
  T* const scratch = sums + taken;
  const int64_t per_thread = (a.scratch - taken) / context.threads / 64 * 64;
  // A strip is some rows of output, which may belong to several images.
  if (s.outputs() == 0) {
    clear_run(dw, s.width * terms);
    return;
  }
  const int64_t rows = s.images * s.row.out, pixels = s.column.out;
  const Bands bands(s);
  // Copied pixels are an odd number of lines apart: many would share too few sets of the first-level cache where they
  // were.
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  const int64_t apart = (ceil_div(lesser(bands.stretch, kBandsAtOnce * kPixels), line) | 1) * line;
  const int64_t at_once = greater(1, lesser(kStripPixels, (per_thread - 256) / (wide + apart + 16)) / pixels);
  const int64_t strips = ceil_div(rows, at_once), parts = lesser(most, strips);
  const bool alone = context.threads == 1 || work < 2 * kWorthATask;
  // Without parts, terms or filters are dealt out: every thread sums up its own over all pixels. Whatever is not dealt
  // out has to be packed by all of them.
  const int64_t workers = alone ? 1 : context.threads * (work > 256 * kWorthATask ? 2 : 1);
  const bool by_filters =
      parts == 1 && workers * terms + s.width < terms + workers * s.width && s.width >= workers * kVectors * L;
  const int64_t share = by_filters ? 1 : lesser(bands.count, ceil_div(workers, parts));
  const int64_t blocks = greater(by_filters ? workers : 1, ceil_div(s.width, kFiltersAtOnce));
  parallel(context, parts * share * blocks, [&](int64_t task, int thread) {
    const int64_t part = task / (share * blocks), block = task / share % blocks;
    const int64_t f0 = begin_of(block, ceil_div(s.width, L), blocks) * L;
    const int64_t f1 = lesser(s.width, begin_of(block + 1, ceil_div(s.width, L), blocks) * L);
    const int64_t b0 = begin_of(task % share, bands.count, share), b1 = begin_of(task % share + 1, bands.count, share);
    T* const patches = scratch + thread * per_thread;
    Pixels* const runs = reinterpret_cast<Pixels*>(patches + at_once * pixels * apart);
    Pixels* const gathered = runs + at_once;
    T* const packed = reinterpret_cast<T*>(gathered + at_once);
    const int64_t vectors = ceil_div(f1 - f0, L), panels = ceil_div(vectors, kVectors);
    const int64_t begin = begin_of(part, strips, parts), end = begin_of(part + 1, strips, parts);
    for (int64_t strip = begin; strip < end; ++strip) {
      const int64_t r0 = begin_of(strip, rows, strips), r1 = begin_of(strip + 1, rows, strips);
      const int64_t deep = (r1 - r0) * pixels;
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t v0 = begin_of(p, vectors, panels), v1 = begin_of(p + 1, vectors, panels);
        pack_columns_of<T, kVectors>(dy + r0 * pixels * s.width + f0 + v0 * L, s.width,
                                     lesser((v1 - v0) * L, f1 - f0 - v0 * L), deep, packed + v0 * L * deep);
      }
      int64_t count = 0, first = 0;
      for (int64_t b = b0; b < b1; ++b) {
        const Band band = bands.at(b);
        if (b == b0 || bands.begins_group(b)) {
          const Band group = bands.group(b, b1);
          first = group.channel;
          if (bands.wide) {
            pack_patches(s, group, x, r0, r1, patches, apart);
            gathered[0] = {0, 0, deep};
            count = 1;
          } else {
            count = find_pixels(s, group.row_tap, group.column_tap, r0, r1, runs);
            gather_pixels(x + first, s.column.stride * s.depth, group.count, runs, count, patches, apart, gathered);
          }
        }
        for (int64_t p = 0; p < panels; ++p) {
          const int64_t v0 = begin_of(p, vectors, panels), v1 = begin_of(p + 1, vectors, panels);
          kSumTiles<T>.at[v1 - v0 - 1][band.count - 1](
              patches + band.channel - first, apart, gathered, count, packed + v0 * L * deep,
              sums + part * one + band.at * pitch + f0 + v0 * L, pitch, strip > begin);
        }
      }
    }
  });
  if (parts > 1)
    parallel(context, terms, [&](int64_t term, int) {
      T* const to = sums + term * pitch;
      for (int64_t part = 1; part < parts; ++part)
        for (int64_t f = 0; f < pitch; f += L) store(to + f, load(to + f) + load(to + part * one + f));
    });
  const int64_t lines = ceil_div(s.width, L), tasks = alone ? 1 : lesser(lines, 4 * context.threads);
  parallel(context, tasks, [&](int64_t task, int) {
    deliver_weights(s, sums, pitch, dw, begin_of(task, lines, tasks) * L,
                    lesser(s.width, begin_of(task + 1, lines, tasks) * L));
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

#define CONV_LAST(kernel) \
  KERNEL(#kernel ".float32", kernel<float>, ConvLastArgs), KERNEL(#kernel ".float64", kernel<double>, ConvLastArgs)
KERNELS(conv_last, CONV_LAST(conv_last_weights), CONV_LAST(conv_last_turned), CONV_LAST(conv_last_forward),
        CONV_LAST(conv_last_data_gradient), CONV_LAST(conv_last_weight_gradient))
