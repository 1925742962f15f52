// The product behind gemm and conv: 64 x 64 tiles of the result through shared memory, 4 x 4 of them in the registers
// of each of 256 threads.
//
// A problem says what is multiplied:
//   batch, m, n, k                     `batch` products of m x n elements, each a sum of k terms
//   left(q, row, term)                 the factors, within these bounds
//   right(q, term, column)
//   finish(q, row, column, sum)        what becomes of a sum
//   kLeftAlong, kRightAlong            whether a factor's neighbours in memory are neighbouring terms; else they are
//                                      neighbouring rows or columns. Threads follow memory when they load.
#pragma once
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

constexpr int kTile = 64;   // rows and columns of the result per block
constexpr int kDepth = 16;  // terms of the sum per round
constexpr int kPatch = 4;   // rows and columns of the result per thread
constexpr int kSide = kTile / kPatch;
static_assert(kSide * kSide == static_cast<int>(kThreads));

// kDepth terms of kTile lines as tile[term][line], zero where there are none.
template <bool Along, class T, class Factor>
__device__ inline void load_tile(T (&tile)[kDepth][kTile + kPatch], int64_t lines, int64_t terms,
                                 const Factor& factor) {
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kDepth; i += kThreads) {
    const int term = Along ? i % kDepth : i / kTile, line = Along ? i / kDepth : i % kTile;
    tile[term][line] = line < lines && term < terms ? factor(line, term) : T(0);
  }
}

template <class T, class Problem>
__global__ void __launch_bounds__(kThreads) multiply(const GRID_CONSTANT Problem p) {
  SHARED(T, left_tile, [kDepth][kTile + kPatch]);
  SHARED(T, right_tile, [kDepth][kTile + kPatch]);
  const int64_t row0 = static_cast<int64_t>(blockIdx.y) * kTile, column0 = static_cast<int64_t>(blockIdx.x) * kTile;
  const int row = static_cast<int>(threadIdx.x) / kSide * kPatch,
            column = static_cast<int>(threadIdx.x) % kSide * kPatch;
  for (int64_t q = blockIdx.z; q < p.batch; q += gridDim.z) {
    T sum[kPatch][kPatch] = {};
    for (int64_t k = 0; k < p.k; k += kDepth) {
      load_tile<Problem::kLeftAlong>(left_tile, p.m - row0, p.k - k,
                                     [&](int line, int term) { return p.left(q, row0 + line, k + term); });
      load_tile<Problem::kRightAlong>(right_tile, p.n - column0, p.k - k,
                                      [&](int line, int term) { return p.right(q, k + term, column0 + line); });
      __syncthreads();
#pragma unroll
      for (int term = 0; term < kDepth; ++term) {
        T a[kPatch], b[kPatch];
#pragma unroll
        for (int i = 0; i < kPatch; ++i) {
          a[i] = left_tile[term][row + i];
          b[i] = right_tile[term][column + i];
        }
#pragma unroll
        for (int i = 0; i < kPatch; ++i)
#pragma unroll
          for (int j = 0; j < kPatch; ++j) sum[i][j] += a[i] * b[j];
      }
      __syncthreads();  // the next round fills the tiles again
    }
#pragma unroll
    for (int i = 0; i < kPatch; ++i)
#pragma unroll
      for (int j = 0; j < kPatch; ++j) {
        const int64_t r = row0 + row + i, c = column0 + column + j;
        if (r < p.m && c < p.n) p.finish(q, r, c, sum[i][j]);
      }
  }
}

template <class T, class Problem>
void launch_multiply(const Problem& p, const Context& context) {
  if (p.batch == 0 || p.m == 0 || p.n == 0) return;
  const auto tiles = [](int64_t n) { return static_cast<unsigned>((n + kTile - 1) / kTile); };
  const dim3 grid(tiles(p.n), tiles(p.m), static_cast<unsigned>(p.batch < 65535 ? p.batch : 65535));
  const auto kernel = multiply<T, Problem>;
  LAUNCH(kernel, grid, kThreads, 0, context)(p);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx
