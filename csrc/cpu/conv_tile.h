// The innermost loops of convolution: tiles of results held in registers while the terms run.
#pragma once
#include "simd.h"
#include "unroll.h"

namespace minimx {
namespace {

// Accumulators that the registers have room for beside what is loaded, and filters in the largest tile. Fewer than
// eight accumulators cannot hide the latency of the multiply-add.
#if MINIMX_VECTOR_BYTES == 64
constexpr int kSums = 24, kTileFilters = 8;
#elif defined(__aarch64__)
constexpr int kSums = 24, kTileFilters = 6;
#else
constexpr int kSums = 12, kTileFilters = 4;
#endif
constexpr int kMostVectors = 8;
constexpr int most_vectors(int filters) { return kSums / filters < kMostVectors ? kSums / filters : kMostVectors; }

// What a tile of outputs reads and writes besides its terms. Sums that are not the last ones wait in `sums`, a vector
// after the other, for the others to be added.
template <class T>
struct TileEnds {
  T* sums;
  int64_t sums_filter;  // elements between filters in sums
  bool first, last;     // whether the sums begin here, and end here
  T* out;
  const T* residual;  // laid out like out, or null
  int64_t filter;     // elements between filters in out
  const int32_t* to;  // where each vector goes
  const T* scale;     // one per filter, or null; comes with a bias
  const T* bias;      // one per filter, or null
  bool relu;
};

// out[i][to[v]...] = Σ_k w[i * stride + k] * x[from[v] + offset[k]...]
template <class T, int Filters, int Vectors>
void output_tile(const T* x, const int32_t* from, const int32_t* offset, const T* w, int64_t stride, int64_t terms,
                 const TileEnds<T>& ends) {
  constexpr int L = kLanes<T>;
  Vec<T> sum[Filters][Vectors];
  const T* at[Vectors];
#pragma GCC unroll 16
  for (int v = 0; v < Vectors; ++v) at[v] = x + from[v];
  if (ends.first)
#pragma GCC unroll 16
    for (int i = 0; i < Filters; ++i) {
      const Vec<T> start = ends.bias && !ends.scale ? splat(ends.bias[i]) : Vec<T>{};
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = start;
    }
  else
#pragma GCC unroll 16
    for (int i = 0; i < Filters; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = load(ends.sums + i * ends.sums_filter + v * L);

#pragma GCC unroll kUnrolledTerms
  for (int64_t k = 0; k < terms; ++k) {
    const int64_t shift = offset[k];
    Vec<T> pixels[Vectors];
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) pixels[v] = load(at[v] + shift);
#pragma GCC unroll 16
    for (int i = 0; i < Filters; ++i) {
      const Vec<T> weight = splat(w[i * stride + k]);
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] += weight * pixels[v];
    }
  }

  if (!ends.last) {
#pragma GCC unroll 16
    for (int i = 0; i < Filters; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) store(ends.sums + i * ends.sums_filter + v * L, sum[i][v]);
    return;
  }
  if (ends.scale)
#pragma GCC unroll 16
    for (int i = 0; i < Filters; ++i) {
      const Vec<T> scale = splat(ends.scale[i]), shift = splat(ends.bias[i]);
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = sum[i][v] * scale + shift;
    }
  if (ends.residual)
#pragma GCC unroll 16
    for (int i = 0; i < Filters; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] += load(ends.residual + i * ends.filter + ends.to[v]);
  if (ends.relu)
#pragma GCC unroll 16
    for (int i = 0; i < Filters; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = sum[i][v] < 0 ? Vec<T>{} : sum[i][v];  // keeps NaN
#pragma GCC unroll 16
  for (int i = 0; i < Filters; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) store(ends.out + i * ends.filter + ends.to[v], sum[i][v]);
}

// What a tile of weight gradients sums over: `count` vectors of pixels in each of `images` images, then `tail` pixels.
template <class T>
struct Pixels {
  const T* x;
  const T* dy;
  int64_t x_image, dy_image;  // elements between images
  int64_t filter;             // elements between filters in dy
  const int32_t* from;        // each vector's place in x
  const int32_t* to;          // and in dy
  int64_t images, count;
  int tail;
};

constexpr int kTileTerms = 3;

// Sums of neighbouring lanes of two vectors, side by side.
template <class T, int... I>
struct Neighbours {
  static Vec<T> sum(Vec<T> a, Vec<T> b) {
    return __builtin_shufflevector(a, b, (2 * I)...) + __builtin_shufflevector(a, b, (2 * I + 1)...);
  }
};
template <class T, int N>
struct NeighboursOf;
template <class T>
struct NeighboursOf<T, 2> : Neighbours<T, 0, 1> {};
template <class T>
struct NeighboursOf<T, 4> : Neighbours<T, 0, 1, 2, 3> {};
template <class T>
struct NeighboursOf<T, 8> : Neighbours<T, 0, 1, 2, 3, 4, 5, 6, 7> {};
template <class T>
struct NeighboursOf<T, 16> : Neighbours<T, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15> {};

// out[i] = the sum of the lanes of v[i]: halving the number of vectors halves what of each sum is left to do.
template <class T, int N>
inline void sum_lanes(const Vec<T> (&v)[N], T (&out)[N]) {
  constexpr int L = kLanes<T>;
#pragma GCC unroll 8
  for (int first = 0; first < N; first += L) {
    Vec<T> level[L];
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) level[i] = first + i < N ? v[first + i < N ? first + i : 0] : Vec<T>{};
#pragma GCC unroll 4
    for (int left = L / 2; left > 0; left /= 2)
#pragma GCC unroll 8
      for (int i = 0; i < left; ++i) level[i] = NeighboursOf<T, L>::sum(level[2 * i], level[2 * i + 1]);
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i)
      if (first + i < N) out[first + i] = level[0][i];
  }
}

// dw[i * terms + j] (+)= Σ over pixels of dy[i] * x[offset[j]]
template <class T, int Filters, int Terms>
void weight_tile(const Pixels<T>& p, const int32_t* offset, T* dw, int64_t terms, bool add) {
  Vec<T> sum[Filters][Terms];
#pragma GCC unroll 16
  for (int i = 0; i < Filters; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < Terms; ++j) sum[i][j] = Vec<T>{};
  for (int64_t n = 0; n < p.images; ++n) {
    const T* dy = p.dy + n * p.dy_image;
    const T* x[Terms];
#pragma GCC unroll 16
    for (int j = 0; j < Terms; ++j) x[j] = p.x + n * p.x_image + offset[j];
    const auto step = [&](int64_t from, int64_t to, auto&& take) {
      Vec<T> pixels[Terms];
#pragma GCC unroll 16
      for (int j = 0; j < Terms; ++j) pixels[j] = take(x[j] + from);
#pragma GCC unroll 16
      for (int i = 0; i < Filters; ++i) {
        const Vec<T> g = take(dy + i * p.filter + to);
#pragma GCC unroll 16
        for (int j = 0; j < Terms; ++j) sum[i][j] += g * pixels[j];
      }
    };
    for (int64_t v = 0; v < p.count; ++v) step(p.from[v], p.to[v], [](const T* q) { return load(q); });
    if (p.tail) step(p.from[p.count], p.to[p.count], [&](const T* q) { return load_part(q, p.tail); });
  }
  Vec<T> flat[Filters * Terms];
  T total[Filters * Terms];
#pragma GCC unroll 32
  for (int i = 0; i < Filters * Terms; ++i) flat[i] = sum[i / Terms][i % Terms];
  sum_lanes<T>(flat, total);
  for (int i = 0; i < Filters; ++i)
    for (int j = 0; j < Terms; ++j) dw[i * terms + j] = total[i * Terms + j] + (add ? dw[i * terms + j] : 0);
}

// Tails are tiles of their own size, never padding.
template <class T>
using OutputTile = void (*)(const T*, const int32_t*, const int32_t*, const T*, int64_t, int64_t, const TileEnds<T>&);
template <class T>
using WeightTile = void (*)(const Pixels<T>&, const int32_t*, T*, int64_t, bool);
template <class T>
struct Tiles {
  OutputTile<T> output[kTileFilters][kMostVectors];
  WeightTile<T> weight[kTileFilters][kTileTerms];
};

template <class T, int Filters, int Vectors>
constexpr void fill_tiles(Tiles<T>& tiles) {
  if constexpr (Vectors <= most_vectors(Filters))
    tiles.output[Filters - 1][Vectors - 1] = output_tile<T, Filters, Vectors>;
  if constexpr (Vectors <= kTileTerms) tiles.weight[Filters - 1][Vectors - 1] = weight_tile<T, Filters, Vectors>;
  if constexpr (Vectors > 1)
    fill_tiles<T, Filters, Vectors - 1>(tiles);
  else if constexpr (Filters > 1)
    fill_tiles<T, Filters - 1, kMostVectors>(tiles);
}
template <class T>
constexpr Tiles<T> make_tiles() {
  Tiles<T> tiles{};
  fill_tiles<T, kTileFilters, kMostVectors>(tiles);
  return tiles;
}
template <class T>
constexpr Tiles<T> kTiles = make_tiles<T>();

}  // namespace
}  // namespace minimx
