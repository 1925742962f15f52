// rnn: recurrent layers. A step is a product (tile.cuh), whose sums start from the projection of the input, and a pass
// over the states.
#include "../args/rnn.h"
#include "tile.cuh"

namespace minimx {
namespace cuda {
namespace {

// h·weightᵀ + bias (+ projection): what the gates are made of. The last gate of a gru is kept apart.
template <class T, Cell Kind>
struct Gates {
  static constexpr bool kLeftAlong = true, kRightAlong = true;
  const T* h;
  const T* weight;
  const T* bias;
  const T* projection;
  T* sums;
  T* products;
  int64_t batch, m, n, k;

  __device__ T left(int64_t, int64_t row, int64_t term) const { return h[row * k + term]; }
  __device__ T right(int64_t, int64_t term, int64_t column) const { return weight[column * k + term]; }
  __device__ void finish(int64_t, int64_t row, int64_t column, T sum) const {
    sum += bias[column];
    if (Kind == Cell::gru && column >= 2 * k)
      products[row * k + column - 2 * k] = sum;
    else
      sums[row * n + column] = sum + projection[row * n + column];
  }
};

// d·weight, added to what arrives at the state.
template <class T>
struct Passed {
  static constexpr bool kLeftAlong = true, kRightAlong = false;
  const T* d;
  const T* weight;
  T* dh;
  int64_t batch, m, n, k;

  __device__ T left(int64_t, int64_t row, int64_t term) const { return d[row * k + term]; }
  __device__ T right(int64_t, int64_t term, int64_t column) const { return weight[term * n + column]; }
  __device__ void finish(int64_t, int64_t row, int64_t column, T sum) const { dh[row * n + column] += sum; }
};

// One step's arrays. Those of the gates have rows of all gates, the others of `hidden`.
template <class T>
struct Step {
  const T* projection;
  T* gates;
  const T* h;
  T* next;
  const T* cells;
  T* next_cells;
  T* products;
  int64_t count, hidden;
  bool relu, clip, clip_nan;
  T low, high;
};

template <class T, Cell Kind>
__global__ void activate_step(const GRID_CONSTANT Step<T> s) {
  constexpr int64_t gates = gates_of(Kind);
  const int64_t H = s.hidden;
  for (int64_t k = first_item(); k < s.count; k += item_stride()) {
    const int64_t own = k / H * gates * H + k % H;
    if constexpr (Kind == Cell::plain) {
      s.next[k] = s.relu ? (s.next[k] < T(0) ? T(0) : s.next[k]) : vtanh(s.next[k]);
    } else if constexpr (Kind == Cell::lstm) {
      const T in = vsigmoid(s.gates[own]), forget = vsigmoid(s.gates[own + H]);
      const T value = vtanh(s.gates[own + 2 * H]), out = vsigmoid(s.gates[own + 3 * H]);
      T c = forget * s.cells[k] + in * value;
      if (s.clip) c = c > s.high ? s.high : c < s.low || (s.clip_nan && c != c) ? s.low : c;
      s.gates[own] = in;
      s.gates[own + H] = forget;
      s.gates[own + 2 * H] = value;
      s.gates[own + 3 * H] = out;
      s.next_cells[k] = c;
      s.next[k] = out * vtanh(c);
    } else {
      const T reset = vsigmoid(s.gates[own]), keep = vsigmoid(s.gates[own + H]);
      const T value = vtanh(s.projection[own + 2 * H] + reset * s.products[k]);
      s.gates[own] = reset;
      s.gates[own + H] = keep;
      s.gates[own + 2 * H] = value;
      s.next[k] = (T(1) - keep) * value + keep * s.h[k];
    }
  }
}

template <class T>
struct Slopes {
  const T* arrives;
  const T* arrives_cell;
  const T* gates;
  const T* h;
  const T* next;
  const T* cells;
  const T* next_cells;
  const T* products;
  T* dh;
  T* dc;
  T* d_projection;
  T* d_product;
  int64_t count, hidden;
  bool relu, clip;
  T low, high;
};

template <class T, Cell Kind>
__global__ void step_slopes(const GRID_CONSTANT Slopes<T> s) {
  constexpr int64_t gates = gates_of(Kind);
  const int64_t H = s.hidden;
  const T one = 1;
  for (int64_t k = first_item(); k < s.count; k += item_stride()) {
    const int64_t own = k / H * gates * H + k % H;
    const T d = s.dh[k] + (s.arrives ? s.arrives[k] : T(0));
    if constexpr (Kind == Cell::plain) {
      const T h = s.next[k];
      s.d_projection[own] = s.relu ? (h > T(0) ? d : T(0)) : d * (one - h * h);
      s.dh[k] = 0;
    } else if constexpr (Kind == Cell::lstm) {
      const T in = s.gates[own], forget = s.gates[own + H], value = s.gates[own + 2 * H], out = s.gates[own + 3 * H];
      const T c = s.next_cells[k], t = vtanh(c);
      T slope = s.dc[k] + d * out * (one - t * t) + (s.arrives_cell ? s.arrives_cell[k] : T(0));
      if (s.clip && !(c > s.low && c < s.high)) slope = 0;
      s.d_projection[own] = slope * value * in * (one - in);
      s.d_projection[own + H] = slope * s.cells[k] * forget * (one - forget);
      s.d_projection[own + 2 * H] = slope * in * (one - value * value);
      s.d_projection[own + 3 * H] = d * t * out * (one - out);
      s.dc[k] = slope * forget;
      s.dh[k] = 0;
    } else {
      const T reset = s.gates[own], keep = s.gates[own + H], value = s.gates[own + 2 * H];
      const T dn = d * (one - keep) * (one - value * value);
      const T dr = dn * s.products[k] * reset * (one - reset), dz = d * (s.h[k] - value) * keep * (one - keep);
      s.d_projection[own] = s.d_product[own] = dr;
      s.d_projection[own + H] = s.d_product[own + H] = dz;
      s.d_projection[own + 2 * H] = dn;
      s.d_product[own + 2 * H] = dn * reset;
      s.dh[k] = d * keep;
    }
  }
}

template <class T>
__global__ void copy_all(const T* from, T* to, int64_t count) {
  for (int64_t i = first_item(); i < count; i += item_stride()) to[i] = from ? from[i] : T(0);
}
template <class T>
void launch_copy(const T* from, T* to, int64_t count, const Context& context) {
  const auto kernel = copy_all<T>;
  LAUNCH(kernel, blocks_for(count), kThreads, 0, context)(from, to, count);
}

// Where step i of a walk through time is, and where its states lie.
struct Place {
  int64_t now, before, after;
};
Place place(const RnnArgs& a, int64_t i) {
  const int64_t t = a.reverse ? a.time - 1 - i : i;
  return {t, t + (a.reverse ? 1 : 0), t + (a.reverse ? 0 : 1)};
}

template <class T, Cell Kind>
void forward(const RnnArgs& a, void* const* buffers, const Context& context) {
  constexpr int64_t gates = gates_of(Kind);
  constexpr int first_output = Kind == Cell::lstm ? 5 : 4;
  const int64_t H = a.hidden, states = a.batch * H, row = gates * H;
  if (states == 0) return;
  const T* projection = input<T>(buffers, 0, context);
  const T* weight = input<T>(buffers, 1, context);
  const T* bias = input<T>(buffers, 2, context);
  T* activity = Kind == Cell::plain ? nullptr : output<T>(buffers, first_output, context);
  T* hidden = output<T>(buffers, Kind == Cell::plain ? first_output : first_output + 1, context);
  T* extra = Kind == Cell::plain ? nullptr : output<T>(buffers, first_output + 2, context);
  const int64_t start = a.reverse ? a.time * states : 0;
  launch_copy(input<T>(buffers, 3, context), hidden + start, states, context);
  if constexpr (Kind == Cell::lstm) launch_copy(input<T>(buffers, 4, context), extra + start, states, context);
  for (int64_t i = 0; i < a.time; ++i) {
    const Place at = place(a, i);
    const T* x = projection + at.now * a.batch * row;
    const T* h = hidden + at.before * states;
    T* next = hidden + at.after * states;
    T* sums = Kind == Cell::plain ? next : activity + at.now * a.batch * row;
    T* products = Kind == Cell::gru ? extra + at.now * states : nullptr;
    launch_multiply<T>(Gates<T, Kind>{h, weight, bias, x, sums, products, 1, a.batch, row, H}, context);
    const Step<T> step = {x,
                          sums,
                          h,
                          next,
                          Kind == Cell::lstm ? extra + at.before * states : nullptr,
                          Kind == Cell::lstm ? extra + at.after * states : nullptr,
                          products,
                          states,
                          H,
                          a.relu != 0,
                          a.clip != 0,
                          a.clip_nan != 0,
                          static_cast<T>(a.clip_min),
                          static_cast<T>(a.clip_max)};
    const auto kernel = activate_step<T, Kind>;
    LAUNCH(kernel, blocks_for(states), kThreads, 0, context)(step);
  }
}

template <class T, Cell Kind>
void backward(const RnnArgs& a, void* const* buffers, const Context& context) {
  constexpr int64_t gates = gates_of(Kind);
  const int64_t H = a.hidden, states = a.batch * H, row = gates * H;
  if (states == 0) return;
  int next = 0;
  const auto in = [&] { return input<T>(buffers, next++, context); };
  const auto out = [&] { return output<T>(buffers, next++, context); };
  const T* d_output = in();
  const T* d_last = in();
  const T* d_last_cell = Kind == Cell::lstm ? in() : nullptr;
  const T* d_cells = Kind == Cell::lstm ? in() : nullptr;
  const T* weight = in();
  const T* activity = Kind == Cell::plain ? nullptr : in();
  const T* hidden = Kind == Cell::lstm ? nullptr : in();
  const T* extra = Kind == Cell::plain ? nullptr : in();
  T* d_projection = out();
  T* d_product = Kind == Cell::gru ? out() : d_projection;
  T* dh = out();
  T* dc = Kind == Cell::lstm ? out() : nullptr;
  launch_copy(d_last, dh, states, context);
  if constexpr (Kind == Cell::lstm) launch_copy(d_last_cell, dc, states, context);
  for (int64_t i = a.time - 1; i >= 0; --i) {
    const Place at = place(a, i);
    const int64_t block = at.now * a.batch * row;
    const Slopes<T> slopes = {d_output ? d_output + at.now * states : nullptr,
                              d_cells ? d_cells + at.now * states : nullptr,
                              Kind == Cell::plain ? nullptr : activity + block,
                              hidden ? hidden + at.before * states : nullptr,
                              hidden ? hidden + at.after * states : nullptr,
                              Kind == Cell::lstm ? extra + at.before * states : nullptr,
                              Kind == Cell::lstm ? extra + at.after * states : nullptr,
                              Kind == Cell::gru ? extra + at.now * states : nullptr,
                              dh,
                              dc,
                              d_projection + block,
                              d_product + block,
                              states,
                              H,
                              a.relu != 0,
                              a.clip != 0,
                              static_cast<T>(a.clip_min),
                              static_cast<T>(a.clip_max)};
    const auto kernel = step_slopes<T, Kind>;
    LAUNCH(kernel, blocks_for(states), kThreads, 0, context)(slopes);
    launch_multiply<T>(Passed<T>{d_product + block, weight, dh, 1, a.batch, H, row}, context);
  }
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

#define OF_TYPE(name, T)                                                   \
  KERNEL("rnn_plain." name, (forward<T, Cell::plain>), RnnArgs),           \
      KERNEL("rnn_lstm." name, (forward<T, Cell::lstm>), RnnArgs),         \
      KERNEL("rnn_gru." name, (forward<T, Cell::gru>), RnnArgs),           \
      KERNEL("rnn_plain_grad." name, (backward<T, Cell::plain>), RnnArgs), \
      KERNEL("rnn_lstm_grad." name, (backward<T, Cell::lstm>), RnnArgs),   \
      KERNEL("rnn_gru_grad." name, (backward<T, Cell::gru>), RnnArgs)
KERNELS(rnn, OF_TYPE("float32", float), OF_TYPE("float64", double))
