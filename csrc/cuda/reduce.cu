// reduce: a thread, a warp or a block folds the elements of one output, whichever reads memory side by side.
#include "../args/reduce.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

template <class T>
__host__ __device__ constexpr T highest() {
  if constexpr (kReal<T>)
    return static_cast<T>(HUGE_VALF);
  else
    return static_cast<T>((uint64_t{1} << (8 * sizeof(T) - 1)) - 1);
}
template <class T>
__host__ __device__ constexpr T lowest() {
  if constexpr (kReal<T>)
    return -highest<T>();
  else
    return static_cast<T>(-highest<T>() - T(1));
}

// Sums of float are taken in double, so that their error does not grow with their length.
template <class T>
struct WideOf {
  using type = T;
};
template <>
struct WideOf<float> {
  using type = double;
};

// What is folded: the start value, what happens to an element first, and how two values join.
template <class T>
struct Sum {
  using Total = typename WideOf<T>::type;
  __host__ __device__ static Total start() { return 0; }
  __device__ static Total map(T x) { return x; }
  __device__ Total operator()(Total a, Total b) const { return a + b; }
};
template <class T>
struct SumSquares : Sum<T> {
  __device__ static typename Sum<T>::Total map(T x) { return static_cast<typename Sum<T>::Total>(x) * x; }
};
template <class T>
struct SumAbs : Sum<T> {
  __device__ static typename Sum<T>::Total map(T x) { return vabs(x); }
};
template <class T>
struct NanSum : Sum<T> {
  __device__ static typename Sum<T>::Total map(T x) { return x == x ? x : T(0); }
};
template <class T>
struct Prod {
  using Total = T;
  __host__ __device__ static T start() { return 1; }
  __device__ static T map(T x) { return x; }
  __device__ T operator()(T a, T b) const { return a * b; }
};
template <class T>
struct NanProd : Prod<T> {
  __device__ static T map(T x) { return x == x ? x : T(1); }
};
template <class T>
struct Max {
  using Total = T;
  __host__ __device__ static T start() { return lowest<T>(); }
  __device__ static T map(T x) { return x; }
  __device__ T operator()(T a, T b) const { return vmaximum(a, b); }
};
template <class T>
struct Min {
  using Total = T;
  __host__ __device__ static T start() { return highest<T>(); }
  __device__ static T map(T x) { return x; }
  __device__ T operator()(T a, T b) const { return vminimum(a, b); }
};

struct Fold {
  Axes kept, reduced;
  int64_t outputs, elements;  // elements of one fold
  double scale;
};

template <class T, class Op, unsigned Group>
__global__ void fold_axes(const T* in, T* out, const GRID_CONSTANT Fold fold) {
  constexpr unsigned kGroups = kThreads / Group;
  const unsigned lane = threadIdx.x % Group;
  for (int64_t o = static_cast<int64_t>(blockIdx.x) * kGroups + threadIdx.x / Group; o < fold.outputs;
       o += static_cast<int64_t>(gridDim.x) * kGroups) {
    const T* from = in + fold.kept.at(o);
    auto total = Op::start();
    for (int64_t r = lane; r < fold.elements; r += Group) total = Op()(total, Op::map(from[fold.reduced.at(r)]));
    total = fold_group<Group>(total, Op::start(), Op());
    if (lane == 0) out[o] = static_cast<T>(fold.scale == 1 || fold.elements == 0 ? total : total * fold.scale);
  }
}

// Appends an axis, merged with the one before where one stride covers both.
void append(Axes& axes, int64_t size, int64_t stride) {
  if (size == 1) return;
  if (axes.count && axes.stride[axes.count - 1] == size * stride) {
    axes.size[axes.count - 1] *= size;
    axes.stride[axes.count - 1] = stride;
  } else {
    axes.size[axes.count] = size;
    axes.stride[axes.count++] = stride;
  }
}

template <class T, class Op>
void reduce(const ReduceArgs& a, void* const* buffers, const Context& context) {
  Fold fold{};
  fold.outputs = fold.elements = 1;
  fold.scale = a.scale;
  int64_t strides[Axes::kMost], step = 1;
  for (int64_t d = a.shape.n - 1; d >= 0; --d) {
    strides[d] = step;
    step *= a.shape[d];
  }
  for (int64_t d = 0; d < a.shape.n; ++d) {
    append(a.reduced[d] ? fold.reduced : fold.kept, a.shape[d], strides[d]);
    (a.reduced[d] ? fold.elements : fold.outputs) *= a.shape[d];
  }
  if (fold.outputs == 0) return;
  const Axes& kept = fold.kept;
  // Neighbouring threads should read neighbouring elements: those of one fold, unless the last axis is kept. But a few
  // long folds are better shared in strides than left to a few threads.
  const bool columns = kept.count && kept.stride[kept.count - 1] == 1;
  const bool busy = fold.outputs >= 1 << 13 || fold.elements < 64;
  const unsigned group = columns && busy ? 1 : group_for(fold.elements);
  const auto kernel = group == 1       ? fold_axes<T, Op, 1>
                      : group == kWarp ? fold_axes<T, Op, kWarp>
                                       : fold_axes<T, Op, kThreads>;
  LAUNCH(kernel, blocks_for(fold.outputs, kThreads / group), kThreads, 0, context)
  (input<T>(buffers, 0, context), output<T>(buffers, 1, context), fold);
}

// A candidate for the position of the extreme: NaN before numbers, the first of equals.
template <class T, bool Largest>
struct Candidate {
  T value;
  int64_t index;
  __device__ void offer(T other, int64_t at) {
    const bool nan = value != value, other_nan = other != other;
    const bool better = nan || other_nan ? other_nan && !nan : Largest ? other > value : other < value;
    const bool equal = nan ? other_nan : other == value;
    if (better || (equal && at < index)) {
      value = other;
      index = at;
    }
  }
};

template <class T, bool Largest, unsigned Group>
__global__ void find_extreme(const T* in, float* out, int64_t columns, int64_t n, int64_t inner) {
  constexpr unsigned kGroups = kThreads / Group;
  const unsigned lane = threadIdx.x % Group;
  for (int64_t c = static_cast<int64_t>(blockIdx.x) * kGroups + threadIdx.x / Group; c < columns;
       c += static_cast<int64_t>(gridDim.x) * kGroups) {
    const T* from = in + c / inner * n * inner + c % inner;
    Candidate<T, Largest> best{Largest ? lowest<T>() : highest<T>(), n};
    for (int64_t i = lane; i < n; i += Group) best.offer(from[i * inner], i);
    for (unsigned bits = Group / 2; bits > 0; bits /= 2) {
      const T value = __shfl_xor_sync(kAllLanes, best.value, static_cast<int>(bits));
      const int64_t index = __shfl_xor_sync(kAllLanes, best.index, static_cast<int>(bits));
      best.offer(value, index);
    }
    if (lane == 0) out[c] = static_cast<float>(best.index);
  }
}

template <class T, bool Largest>
void find(const ArgReduceArgs& a, void* const* buffers, const Context& context) {
  const int64_t columns = a.outer * a.inner;
  if (columns * a.n == 0) return;
  const unsigned group = a.inner == 1 && a.n >= 8 ? kWarp : 1;
  const auto kernel = group == 1 ? find_extreme<T, Largest, 1> : find_extreme<T, Largest, kWarp>;
  LAUNCH(kernel, blocks_for(columns, kThreads / group), kThreads, 0, context)
  (input<T>(buffers, 0, context), output<float>(buffers, 1, context), columns, a.n, a.inner);
}

template <class T>
void argmax(const ArgReduceArgs& a, void* const* buffers, const Context& context) {
  find<T, true>(a, buffers, context);
}
template <class T>
void argmin(const ArgReduceArgs& a, void* const* buffers, const Context& context) {
  find<T, false>(a, buffers, context);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

#define REAL(name, Op)                                             \
  KERNEL(name ".float32", (reduce<float, Op<float>>), ReduceArgs), \
      KERNEL(name ".float64", (reduce<double, Op<double>>), ReduceArgs)
#define ANY(name, Op)                                                                \
  REAL(name, Op), KERNEL(name ".int32", (reduce<int32_t, Op<int32_t>>), ReduceArgs), \
      KERNEL(name ".int64", (reduce<int64_t, Op<int64_t>>), ReduceArgs)
#define POSITION(name, function)                                                                                     \
  KERNEL(name ".float32", function<float>, ArgReduceArgs), KERNEL(name ".float64", function<double>, ArgReduceArgs), \
      KERNEL(name ".int32", function<int32_t>, ArgReduceArgs), KERNEL(name ".int64", function<int64_t>, ArgReduceArgs)

KERNELS(reduce, ANY("sum", Sum), ANY("prod", Prod), ANY("max", Max), ANY("min", Min), REAL("nansum", NanSum),
        REAL("nanprod", NanProd), REAL("sum_squares", SumSquares), REAL("sum_abs", SumAbs), POSITION("argmax", argmax),
        POSITION("argmin", argmin))
