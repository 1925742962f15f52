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

// Tiles one after the other: there are too many for asking where each lies.
template <int M>
struct TileWalk {
  Grid grid;
  Tile tile;

  TileWalk(const Grid& g, int64_t first) : grid(g) {
    const int64_t rest = first % g.size();
    tile = {first / g.size(), rest / g.columns * M, rest % g.columns * M};
  }
  void next() {
    if ((tile.column += M) < grid.columns * M) return;
    tile.column = 0;
    if ((tile.row += M) < grid.rows * M) return;
    tile.row = 0;
    ++tile.image;
  }
};

// Transforms channels of one tile to elements `apart` from each other.
template <class T, int M>
ONE_COPY void transform_input(const Sweep& s, const Tile& tile, const T* x, T* to, int64_t apart) {
  constexpr int L = kLanes<T>, A = M + 2;
  const int64_t row = tile.row + s.row.start, column = tile.column + s.column.start;
  const int64_t pixel = s.depth, line = s.column.in * pixel;
  const T* const first = x + ((tile.image * s.row.in + row) * s.column.in + column) * pixel;
  // Rows and columns that lie in the image.
  const int64_t i0 = greater(0, -row), i1 = s.row.in - row, j0 = greater(0, -column), j1 = s.column.in - column;
  const auto inside = [&](int i, int j) { return i >= i0 && i < i1 && j >= j0 && j < j1; };
  const auto transform = [&](int64_t c, auto&& take) {
    Vec<T> out[A][A];
    both_ways<T, A, A>([&](int i, int j) { return take(i, j, first + i * line + j * pixel + c); }, out,
                       Winograd<T, M>::input);
#pragma GCC unroll 8
    for (int i = 0; i < A; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < A; ++j) store(to + (i * A + j) * apart + c, out[i][j]);
  };
  int64_t c = 0;
  if (inside(0, 0) && inside(A - 1, A - 1))
    for (; c + L <= s.depth; c += L) transform(c, [](int, int, const T* at) { return load(at); });
  for (; c + L <= s.depth; c += L)
    transform(c, [&](int i, int j, const T* at) { return inside(i, j) ? load(at) : Vec<T>{}; });
  if (const int n = static_cast<int>(s.depth - c); n > 0)
    transform(c, [&](int i, int j, const T* at) { return inside(i, j) ? load_part(at, n) : Vec<T>{}; });
}

}  // namespace
}  // namespace minimx
