// conv_winograd_gradient: gradients of small windows of weights, with the products of Winograd's algorithm.
//
// Tiles of x and of dy are transformed to A² elements each. An element's matrix of sums, channels by filters, is
// a product over all tiles; transformed back, they are the weights' gradients. What one chunk of tiles becomes stays in
// the third-level cache between the threads that transform and those that multiply. Sums that would not fit there are
// made and transformed back block by block, once all tiles are transformed.
#include "../args/conv_last.h"
#include "conv_last_pack.h"
#include "winograd_tiles.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

// Elements in a line of the cache. A line more between matrices: a power of two would crowd a few sets of the cache.
template <class T>
constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));

// Tiles that are summed up at once: their terms and a panel of dy share the first-level cache.
constexpr int64_t kStrip = 128;

// Transforms a tile of dy: to the panels of every element, which are `apart` from each other and `count` tiles long.
template <class T, class Tiling>
ONE_COPY void transform_slope(const Sweep& s, const Panels<T>& panels, const Tile& tile, const T* dy, T* to,
                              int64_t apart, int64_t t, int64_t count) {
  constexpr int L = kLanes<T>, M = Tiling::M, A = Tiling::A;
  // Where to find every pixel, from the first of its filters on, or -1.
  int64_t places[M][M];
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < M; ++j) {
      const int64_t row = tile.row + i, column = tile.column + j;
      const bool inside = row < s.row.out && column < s.column.out;
      places[i][j] = inside ? ((tile.image * s.row.out + row) * s.column.out + column) * s.width : -1;
    }
  panels.each([&](int64_t v0, int64_t v1) {
    T* target = to + v0 * L * count + t * (v1 - v0) * L;
    for (int64_t v = v0; v < v1; ++v, target += L) {
      const T* const from = dy + v * L;
      const auto transform = [&](auto&& take) {
        both_ways<T, typename Winograd<T, M, Tiling::R>::Slope>(
            [&](int i, int j) { return take(places[i][j] < 0 ? kOutside<T> : from + places[i][j]); },
            [=](int i, const Vec<T>(&row)[A]) {
              T* element = target + i * (A * apart);
#pragma GCC unroll 8
              for (int j = 0; j < A; ++j, element += apart) store(element, row[j]);
            });
      };
      if (const int n = static_cast<int>(panels.last); v + 1 == panels.vectors && n < L)
        transform([n](const T* at) { return load_part(at, n); });
      else
        transform([](const T* at) { return load(at); });
    }
  });
}

// Where sums are: those of a filter lie together, and so far apart are channels, phases and elements.
template <class T>
struct Sums {
  T* at;
  int64_t channel, phase, element;
};

// sums[channel][filter] (+)= Σ_t x[t][channel] * dy[t][filter], for `channels` of them and panels p0..p1-1 of the
// filters, of which `sums` has the first one first.
template <class T>
void multiply(const Panels<T>& panels, const T* x, int64_t pixel, int64_t channels, const T* dy, int64_t count, T* sums,
              int64_t pitch, int64_t p0, int64_t p1, bool add) {
  constexpr int L = kLanes<T>;
  const int64_t strips = ceil_div(count, kStrip), bands = ceil_div(channels, kPixels);
  for (int64_t strip = 0; strip < strips; ++strip) {
    const int64_t t0 = begin_of(strip, count, strips);
    const Pixels run{0, 0, begin_of(strip + 1, count, strips) - t0};
    for (int64_t b = 0; b < bands; ++b) {
      const int64_t c0 = begin_of(b, channels, bands), rows = begin_of(b + 1, channels, bands) - c0;
      for (int64_t p = p0; p < p1; ++p) {
        const int64_t v0 = panels.begin(p), vectors = panels.begin(p + 1) - v0;
        kSumTiles<T>.at[vectors - 1][rows - 1](
            x + t0 * pixel + c0, pixel, &run, 1, dy + v0 * L * count + t0 * vectors * L,
            sums + c0 * pitch + (v0 - panels.begin(p0)) * L, pitch, add || strip > 0);
      }
    }
  }
}

// Stores columns of `filters` lanes as rows `pitch` apart.
template <class T>
void deliver(const T* columns, int64_t count, int64_t filters, T* to, int64_t pitch) {
  constexpr int L = kLanes<T>;
  for (int64_t t = 0; t < count; t += L) {
    const int n = static_cast<int>(lesser(L, count - t));
    Vec<T> r[L];
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) r[i] = i < n ? load(columns + (t + i) * L) : Vec<T>{};
    transpose<T>(r);
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i)
      if (i < filters && n == L)
        store(to + i * pitch + t, r[i]);
      else if (i < filters)
        store_part(to + i * pitch + t, r[i], n);
  }
}

// Transforms the sums of channels c0..c1-1 and filters lo..hi-1 back to dw[filter][channel][tap]; `sums` has these
// alone. Squares of channels by filters go through `taps`, as many filters at a time as a line of sums has, so that no
// line is read twice.
template <class T, class Tiling>
ONE_COPY void transform_sums(const Sweep& s, const Sums<T> sums, T* dw, int64_t c0, int64_t c1, int64_t lo,
                             int64_t hi) {
  constexpr int L = kLanes<T>, A = Tiling::A, R = Tiling::R, V = kLine<T> / L;
  const int64_t window = s.row.taps * s.column.taps;
  T taps[V][kMostTaps * L * L];
  for (int64_t f = lo; f < hi; f += V * L)
    for (int64_t c = c0; c < c1; c += L) {
      const int64_t channels = lesser(L, c1 - c), terms = window * channels;
      each_phase(s, [&](int64_t row_phase, int64_t column_phase, int64_t before) {
        for (int64_t k = 0; k < channels; ++k)
          for (int v = 0; v < V; ++v) {
            const T* const from =
                sums.at + before / s.depth * sums.phase + (c - c0 + k) * sums.channel + f - lo + v * L;
            T* const to = taps[v] + (k * window + row_phase * s.column.taps + column_phase) * L;
            both_ways<T, typename Winograd<T, Tiling::M, R>::Gradient>(
                [&](int i, int j) { return load(from + (i * A + j) * sums.element); },
                [&](int i, const Vec<T>(&row)[R]) {
#pragma GCC unroll 8
                  for (int j = 0; j < R; ++j)
                    store(to + (i * s.row.stride * s.column.taps + j * s.column.stride) * L, row[j]);
                });
          }
      });
      for (int v = 0; v < V; ++v)
        deliver(taps[v], terms, lesser(L, hi - f - v * L), dw + ((f + v * L) * s.depth + c) * window, s.depth * window);
    }
}

// What all tiles of both operands have become.
template <class T>
struct Transformed {
  const T *x, *dy;
  int64_t x_element, dy_element, pixel, count;
};

// More sums than a cache takes: those of some channels and one panel of filters at a time, which are transformed back
// at once.
constexpr int64_t kBlockChannels = 16;
template <class T, class Tiling>
void block_by_block(const Sweep& s, const Transformed<T>& terms, T* room, T* dw, bool alone, const Context& context) {
  constexpr int64_t line = kLine<T>, elements = Tiling::A * Tiling::A, L = kLanes<T>;
  const Panels<T> panels(s.width);
  const int64_t phases = tile_depth(s) / s.depth, blocks = ceil_div(s.depth, kBlockChannels);
  const int64_t pitch = ceil_div(kVectors * L, line) * line;
  const Sums<T> shape{nullptr, pitch, kBlockChannels * pitch, phases * kBlockChannels * pitch + line};
  const int64_t parts = alone ? 1 : lesser(panels.count, ceil_div(4 * static_cast<int64_t>(context.threads), blocks));
  parallel(context, alone ? 1 : blocks * parts, [&](int64_t task, int thread) {
    Sums<T> sums = shape;
    sums.at = room + thread * elements * shape.element;
    for (int64_t unit = alone ? 0 : task; unit < (alone ? blocks * parts : task + 1); ++unit) {
      const int64_t b = unit / parts, part = unit % parts;
      const int64_t c0 = b * kBlockChannels, channels = lesser(kBlockChannels, s.depth - c0);
      for (int64_t p = begin_of(part, panels.count, parts); p < begin_of(part + 1, panels.count, parts); ++p) {
        for (int64_t e = 0; e < elements; ++e)
          for (int64_t phase = 0; phase < phases; ++phase)
            multiply(panels, terms.x + e * terms.x_element + phase * s.depth + c0, terms.pixel, channels,
                     terms.dy + e * terms.dy_element, terms.count, sums.at + e * sums.element + phase * sums.phase,
                     pitch, p, p + 1, false);
        transform_sums<T, Tiling>(s, sums, dw, c0, c0 + channels, panels.begin(p) * L,
                                  lesser(s.width, panels.begin(p + 1) * L));
      }
    }
  });
}

template <class T, class Tiling>
void by_tiles(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  constexpr int64_t line = kLine<T>, M = Tiling::M, elements = Tiling::A * Tiling::A;
  const Sweep s = forward_sweep(a);
  const T *const x = static_cast<const T*>(buffers[0]), *const dy = static_cast<const T*>(buffers[1]);
  T *const dw = static_cast<T*>(buffers[2]), *const sums = static_cast<T*>(buffers[3]);
  if (s.outputs() == 0) {
    clear_run(dw, s.terms() * s.width);
    return;
  }
  const Panels<T> panels(s.width);
  const Grid grid{ceil_div(s.row.out, M), ceil_div(s.column.out, M)};
  const int64_t depth = tile_depth(s), pixel = (ceil_div(depth, line) | 1) * line, pitch = ceil_div(s.width, 16) * 16;
  const int64_t total = s.images * grid.size(), one = depth * pitch + line;
  // Chunks do not depend on the number of threads, and so neither does the result. Without room for all sums there is
  // some for all tiles.
  const int64_t room = a.scratch / elements - one - line;
  const bool blocks = room < pixel + pitch;
  const int64_t chunks = blocks ? 1 : ceil_div(total, room / (pixel + pitch));
  const int64_t longest = ceil_div(total, chunks), apart = longest * pixel + line;
  T *const terms = blocks ? sums : sums + elements * one, *const slopes = terms + elements * apart;
  const int64_t work = total * elements * depth * pitch, workers = 4 * static_cast<int64_t>(context.threads);
  const bool alone = context.threads == 1 || work < 2 * kWorthATask;
  const int64_t parts = lesser(panels.count, ceil_div(workers, elements));
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t t0 = begin_of(chunk, total, chunks), count = begin_of(chunk + 1, total, chunks) - t0;
    const int64_t pieces = alone ? 1 : lesser(count, workers);
    parallel(context, pieces, [&](int64_t task, int) {
      const int64_t begin = begin_of(task, count, pieces), end = begin_of(task + 1, count, pieces);
      TileWalk<M> walk(grid, t0 + begin);
      for (int64_t t = begin; t < end; ++t, walk.next()) {
        transform_input<T, Tiling>(s, walk.tile, x, terms + t * pixel, apart);
        transform_slope<T, Tiling>(s, panels, walk.tile, dy, slopes, longest * pitch, t, count);
      }
    });
    if (blocks)
      return block_by_block<T, Tiling>(s, {terms, slopes, apart, longest * pitch, pixel, total},
                                       slopes + elements * longest * pitch, dw, alone, context);
    parallel(context, alone ? 1 : elements * parts, [&](int64_t task, int) {
      for (int64_t unit = alone ? 0 : task; unit < (alone ? elements * parts : task + 1); ++unit) {
        const int64_t e = unit / parts, part = unit % parts;
        const int64_t p0 = begin_of(part, panels.count, parts), p1 = begin_of(part + 1, panels.count, parts);
        multiply(panels, terms + e * apart, pixel, depth, slopes + e * longest * pitch, count,
                 sums + e * one + panels.begin(p0) * kLanes<T>, pitch, p0, p1, chunk > 0);
      }
    });
  }
  const int64_t lines = ceil_div(s.width, line), pieces = alone ? 1 : lesser(lines, workers);
  parallel(context, pieces, [&](int64_t task, int) {
    const int64_t lo = begin_of(task, lines, pieces) * line;
    transform_sums<T, Tiling>(s, {sums + lo, pitch, s.depth * pitch, one}, dw, 0, s.depth, lo,
                              lesser(s.width, begin_of(task + 1, lines, pieces) * line));
  });
}

template <class T>
void conv_winograd_weight_gradient(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  with_tiling(a, [&](auto tiling) { by_tiles<T, decltype(tiling)>(a, buffers, context); });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(conv_winograd_gradient,
        KERNEL("conv_winograd_weight_gradient.float32", conv_winograd_weight_gradient<float>, ConvLastArgs),
        KERNEL("conv_winograd_weight_gradient.float64", conv_winograd_weight_gradient<double>, ConvLastArgs))
