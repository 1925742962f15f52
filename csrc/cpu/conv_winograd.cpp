// conv_winograd: convolution by windows of 3 x 3, with the products of Winograd's algorithm.
//
// Tiles of the input are transformed to (M + 2)² matrices, tiles by channels, each of which is multiplied by its own
// matrix of transformed weights; what comes out is transformed back while it is in the cache. A chunk of tiles goes
// through all of it on one thread.
#include "../args/conv_last.h"
#include "conv_last.h"
#include "conv_last_pack.h"
#include "epilogue.h"
#include "winograd_tiles.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kWorthATask = 1 << 18;
constexpr int64_t kRuns = 16;

// ---- Weights --------------------------------------------------------------------------------------------------------

template <class T>
constexpr int64_t kPanel = kVectors * kLanes<T>;

// Channels whose transformed weights are stored together: one channel's are short pieces, a power of two apart, which
// would crowd a few sets of the cache.
constexpr int64_t kTogether = 4;

// The weights of a forward sweep lie as window[filter][channel], those of a turned one as window[channel][filter], a
// window being nine numbers, the last first if turned: depth and width are the sweep's. They become
// [panel][element][term of depth][lanes of the panel].
template <class T, int M>
ONE_COPY void transform_weights(const Sweep& s, bool turned, const T* windows, T* to, int64_t panel_lo,
                                int64_t panel_hi) {
  constexpr int L = kLanes<T>, A = M + 2;
  const Panels<T> panels(s.width);
  const int64_t step = 9 * (turned ? s.width : 1), lane_step = 9 * (turned ? 1 : s.depth);
  T made[A * A][kTogether * kPanel<T>], taps[9 * L];
  for (int64_t p = panel_lo; p < panel_hi; ++p) {
    const int64_t v0 = panels.begin(p), wide = (panels.begin(p + 1) - v0) * L;
    T* const panel = to + v0 * L * A * A * s.depth;
    for (int64_t c = 0; c < s.depth; c += kTogether) {
      const int64_t together = lesser(kTogether, s.depth - c);
      for (int64_t k = 0; k < together; ++k)
        for (int64_t v = 0; v < wide; v += L) {
          const int64_t lane = v0 * L + v;
          const T* const from = windows + (c + k) * step + lane * lane_step;
          for (int t = 0; t < 9; t += L) transpose_square(from + t, lane_step, s.width - lane, 9 - t, taps + t * L, L);
          Vec<T> out[A][A];
          const auto take = [&](int i, int j) { return load(taps + (turned ? 8 - 3 * i - j : 3 * i + j) * L); };
          both_ways<T, 3, A>(take, out, Winograd<T, M>::weights);
#pragma GCC unroll 8
          for (int i = 0; i < A; ++i)
#pragma GCC unroll 8
            for (int j = 0; j < A; ++j) store(made[i * A + j] + k * wide + v, out[i][j]);
        }
      for (int e = 0; e < A * A; ++e) copy_run(panel + (e * s.depth + c) * wide, made[e], together * wide);
    }
  }
}

template <class T>
void make_weights(const Sweep& s, bool turned, int64_t tile, void* const* buffers, const Context& context) {
  const T* const windows = static_cast<const T*>(buffers[0]);
  T* const to = static_cast<T*>(buffers[1]);
  const Panels<T> panels(s.width);
  const bool small = s.terms() * s.width < kWorthATask / 16;
  const int64_t tasks = small ? 1 : lesser(panels.count, 4 * static_cast<int64_t>(context.threads));
  parallel(context, tasks, [&](int64_t task, int) {
    const int64_t lo = begin_of(task, panels.count, tasks), hi = begin_of(task + 1, panels.count, tasks);
    if (tile == 2)
      transform_weights<T, 2>(s, turned, windows, to, lo, hi);
    else
      transform_weights<T, 4>(s, turned, windows, to, lo, hi);
  });
}

template <class T>
void conv_winograd_weights(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  make_weights<T>(forward_sweep(a), false, a.tile, buffers, context);
}

Sweep gradient_sweep(const ConvLastArgs& a) {
  return {a.batch, a.filters, a.channels, class_axis(a, 0, 0), class_axis(a, 1, 0), false};
}

template <class T>
void conv_winograd_turned(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  make_weights<T>(gradient_sweep(a), true, a.tile, buffers, context);
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
template <class T, int M>
constexpr int64_t kTileSums = (M + 2) * (M + 2) * kPanel<T> + 64 / static_cast<int64_t>(sizeof(T));

// `sums` are those of one tile and the vectors v0..v1-1 of filters, the last of which has `last` ones. What is
// delivered is known by value: stores could change it otherwise.
template <class T, int M>
ONE_COPY void transform_output(const Sweep& s, const Tile& tile, const T* sums, int64_t v0, int64_t v1, int last,
                               const Delivery<T> d) {
  constexpr int A = M + 2, L = kLanes<T>;
  const int64_t rows = s.row.out - tile.row, columns = s.column.out - tile.column;
  const int64_t pixel = s.width, line = s.column.out * pixel;
  int64_t at = ((tile.image * s.row.out + tile.row) * s.column.out + tile.column) * pixel + v0 * L;
  for (int64_t v = v0; v < v1; ++v, sums += L, at += L) {
    const int n = v + 1 == v1 ? last : L;
    const auto take = [n](const T* p) { return n == L ? load(p) : load_part(p, n); };
    Vec<T> out[M][M];
    // Calls f for every output that lies in the image.
    const auto each = [&](auto&& f) {
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < M; ++j)
          if (i < rows && j < columns) f(out[i][j], at + i * line + j * pixel);
    };
    both_ways<T, A, M>([&](int i, int j) { return load(sums + (i * A + j) * kPanel<T>); }, out, Winograd<T, M>::output);
    if (d.scale) {
      const Vec<T> scale = take(d.scale + v * L), bias = take(d.bias + v * L);
      each([&](Vec<T>& sum, int64_t) { sum = sum * scale + bias; });
    } else if (d.bias) {
      const Vec<T> bias = take(d.bias + v * L);
      each([&](Vec<T>& sum, int64_t) { sum += bias; });
    }
    if (d.residual && d.activation == kGate)
      each([&](Vec<T>& sum, int64_t to) { sum = gated(take(d.residual + to), sum); });
    else if (d.residual)
      each([&](Vec<T>& sum, int64_t to) { sum += take(d.residual + to); });
    if (d.relu) each([&](Vec<T>& sum, int64_t) { sum = sum < 0 ? Vec<T>{} : sum; });  // keeps NaN
    if (n == L)
      each([&](const Vec<T>& sum, int64_t to) { store(d.y + to, sum); });
    else
      each([&](const Vec<T>& sum, int64_t to) { store_part(d.y + to, sum, n); });
    if (d.activation > kRelu) each([&](const Vec<T>&, int64_t to) { activate(d.y + to, n, 1, n, d.activation); });
  }
}

// Where vectors are shorter second-level caches are smaller, too: of tiles not more than these elements are transformed
// at once, unless there are so many weights that reading them again would cost more.
constexpr int64_t kTransformed = 100'000, kFewWeights = 1 << 20;

template <class T, int M>
void winograd(const Sweep& s, const T* x, const T* weights, const Delivery<T>& d, T* scratch, int64_t scratch_size,
              const Context& context) {
  constexpr int L = kLanes<T>, A = M + 2;
  const Grid grid{ceil_div(s.row.out, M), ceil_div(s.column.out, M)};
  const Panels<T> panels(s.width);
  // An odd number of lines between tiles: a power of two would crowd a few sets of the cache.
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  const int64_t pixel = (ceil_div(s.depth, line) | 1) * line;
  if (s.outputs() * s.width == 0) return;
  const int64_t total = s.images * grid.size(), work = total * A * A * s.depth * s.width;
  const bool alone = context.threads == 1 || work < 2 * kWorthATask;
  const int64_t workers = alone ? 1 : context.threads;
  const int64_t per_thread = scratch_size / context.threads / 64 * 64;
  int64_t most = greater(1, (per_thread - A * A * line) / (A * A * pixel + kTileSums<T, M>));
  if (MINIMX_VECTOR_BYTES < 64 && A * A * s.depth * s.width <= kFewWeights)
    most = lesser(most, greater(2 * kPixels, kTransformed / (A * A * (pixel + kPanel<T>))));
  // A chunk for all has its filters dealt out instead of its tiles: that transforms the tiles several times, but reads
  // the weights, which are more, only once.
  const bool few = total <= 4 * kPixels && 4 * total <= s.width;
  const int64_t enough = greater(ceil_div(total, most), few ? 1 : lesser(workers, ceil_div(total, 2 * kPixels)));
  const int64_t chunks = lesser(total, enough > 1 ? ceil_div(enough, workers) * workers : 1);
  const int64_t parts = chunks > 1 ? 1 : lesser(panels.count, workers);
  const int64_t units = chunks * parts, tasks = alone ? 1 : lesser(units, 8 * workers);
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
          transform_input<T, M>(s, walk.tile, x, transformed + t * pixel, apart);
      }
      last = chunk;
      // Several runs, for what is fetched ahead is fetched with each of them.
      Run runs[kRuns];
      const int64_t cuts = lesser(kRuns, ceil_div(s.depth, kChannelsAtOnce));
      for (int64_t r = 0; r < cuts; ++r) {
        const int64_t lo = begin_of(r, s.depth, cuts);
        runs[r] = {static_cast<int32_t>(lo), static_cast<int32_t>(begin_of(r + 1, s.depth, cuts) - lo)};
      }
      const Cuts tiles(count, kPixels);
      const int64_t p0 = begin_of(part, panels.count, parts), p1 = begin_of(part + 1, panels.count, parts);
      for (int64_t p = p0; p < p1; ++p) {
        const int64_t v0 = panels.begin(p), v1 = panels.begin(p + 1), wide = (v1 - v0) * L;
        for (int64_t e = 0; e < A * A; ++e) {
          const T* w = weights + (v0 * L * A * A + e * wide) * s.depth;
          LastEnds<T> ends{};
          ends.pixel = kTileSums<T, M>;
          if (tiles.count <= kFewTiles) ends.ahead = {s.depth * wide, 0, tiles.count};
          for (int64_t j = 0; j < tiles.count; ++j) {
            const int64_t lo = tiles.begin(j), n = tiles.begin(j + 1) - lo;
            ends.y = sums + lo * kTileSums<T, M> + e * kPanel<T>;
            ends.ahead.part = j;
            kLastTiles<T, false>.at[v1 - v0 - 1][n - 1](transformed + e * apart + lo * pixel, pixel, runs, cuts, w,
                                                        ends);
          }
        }
        TileWalk<M> walk = start;
        for (int64_t t = 0; t < count; ++t, walk.next())
          transform_output<T, M>(s, walk.tile, sums + t * kTileSums<T, M>, v0, v1,
                                 static_cast<int>(v1 == panels.vectors ? panels.last : L), d);
      }
    }
  });
}

template <class T>
void winograd_by_tile(const Sweep& s, const ConvLastArgs& a, void* const* buffers, const Context& context) {
  Delivery<T> d{};
  d.bias = static_cast<const T*>(buffers[2]);
  d.residual = static_cast<const T*>(buffers[3]);
  d.scale = static_cast<const T*>(buffers[4]);
  d.y = static_cast<T*>(buffers[5]);
  d.relu = a.activation == kRelu;
  d.activation = a.activation;
  const T *const x = static_cast<const T*>(buffers[0]), *const weights = static_cast<const T*>(buffers[1]);
  T* const scratch = static_cast<T*>(buffers[6]);
  if (a.tile == 2)
    winograd<T, 2>(s, x, weights, d, scratch, a.scratch, context);
  else
    winograd<T, 4>(s, x, weights, d, scratch, a.scratch, context);
}

template <class T>
void conv_winograd_forward(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  winograd_by_tile<T>(forward_sweep(a), a, buffers, context);
}

template <class T>
void conv_winograd_data_gradient(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  winograd_by_tile<T>(gradient_sweep(a), a, buffers, context);
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

#define CONV_WINOGRAD(kernel) \
  KERNEL(#kernel ".float32", kernel<float>, ConvLastArgs), KERNEL(#kernel ".float64", kernel<double>, ConvLastArgs)
KERNELS(conv_winograd, CONV_WINOGRAD(conv_winograd_weights), CONV_WINOGRAD(conv_winograd_turned),
        CONV_WINOGRAD(conv_winograd_forward), CONV_WINOGRAD(conv_winograd_data_gradient))
