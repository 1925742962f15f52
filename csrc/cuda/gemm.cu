// gemm: 64 x 64 tiles of c through shared memory, 4 x 4 of them in the registers of each of 256 threads.
#include "../args/gemm.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

constexpr int kTile = 64;   // rows and columns of c per block
constexpr int kDepth = 16;  // terms of the sum per round
constexpr int kPatch = 4;   // rows and columns of c per thread
constexpr int kSide = kTile / kPatch;
static_assert(kSide * kSide == static_cast<int>(kThreads));

template <class T>
struct Product {
  const T* a;
  const T* b;
  const T* bias;
  const T* residual;
  T* c;
  int64_t batch, m, n, k, lda, ldb, ldc, batch_a, batch_b, batch_c, bias_axis, activation;
};

// Brings kDepth terms of kTile rows (or columns) into shared memory as tile[term][row], zero beyond the matrix. `Along`
// says that neighbours in memory are neighbours along the sum, not along the rows: threads follow memory.
template <class T, bool Along>
__device__ inline void load_tile(T (&tile)[kDepth][kTile + kPatch], const T* data, int64_t ld, int64_t rows,
                                 int64_t terms) {
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kDepth; i += kThreads) {
    const int term = Along ? i % kDepth : i / kTile, row = Along ? i / kDepth : i % kTile;
    const bool inside = row < rows && term < terms;
    tile[term][row] = inside ? data[Along ? row * ld + term : term * ld + row] : T(0);
  }
}

template <class T, bool TransA, bool TransB>
__global__ void __launch_bounds__(kThreads) multiply(Product<T> p) {
  SHARED(T, a_tile, [kDepth][kTile + kPatch]);
  SHARED(T, b_tile, [kDepth][kTile + kPatch]);
  const int64_t row0 = static_cast<int64_t>(blockIdx.y) * kTile, column0 = static_cast<int64_t>(blockIdx.x) * kTile;
  const int row = static_cast<int>(threadIdx.x) / kSide * kPatch,
            column = static_cast<int>(threadIdx.x) % kSide * kPatch;
  for (int64_t q = blockIdx.z; q < p.batch; q += gridDim.z) {
    const T* a = p.a + q * p.batch_a + (TransA ? row0 : row0 * p.lda);
    const T* b = p.b + q * p.batch_b + (TransB ? column0 * p.ldb : column0);
    T sum[kPatch][kPatch] = {};
    for (int64_t k = 0; k < p.k; k += kDepth) {
      load_tile<T, !TransA>(a_tile, TransA ? a + k * p.lda : a + k, p.lda, p.m - row0, p.k - k);
      load_tile<T, TransB>(b_tile, TransB ? b + k : b + k * p.ldb, p.ldb, p.n - column0, p.k - k);
      __syncthreads();
#pragma unroll
      for (int term = 0; term < kDepth; ++term) {
        T left[kPatch], right[kPatch];
#pragma unroll
        for (int i = 0; i < kPatch; ++i) {
          left[i] = a_tile[term][row + i];
          right[i] = b_tile[term][column + i];
        }
#pragma unroll
        for (int i = 0; i < kPatch; ++i)
#pragma unroll
          for (int j = 0; j < kPatch; ++j) sum[i][j] += left[i] * right[j];
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < kPatch; ++i)
#pragma unroll
      for (int j = 0; j < kPatch; ++j) {
        const int64_t r = row0 + row + i, s = column0 + column + j;
        if (r >= p.m || s >= p.n) continue;
        const int64_t at = q * p.batch_c + r * p.ldc + s;
        T value = sum[i][j];
        if (p.bias_axis) value += p.bias[p.bias_axis == 1 ? s : r];
        if (p.residual) value += p.residual[at];
        p.c[at] = activate(value, p.activation);
      }
  }
}

template <class T>
void gemm(const GemmArgs& args, void* const* buffers, const Context& context) {
  if (args.batch == 0 || args.m == 0 || args.n == 0) return;
  const Product<T> p = {input<T>(buffers, 0),
                        input<T>(buffers, 1),
                        input<T>(buffers, 2),
                        input<T>(buffers, 3),
                        output<T>(buffers, 4),
                        args.batch,
                        args.m,
                        args.n,
                        args.k,
                        args.lda,
                        args.ldb,
                        args.ldc,
                        args.batch_a,
                        args.batch_b,
                        args.batch_c,
                        args.bias_axis,
                        args.activation};
  const auto tiles = [](int64_t n) { return static_cast<unsigned>((n + kTile - 1) / kTile); };
  const dim3 grid(tiles(args.n), tiles(args.m), static_cast<unsigned>(args.batch < 65535 ? args.batch : 65535));
  const auto kernel = args.trans_a ? (args.trans_b ? multiply<T, true, true> : multiply<T, true, false>)
                                   : (args.trans_b ? multiply<T, false, true> : multiply<T, false, false>);
  LAUNCH(kernel, grid, kThreads, 0, context)(p);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(gemm, KERNEL("gemm.float32", gemm<float>, GemmArgs), KERNEL("gemm.float64", gemm<double>, GemmArgs))
