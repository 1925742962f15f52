// The innermost loop of a matrix product: one tile of C held in registers while k runs.
#pragma once
#include "../args/epilogue.h"
#include "gate.h"
#include "simd.h"
#include "unroll.h"

namespace minimx {
namespace {

// The tile is as large as the registers allow: rows x vectors accumulators, one row of B and one broadcast of A. Fewer
// than eight accumulators cannot hide the latency of the multiply-add.
#if MINIMX_VECTOR_BYTES == 64
constexpr int kTileRows = 12, kTileVectors = 2;
#elif defined(__aarch64__)
constexpr int kTileRows = 8, kTileVectors = 3;
#else
constexpr int kTileRows = 4, kTileVectors = 3;
#endif

// Narrow tiles are higher, for the same reason.
constexpr int tile_rows(int vectors) {
  constexpr int kMost = 12;
  const int rows = kTileRows * kTileVectors / vectors;
  return rows < kMost ? rows : kMost;
}
constexpr int kHighestTile = tile_rows(1);

// Where a tile starts from and goes to. Its sum begins with bias and `from` (the residual, or what earlier blocks of k
// have left in c), so that the result does not depend on how k was cut.
template <class T>
struct TileEnds {
  T* c;
  int64_t ldc;
  const T* from;         // laid out like c, or null
  const T* column_bias;  // one entry per column, or null
  const T* row_bias;     // one entry per row, or null
  const T* gate;         // laid out like c, or null; comes with the last terms
  int64_t relu;
  int last;  // columns in the last vector when that is a partial one
};

// ByK: a[p * a_stride + row] (packed, or A^T in place); otherwise a[row * a_stride + p] (A in place).
template <class T, int Rows, int Vectors, bool ByK, bool Partial>
void tile(const T* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t k, const TileEnds<T>& ends) {
  constexpr int L = kLanes<T>;
  Vec<T> sum[Rows][Vectors];
  const auto take = [&](const T* p, int v) {
    return Partial && v == Vectors - 1 ? load_part(p + v * L, ends.last) : load(p + v * L);
  };
  // The sums start from c, so its lines must be there when a tile begins: each tile fetches those of the band below.
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    const T* next = ends.c + (Rows + i) * ends.ldc;
    __builtin_prefetch(next, 1);
    __builtin_prefetch(next + Vectors * L - 1, 1);
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[i][v] = Vec<T>{};
  if (ends.column_bias)
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      const Vec<T> bias = take(ends.column_bias, v);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) sum[i][v] = bias;
    }
  if (ends.row_bias)
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = splat(ends.row_bias[i]);
  if (ends.from)
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] += take(ends.from + i * ends.ldc, v);

  const auto add_term = [&](int64_t a_step, int64_t b_step) {
    Vec<T> row[Vectors];
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) row[v] = load(b + v * L);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Vec<T> x = splat(ByK ? a[i] : a[i * a_stride]);
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] += x * row[v];
    }
    a += ByK ? a_step : 1;
    b += b_step;
  };
  // Where all is packed, side by side, places are part of the instructions.
  if (b_stride == Vectors * L && (!ByK || a_stride == Rows))
#pragma GCC unroll kUnrolledTerms
    for (int64_t p = 0; p < k; ++p) add_term(Rows, Vectors * L);
  else
    for (int64_t p = 0; p < k; ++p) add_term(a_stride, b_stride);

  if (ends.gate)
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = gated(take(ends.gate + i * ends.ldc, v), sum[i][v]);
  if (ends.relu)
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = sum[i][v] < 0 ? Vec<T>{} : sum[i][v];  // keeps NaN
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      if (Partial && v == Vectors - 1)
        store_part(ends.c + i * ends.ldc + v * L, sum[i][v], ends.last);
      else
        store(ends.c + i * ends.ldc + v * L, sum[i][v]);
    }
}

template <class T>
using TileFunction = void (*)(const T* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t k,
                              const TileEnds<T>& ends);

// Tails are tiles of their own size, never padding: [vectors - 1][rows - 1].
template <class T>
struct TileTable {
  TileFunction<T> at[kTileVectors][kHighestTile];
};

template <class T, bool ByK, bool Partial, int Rows, int Vectors>
constexpr void fill_tiles(TileTable<T>& table) {
  table.at[Vectors - 1][Rows - 1] = tile<T, Rows, Vectors, ByK, Partial>;
  if constexpr (Rows > 1)
    fill_tiles<T, ByK, Partial, Rows - 1, Vectors>(table);
  else if constexpr (Vectors > 1)
    fill_tiles<T, ByK, Partial, tile_rows(Vectors - 1), Vectors - 1>(table);
}
template <class T, bool ByK, bool Partial>
constexpr TileTable<T> make_tiles() {
  TileTable<T> table{};
  fill_tiles<T, ByK, Partial, kTileRows, kTileVectors>(table);
  return table;
}
template <class T, bool ByK, bool Partial>
constexpr TileTable<T> kTiles = make_tiles<T, ByK, Partial>();

}  // namespace
}  // namespace minimx
