// One matrix product on one thread: the loops around the tile. Other kernels may use it inside their own tasks.
#pragma once
#include "cuts.h"
#include "epilogue.h"
#include "gemm_pack.h"
#include "gemm_tile.h"

namespace minimx {
namespace {

// c = activation(A·B + bias + residual). Operands are given by strides, so that transposing is exchanging two numbers;
// of each pair one is 1. c and residual have rows ldc apart and contiguous columns.
template <class T, class Bias = T>
struct Product {
  int64_t m, n, k;
  const T* a;
  int64_t a_row, a_k;
  const T* b;
  int64_t b_k, b_column;
  T* c;
  int64_t ldc;
  const Bias* column_bias;
  const Bias* row_bias;
  const T* residual;  // or the gate, if that is the activation
  int64_t activation;
};

// Blocks of the outer loops. A block of A (kBlockM x kBlockK) stays in the second-level cache while the panels of B, a
// tile wide and kBlockK deep, pass by; a block of B stays in the third. args/gemm.h promises these as upper bounds.
constexpr int64_t kBlockK = 512, kBlockM = 240, kBlockN = 2048;

inline int64_t product_scratch(int64_t m, int64_t n, int64_t k) {
  const int64_t elements = lesser(k, 512) * (lesser(m, 256) + lesser(n, 2048) + 64);
  return (elements + 63) / 64 * 64;
}

// The sum of all lanes, in every lane. Taking lanes out one by one would put the accumulators into memory.
template <int Distance, class V, int... J>
inline V fold(V v, Indices<J...> lanes) {
  v += __builtin_shufflevector(v, v, (J ^ Distance)...);
  if constexpr (Distance > 1)
    return fold<Distance / 2>(v, lanes);
  else
    return v;
}

// Products whose k is contiguous in both operands and that are too thin to fill tiles: vectors run along k.
template <class T, int Rows, int Columns>
inline void dots(const Product<T>& t, int64_t i0, int64_t j0) {
  constexpr int L = kLanes<T>;
  Vec<T> sum[Rows][Columns];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < Columns; ++j) sum[i][j] = Vec<T>{};
  const T* a = t.a + i0 * t.a_row;
  const T* b = t.b + j0 * t.b_column;
  const auto step = [&](auto&& take) {
    Vec<T> y[Columns];
#pragma GCC unroll 16
    for (int j = 0; j < Columns; ++j) y[j] = take(b + j * t.b_column);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Vec<T> x = take(a + i * t.a_row);
#pragma GCC unroll 16
      for (int j = 0; j < Columns; ++j) sum[i][j] += x * y[j];
    }
  };
  int64_t p = 0;
  for (; p + L <= t.k; p += L, a += L, b += L) step([](const T* from) { return load(from); });
  if (p < t.k) step([&](const T* from) { return load_part(from, static_cast<int>(t.k - p)); });
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < Columns; ++j) {
      const int64_t at = (i0 + i) * t.ldc + j0 + j;
      T x = fold<L / 2>(sum[i][j], Lanes<L>{})[0];
      if (t.column_bias) x += t.column_bias[j0 + j];
      if (t.row_bias) x += t.row_bias[i0 + i];
      if (t.residual) x = t.activation == kGate ? (t.residual[at] > 0 ? T(1) : T(0)) * x : x + t.residual[at];
      t.c[at] = t.activation == kRelu && x < 0 ? 0 : x;
    }
}
template <class T, int Rows>
inline void dots_row(const Product<T>& t, int64_t i) {
  int64_t j = 0;
  for (; j + 3 <= t.n; j += 3) dots<T, Rows, 3>(t, i, j);
  for (; j < t.n; ++j) dots<T, Rows, 1>(t, i, j);
}
template <class T>
void multiply_thin(const Product<T>& t) {
  int64_t i = 0;
  for (; i + 4 <= t.m; i += 4) dots_row<T, 4>(t, i);
  for (; i + 2 <= t.m; i += 2) dots_row<T, 2>(t, i);
  for (; i < t.m; ++i) dots_row<T, 1>(t, i);
}

// Products of one term, for which entering tiles would cost more than what they do; rows of B are contiguous.
template <class T>
void multiply_outer(const Product<T>& t) {
  constexpr int L = kLanes<T>;
  for (int64_t i = 0; i < t.m; ++i) {
    const Vec<T> a = splat(t.a[i * t.a_row]);
    const int64_t row = i * t.ldc;
    const auto step = [&](int64_t j, auto&& take, auto&& put) {
      Vec<T> x = t.column_bias ? take(t.column_bias + j) : t.row_bias ? splat(t.row_bias[i]) : Vec<T>{};
      if (t.residual && t.activation != kGate) x += take(t.residual + row + j);
      x += a * take(t.b + j);
      if (t.residual && t.activation == kGate) x = gated(take(t.residual + row + j), x);
      if (t.activation == kRelu) x = x < 0 ? Vec<T>{} : x;  // keeps NaN
      put(t.c + row + j, x);
    };
    int64_t j = 0;
    for (; j + L <= t.n; j += L) step(j, [](const T* p) { return load(p); }, [](T* p, Vec<T> x) { store(p, x); });
    if (const int rest = static_cast<int>(t.n - j); rest > 0)
      step(j, [rest](const T* p) { return load_part(p, rest); }, [rest](T* p, Vec<T> x) { store_part(p, x, rest); });
  }
}

template <class T>
void pack_band(const Product<T>& t, int64_t row, int64_t rows, int64_t p, int64_t deep, T* out) {
  const T* a = t.a + row * t.a_row + p * t.a_k;
  if (t.a_k == 1)
    pack_rows(a, t.a_row, rows, deep, out);
  else
    pack_rows_transposed(a, t.a_k, rows, deep, out);
}
template <class T>
void pack_panel(const Product<T>& t, int64_t column, int64_t columns, int64_t p, int64_t deep, T* out) {
  const T* b = t.b + p * t.b_k + column * t.b_column;
  if (t.b_column == 1)
    pack_columns_of<T, kTileVectors>(b, t.b_k, columns, deep, out);
  else
    pack_columns_transposed_of<T, kTileVectors>(b, t.b_column, columns, deep, out);
}

// The five loops: columns (jc), depth (pc), rows (ic), panels of B (jr), bands of A (ir). Every split is even.
template <class T>
void multiply_blocked(const Product<T>& t, T* scratch) {
  constexpr int L = kLanes<T>;
  // Packing pays when what is packed is read often enough, and saves a matrix that does not fit in the cache from being
  // read in short pieces.
  const bool pack_a = t.n > 256 && t.m * t.k > 65536;
  const bool by_k = pack_a || t.a_k != 1;
  const bool pack_b = t.b_column != 1 || (t.m > 4 * kTileRows && (t.m > 64 || t.k * t.n > 131072));
  const Cuts column_blocks(ceil_div(t.n, L), kBlockN / L), row_blocks(t.m, kBlockM), depth_blocks(t.k, kBlockK);
  const bool keep_b = pack_b && row_blocks.count > 1;  // otherwise a packed panel is read right away and only once
  T* const packed_b = scratch;
  for (int64_t jc = 0; jc < column_blocks.count; ++jc) {
    const int64_t v0 = column_blocks.begin(jc), v1 = column_blocks.begin(jc + 1);
    const Cuts panels(v1 - v0, kTileVectors);
    const bool ragged = v1 * L > t.n;
    for (int64_t pc = 0; pc == 0 || pc < depth_blocks.count; ++pc) {
      const int64_t p0 = depth_blocks.begin(pc), deep = depth_blocks.count ? depth_blocks.begin(pc + 1) - p0 : 0;
      T* const packed_a = packed_b + deep * (keep_b ? v1 - v0 : kTileVectors) * L;
      const bool first = pc == 0, final = pc + 1 >= depth_blocks.count;
      for (int64_t ic = 0; ic < row_blocks.count; ++ic) {
        const int64_t i0 = row_blocks.begin(ic), height = row_blocks.begin(ic + 1) - i0;
        if (pack_a) {
          const Cuts bands(height, kTileRows);
          for (int64_t ir = 0; ir < bands.count; ++ir) {
            const int64_t i = bands.begin(ir);
            pack_band(t, i0 + i, bands.begin(ir + 1) - i, p0, deep, packed_a + i * deep);
          }
        }
        for (int64_t jr = 0; jr < panels.count; ++jr) {
          const int64_t v = panels.begin(jr), wide = panels.begin(jr + 1) - v, j = (v0 + v) * L;
          const bool partial = ragged && jr + 1 == panels.count;
          // In place, only a panel that ends in a part of a vector is packed, lest its loads leave the matrix.
          const bool packed = pack_b || partial;
          T* const panel = packed_b + (keep_b ? v * L * deep : 0);
          if (packed && ic == 0) pack_panel(t, j, lesser(wide * L, t.n - j), p0, deep, panel);
          const T* b = packed ? panel : t.b + p0 * t.b_k + j;
          const int64_t b_stride = packed ? wide * L : t.b_k;
          const auto& tiles = by_k ? (partial ? kTiles<T, true, true> : kTiles<T, true, false>)
                                   : (partial ? kTiles<T, false, true> : kTiles<T, false, false>);
          TileEnds<T> ends{};
          ends.ldc = t.ldc;
          ends.column_bias = first && t.column_bias ? t.column_bias + j : nullptr;
          ends.relu = final && t.activation == kRelu;
          ends.last = static_cast<int>(t.n - (v1 - 1) * L);
          const Cuts bands(height, pack_a ? kTileRows : tile_rows(static_cast<int>(wide)));
          for (int64_t ir = 0; ir < bands.count; ++ir) {
            const int64_t at = bands.begin(ir), rows = bands.begin(ir + 1) - at, i = i0 + at;
            ends.c = t.c + i * t.ldc + j;
            const T* const residual = t.residual ? t.residual + i * t.ldc + j : nullptr;
            ends.gate = final && t.activation == kGate ? residual : nullptr;
            ends.from = !first ? ends.c : t.activation == kGate ? nullptr : residual;
            ends.row_bias = first && t.row_bias ? t.row_bias + i : nullptr;
            const T* a = pack_a ? packed_a + at * deep : t.a + i * t.a_row + p0 * t.a_k;
            const int64_t a_stride = pack_a ? rows : by_k ? t.a_k : t.a_row;
            tiles.at[wide - 1][rows - 1](a, a_stride, b, b_stride, deep, ends);
          }
        }
        if (final && t.activation > kRelu)
          activate(t.c + i0 * t.ldc + v0 * L, t.ldc, height, lesser(v1 * L, t.n) - v0 * L, t.activation);
      }
    }
  }
}

// Whether the sum runs in vectors along k. A part of a product must be told what the whole is, or its sums would
// differ.
template <class T, class Bias>
bool is_thin(const Product<T, Bias>& t) {
  return t.a_k == 1 && t.b_k == 1 && (t.m <= 8 || t.n <= kLanes<Bias>);
}

// Scratch: product_scratch(m, n, k) elements.
template <class T>
void multiply(const Product<T>& t, bool thin, T* scratch) {
  const bool outer = !thin && t.k == 1 && t.b_column == 1;
  if (!thin && !outer) return multiply_blocked(t, scratch);
  if (thin)
    multiply_thin(t);
  else
    multiply_outer(t);
  if (t.activation > kRelu) activate(t.c, t.ldc, t.m, t.n, t.activation);
}

}  // namespace
}  // namespace minimx
