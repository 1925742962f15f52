// index: gathers take a thread per element; scatters a warp per index, of which the first of those that meet does the
// work of all, in order, so that sums are the same every time.
#include "../args/index.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

__device__ inline int64_t valid(int64_t x, int64_t n, int64_t mode) {
  if (mode == kClip) return vmaximum(int64_t{0}, vminimum(x, n - 1));
  x %= n;
  return x < 0 ? x + n : x;
}

// Which row of the table the c-th index means.
struct AxisRows {
  const int64_t* indices;
  int64_t axis, mode;
  __device__ int64_t operator()(int64_t c) const { return valid(indices[c], axis, mode); }
};
struct NdRows {
  static constexpr int kMost = 32;
  const int64_t* indices;
  int64_t count, dims, size[kMost];
  __device__ int64_t operator()(int64_t c) const {
    int64_t row = 0;
    for (int64_t d = 0; d < dims; ++d) row = row * size[d] + valid(indices[d * count + c], size[d], kWrap);
    return row;
  }
};

// data (outer, rows, inner), out (outer, count, inner)
struct Move {
  int64_t outer, rows, count, inner;
};

template <class T, class Rows>
__global__ void gather_rows(const T* data, T* out, Move m, Rows row) {
  const int64_t total = m.outer * m.count * m.inner;
  for (int64_t i = first_item(); i < total; i += item_stride()) {
    const int64_t c = i / m.inner % m.count, o = i / (m.inner * m.count);
    out[i] = data[(o * m.rows + row(c)) * m.inner + i % m.inner];
  }
}

template <class T, class Rows, bool Sum>
__global__ void scatter_rows(const T* values, T* out, Move m, Rows row) {
  const unsigned lane = threadIdx.x % kWarp;
  const int64_t warps = item_stride() / kWarp;
  for (int64_t w = first_item() / kWarp; w < m.outer * m.count; w += warps) {
    const int64_t o = w / m.count, c = w % m.count, target = row(c);
    bool met = false;
    for (int64_t first = 0; first < c && !met; first += kWarp)
      met = __any_sync(kAllLanes, first + lane < c && row(first + lane) == target);
    if (met) continue;
    T* to = out + (o * m.rows + target) * m.inner;
    for (int64_t first = c; first < m.count; first += kWarp) {
      unsigned same = __ballot_sync(kAllLanes, first + lane < m.count && row(first + lane) == target);
      for (int64_t source = first; same; ++source, same >>= 1) {
        if (!(same & 1)) continue;
        const T* from = values + (o * m.count + source) * m.inner;
        for (int64_t i = lane; i < m.inner; i += kWarp) to[i] = static_cast<T>(Sum ? to[i] + from[i] : from[i]);
      }
    }
  }
}

template <class T, class Rows>
void launch_gather(void* const* buffers, const Move& m, const Rows& row, const Context& context) {
  const int64_t total = m.outer * m.count * m.inner;
  if (total == 0) return;
  const auto kernel = gather_rows<T, Rows>;
  LAUNCH(kernel, blocks_for(total), kThreads, 0, context)(input<T>(buffers, 0, context), output<T>(buffers, 2, context),
                                                          m, row);
}
template <class T, bool Sum, class Rows>
void launch_scatter(void* const* buffers, const Move& m, const Rows& row, bool keep, const Context& context) {
  T* out = output<T>(buffers, 2, context);
  if (!keep) launch_set_all(out, T(0), m.outer * m.rows * m.inner, context);
  if (m.outer * m.rows * m.count * m.inner == 0) return;
  const auto kernel = scatter_rows<T, Rows, Sum>;
  LAUNCH(kernel, blocks_for(m.outer * m.count, kThreads / kWarp), kThreads, 0, context)
  (input<T>(buffers, 0, context), out, m, row);
}

NdRows nd_rows(const Ints& dims, int64_t count, const int64_t* indices) {
  NdRows rows{indices, count, dims.n, {}};
  for (int64_t d = 0; d < dims.n; ++d) rows.size[d] = dims[d];
  return rows;
}
int64_t product(const Ints& dims) {
  int64_t n = 1;
  for (int64_t d = 0; d < dims.n; ++d) n *= dims[d];
  return n;
}

template <class T>
void gather(const GatherArgs& a, void* const* buffers, const Context& context) {
  launch_gather<T>(buffers, Move{a.outer, a.axis, a.count, a.inner},
                   AxisRows{input<int64_t>(buffers, 1, context), a.axis, a.mode}, context);
}
template <class T>
void scatter_add(const GatherArgs& a, void* const* buffers, const Context& context) {
  launch_scatter<T, true>(buffers, Move{a.outer, a.axis, a.count, a.inner},
                          AxisRows{input<int64_t>(buffers, 1, context), a.axis, a.mode}, false, context);
}
template <class T>
void gather_nd(const GatherNdArgs& a, void* const* buffers, const Context& context) {
  launch_gather<T>(buffers, Move{1, product(a.dims), a.count, a.inner},
                   nd_rows(a.dims, a.count, input<int64_t>(buffers, 1, context)), context);
}
template <class T>
void scatter_nd(const ScatterNdArgs& a, void* const* buffers, const Context& context) {
  launch_scatter<T, false>(buffers, Move{1, product(a.dims), a.count, a.inner},
                           nd_rows(a.dims, a.count, input<int64_t>(buffers, 1, context)), a.keep != 0, context);
}
template <class T>
void scatter_nd_add(const ScatterNdArgs& a, void* const* buffers, const Context& context) {
  launch_scatter<T, true>(buffers, Move{1, product(a.dims), a.count, a.inner},
                          nd_rows(a.dims, a.count, input<int64_t>(buffers, 1, context)), a.keep != 0, context);
}

template <class T>
__global__ void pick_each(const T* data, const int64_t* indices, T* out, PickArgs a) {
  const int64_t row = a.count * a.inner;
  for (int64_t at = first_item(); at < a.outer * row; at += item_stride())
    out[at] = data[(at / row * a.axis + valid(indices[at], a.axis, a.mode)) * a.inner + at % a.inner];
}
template <class T>
void pick(const PickArgs& a, void* const* buffers, const Context& context) {
  const int64_t total = a.outer * a.count * a.inner;
  if (total == 0) return;
  const auto kernel = pick_each<T>;
  LAUNCH(kernel, blocks_for(total), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<int64_t>(buffers, 1, context), output<T>(buffers, 2, context), a);
}

template <class T>
__global__ void place_each(const T* values, const int64_t* indices, T* out, PlaceArgs a) {
  const int64_t row = a.count * a.inner;
  for (int64_t at = first_item(); at < a.outer * row; at += item_stride())
    out[(at / row * a.axis + valid(indices[at], a.axis, a.mode)) * a.inner + at % a.inner] = values[at];
}
template <class T>
void place(const PlaceArgs& a, void* const* buffers, const Context& context) {
  if (a.outer * a.axis * a.inner == 0) return;
  T* out = output<T>(buffers, 2, context);
  if (!a.keep) launch_set_all(out, T(0), a.outer * a.axis * a.inner, context);
  const auto kernel = place_each<T>;
  LAUNCH(kernel, blocks_for(a.outer * a.count * a.inner), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<int64_t>(buffers, 1, context), out, a);
}

template <class T>
__global__ void mark_each(const int64_t* indices, T* out, int64_t count, int64_t depth, T on, T off) {
  for (int64_t at = first_item(); at < count * depth; at += item_stride())
    out[at] = indices[at / depth] == at % depth ? on : off;
}
template <class T>
void one_hot(const OneHotArgs& a, void* const* buffers, const Context& context) {
  if (a.count * a.depth == 0) return;
  const auto kernel = mark_each<T>;
  LAUNCH(kernel, blocks_for(a.count * a.depth), kThreads, 0, context)
  (input<int64_t>(buffers, 0, context), output<T>(buffers, 1, context), a.count, a.depth, static_cast<T>(a.on),
   static_cast<T>(a.off));
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

#define BY_SIZE(kernel, Args)                                                                \
  KERNEL(#kernel ".1", kernel<uint8_t>, Args), KERNEL(#kernel ".2", kernel<uint16_t>, Args), \
      KERNEL(#kernel ".4", kernel<uint32_t>, Args), KERNEL(#kernel ".8", kernel<uint64_t>, Args)
#define BY_DTYPE(kernel, Args)                                                                          \
  KERNEL(#kernel ".float32", kernel<float>, Args), KERNEL(#kernel ".float64", kernel<double>, Args),    \
      KERNEL(#kernel ".int32", kernel<int32_t>, Args), KERNEL(#kernel ".int64", kernel<int64_t>, Args), \
      KERNEL(#kernel ".uint8", kernel<uint8_t>, Args), KERNEL(#kernel ".int8", kernel<int8_t>, Args)

KERNELS(index, BY_SIZE(gather, GatherArgs), BY_DTYPE(scatter_add, GatherArgs), BY_SIZE(pick, PickArgs),
        BY_SIZE(place, PlaceArgs), BY_SIZE(one_hot, OneHotArgs), BY_SIZE(gather_nd, GatherNdArgs),
        BY_SIZE(scatter_nd, ScatterNdArgs), BY_DTYPE(scatter_nd_add, ScatterNdArgs))
