// The tiles that Winograd's algorithm cuts images into, and what becomes of them.
#pragma once
#include "conv_last.h"
#include "winograd.h"

namespace minimx {
namespace {

// Tiles of M x M outputs that cover an image; the last ones may stick out.
struct Grid {
  int64_t rows, columns;
  int64_t size() const { return rows * columns; }
};

struct Tile {
  int64_t image, row, column;  // of its first output
};

template <int M>
Tile tile_at(const Grid& grid, int64_t i) {
  const int64_t image = i / grid.size(), rest = i % grid.size();
  return {image, rest / grid.columns * M, rest % grid.columns * M};
}

// Transforms channels of one tile to elements `apart` from each other.
template <class T, int M>
void transform_input(const Sweep& s, const Tile& tile, const T* x, T* to, int64_t apart) {
  constexpr int L = kLanes<T>, A = M + 2;
  const T* at[A][A];  // null outside of the image
  for (int i = 0; i < A; ++i)
    for (int j = 0; j < A; ++j) {
      const int64_t row = tile.row + s.row.start + i, column = tile.column + s.column.start + j;
      const bool inside = row >= 0 && row < s.row.in && column >= 0 && column < s.column.in;
      at[i][j] = inside ? x + ((tile.image * s.row.in + row) * s.column.in + column) * s.depth : nullptr;
    }
  for (int64_t c = 0; c < s.depth; c += L) {
    const int n = static_cast<int>(lesser(L, s.depth - c));
    Vec<T> in[A][A], out[A][A];
#pragma GCC unroll 8
    for (int i = 0; i < A; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < A; ++j)
        in[i][j] = !at[i][j] ? Vec<T>{} : n == L ? load(at[i][j] + c) : load_part(at[i][j] + c, n);
    both_ways<T, A, A>(in, out, Winograd<T, M>::input);
#pragma GCC unroll 8
    for (int i = 0; i < A; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < A; ++j) store(to + (i * A + j) * apart + c, out[i][j]);
  }
}

}  // namespace
}  // namespace minimx
