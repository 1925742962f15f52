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

// What is read of pixels outside of the image, so many channels at a time.
constexpr int64_t kZeros = 256;
template <class T>
constexpr T kOutside[kZeros] = {};

// Transforms one tile to elements `apart` from each other.
template <class T, class Tiling>
ONE_COPY void transform_input(const Sweep& s, const Tile& tile, const T* x, T* to, int64_t apart) {
  constexpr int L = kLanes<T>, A = Tiling::A;
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  const int64_t pixel = s.column.stride * s.depth, next_row = s.row.stride * s.column.in * s.depth;
  each_phase(s, [&](int64_t row_phase, int64_t column_phase, int64_t before) {
    const int64_t row = tile.row * s.row.stride + s.row.start + row_phase;
    const int64_t column = tile.column * s.column.stride + s.column.start + column_phase;
    const T* const first = x + ((tile.image * s.row.in + row) * s.column.in + column) * s.depth;
    for (int64_t c0 = 0; c0 < s.depth; c0 += kZeros) {
      const int64_t count = lesser(kZeros, s.depth - c0);
      // Where to find every pixel: a vector's elements are taken without asking which of them lie in the image.
      const T* at[A][A];
      for (int i = 0; i < A; ++i) {
        const int64_t r = row + i * s.row.stride;
        for (int j = 0; j < A; ++j) {
          const int64_t k = column + j * s.column.stride;
          const bool inside = r >= 0 && r < s.row.in && k >= 0 && k < s.column.in;
          at[i][j] = inside ? first + i * next_row + j * pixel + c0 : kOutside<T>;
        }
      }
      const auto transform = [&](int64_t c, auto&& take, auto&& put) {
        T* const target = to + before + c0 + c;
        both_ways<T, typename Winograd<T, Tiling::M, Tiling::R>::Input>(
            [&](int i, int j) { return take(at[i][j] + c); },
            [=](int i, const Vec<T>(&row)[A]) {
              T* element = target + i * (A * apart);
#pragma GCC unroll 8
              for (int j = 0; j < A; ++j, element += apart) put(element, row[j]);
            });
      };
      int64_t c = 0;
      for (; c + L <= count; c += L) {
        // The pixels that no tile before this one has read are fetched a line ahead.
        if (c % line == 0)
#pragma GCC unroll 8
          for (int i = A - Tiling::M; i < A; ++i)
#pragma GCC unroll 8
            for (int j = A - Tiling::M; j < A; ++j) __builtin_prefetch(at[i][j] + c + line);
        transform(c, [](const T* from) { return load(from); }, [](T* element, Vec<T> v) { store(element, v); });
      }
      if (const int n = static_cast<int>(count - c); n > 0)
        transform(
            c, [n](const T* from) { return load_part(from, n); },
            [n](T* element, Vec<T> v) { store_part(element, v, n); });
    }
  });
}

}  // namespace
}  // namespace minimx
