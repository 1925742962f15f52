// gemm.bfloat16: matrix products of bfloat16, with sums in float32.
//
// The tile broadcasts pairs of k from rows of A, mostly where they lie, and multiplies them with pairs of rows of B,
// which are packed panel by panel just before they are used. What k has too many for one block waits in float32.
#include "bfloat_tile.h"
#include "gemm_cut.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

using Product16 = Product<BFloat16, float>;

// Blocks of rows, columns and pairs of k. args/gemm.h promises them as upper bounds.
constexpr int64_t kRows = 240, kColumns = 1024, kPairs = 512;
constexpr int64_t kMostLanes = 16;

// Elements of 4 bytes: a block of A, a panel of B, a block of sums.
struct Scratch {
  int64_t pitch_a, pitch_sums, a, b, sums;
  Scratch(int64_t m, int64_t n, int64_t k) {
    const int64_t deep = lesser(ceil_div(k, 2), kPairs), rows = lesser(m, kRows);
    pitch_a = (deep / kMostLanes + 1) * kMostLanes;  // never a multiple of a page
    pitch_sums = lesser(ceil_div(n, kMostLanes) * kMostLanes, kColumns);
    a = rows * pitch_a;
    b = deep * 2 * kMostLanes;
    sums = rows * pitch_sums;
  }
  int64_t size() const { return ceil_div(a + b + sums, 64) * 64; }
};

// ---- Packing --------------------------------------------------------------------------------------------------------

// L vectors of pairs from L rows in which terms are neighbours: r[i] holds terms 2p.. of row i, `terms` of which are
// there.
inline void load_rows(const BFloat16* from, int64_t stride, int64_t rows, int64_t terms, Vec<float>* r) {
  constexpr int L = kLanes<float>;
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) r[i] = i < rows ? (Vec<float>)load_bfloat<Pairs>(from + i * stride, terms) : Vec<float>{};
}
// The same where terms are rows: r[p] holds terms 2p and 2p + 1 of `columns` neighbours.
inline void load_terms(const BFloat16* from, int64_t stride, int64_t columns, int64_t terms, Vec<float>* r) {
  constexpr int L = kLanes<float>;
#pragma GCC unroll 16
  for (int p = 0; p < L; ++p) {
    const Bfloats above = 2 * p < terms ? load_bfloat<Bfloats>(from + 2 * p * stride, columns) : Bfloats{};
    const Bfloats below = 2 * p + 1 < terms ? load_bfloat<Bfloats>(from + (2 * p + 1) * stride, columns) : Bfloats{};
    r[p] = (Vec<float>)interleaved(above, below);
  }
}

// Columns j.. of B become out[pair · width + column], filled up with zeros.
inline void pack_panel(const Product16& t, int64_t j, int64_t vectors, int64_t p0, int64_t deep, uint32_t* out) {
  constexpr int L = kLanes<float>;
  for (int64_t v = 0; v < vectors; ++v)
    for (int64_t p = 0; p < deep; p += L) {
      const int64_t k = p0 + 2 * p, columns = t.n - j - v * L, terms = lesser(2 * (deep - p), t.k - k);
      const BFloat16* from = t.b + k * t.b_k + (j + v * L) * t.b_column;
      Vec<float> r[L];
      if (t.b_k == 1) {
        load_rows(from, t.b_column, columns, terms, r);
        transpose<float>(r);
      } else {
        load_terms(from, t.b_k, columns, terms, r);
      }
      for (int64_t i = 0; i < lesser(L, deep - p); ++i) store(out + (p + i) * vectors * L + v * L, (Pairs)r[i]);
    }
}

// Rows i0.. of A become out[row · pitch + pair]; a whole vector may be written at the end of a row.
inline void pack_rows_of_pairs(const Product16& t, int64_t i0, int64_t rows, int64_t p0, int64_t deep, uint32_t* out,
                               int64_t pitch) {
  constexpr int L = kLanes<float>;
  for (int64_t i = 0; i < rows; i += L)
    for (int64_t p = 0; p < deep; p += L) {
      const int64_t k = p0 + 2 * p, height = lesser(L, rows - i), terms = lesser(2 * (deep - p), t.k - k);
      const BFloat16* from = t.a + (i0 + i) * t.a_row + k * t.a_k;
      Vec<float> r[L];
      if (t.a_k == 1) {
        load_rows(from, t.a_row, height, terms, r);
      } else {
        load_terms(from, t.a_k, height, terms, r);
        transpose<float>(r);
      }
      for (int64_t q = 0; q < height; ++q) store(out + (i + q) * pitch + p, (Pairs)r[q]);
    }
}

// ---- Thin products: vectors run along k, which is contiguous in both operands ---------------------------------------

template <int Rows, int Columns>
void pair_dots(const Product16& t, int64_t i0, int64_t j0) {
  constexpr int L = kLanes<float>;
  Vec<float> sum[Rows][Columns];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < Columns; ++j) sum[i][j] = Vec<float>{};
  const BFloat16* const a = t.a + i0 * t.a_row;
  const BFloat16* const b = t.b + j0 * t.b_column;
  const auto step = [&](int64_t p, int64_t n) {
    Pairs y[Columns];
#pragma GCC unroll 16
    for (int j = 0; j < Columns; ++j) y[j] = load_bfloat<Pairs>(b + j * t.b_column + p, n);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Pairs x = load_bfloat<Pairs>(a + i * t.a_row + p, n);
#pragma GCC unroll 16
      for (int j = 0; j < Columns; ++j) sum[i][j] = dot_pairs(sum[i][j], x, y[j]);
    }
  };
  int64_t p = 0;
  for (; p + 2 * L <= t.k; p += 2 * L) step(p, 2 * L);
  if (p < t.k) step(p, t.k - p);
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < Columns; ++j) {
      const int64_t at = (i0 + i) * t.ldc + j0 + j;
      float x = fold<L / 2>(sum[i][j], Lanes<L>{})[0];
      if (t.column_bias) x += t.column_bias[j0 + j];
      if (t.row_bias) x += t.row_bias[i0 + i];
      if (t.residual) x += bfloat16_to_float(t.residual[at].bits);
      if (t.activation == kRelu && x < 0) x = 0;
      if (t.activation > kRelu) activate(&x, 1, 1, 1, t.activation);
      t.c[at].bits = float_to_bfloat16(x);
    }
}
template <int Rows>
void pair_dots_row(const Product16& t, int64_t i) {
  int64_t j = 0;
  for (; j + 3 <= t.n; j += 3) pair_dots<Rows, 3>(t, i, j);
  for (; j < t.n; ++j) pair_dots<Rows, 1>(t, i, j);
}
void multiply_thin(const Product16& t) {
  int64_t i = 0;
  for (; i + 4 <= t.m; i += 4) pair_dots_row<4>(t, i);
  for (; i + 2 <= t.m; i += 2) pair_dots_row<2>(t, i);
  for (; i < t.m; ++i) pair_dots_row<1>(t, i);
}

// ---- Others ---------------------------------------------------------------------------------------------------------

// A block of sums in float32, kept while blocks of k pass.
struct Sums {
  float* at;
  int64_t pitch;
  bool first, final;  // whether this block of k begins the sums, and ends them
  bool in_floats;     // whether the finished sums are wanted as floats
};

// The tiles of one panel of columns j.., with its rows i0.. of A at `a`, `row` elements apart.
void multiply_panel(const Product16& t, int64_t i0, int64_t height, const BFloat16* a, int64_t row, int64_t deep,
                    const uint32_t* panel, int64_t j, int64_t vectors, const Sums& sums) {
  constexpr int L = kLanes<float>;
  const bool partial = t.n - j < vectors * L;
  const auto& tiles = partial ? kPairTiles<true> : kPairTiles<false>;
  const Run run{0, static_cast<int32_t>(deep)};
  PairEnds ends{};
  ends.pitch = sums.pitch;
  ends.row = t.ldc;
  ends.bias = sums.final && t.column_bias ? t.column_bias + j : nullptr;
  ends.relu = sums.final && t.activation == kRelu;
  ends.last = static_cast<int>(t.n - j - (vectors - 1) * L);
  const Cuts bands(height, kPixels);
  for (int64_t b = 0; b < bands.count; ++b) {
    const int64_t at = bands.begin(b), rows = bands.begin(b + 1) - at, i = i0 + at;
    float* const floats = sums.at + at * sums.pitch;
    ends.from = sums.first ? nullptr : floats;
    ends.floats = sums.final && !sums.in_floats ? nullptr : floats;
    ends.y = t.c + i * t.ldc + j;
    ends.residual = sums.final && t.residual ? t.residual + i * t.ldc + j : nullptr;
    ends.row_bias = sums.final && t.row_bias ? t.row_bias + i : nullptr;
    tiles.at[vectors - 1][rows - 1](a + at * row, row, &run, 1, panel, ends);
  }
}

void multiply_blocked(const Product16& t, const Scratch& sizes, uint32_t* scratch) {
  constexpr int L = kLanes<float>;
  // Rows a multiple of a page apart share one set of the first-level cache; half a pair must not be read.
  const bool pack_a = t.a_k != 1 || t.k % 2 || (t.a_row % 2048 == 0 && t.n > 256);
  uint32_t* const packed_a = scratch;
  uint32_t* const packed_b = packed_a + sizes.a;
  float* const floats = reinterpret_cast<float*>(packed_b + sizes.b);
  const int64_t vectors = ceil_div(t.n, L);
  const Cuts row_blocks(t.m, kRows), column_blocks(vectors, kColumns / L), depth_blocks(ceil_div(t.k, 2), kPairs);
  const int64_t blocks = depth_blocks.count ? depth_blocks.count : 1;
  for (int64_t ic = 0; ic < row_blocks.count; ++ic) {
    const int64_t i0 = row_blocks.begin(ic), height = row_blocks.begin(ic + 1) - i0;
    for (int64_t jc = 0; jc < column_blocks.count; ++jc) {
      const int64_t v0 = column_blocks.begin(jc), v1 = column_blocks.begin(jc + 1);
      const Cuts panels(v1 - v0, kVectors);
      for (int64_t pc = 0; pc < blocks; ++pc) {
        const int64_t q0 = depth_blocks.count ? depth_blocks.begin(pc) : 0;
        const int64_t deep = depth_blocks.count ? depth_blocks.begin(pc + 1) - q0 : 0;
        const BFloat16* a = t.a + i0 * t.a_row + 2 * q0;
        if (pack_a) {
          pack_rows_of_pairs(t, i0, height, 2 * q0, deep, packed_a, sizes.pitch_a);
          a = reinterpret_cast<const BFloat16*>(packed_a);
        }
        for (int64_t jr = 0; jr < panels.count; ++jr) {
          const int64_t v = v0 + panels.begin(jr), wide = panels.begin(jr + 1) - panels.begin(jr);
          pack_panel(t, v * L, wide, 2 * q0, deep, packed_b);
          const Sums sums{floats + (v - v0) * L, sizes.pitch_sums, pc == 0, pc + 1 == blocks, t.activation > kRelu};
          multiply_panel(t, i0, height, a, pack_a ? 2 * sizes.pitch_a : t.a_row, deep, packed_b, v * L, wide, sums);
        }
      }
      if (t.activation > kRelu) {
        const int64_t columns = lesser(v1 * L, t.n) - v0 * L;
        activate(floats, sizes.pitch_sums, height, columns, t.activation);
        narrow_rows(floats, sizes.pitch_sums, height, columns, t.c + i0 * t.ldc + v0 * L, t.ldc);
      }
    }
  }
}

void gemm_bfloat(const GemmArgs& g, void* const* buffers, const Context& context) {
  Product16 all = first_product<BFloat16, float>(g, buffers);
  if (g.m == 0 || g.n == 0 || g.batch == 0) return;
  const bool turn = is_better_turned(g);
  if (turn) all = turned(all);
  const Scratch sizes(all.m, all.n, all.k);
  uint32_t* const scratch = static_cast<uint32_t*>(buffers[5]);
  const bool thin = is_thin(all);
  share_out(g, all, turn, thin ? 1 : kLanes<float>, context, [&](const Product16& part, int thread) {
    if (thin)
      multiply_thin(part);
    else
      multiply_blocked(part, sizes, scratch + thread * sizes.size());
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(gemm_bfloat, KERNEL("gemm.bfloat16", gemm_bfloat, GemmArgs))
