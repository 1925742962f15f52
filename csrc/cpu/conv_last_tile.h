// The innermost loop of channels-last convolution: a row of pixels by a few vectors of filters, held in registers while
// taps and channels run.
#pragma once
#include "cuts.h"
#include "gate.h"
#include "simd.h"
#include "unroll.h"

namespace minimx {
namespace {

// Pixels and vectors of filters in the largest tile: as many accumulators as leave room for the weights and a
// broadcast. Fewer than eight accumulators cannot hide the latency of the multiply-add.
#if MINIMX_VECTOR_BYTES == 64
constexpr int kPixels = 14, kVectors = 2;
#elif defined(__aarch64__)
constexpr int kPixels = 12, kVectors = 2;
#else
constexpr int kPixels = 6, kVectors = 2;
#endif

// Narrow tiles are longer, for the same reason.
constexpr int tile_pixels(int64_t vectors) { return vectors == 1 && kPixels < 8 ? 2 * kPixels : kPixels; }
constexpr int kMostPixels = tile_pixels(1);

// A stretch of terms that lie side by side in the input, `offset` from the pixel of the output.
struct Run {
  int32_t offset, depth;
};

// What will be read soon and may lie in memory, where its first reader would wait for it: a tile fetches it meanwhile,
// some of its lines with every run.
template <class T>
struct Ahead {
  static constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  const T* from;
  int64_t lines;

  void fetch(int64_t count) {
    for (int64_t i = lesser(count, lines); i > 0; --i, --lines, from += kLine) __builtin_prefetch(from, 0, 2);
  }
};

// Deals `size` elements out to `count` tiles.
template <class T>
struct Stretch {
  Ahead<T> rest;
  int64_t share;
  Stretch(const T* from, int64_t size, int64_t count)
      : rest{from, size / Ahead<T>::kLine}, share(ceil_div(rest.lines, greater(1, count))) {}
  Ahead<T> next() {
    const Ahead<T> part{rest.from, lesser(share, rest.lines)};
    rest.from += part.lines * Ahead<T>::kLine;
    rest.lines -= part.lines;
    return part;
  }
};

// What a tile does with its sums. Pointers are at the tile's first pixel and filter.
template <class T>
struct LastEnds {
  T* y;
  const T* residual;  // laid out like y, or null
  bool gate;          // the residual is one
  int64_t pixel;      // elements between pixels of y
  const T* scale;     // one per filter, or null; comes with a bias
  const T* bias;      // one per filter, or null
  bool relu;
  int last;  // filters in the last vector when that is a partial one
  Ahead<T> ahead;
};

// y[i][f] = Σ_run Σ_k w[..][f] * x[i * pixel + offset + k]
template <class T, int Pixels, int Vectors, bool Partial>
void last_tile(const T* x, int64_t pixel, const Run* runs, int64_t count, const T* w, const LastEnds<T>& ends) {
  constexpr int L = kLanes<T>;
  Vec<T> sum[Pixels][Vectors];
#pragma GCC unroll 16
  for (int i = 0; i < Pixels; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[i][v] = Vec<T>{};
  // What is added comes last, and from memory.
  if (ends.residual)
#pragma GCC unroll 16
    for (int i = 0; i < Pixels; ++i) __builtin_prefetch(ends.residual + i * ends.pixel);
  Ahead<T> ahead = ends.ahead;
  const int64_t lines = ahead.lines ? ceil_div(ahead.lines, greater(1, count)) : 0;
  for (int64_t r = 0; r < count; ++r) {
    const T* at = x + runs[r].offset;
    if (lines) ahead.fetch(lines);
#pragma GCC unroll kUnrolledTerms
    for (int64_t k = runs[r].depth; k > 0; --k, ++at, w += Vectors * L) {
      Vec<T> weights[Vectors];
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) weights[v] = load(w + v * L);
#pragma GCC unroll 16
      for (int i = 0; i < Pixels; ++i) {
        const Vec<T> value = splat(at[i * pixel]);
#pragma GCC unroll 16
        for (int v = 0; v < Vectors; ++v) sum[i][v] += value * weights[v];
      }
    }
  }
  const auto take = [&](const T* p, int v) {
    return Partial && v == Vectors - 1 ? load_part(p + v * L, ends.last) : load(p + v * L);
  };
#pragma GCC unroll 16
  for (int v = 0; v < Vectors; ++v) {
    const Vec<T> bias = ends.bias ? take(ends.bias, v) : Vec<T>{};
    if (ends.scale) {
      const Vec<T> scale = take(ends.scale, v);
#pragma GCC unroll 16
      for (int i = 0; i < Pixels; ++i) sum[i][v] = sum[i][v] * scale + bias;
    } else if (ends.bias) {
#pragma GCC unroll 16
      for (int i = 0; i < Pixels; ++i) sum[i][v] += bias;
    }
  }
  if (ends.residual && ends.gate)
#pragma GCC unroll 16
    for (int i = 0; i < Pixels; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = gated(take(ends.residual + i * ends.pixel, v), sum[i][v]);
  else if (ends.residual)
#pragma GCC unroll 16
    for (int i = 0; i < Pixels; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] += take(ends.residual + i * ends.pixel, v);
  if (ends.relu)
#pragma GCC unroll 16
    for (int i = 0; i < Pixels; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = sum[i][v] < 0 ? Vec<T>{} : sum[i][v];  // keeps NaN
#pragma GCC unroll 16
  for (int i = 0; i < Pixels; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      if (Partial && v == Vectors - 1)
        store_part(ends.y + i * ends.pixel + v * L, sum[i][v], ends.last);
      else
        store(ends.y + i * ends.pixel + v * L, sum[i][v]);
    }
}

template <class T>
using LastTile = void (*)(const T*, int64_t, const Run*, int64_t, const T*, const LastEnds<T>&);

// Tails are tiles of their own size, never padding: [vectors - 1][pixels - 1].
template <class T>
struct LastTiles {
  LastTile<T> at[kVectors][kMostPixels];
};

template <class T, bool Partial, int Pixels, int Vectors>
constexpr void fill_last_tiles(LastTiles<T>& tiles) {
  tiles.at[Vectors - 1][Pixels - 1] = last_tile<T, Pixels, Vectors, Partial>;
  if constexpr (Pixels > 1)
    fill_last_tiles<T, Partial, Pixels - 1, Vectors>(tiles);
  else if constexpr (Vectors > 1)
    fill_last_tiles<T, Partial, tile_pixels(Vectors - 1), Vectors - 1>(tiles);
}
template <class T, bool Partial>
constexpr LastTiles<T> make_last_tiles() {
  LastTiles<T> tiles{};
  fill_last_tiles<T, Partial, kPixels, kVectors>(tiles);
  return tiles;
}
template <class T, bool Partial>
constexpr LastTiles<T> kLastTiles = make_last_tiles<T, Partial>();

// ---- Weight gradients: a few neighbouring terms by a few vectors of filters, summed up over pixels ------------------

// Pixels of one row of output: where the first one's terms lie in x, and its place among the packed pixels of dy.
struct Pixels {
  int64_t x, dy, count;
};

// sums[i][f] (+)= Σ_run Σ_p x[run.x + p * pixel + i] * dy[run.dy + p][f]
template <class T, int Rows, int Vectors>
void sum_tile(const T* x, int64_t pixel, const Pixels* runs, int64_t count, const T* dy, T* sums, int64_t pitch,
              bool add) {
  constexpr int L = kLanes<T>;
  Vec<T> sum[Rows][Vectors];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[i][v] = Vec<T>{};
  for (int64_t r = 0; r < count; ++r) {
    const T* at = x + runs[r].x;
    const T* slope = dy + runs[r].dy * (Vectors * L);
#pragma GCC unroll kUnrolledTerms
    for (int64_t p = runs[r].count; p > 0; --p, at += pixel, slope += Vectors * L) {
      Vec<T> filters[Vectors];
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) filters[v] = load(slope + v * L);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const Vec<T> value = splat(at[i]);
#pragma GCC unroll 16
        for (int v = 0; v < Vectors; ++v) sum[i][v] += value * filters[v];
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      T* to = sums + i * pitch + v * L;
      store(to, add ? load(to) + sum[i][v] : sum[i][v]);
    }
}

template <class T>
using SumTile = void (*)(const T*, int64_t, const Pixels*, int64_t, const T*, T*, int64_t, bool);
template <class T>
struct SumTiles {
  SumTile<T> at[kVectors][kPixels];  // [vectors - 1][rows - 1]
};
template <class T, int Rows, int Vectors>
constexpr void fill_sum_tiles(SumTiles<T>& tiles) {
  tiles.at[Vectors - 1][Rows - 1] = sum_tile<T, Rows, Vectors>;
  if constexpr (Rows > 1)
    fill_sum_tiles<T, Rows - 1, Vectors>(tiles);
  else if constexpr (Vectors > 1)
    fill_sum_tiles<T, kPixels, Vectors - 1>(tiles);
}
template <class T>
constexpr SumTiles<T> make_sum_tiles() {
  SumTiles<T> tiles{};
  fill_sum_tiles<T, kPixels, kVectors>(tiles);
  return tiles;
}
template <class T>
constexpr SumTiles<T> kSumTiles = make_sum_tiles<T>();

}  // namespace
}  // namespace minimx
