// The tiles that Winograd's algorithm cuts images into, and what becomes of them.
#pragma once
#include "../args/conv_last.h"
#include "conv_last.h"
#include "winograd.h"

namespace minimx {
namespace {

// Less work than this is not worth waking another thread.
constexpr int64_t kWorthATask = 1 << 18;

// Of a window.
constexpr int kMostTaps = 16;

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

// The sizes of a call's tiles, and a body for each: body(Tiling<M, R>{}).
template <int Outputs, int Taps>
struct Tiling {
  static constexpr int M = Outputs, R = Taps, A = M + R - 1;
};
template <class Body>
void with_tiling(const ConvLastArgs& a, const Body& body) {
  if (a.kernel[0] == 2 * a.stride[0])
    body(Tiling<4, 2>{});
  else if (a.tile == 2)
    body(Tiling<2, 3>{});
  else
    body(Tiling<4, 3>{});
}

// A stride splits images into phases, pixels that are that far apart, each of which is met by taps of its own: they are
// channels more of images that have no stride.
inline int64_t tile_depth(const Sweep& s) { return s.row.stride * s.column.stride * s.depth; }

// Calls body(row, column, channels before) for each phase.
template <class Body>
void each_phase(const Sweep& s, const Body& body) {
  for (int64_t i = 0, before = 0; i < s.row.stride; ++i)
    for (int64_t j = 0; j < s.column.stride; ++j, before += s.depth) body(i, j, before);
}

// Transforms one tile to elements `apart` from each other.
template <class T, class Tiling>
ONE_COPY void transform_input(const Sweep& s, const Tile& tile, const T* x, T* to, int64_t apart) {
  constexpr int L = kLanes<T>, A = Tiling::A;
  const auto steps = [](int64_t n, int64_t stride) { return stride == 1 ? n : ceil_div(n, stride); };
  each_phase(s, [&](int64_t row_phase, int64_t column_phase, int64_t before) {
    const int64_t row = tile.row * s.row.stride + s.row.start + row_phase;
    const int64_t column = tile.column * s.column.stride + s.column.start + column_phase;
    const int64_t pixel = s.column.stride * s.depth, line = s.row.stride * s.column.in * s.depth;
    const T* const first = x + ((tile.image * s.row.in + row) * s.column.in + column) * s.depth;
    // Rows and columns that lie in the image.
    const int64_t i0 = row < 0 ? steps(-row, s.row.stride) : 0, i1 = steps(s.row.in - row, s.row.stride);
    const int64_t j0 = column < 0 ? steps(-column, s.column.stride) : 0;
    const int64_t j1 = steps(s.column.in - column, s.column.stride);
    const auto inside = [&](int i, int j) { return i >= i0 && i < i1 && j >= j0 && j < j1; };
    const auto transform = [&](int64_t c, auto&& take, auto&& put) {
      Vec<T> out[A][A];
      both_ways<T, A, A>([&](int i, int j) { return take(i, j, first + i * line + j * pixel + c); }, out,
                         Winograd<T, Tiling::M, Tiling::R>::input);
#pragma GCC unroll 8
      for (int i = 0; i < A; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < A; ++j) put(to + (i * A + j) * apart + before + c, out[i][j]);
    };
    const auto put = [](T* at, Vec<T> v) { store(at, v); };
    int64_t c = 0;
    if (inside(0, 0) && inside(A - 1, A - 1))
      for (; c + L <= s.depth; c += L) transform(c, [](int, int, const T* at) { return load(at); }, put);
    for (; c + L <= s.depth; c += L)
      transform(c, [&](int i, int j, const T* at) { return inside(i, j) ? load(at) : Vec<T>{}; }, put);
    if (const int n = static_cast<int>(s.depth - c); n > 0)
      transform(
          c, [&](int i, int j, const T* at) { return inside(i, j) ? load_part(at, n) : Vec<T>{}; },
          [n](T* at, Vec<T> v) { store_part(at, v, n); });
  });
}

}  // namespace
}  // namespace minimx
