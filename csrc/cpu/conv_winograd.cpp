// conv_winograd: convolution by small windows, with the products of Winograd's algorithm.
//
// Tiles of the input are transformed to A² matrices, tiles by channels, each of which is multiplied by its own
// matrix of transformed weights; what comes out is transformed back while it is in the cache. A chunk of tiles goes
// through all of it on one thread.
#include "../args/conv_last.h"
#include "conv_last.h"
#include "conv_last_pack.h"
#include "epilogue.h"
#include "stream.h"
#include "winograd_tiles.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kRuns = 16;

// So few tiles that reading the weights from memory takes longer than a tile.
constexpr int64_t kFewTiles = 12;

// ---- Weights --------------------------------------------------------------------------------------------------------

template <class T>
constexpr int64_t kPanel = kVectors * kLanes<T>;

// Channels whose transformed weights are stored together: one channel's are short pieces, a power of two apart, which
// would crowd a few sets of the cache.
constexpr int64_t kTogether = 4;

// The weights of a forward sweep lie as window[filter][channel], those of a turned one as window[channel][filter]:
// depth and width are the sweep's. They become [element][panel][term of tile_depth][lanes of the panel].
template <class T, class Tiling>
ONE_COPY void transform_weights(const Sweep& s, bool turned, int kernel, const T* windows, T* to, bool streams,
                                int64_t panel_lo, int64_t panel_hi) {
  constexpr int L = kLanes<T>, A = Tiling::A, R = Tiling::R;
  const Panels<T> panels(s.width);
  const int taps = kernel * kernel;
  const int64_t step = taps * (turned ? s.width : 1), lane_step = taps * (turned ? 1 : s.depth);
  const int64_t depth = tile_depth(s), apart = panels.vectors * L * depth;
  T made[A * A][kTogether * kPanel<T>], window[(kMostTaps + L) * L];
  for (int64_t p = panel_lo; p < panel_hi; ++p) {
    const int64_t v0 = panels.begin(p), wide = (panels.begin(p + 1) - v0) * L;
    T* const panel = to + v0 * L * depth;
    each_phase(s, [&](int64_t row_phase, int64_t column_phase, int64_t before) {
      const auto tap = [&](int i, int j) {
        const int64_t row = s.row.from + row_phase + i * s.row.stride * s.row.step;
        return row * kernel + s.column.from + column_phase + j * s.column.stride * s.column.step;
      };
      for (int64_t c = 0; c < s.depth; c += kTogether) {
        const int64_t together = lesser(kTogether, s.depth - c);
        for (int64_t k = 0; k < together; ++k)
          for (int64_t v = 0; v < wide; v += L) {
            const int64_t lane = v0 * L + v;
            const T* const from = windows + (c + k) * step + lane * lane_step;
            for (int t = 0; t < taps; t += L)
              transpose_square(from + t, lane_step, s.width - lane, taps - t, window + t * L, L);
            both_ways<T, typename Winograd<T, Tiling::M, R>::Weights>(
                [&](int i, int j) { return load(window + tap(i, j) * L); },
                [&](int i, const Vec<T>(&row)[A]) {
#pragma GCC unroll 8
                  for (int j = 0; j < A; ++j) store(made[i * A + j] + k * wide + v, row[j]);
                });
          }
        for (int e = 0; e < A * A; ++e) {
          T* const element = panel + e * apart + (before + c) * wide;
          if (streams)
            stream_run(element, made[e], together * wide);
          else
            copy_run(element, made[e], together * wide);
        }
      }
    });
  }
  if (streams) finish_streams();
}

template <class T, class Tiling>
void make_weights(const Sweep& s, bool turned, int64_t kernel, const T* windows, T* to, bool streams,
                  const Context& context) {
  const Panels<T> panels(s.width);
  const bool small = s.terms() * s.width < kWorthATask / 16;
  const int64_t tasks = small ? 1 : lesser(panels.count, 4 * static_cast<int64_t>(context.threads));
  parallel(context, tasks, [&](int64_t task, int) {
    transform_weights<T, Tiling>(s, turned, static_cast<int>(kernel), windows, to, streams,
                                 begin_of(task, panels.count, tasks), begin_of(task + 1, panels.count, tasks));
  });
}

// Numbers that the transformed weights of a sweep take.
template <class T, class Tiling>
int64_t weights_size(const Sweep& s) {
  return Tiling::A * Tiling::A * tile_depth(s) * Panels<T>(s.width).vectors * kLanes<T>;
}

template <class T>
constexpr int64_t kStreamed = kStreamBytes / static_cast<int64_t>(sizeof(T));

template <class T>
void conv_winograd_weights(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  with_tiling(a, [&](auto tiling) {
    const Sweep s = forward_sweep(a);
    make_weights<T, decltype(tiling)>(s, false, a.kernel[1], static_cast<const T*>(buffers[0]),
                                      static_cast<T*>(buffers[1]), weights_size<T, decltype(tiling)>(s) >= kStreamed<T>,
                                      context);
  });
}

template <class T>
void conv_winograd_turned(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  with_tiling(a, [&](auto tiling) {
    T* to = static_cast<T*>(buffers[1]);
    int64_t all = 0;
    each_class(a, a.filters, [&](const Sweep& s) { all += weights_size<T, decltype(tiling)>(s); });
    each_class(a, a.filters, [&](const Sweep& s) {
      make_weights<T, decltype(tiling)>(s, true, a.kernel[1], static_cast<const T*>(buffers[0]), to,
                                        all >= kStreamed<T>, context);
      to += weights_size<T, decltype(tiling)>(s);
    });
  });
}

// ---- Tiles ----------------------------------------------------------------------------------------------------------

// What is done to the sums of one tile and vector of filters, and where they go.
template <class T>
struct Delivery {
  const T *bias, *scale, *residual;
  T* y;
  bool relu;
  int64_t activation;
};

// The sums of a tile lie together, element by element, with room for the widest panel, and a line more between tiles: a
// power of two would crowd a few sets of the cache.
template <class T, int A>
constexpr int64_t kTileSums = A * A * kPanel<T> + 64 / static_cast<int64_t>(sizeof(T));

// `sums` are those of one tile and the panels p0..p1-1 of filters, which are `apart` from each other. What is delivered
// is known by value: stores could change it otherwise.
template <class T, class Tiling>
ONE_COPY void transform_output(const Sweep& s, const Tile& tile, const Panels<T>& panels, int64_t p0, int64_t p1,
                               const T* sums, int64_t apart, const Delivery<T> d) {
  constexpr int M = Tiling::M, A = Tiling::A, L = kLanes<T>;
  // Outputs outside of the image are made like the others, without asking, and go nowhere.
  T nowhere[L] = {};
  int64_t places[M][M];
  const int64_t rows = s.row.out - tile.row, columns = s.column.out - tile.column;
  const int64_t row = tile.image * s.row.result + s.row.first + tile.row * s.row.every;
  const int64_t column = s.column.first + tile.column * s.column.every;
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < M; ++j) {
      const int64_t pixel = (row + i * s.row.every) * s.column.result + column + j * s.column.every;
      places[i][j] = i < rows && j < columns ? pixel * s.pitch : -1;
    }
  const int64_t vectors = panels.vectors;
  const int last = static_cast<int>(panels.last);
  for (int64_t p = p0; p < p1; ++p, sums += apart) {
    const T* from = sums;
    for (int64_t v = panels.begin(p), end = panels.begin(p + 1); v < end; ++v, from += L) {
      const int n = v + 1 == vectors ? last : L;
      const auto take = [n](const T* at) { return n == L ? load(at) : load_part(at, n); };
      const Vec<T> bias = d.bias ? take(d.bias + v * L) : Vec<T>{}, scale = d.scale ? take(d.scale + v * L) : Vec<T>{};
      T* const y = d.y + v * L;
      const T* const residual = d.residual ? d.residual + v * L : nullptr;
      const auto place = [&](auto* array, int i, int j) { return places[i][j] < 0 ? nowhere : array + places[i][j]; };
      both_ways<T, typename Winograd<T, M, Tiling::R>::Output>(
          [from](int i, int j) { return load(from + (i * A + j) * kPanel<T>); },
          [&](int i, Vec<T>(&row)[M]) {
#pragma GCC unroll 4
            for (int j = 0; j < M; ++j) row[j] = d.scale ? row[j] * scale + bias : row[j] + bias;
            if (residual && d.activation == kGate)
#pragma GCC unroll 4
              for (int j = 0; j < M; ++j) row[j] = gated(take(place(residual, i, j)), row[j]);
            else if (residual)
#pragma GCC unroll 4
              for (int j = 0; j < M; ++j) row[j] += take(place(residual, i, j));
            if (d.relu)
#pragma GCC unroll 4
              for (int j = 0; j < M; ++j) row[j] = row[j] < 0 ? Vec<T>{} : row[j];  // keeps NaN
#pragma GCC unroll 4
            for (int j = 0; j < M; ++j)
              if (n == L)
                store(place(y, i, j), row[j]);
              else
                store_part(place(y, i, j), row[j], n);
          });
      if (d.activation > kRelu)
        for (int i = 0; i < M; ++i)
          for (int j = 0; j < M; ++j) activate(place(y, i, j), n, 1, n, d.activation);
    }
  }
}

// Transformed weights that take a good part of a third-level cache.
constexpr int64_t kManyWeights = 2 << 20;

template <class T, class Tiling>
void winograd(const Sweep& s, const T* x, const T* weights, const Delivery<T>& d, T* scratch, int64_t scratch_size,
              const Context& context) {
  constexpr int L = kLanes<T>, M = Tiling::M, A = Tiling::A;
  const Grid grid{ceil_div(s.row.out, M), ceil_div(s.column.out, M)};
  const Panels<T> panels(s.width);
  const int64_t depth = tile_depth(s);
  // An odd number of lines between tiles: a power of two would crowd a few sets of the cache.
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  const int64_t pixel = (ceil_div(depth, line) | 1) * line;
  if (s.outputs() * s.width == 0) return;
  const int64_t total = s.images * grid.size(), work = total * A * A * depth * s.width;
  const bool alone = context.threads == 1 || work < 2 * kWorthATask;
  const int64_t workers = alone ? 1 : context.threads;
  const int64_t per_thread = scratch_size / context.threads / 64 * 64;
  int64_t most = greater(1, (per_thread - A * A * line) / (A * A * pixel + panels.count * kTileSums<T, A>));
  if (most > kPixels) most -= most % kPixels;  // the multiplication's own tiles are then full ones
  // A chunk for all has its filters dealt out instead of its tiles: that transforms the tiles several times, but reads
  // the weights, which are more, only once.
  const bool many_weights = A * A * depth * s.width > kManyWeights;
  const bool few = total <= (many_weights ? 64 : 4 * kPixels) && 4 * total <= s.width;
  const int64_t enough = greater(ceil_div(total, most), few ? 1 : lesser(workers, ceil_div(total, 2 * kPixels)));
  const int64_t chunks = lesser(total, enough > 1 ? ceil_div(enough, workers) * workers : 1);
  const int64_t parts = chunks > 1 ? 1 : lesser(panels.count, workers);
  const int64_t units = chunks * parts, tasks = alone ? 1 : lesser(units, most_tasks(context));
  const int64_t longest = ceil_div(total, chunks), apart = longest * pixel + line;
  parallel(context, tasks, [&](int64_t task, int thread) {
    T* const transformed = scratch + thread * per_thread;
    T* const sums = transformed + A * A * apart;
    int64_t last = -1;
    for (int64_t unit = begin_of(task, units, tasks); unit < begin_of(task + 1, units, tasks); ++unit) {
      const int64_t chunk = unit / parts, part = unit % parts;
      const int64_t t0 = begin_of(chunk, total, chunks), count = begin_of(chunk + 1, total, chunks) - t0;
      const TileWalk<M> start(grid, t0);
      if (chunk != last) {
        TileWalk<M> walk = start;
        for (int64_t t = 0; t < count; ++t, walk.next())
          transform_input<T, Tiling>(s, walk.tile, x, transformed + t * pixel, apart);
      }
      last = chunk;
      // Several runs, for what is fetched ahead is fetched with each of them.
      Run runs[kRuns];
      const int64_t cuts = lesser(kRuns, ceil_div(depth, kChannelsAtOnce));
      for (int64_t r = 0; r < cuts; ++r) {
        const int64_t lo = begin_of(r, depth, cuts);
        runs[r] = {static_cast<int32_t>(lo), static_cast<int32_t>(begin_of(r + 1, depth, cuts) - lo)};
      }
      const int64_t p0 = begin_of(part, panels.count, parts), p1 = begin_of(part + 1, panels.count, parts);
      // One element after the other: its tiles stay in the cache, and the weights go by once.
      const auto weights_of = [&](int64_t e, int64_t p) { return (e * panels.vectors + panels.begin(p)) * L * depth; };
      for (int64_t e = 0; e < A * A; ++e)
        for (int64_t p = p0; p < p1; ++p) {
          const int64_t vectors = panels.begin(p + 1) - panels.begin(p), at = weights_of(e, p);
          const Cuts tiles(count, tile_pixels(vectors));
          LastEnds<T> ends{};
          ends.pixel = kTileSums<T, A>;
          // Weights of the next panel, if there is one.
          const int64_t q = p + 1 < p1 ? p + 1 : p0, e1 = p + 1 < p1 ? e : e + 1;
          const bool more = tiles.count <= kFewTiles && e1 < A * A;
          const int64_t size = more ? (panels.begin(q + 1) - panels.begin(q)) * L * depth : 0;
          Stretch<T> next(weights + weights_of(more ? e1 : e, q), size, tiles.count);
          for (int64_t j = 0; j < tiles.count; ++j) {
            const int64_t lo = tiles.begin(j), n = tiles.begin(j + 1) - lo;
            ends.y = sums + ((p - p0) * longest + lo) * kTileSums<T, A> + e * kPanel<T>;
            ends.ahead = next.next();
            kLastTiles<T, false>.at[vectors - 1][n - 1](transformed + e * apart + lo * pixel, pixel, runs, cuts,
                                                        weights + at, ends);
          }
        }
      TileWalk<M> walk = start;
      for (int64_t t = 0; t < count; ++t, walk.next())
        transform_output<T, Tiling>(s, walk.tile, panels, p0, p1, sums + t * kTileSums<T, A>, longest * kTileSums<T, A>,
                                    d);
    }
  });
}

template <class T>
Delivery<T> delivery_of(const ConvLastArgs& a, void* const* buffers) {
  return {static_cast<const T*>(buffers[2]),
          static_cast<const T*>(buffers[4]),
          static_cast<const T*>(buffers[3]),
          static_cast<T*>(buffers[5]),
          a.activation == kRelu,
          a.activation};
}

template <class T>
void conv_winograd_forward(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  with_tiling(a, [&](auto tiling) {
    winograd<T, decltype(tiling)>(forward_sweep(a), static_cast<const T*>(buffers[0]),
                                  static_cast<const T*>(buffers[1]), delivery_of<T>(a, buffers),
                                  static_cast<T*>(buffers[6]), a.scratch, context);
  });
}

template <class T>
void conv_winograd_data_gradient(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  with_tiling(a, [&](auto tiling) {
    const T* weights = static_cast<const T*>(buffers[1]);
    each_class(a, a.filters, [&](const Sweep& s) {
      winograd<T, decltype(tiling)>(s, static_cast<const T*>(buffers[0]), weights, delivery_of<T>(a, buffers),
                                    static_cast<T*>(buffers[6]), a.scratch, context);
      weights += weights_size<T, decltype(tiling)>(s);
    });
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

#define CONV_WINOGRAD(kernel) \
  KERNEL(#kernel ".float32", kernel<float>, ConvLastArgs), KERNEL(#kernel ".float64", kernel<double>, ConvLastArgs)
KERNELS(conv_winograd, CONV_WINOGRAD(conv_winograd_weights), CONV_WINOGRAD(conv_winograd_turned),
        CONV_WINOGRAD(conv_winograd_forward), CONV_WINOGRAD(conv_winograd_data_gradient))
