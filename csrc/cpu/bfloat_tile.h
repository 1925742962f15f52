// The innermost loop of products and convolutions of bfloat16: a few rows (or pixels) by a few vectors of columns
// (filters), held in registers while pairs of terms run. It is the tile of conv_last_tile.h with dot_pairs in it; a
// product has one run of terms.
#pragma once
#include "bfloat.h"
#include "conv_last_tile.h"

namespace minimx {
namespace {

// Where the sums of a tile start, and what is done with them. Pointers are at the tile's first row and column.
struct PairEnds {
  const float* from;  // sums of earlier terms, or null
  float* floats;      // where the results go as floats; null: to y
  int64_t pitch;      // elements between rows of both
  BFloat16* y;
  const BFloat16* residual;  // laid out like y, or null
  int64_t row;               // elements between rows of y
  const float* scale;        // one per column, or null; comes with a bias
  const float* bias;         // one per column, or null
  const float* row_bias;     // one per row, or null
  bool relu;
  int last;  // columns in the last vector when that is a partial one
};

// y[i][f] = Σ_run Σ_k w[..][f] · x[i * row + offset + k], where offset, k and w count pairs.
template <int Rows, int Vectors, bool Partial>
void pair_tile(const BFloat16* x, int64_t row, const Run* runs, int64_t count, const uint32_t* w,
               const PairEnds& ends) {
  constexpr int L = kLanes<float>;
  Vec<float> sum[Rows][Vectors];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[i][v] = Vec<float>{};
  if (ends.from)
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = load(ends.from + i * ends.pitch + v * L);
  for (int64_t r = 0; r < count; ++r) {
    const BFloat16* at = x + 2 * static_cast<int64_t>(runs[r].offset);
    for (const BFloat16* end = at + 2 * static_cast<int64_t>(runs[r].depth); at < end; at += 2, w += Vectors * L) {
      Pairs weights[Vectors];
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) weights[v] = load(w + v * L);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const Pairs value = splat(load_pair(at + i * row));
#pragma GCC unroll 16
        for (int v = 0; v < Vectors; ++v) sum[i][v] = dot_pairs(sum[i][v], value, weights[v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < Vectors; ++v) {
    const bool part = Partial && v == Vectors - 1;
    const auto take = [&](const float* p) { return part ? load_part(p + v * L, ends.last) : load(p + v * L); };
    const Vec<float> bias = ends.bias ? take(ends.bias) : Vec<float>{};
    if (ends.scale) {
      const Vec<float> scale = take(ends.scale);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) sum[i][v] = sum[i][v] * scale + bias;
    } else if (ends.bias) {
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) sum[i][v] += bias;
    }
  }
  if (ends.row_bias)
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] += splat(ends.row_bias[i]);
  if (ends.residual)
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v)
        sum[i][v] += widened(
            load_bfloat<Bfloats>(ends.residual + i * ends.row + v * L, Partial && v == Vectors - 1 ? ends.last : L));
  if (ends.relu)
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = sum[i][v] < 0 ? Vec<float>{} : sum[i][v];  // keeps NaN
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      if (ends.floats)
        store(ends.floats + i * ends.pitch + v * L, sum[i][v]);
      else
        store_bfloat(ends.y + i * ends.row + v * L, narrowed(sum[i][v]), Partial && v == Vectors - 1 ? ends.last : L);
    }
}

using PairTile = void (*)(const BFloat16*, int64_t, const Run*, int64_t, const uint32_t*, const PairEnds&);

// Tails are tiles of their own size, never padding: [vectors - 1][rows - 1].
struct PairTiles {
  PairTile at[kVectors][kPixels];
};

template <bool Partial, int Rows, int Vectors>
constexpr void fill_pair_tiles(PairTiles& tiles) {
  tiles.at[Vectors - 1][Rows - 1] = pair_tile<Rows, Vectors, Partial>;
  if constexpr (Rows > 1)
    fill_pair_tiles<Partial, Rows - 1, Vectors>(tiles);
  else if constexpr (Vectors > 1)
    fill_pair_tiles<Partial, kPixels, Vectors - 1>(tiles);
}
template <bool Partial>
constexpr PairTiles make_pair_tiles() {
  PairTiles tiles{};
  fill_pair_tiles<Partial, kPixels, kVectors>(tiles);
  return tiles;
}
template <bool Partial>
constexpr PairTiles kPairTiles = make_pair_tiles<Partial>();

// Rows of finished floats, to bfloat16.
inline void narrow_rows(const float* from, int64_t pitch, int64_t rows, int64_t columns, BFloat16* to, int64_t row) {
  constexpr int L = kLanes<float>;
  for (int64_t i = 0; i < rows; ++i, from += pitch, to += row)
    for (int64_t j = 0; j < columns; j += L)
      store_bfloat(to + j, narrowed(load(from + j)), columns - j < L ? columns - j : L);
}

}  // namespace
}  // namespace minimx
