// order: all rows at once. A block sorts kChunk items in shared memory by a bitonic network; longer rows go on through
// device memory. Of rows of which only a few elements are wanted, each block keeps those of its chunk, round after
// round.
#include "../args/sort.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

#ifdef MINIMX_EMULATE
constexpr int64_t kChunk = 64;  // so that tests reach device memory and several rounds
#else
constexpr int64_t kChunk = 1024;
#endif

template <class K>
struct Item {
  K key;
  K place;
};
template <class K>
__device__ inline bool before(const Item<K>& a, const Item<K>& b) {
  return a.key < b.key || (a.key == b.key && a.place < b.place);
}

__device__ inline uint32_t rising(float x) {
  if (x != x) return ~0u;
  x += 0.0f;  // -0 and 0 are equal
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ inline uint64_t rising(double x) {
  if (x != x) return ~uint64_t{0};
  x += 0.0;
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits >> 63 ? ~bits : bits | uint64_t{1} << 63;
}
__device__ inline uint32_t rising(int32_t x) { return static_cast<uint32_t>(x) ^ 0x80000000u; }
__device__ inline uint64_t rising(int64_t x) {
  return static_cast<uint64_t>(x) ^ uint64_t { 1 } << 63;
}
__device__ inline uint32_t rising(int8_t x) { return static_cast<uint32_t>(x + 128); }
__device__ inline uint32_t rising(uint8_t x) { return x; }

template <class T, class K>
__device__ inline Item<K> read_item(const T* row, int64_t i, int64_t n, bool descending) {
  const K none = ~K{0};  // sorts behind everything: no place is as large
  if (i >= n) return {none, none};
  const K key = rising(row[i]);
  return {descending ? static_cast<K>(~key) : key, static_cast<K>(i)};
}
template <class T, class K>
__device__ inline Item<K> read_item(const Item<K>* row, int64_t i, int64_t n, bool) {
  const K none = ~K{0};
  return i < n ? row[i] : Item<K>{none, none};
}

// One comparison of a bitonic network: positions `at` and at + stride, upwards or downwards.
template <class K>
__device__ inline void compare(Item<K>* items, int64_t at, int64_t stride, bool up) {
  const Item<K> a = items[at], b = items[at + stride];
  if (before(b, a) == up) {
    items[at] = b;
    items[at + stride] = a;
  }
}

// The first half of a pair, for the p-th pair of items `stride` apart.
__device__ inline int64_t first_of_pair(int64_t p, int64_t stride) { return p / stride * 2 * stride + p % stride; }

// Sorts chunks of every row: from (rows, n) elements or items to (rows, chunks, keep) items. With `alternate` every
// other chunk is sorted downwards, for the network to go on with.
template <class T, class K, class Source>
__global__ void sort_chunks(const Source* in, Item<K>* out, int64_t rows, int64_t n, int64_t chunks, int64_t keep,
                            bool descending, bool alternate) {
  SHARED(Item<K>, items, [kChunk]);
  for (int64_t block = blockIdx.x; block < rows * chunks; block += gridDim.x) {
    const int64_t row = block / chunks, chunk = block % chunks;
    for (int64_t i = threadIdx.x; i < kChunk; i += blockDim.x)
      items[i] = read_item<T, K>(in + row * n, chunk * kChunk + i, n, descending);
    const bool down = alternate && chunk % 2;
    for (int64_t size = 2; size <= kChunk; size *= 2)
      for (int64_t stride = size / 2; stride > 0; stride /= 2) {
        __syncthreads();
        for (int64_t p = threadIdx.x; p < kChunk / 2; p += blockDim.x) {
          const int64_t at = first_of_pair(p, stride);
          const bool up = size == kChunk ? !down : at / size % 2 == 0;
          compare(items, at, stride, up);
        }
      }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < keep; i += blockDim.x) out[block * keep + i] = items[i];
    __syncthreads();
  }
}

// Comparisons over `stride` of at least kChunk, within runs of `size`, of rows of `padded` items (all powers of two).
template <class K>
__global__ void merge_far(Item<K>* items, int64_t rows, int64_t padded, int64_t size, int64_t stride) {
  const int64_t pairs = rows * padded / 2;
  for (int64_t p = first_item(); p < pairs; p += item_stride()) {
    const int64_t at = first_of_pair(p, stride);
    compare(items, at, stride, at % padded / size % 2 == 0);
  }
}

// The rest of the comparisons within runs of `size`: those that stay in a chunk.
template <class K>
__global__ void merge_near(Item<K>* out, int64_t chunks, int64_t padded, int64_t size) {
  SHARED(Item<K>, items, [kChunk]);
  for (int64_t block = blockIdx.x; block < chunks; block += gridDim.x) {
    Item<K>* mine = out + block * kChunk;
    for (int64_t i = threadIdx.x; i < kChunk; i += blockDim.x) items[i] = mine[i];
    const bool up = block * kChunk % padded / size % 2 == 0;
    for (int64_t stride = kChunk / 2; stride > 0; stride /= 2) {
      __syncthreads();
      for (int64_t p = threadIdx.x; p < kChunk / 2; p += blockDim.x)
        compare(items, first_of_pair(p, stride), stride, up);
    }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < kChunk; i += blockDim.x) mine[i] = items[i];
    __syncthreads();
  }
}

template <class T, class K>
__global__ void write_order(const Item<K>* items, const T* data, T* values, int64_t* indices, int64_t rows,
                            int64_t width, int64_t n, int64_t k) {
  for (int64_t i = first_item(); i < rows * k; i += item_stride()) {
    const int64_t row = i / k;
    const auto place = static_cast<int64_t>(items[row * width + i % k].place);
    if (values) values[i] = data[row * n + place];
    if (indices) indices[i] = place;
  }
}

template <class T>
void order(const OrderArgs& a, void* const* buffers, const Context& context) {
  using K = typename OrderKey<T>::type;
  if (a.rows * a.n * a.k == 0) return;
  const T* data = input<T>(buffers, 0, context);
  int64_t at = 1;
  T* values = a.values ? output<T>(buffers, at++, context) : nullptr;
  int64_t* indices = a.indices ? output<int64_t>(buffers, at++, context) : nullptr;
  Item<K>* items = output<Item<K>>(buffers, at, context);
  Item<K>* spare = items + a.rows * (a.padded > kChunk ? a.padded : kChunk);

  const auto from_data = sort_chunks<T, K, T>;
  const auto from_items = sort_chunks<T, K, Item<K>>;
  const auto far = merge_far<K>;
  const auto near = merge_near<K>;
  const auto finish = write_order<T, K>;
  const unsigned threads = static_cast<unsigned>(kChunk / 2 < kThreads ? kChunk / 2 : kThreads);
  int64_t n = a.n, chunks = (n + kChunk - 1) / kChunk, width = kChunk;
  if (4 * a.k <= kChunk) {
    bool first = true;
    do {
      chunks = (n + kChunk - 1) / kChunk;
      const unsigned grid = blocks_for(a.rows * chunks, 1);
      if (first)
        LAUNCH(from_data, grid, threads, 0, context)(data, items, a.rows, n, chunks, a.k, a.descending != 0, false);
      else
        LAUNCH(from_items, grid, threads, 0, context)(spare, items, a.rows, n, chunks, a.k, false, false);
      first = false;
      n = chunks * a.k;
      Item<K>* other = items;
      items = spare;
      spare = other;
    } while (chunks > 1);
    items = spare;
    width = a.k;
  } else {
    chunks = a.padded / kChunk > 0 ? a.padded / kChunk : 1;
    width = chunks * kChunk;
    LAUNCH(from_data, blocks_for(a.rows * chunks, 1), threads, 0, context)
    (data, items, a.rows, n, chunks, kChunk, a.descending != 0, true);
    for (int64_t size = 2 * kChunk; size <= width; size *= 2) {
      for (int64_t stride = size / 2; stride >= kChunk; stride /= 2)
        LAUNCH(far, blocks_for(a.rows * width / 2), kThreads, 0, context)(items, a.rows, width, size, stride);
      LAUNCH(near, blocks_for(a.rows * chunks, 1), threads, 0, context)(items, a.rows * chunks, width, size);
    }
  }
  LAUNCH(finish, blocks_for(a.rows * a.k), kThreads, 0, context)
  (items, data, values, indices, a.rows, width, a.n, a.k);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(sort, KERNEL("order.float32", order<float>, OrderArgs), KERNEL("order.float64", order<double>, OrderArgs),
        KERNEL("order.int32", order<int32_t>, OrderArgs), KERNEL("order.int64", order<int64_t>, OrderArgs),
        KERNEL("order.uint8", order<uint8_t>, OrderArgs), KERNEL("order.int8", order<int8_t>, OrderArgs))
