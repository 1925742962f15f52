// copy: strided walks written in the order of the output's memory, transposes through shared memory, and fills.
#include "../args/copy.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

constexpr int kMaxDims = 32;
constexpr int kSide = 32;     // of a tile that is transposed
constexpr int kTileRows = 8;  // rows of a tile that the block's threads take at once

// The dimensions of a copy, outermost first.
struct Walk {
  int dims;
  int64_t size[kMaxDims], in[kMaxDims], out[kMaxDims];

  __device__ void at(int64_t index, int last, int64_t& from, int64_t& to) const {
    for (int d = last; d >= 0; --d) {
      const int64_t i = index % size[d];
      index /= size[d];
      from += i * in[d];
      to += i * out[d];
    }
  }
};

template <class T>
__global__ void walk_copy(const T* in, T* out, const GRID_CONSTANT Walk walk, int64_t count) {
  for (int64_t i = first_item(); i < count; i += item_stride()) {
    int64_t from = 0, to = 0;
    walk.at(i, walk.dims - 1, from, to);
    out[to] = in[from];
  }
}

// The last two dimensions swap places in memory: `columns` is contiguous in the output, `rows` in the input.
template <class T>
__global__ void transpose(const T* in, T* out, const GRID_CONSTANT Walk walk, int64_t tiles) {
  SHARED(T, tile, [kSide][kSide + 1]);
  const int rows = walk.dims - 2, columns = walk.dims - 1;
  const int64_t across = (walk.size[columns] + kSide - 1) / kSide, down = (walk.size[rows] + kSide - 1) / kSide;
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    int64_t from = 0, to = 0;
    walk.at(t / (across * down), walk.dims - 3, from, to);
    const int64_t row0 = t / across % down * kSide, column0 = t % across * kSide;
    const int lane = static_cast<int>(threadIdx.x), line = static_cast<int>(threadIdx.y);
    for (int i = line; i < kSide; i += kTileRows)
      if (row0 + lane < walk.size[rows] && column0 + i < walk.size[columns])
        tile[i][lane] = in[from + (row0 + lane) * walk.in[rows] + (column0 + i) * walk.in[columns]];
    __syncthreads();
    for (int i = line; i < kSide; i += kTileRows)
      if (row0 + i < walk.size[rows] && column0 + lane < walk.size[columns])
        out[to + (row0 + i) * walk.out[rows] + (column0 + lane) * walk.out[columns]] = tile[lane][i];
    __syncthreads();  // the next tile goes to the same place
  }
}

int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

void swap_dims(Walk& w, int a, int b) {
  const auto swap = [](int64_t& x, int64_t& y) {
    const int64_t kept = x;
    x = y;
    y = kept;
  };
  swap(w.size[a], w.size[b]);
  swap(w.in[a], w.in[b]);
  swap(w.out[a], w.out[b]);
}

// Dimensions longer than one, in the order of the output's memory, neighbours merged that one stride covers.
Walk plan_walk(const StridedCopyArgs& a) {
  Walk w{};
  for (int64_t d = 0; d < a.shape.n; ++d) {
    if (a.shape[d] == 1) continue;
    w.size[w.dims] = a.shape[d];
    w.in[w.dims] = a.in_strides[d];
    w.out[w.dims] = a.out_strides[d];
    for (int i = w.dims++; i > 0 && magnitude(w.out[i]) > magnitude(w.out[i - 1]); --i) swap_dims(w, i, i - 1);
  }
  int last = 0;
  for (int d = 1; d < w.dims; ++d) {
    if (w.in[last] == w.in[d] * w.size[d] && w.out[last] == w.out[d] * w.size[d]) {
      w.size[last] *= w.size[d];
      w.in[last] = w.in[d];
      w.out[last] = w.out[d];
    } else {
      swap_dims(w, ++last, d);
    }
  }
  w.dims = w.dims ? last + 1 : 0;
  return w;
}

template <class T>
void strided_copy(const StridedCopyArgs& a, void* const* buffers, const Context& context) {
  int64_t count = 1;
  for (int64_t d = 0; d < a.shape.n; ++d) count *= a.shape[d];
  if (count == 0) return;
  const T* in = input<T>(buffers, 0, context) + a.in_offset;
  T* out = output<T>(buffers, 1, context) + a.out_offset;
  Walk w = plan_walk(a);
  int rows = -1;  // the dimension that is contiguous in the input
  for (int d = 0; d + 1 < w.dims; ++d)
    if (w.in[d] == 1) rows = d;
  const int columns = w.dims - 1;
  if (rows >= 0 && w.out[columns] == 1 && w.size[rows] >= 8 && w.size[columns] >= 8) {
    for (int d = rows; d + 1 < columns; ++d) swap_dims(w, d, d + 1);
    const int64_t tiles = count / (w.size[columns - 1] * w.size[columns]) *
                          ((w.size[columns - 1] + kSide - 1) / kSide) * ((w.size[columns] + kSide - 1) / kSide);
    const auto kernel = transpose<T>;
    LAUNCH(kernel, blocks_for(tiles, 1), dim3(kSide, kTileRows), 0, context)(in, out, w, tiles);
  } else {
    const auto kernel = walk_copy<T>;
    LAUNCH(kernel, blocks_for(count), kThreads, 0, context)(in, out, w, count);
  }
}

template <class T>
void fill(const FillArgs& a, void* const* buffers, const Context& context) {
  launch_set_all(output<T>(buffers, 0, context), static_cast<T>(a.bits), a.count, context);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(copy, KERNEL("strided_copy.1", strided_copy<uint8_t>, StridedCopyArgs),
        KERNEL("strided_copy.2", strided_copy<uint16_t>, StridedCopyArgs),
        KERNEL("strided_copy.4", strided_copy<uint32_t>, StridedCopyArgs),
        KERNEL("strided_copy.8", strided_copy<uint64_t>, StridedCopyArgs), KERNEL("fill.1", fill<uint8_t>, FillArgs),
        KERNEL("fill.2", fill<uint16_t>, FillArgs), KERNEL("fill.4", fill<uint32_t>, FillArgs),
        KERNEL("fill.8", fill<uint64_t>, FillArgs))
