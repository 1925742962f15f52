// softmax: a thread, a warp or a block per distribution, whichever reads memory side by side.
#include "../args/softmax.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

// The distributions of an (outer, n, inner) array.
struct Columns {
  int64_t count, n, inner;
  __device__ int64_t first(int64_t column) const { return column / inner * n * inner + column % inner; }
};

// Calls body(column) for every distribution, with all the threads of its group.
template <unsigned Group, class Body>
__device__ inline void each_column(int64_t count, const Body& body) {
  constexpr unsigned kGroups = kThreads / Group;
  for (int64_t c = static_cast<int64_t>(blockIdx.x) * kGroups + threadIdx.x / Group; c < count;
       c += static_cast<int64_t>(gridDim.x) * kGroups)
    body(c);
}

template <class T, bool Log, unsigned Group>
__global__ void softmax_columns(const T* x, const int64_t* length, T* y, Columns columns, T scale) {
  each_column<Group>(columns.count, [&](int64_t c) {
    const int64_t first = columns.first(c), step = columns.inner, lane = threadIdx.x % Group;
    int64_t n = columns.n;
    if (length) n = vmaximum(int64_t{0}, vminimum(length[c], n));
    const T lowest = static_cast<T>(-HUGE_VALF);
    T top = lowest;
    for (int64_t i = lane; i < n; i += Group) top = vmaximum(top, x[first + i * step] * scale);
    top = fold_group<Group>(top, lowest, Larger());
    T sum = 0;
    for (int64_t i = lane; i < n; i += Group) sum += vexp(x[first + i * step] * scale - top);
    sum = fold_group<Group>(sum, T(0), Add());
    const T last = Log ? vlog(sum) : T(1) / sum;
    for (int64_t i = lane; i < columns.n; i += Group) {
      const int64_t at = first + i * step;
      const T shifted = x[at] * scale - top;
      y[at] = i >= n ? T(0) : Log ? shifted - last : vexp(shifted) * last;
    }
  });
}

template <class T, bool Log, unsigned Group>
__global__ void softmax_slopes(const T* dy, const T* y, T* dx, Columns columns, T scale) {
  each_column<Group>(columns.count, [&](int64_t c) {
    const int64_t first = columns.first(c), step = columns.inner, lane = threadIdx.x % Group;
    T sum = 0;
    for (int64_t i = lane; i < columns.n; i += Group) {
      const int64_t at = first + i * step;
      sum += Log ? dy[at] : dy[at] * y[at];
    }
    sum = fold_group<Group>(sum, T(0), Add());
    for (int64_t i = lane; i < columns.n; i += Group) {
      const int64_t at = first + i * step;
      dx[at] = Log ? scale * (dy[at] - vexp(y[at]) * sum) : scale * y[at] * (dy[at] - sum);
    }
  });
}

unsigned group_of(const Columns& columns) { return columns.inner == 1 ? group_for(columns.n) : 1; }

template <class T, bool Log>
void softmax(const SoftmaxArgs& a, void* const* buffers, const Context& context) {
  const Columns columns = {a.outer * a.inner, a.n, a.inner};
  if (columns.count * a.n == 0) return;
  const unsigned group = group_of(columns);
  const auto kernel = group == 1       ? softmax_columns<T, Log, 1>
                      : group == kWarp ? softmax_columns<T, Log, kWarp>
                                       : softmax_columns<T, Log, kThreads>;
  LAUNCH(kernel, blocks_for(columns.count, kThreads / group), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<int64_t>(buffers, 1, context), output<T>(buffers, 2, context), columns,
   static_cast<T>(a.scale));
}

template <class T, bool Log>
void softmax_grad(const SoftmaxArgs& a, void* const* buffers, const Context& context) {
  const Columns columns = {a.outer * a.inner, a.n, a.inner};
  if (columns.count * a.n == 0) return;
  const unsigned group = group_of(columns);
  const auto kernel = group == 1       ? softmax_slopes<T, Log, 1>
                      : group == kWarp ? softmax_slopes<T, Log, kWarp>
                                       : softmax_slopes<T, Log, kThreads>;
  LAUNCH(kernel, blocks_for(columns.count, kThreads / group), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<T>(buffers, 1, context), output<T>(buffers, 2, context), columns,
   static_cast<T>(a.scale));
}

struct Loss {
  int64_t elements, n, inner, labels;
  double scale, smooth_alpha;
  int64_t use_ignore, ignore_label, per_valid;
};

// The number of labels that count is wanted by every block and cheap to count again: no second launch, no scratch.
template <class T>
__global__ void loss_slopes(const T* p, const int64_t* label, const T* head, T* dx, Loss a) {
  double scale = a.scale;
  if (a.per_valid) {
    int64_t valid = 0;
    for (int64_t i = threadIdx.x; i < a.labels; i += kThreads) valid += label[i] != a.ignore_label;
    valid = fold_block(valid, int64_t{0}, Add());
    scale /= static_cast<double>(valid > 0 ? valid : 1);
  }
  const T factor = static_cast<T>(scale), on = static_cast<T>(1 - a.smooth_alpha);
  const T off = a.n > 1 ? static_cast<T>(a.smooth_alpha / static_cast<double>(a.n - 1)) : T(0);
  for (int64_t at = first_item(); at < a.elements; at += item_stride()) {
    const int64_t row = at / a.inner % a.n, which = label[at / (a.n * a.inner) * a.inner + at % a.inner];
    const bool skip = a.use_ignore && which == a.ignore_label;
    dx[at] = skip ? T(0) : (p[at] - (row == which ? on : off)) * factor * (head ? head[at] : T(1));
  }
}

template <class T>
void softmax_output_grad(const SoftmaxOutputGradArgs& a, void* const* buffers, const Context& context) {
  const Loss loss = {a.outer * a.n * a.inner, a.n,          a.inner,        a.outer * a.inner, a.scale,
                     a.smooth_alpha,          a.use_ignore, a.ignore_label, a.per_valid};
  if (loss.elements == 0) return;
  const auto kernel = loss_slopes<T>;
  LAUNCH(kernel, blocks_for(loss.elements), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<int64_t>(buffers, 1, context), input<T>(buffers, 2, context),
   output<T>(buffers, 3, context), loss);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(softmax, KERNEL("softmax.float32", (softmax<float, false>), SoftmaxArgs),
        KERNEL("softmax.float64", (softmax<double, false>), SoftmaxArgs),
        KERNEL("log_softmax.float32", (softmax<float, true>), SoftmaxArgs),
        KERNEL("log_softmax.float64", (softmax<double, true>), SoftmaxArgs),
        KERNEL("softmax_grad.float32", (softmax_grad<float, false>), SoftmaxArgs),
        KERNEL("softmax_grad.float64", (softmax_grad<double, false>), SoftmaxArgs),
        KERNEL("log_softmax_grad.float32", (softmax_grad<float, true>), SoftmaxArgs),
        KERNEL("log_softmax_grad.float64", (softmax_grad<double, true>), SoftmaxArgs),
        KERNEL("softmax_output_grad.float32", softmax_output_grad<float>, SoftmaxOutputGradArgs),
        KERNEL("softmax_output_grad.float64", softmax_output_grad<double>, SoftmaxOutputGradArgs))
