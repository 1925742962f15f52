// Packing for matrix products: operands rearranged so that the tile's k loop reads memory in one forward walk.
#pragma once
#include "simd.h"

namespace minimx {
namespace {

template <int... I>
struct Indices {};
#if defined(__clang__)
template <class, int... I>
using IndicesOf = Indices<I...>;
template <int N>
using Lanes = __make_integer_seq<IndicesOf, int, N>;
#else
template <int N>
using Lanes = Indices<__integer_pack(N)...>;
#endif

// Within each 16-byte piece, groups of S elements of a's low (or high) half alternate with those of b's.
template <int S, bool High, class V, int... J>
inline V interleave(V a, V b, Indices<J...>) {
  constexpr int N = sizeof...(J), E = 16 / static_cast<int>(sizeof(a[0]));
  return __builtin_shufflevector(
      a, b, (J / E * E + (High ? E / 2 : 0) + J % E / (2 * S) * S + J % S + (J % E / S % 2 ? N : 0))...);
}
// Pieces of S elements (16 bytes and more): the even ones of both, or the odd ones.
template <int S, bool High, class V, int... J>
inline V exchange(V a, V b, Indices<J...>) {
  constexpr int N = sizeof...(J);
  return __builtin_shufflevector(a, b, ((J & S) ? (High ? N + J : N + J - S) : (High ? J + S : J))...);
}

// Transposes a square of kLanes x kLanes elements held in registers, by stages that exchange pieces of S elements.
// Those from To on are left out.
template <class T, int To = kLanes<T>, int S = 1>
inline void transpose(Vec<T>* r) {
  constexpr int L = kLanes<T>, E = 16 / static_cast<int>(sizeof(T));
  constexpr Lanes<L> lanes{};
  if constexpr (S < E) {
    // Groups of E rows: after the last of these stages row i of a group holds columns i, i + E, i + 2E...
    Vec<T> next[L];
#pragma GCC unroll 16
    for (int i = 0; i < L; i += 2) {
      // Rows are paired at distance S; results come in the order that makes the next stage pair at distance 2S.
      const int low = i / 2 / S * 2 * S + i / 2 % S;
      const int to = i / 2 / S * 2 * S + i / 2 % S * 2;
      next[to] = interleave<S, false>(r[low], r[low + S], lanes);
      next[to + 1] = interleave<S, true>(r[low], r[low + S], lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) r[i] = next[i];
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i)
      if (!(i & S)) {
        const Vec<T> a = r[i], b = r[i + S];
        r[i] = exchange<S, false>(a, b, lanes);
        r[i + S] = exchange<S, true>(a, b, lanes);
      }
  }
  if constexpr (2 * S < To) transpose<T, To, 2 * S>(r);
}

// A vector of two halves that lie apart. It comes from memory for less than a shuffle of two vectors costs.
template <class T, int... J>
inline Vec<T> load_halves(const T* low, const T* high, Indices<J...>) {
  typedef T Half __attribute__((vector_size(kVectorBytes / 2), aligned(sizeof(T)), may_alias));
  return __builtin_shufflevector(*reinterpret_cast<const Half*>(low), *reinterpret_cast<const Half*>(high), J...);
}

// Rows `stride` apart become columns `pitch` apart, for a whole square. Halves of rows half a square apart share a
// vector from the start, which is the last stage of `transpose`.
template <class T>
inline void transpose_whole(const T* from, int64_t stride, T* to, int64_t pitch) {
  constexpr int L = kLanes<T>, H = L / 2;
  Vec<T> r[L];
  if constexpr (kVectorBytes > 16) {
    const T* const other = from + H * stride;
#pragma GCC unroll 16
    for (int i = 0; i < H; ++i) {
      r[i] = load_halves(from + i * stride, other + i * stride, Lanes<L>{});
      r[i + H] = load_halves(from + i * stride + H, other + i * stride + H, Lanes<L>{});
    }
    transpose<T, H>(r);
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) r[i] = load(from + i * stride);
    transpose<T>(r);
  }
#pragma GCC unroll 16
  for (int j = 0; j < L; ++j) store(to + j * pitch, r[j]);
}

// The same for `rows` rows of `deep` elements, either of which may be less than a square or more. Of more the square's
// part is taken, and what lies outside is zero; each column is stored as a whole vector.
template <class T>
inline void transpose_square(const T* from, int64_t stride, int64_t rows, int64_t deep, T* to, int64_t pitch) {
  constexpr int L = kLanes<T>;
  if (rows >= L && deep >= L) return transpose_whole(from, stride, to, pitch);
  Vec<T> r[L];
  const int wide = deep < L ? static_cast<int>(deep) : L;
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    r[i] = Vec<T>{};
    if (i < rows) r[i] = wide == L ? load(from + i * stride) : load_part(from + i * stride, wide);
  }
  transpose<T>(r);
  // Every index is a constant, so that the square stays in registers.
#pragma GCC unroll 16
  for (int j = 0; j < L; ++j)
    if (j < wide) store(to + j * pitch, r[j]);
}

// Half a square's rows, k >= kLanes long, become columns that lie together: the band of a tile whose height is half a
// vector. The last piece overlaps the one before it.
template <class T>
inline void pack_half_squares(const T* a, int64_t stride, int64_t k, T* out) {
  constexpr int L = kLanes<T>, H = L / 2;
  for (int64_t next = 0; next < k; next += L) {
    const int64_t p = next + L > k ? k - L : next;
    Vec<T> r[L]{};
#pragma GCC unroll 16
    for (int i = 0; i < H; ++i) r[i] = load(a + i * stride + p);
    transpose<T, H>(r);  // row i now holds columns i and i + H
#pragma GCC unroll 16
    for (int i = 0; i < H; i += 2) {
      store(out + (p + i) * H, exchange<H, false>(r[i], r[i + 1], Lanes<L>{}));
      store(out + (p + H + i) * H, exchange<H, true>(r[i], r[i + 1], Lanes<L>{}));
    }
  }
}

// A band of `rows` rows of A (at most kTileRows) becomes out[p * rows + i], for i with a[i * stride + p]. The vectors
// stored may run into what is written next; after the last band there must be room for one more vector.
template <class T>
inline void pack_rows(const T* a, int64_t stride, int64_t rows, int64_t k, T* out) {
  constexpr int L = kLanes<T>, E = 16 / static_cast<int>(sizeof(T));
  if constexpr (L == 2 * E)
    if (rows == E && k >= L) return pack_half_squares(a, stride, k, out);
  for (int64_t p = 0; p < k; p += L)
    for (int64_t first = (rows - 1) / L * L; first >= 0; first -= L)
      transpose_square(a + first * stride + p, stride, rows - first, k - p, out + p * rows + first, rows);
}

// The same for A^T, a[p * stride + i].
template <class T>
inline void pack_rows_transposed(const T* a, int64_t stride, int64_t rows, int64_t k, T* out) {
  constexpr int L = kLanes<T>;
  if (rows * 2 == L) {
    for (int64_t p = 0; p < k; ++p, a += stride, out += L / 2) __builtin_memcpy(out, a, L / 2 * sizeof(T));
    return;
  }
  for (int64_t p = 0; p < k; ++p, a += stride, out += rows) {
    int64_t i = 0;
    for (; i + L <= rows; i += L) store(out + i, load(a + i));
    if (i < rows) store(out + i, load_part(a + i, static_cast<int>(rows - i)));
  }
}

// A panel of B, `columns` wide, becomes out[p * width + j]; width is `columns` in whole vectors, filled with zeros.
template <class T, int Vectors>
inline void pack_columns(const T* b, int64_t stride, int64_t columns, int64_t k, T* out) {
  constexpr int L = kLanes<T>, width = Vectors * L;
  const int last = static_cast<int>(columns - (width - L));
  for (int64_t p = 0; p < k; ++p, b += stride, out += width) {
#pragma GCC unroll 16
    for (int v = 0; v + 1 < Vectors; ++v) store(out + v * L, load(b + v * L));
    store(out + width - L, last == L ? load(b + width - L) : load_part(b + width - L, last));
  }
}
template <class T, int Vectors>
inline void pack_columns_of(const T* b, int64_t stride, int64_t columns, int64_t k, T* out) {
  if constexpr (Vectors > 1)
    if (columns <= (Vectors - 1) * kLanes<T>) return pack_columns_of<T, Vectors - 1>(b, stride, columns, k, out);
  pack_columns<T, Vectors>(b, stride, columns, k, out);
}

// The same for B^T, b[j * stride + p]. The last square of a vector's columns overlaps the one before it: whole squares
// cost a fraction of what partial ones do.
template <class T, int Vectors>
inline void pack_columns_transposed(const T* b, int64_t stride, int64_t columns, int64_t k, T* out) {
  constexpr int L = kLanes<T>, width = Vectors * L;
  for (int v = 0; v < Vectors; ++v, b += L * stride, out += L) {
    const int64_t valid = columns - v * L;
    for (int64_t next = 0; next < k; next += L) {
      const int64_t p = k >= L && next + L > k ? k - L : next;
      if (valid >= L && k >= L)
        transpose_whole(b + p, stride, out + p * width, width);
      else
        transpose_square(b + p, stride, valid, k - p, out + p * width, width);
    }
  }
}
template <class T, int Vectors>
inline void pack_columns_transposed_of(const T* b, int64_t stride, int64_t columns, int64_t k, T* out) {
  if constexpr (Vectors > 1)
    if (columns <= (Vectors - 1) * kLanes<T>)
      return pack_columns_transposed_of<T, Vectors - 1>(b, stride, columns, k, out);
  pack_columns_transposed<T, Vectors>(b, stride, columns, k, out);
}

}  // namespace
}  // namespace minimx
