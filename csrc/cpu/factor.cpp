// factor: factorisations of small matrices; the arithmetic is in csrc/factor.h but for triangular systems, which are
// solved for a panel of unknowns at a time: two vectors wide, four rows in registers against all that are known.
#include "each.h"
#include "simd.h"

#define EACH_DEVICE

#include "../factor.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

template <class T>
constexpr int kPanel = 2 * kLanes<T>;

// A lower triangle, whichever one lies in memory: element (i, j) is at[i * down + j * along].
template <class T>
struct Triangle {
  const T* at;
  int64_t down, along;
  Vec<T> operator()(int64_t i, int64_t j) const { return splat(at[i * down + j * along]); }
};

// Rows i .. i + R - 1 of a panel of right sides become unknowns; those before are.
template <int R, class T>
inline void solve_rows(const Triangle<T>& a, T* panel, int64_t i) {
  constexpr int L = kLanes<T>;
  Vec<T> x[R][2];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    x[r][0] = load(panel + (i + r) * kPanel<T>);
    x[r][1] = load(panel + (i + r) * kPanel<T> + L);
  }
  for (int64_t j = 0; j < i; ++j) {
    const Vec<T> left = load(panel + j * kPanel<T>), right = load(panel + j * kPanel<T> + L);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec<T> factor = a(i + r, j);
      x[r][0] -= factor * left;
      x[r][1] -= factor * right;
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int s = 0; s < r; ++s) {
      const Vec<T> factor = a(i + r, i + s);
      x[r][0] -= factor * x[s][0];
      x[r][1] -= factor * x[s][1];
    }
    const Vec<T> divisor = a(i + r, i + r);
    x[r][0] /= divisor;
    x[r][1] /= divisor;
    store(panel + (i + r) * kPanel<T>, x[r][0]);
    store(panel + (i + r) * kPanel<T> + L, x[r][1]);
  }
}

template <class T>
void solve_panel(const Triangle<T>& a, T* panel, int64_t n) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) solve_rows<4>(a, panel, i);
  for (; i < n; ++i) solve_rows<1>(a, panel, i);
}

// x op(a) = b is op(a)^T x^T = b^T, and an upper triangle from its last row on is a lower one.
template <class T>
void trsm(const TriangularArgs& g, void* const* buffers, const Context& context) {
  const int64_t n = g.rightside ? g.columns : g.rows, systems = g.rightside ? g.rows : g.columns;
  const bool turned = (g.transpose != 0) != (g.rightside != 0), backwards = (g.lower != 0) == turned;
  const int64_t sign = backwards ? -1 : 1, last = backwards ? n - 1 : 0;
  const int64_t down = turned ? 1 : n, along = turned ? n : 1;
  // In b and x: from one row of the panel to the next, and from one system to its neighbour.
  const int64_t row = g.rightside ? 1 : g.columns, system = g.rightside ? g.columns : 1;
  const int64_t panels = (systems + kPanel<T> - 1) / kPanel<T>;
  const T alpha = static_cast<T>(g.alpha);
  const int64_t tasks = pieces_of(context, g.batch * panels, n * n * 2);
  parallel(context, tasks, [&](int64_t task, int thread) {
    T* const panel = static_cast<T*>(buffers[3]) + thread * n * kPanel<T>;
    for (int64_t q = g.batch * panels * task / tasks; q < g.batch * panels * (task + 1) / tasks; ++q) {
      const int64_t matrix = q / panels, first = q % panels * kPanel<T>;
      const int64_t width = systems - first < kPanel<T> ? systems - first : kPanel<T>;
      const int64_t begin = matrix * n * systems + first * system + last * row;
      const T* const b = static_cast<const T*>(buffers[1]) + begin;
      T* const x = static_cast<T*>(buffers[2]) + begin;
      for (int64_t i = 0; i < n; ++i)
        for (int64_t c = 0; c < kPanel<T>; ++c)
          panel[i * kPanel<T> + c] = c < width ? alpha * b[sign * i * row + c * system] : T(0);
      const T* const a = static_cast<const T*>(buffers[0]) + matrix * n * n + last * (n + 1);
      solve_panel(Triangle<T>{a, sign * down, sign * along}, panel, n);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t c = 0; c < width; ++c) x[sign * i * row + c * system] = panel[i * kPanel<T> + c];
    }
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

FACTOR_KERNELS
