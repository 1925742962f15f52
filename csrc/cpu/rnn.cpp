// rnn: recurrent layers, one fork and join per step.
//
// The recurrent weights are packed once per call, in panels a tile of the matrix product wide. A task of a step owns
// some units and examples: it multiplies their columns of all gates, whose sums start from the projection of the input,
// and goes over them at once, while they are in the first-level cache.
#include "../args/rnn.h"

#include "gemm_block.h"
#include "vmath.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kTaskWork = 60000;  // multiply-adds worth handing to a thread

// Some neighbouring units: a panel of the packed weights.
struct Panel {
  int64_t first, vectors;  // in vectors
};

// The recurrent product, cut into tasks.
template <class T>
struct Recurrence {
  static constexpr int L = kLanes<T>;
  int64_t batch, hidden, vectors, gates;
  Cuts panels;
  T* packed;

  Recurrence(const RnnArgs& a, int64_t gates, T* scratch)
      : batch(a.batch),
        hidden(a.hidden),
        vectors(ceil_div(a.hidden, L)),
        gates(gates),
        panels(ceil_div(a.hidden, L), kTileVectors),
        packed(scratch) {}

  Panel panel(int64_t i) const { return {panels.begin(i), panels.begin(i + 1) - panels.begin(i)}; }
  int64_t width(const Panel& p) const { return lesser(p.vectors * L, hidden - p.first * L); }
  bool partial(const Panel& p) const { return (p.first + p.vectors) * L > hidden; }

  // For h·Wᵀ: a panel per gate, hidden deep.
  T* forward_panel(int64_t gate, const Panel& p) const { return packed + (gate * vectors + p.first) * L * hidden; }
  void pack_forward(const T* weight, const Context& context) const {
    parallel(context, gates * panels.count, [&](int64_t task, int) {
      const Panel p = panel(task % panels.count);
      const int64_t gate = task / panels.count;
      pack_columns_transposed_of<T, kTileVectors>(weight + (gate * hidden + p.first * L) * hidden, hidden, width(p),
                                                  hidden, forward_panel(gate, p));
    });
  }
  // For d·W: a panel of units, as deep as there are gates.
  T* backward_panel(const Panel& p) const { return packed + p.first * L * gates * hidden; }
  void pack_backward(const T* weight, const Context& context) const {
    parallel(context, panels.count, [&](int64_t task, int) {
      const Panel p = panel(task);
      pack_columns_of<T, kTileVectors>(weight + p.first * L, hidden, width(p), gates * hidden, backward_panel(p));
    });
  }

  // c[row, panel] = from + bias + a[row, :]·panel for rows of the batch.
  void multiply_rows(const T* a, int64_t deep, const T* b, const Panel& p, int64_t begin, int64_t end, T* c,
                     const T* from, const T* bias, int64_t ldc) const {
    const auto& tiles = partial(p) ? kTiles<T, false, true> : kTiles<T, false, false>;
    TileEnds<T> ends{};
    ends.ldc = ldc;
    ends.column_bias = bias;
    ends.row_bias = nullptr;
    ends.relu = 0;
    ends.last = static_cast<int>(hidden - (vectors - 1) * L);
    const Cuts bands(end - begin, tile_rows(static_cast<int>(p.vectors)));
    for (int64_t i = 0; i < bands.count; ++i) {
      const int64_t row = begin + bands.begin(i), rows = bands.begin(i + 1) - bands.begin(i);
      ends.c = c + row * ldc;
      ends.from = from ? from + row * ldc : nullptr;
      tiles.at[p.vectors - 1][rows - 1](a + row * deep, deep, b, p.vectors * L, deep, ends);
    }
  }

  // Runs body(panel, first example, end) over everything that a step has to do.
  template <class Body>
  void step(const Context& context, const Body& body) const {
    const int64_t work = batch * hidden * gates * hidden;
    const int64_t wanted = work < 2 * kTaskWork ? 1 : lesser(work / kTaskWork, 6 * context.threads);
    const int64_t splits = context.threads == 1 ? 1 : lesser(ceil_div(wanted, panels.count), ceil_div(batch, 8));
    const Cuts rows(batch, ceil_div(batch, splits));
    const int64_t units = panels.count * rows.count, tasks = context.threads == 1 ? 1 : lesser(wanted, units);
    parallel(context, tasks, [&](int64_t task, int) {
      for (int64_t u = task * units / tasks; u < (task + 1) * units / tasks; ++u)
        body(panel(u / rows.count), rows.begin(u % rows.count), rows.begin(u % rows.count + 1));
    });
  }

  // Calls body(element of the row, lanes) for the vectors of a panel.
  template <class Body>
  void each_vector(const Panel& p, const Body& body) const {
    for (int64_t v = p.first; v < p.first + p.vectors; ++v) body(v * L, static_cast<int>(lesser(L, hidden - v * L)));
  }
};

template <class T>
inline Vec<T> read(const T* p, int lanes) {
  return lanes == kLanes<T> ? load(p) : load_part(p, lanes);
}
template <class T>
inline void write(T* p, Vec<T> v, int lanes) {
  lanes == kLanes<T> ? store(p, v) : store_part(p, v, lanes);
}

// Where step i of a walk through time is, and where its states lie.
struct Place {
  int64_t now, before, after;
};
inline Place place(const RnnArgs& a, int64_t i) {
  const int64_t t = a.reverse ? a.time - 1 - i : i;
  return {t, t + (a.reverse ? 1 : 0), t + (a.reverse ? 0 : 1)};
}

template <class T>
inline Vec<T> clipped(const RnnArgs& a, Vec<T> c) {
  const Vec<T> low = splat(static_cast<T>(a.clip_min)), high = splat(static_cast<T>(a.clip_max));
  const Vec<T> held = c > high ? high : c < low ? low : c;
  return a.clip_nan ? (c != c ? low : held) : held;
}

template <class T, Cell Kind>
void forward(const RnnArgs& a, void* const* buffers, const Context& context) {
  constexpr int64_t gates = gates_of(Kind);
  constexpr int first_output = Kind == Cell::lstm ? 5 : 4;
  const int64_t H = a.hidden, states = a.batch * H, row = gates * H;
  const T* projection = static_cast<const T*>(buffers[0]);
  const T* weight = static_cast<const T*>(buffers[1]);
  const T* bias = static_cast<const T*>(buffers[2]);
  T* activity = Kind == Cell::plain ? nullptr : static_cast<T*>(buffers[first_output]);
  T* hidden = static_cast<T*>(buffers[Kind == Cell::plain ? first_output : first_output + 1]);
  T* extra = Kind == Cell::plain ? nullptr : static_cast<T*>(buffers[first_output + 2]);
  T* scratch = static_cast<T*>(buffers[Kind == Cell::plain ? first_output + 1 : first_output + 3]);
  const int64_t start = a.reverse ? a.time * states : 0;
  __builtin_memcpy(hidden + start, buffers[3], static_cast<size_t>(states) * sizeof(T));
  if constexpr (Kind == Cell::lstm)
    __builtin_memcpy(extra + start, buffers[4], static_cast<size_t>(states) * sizeof(T));
  const Recurrence<T> r(a, gates, scratch);
  r.pack_forward(weight, context);
  const Vec<T> one = splat(static_cast<T>(1));

  for (int64_t i = 0; i < a.time; ++i) {
    const Place at = place(a, i);
    const T* x = projection + at.now * a.batch * row;
    T* g = activity + at.now * a.batch * row;
    const T* h = hidden + at.before * states;
    T* next = hidden + at.after * states;
    r.step(context, [&](const Panel& p, int64_t begin, int64_t end) {
      const int64_t u = p.first * kLanes<T>;
      for (int64_t gate = 0; gate < gates; ++gate) {
        const T* b = r.forward_panel(gate, p);
        const int64_t column = gate * H + u;
        if constexpr (Kind == Cell::plain)
          r.multiply_rows(h, H, b, p, begin, end, next + u, x + u, bias + u, H);
        else if (Kind == Cell::gru && gate == 2)
          r.multiply_rows(h, H, b, p, begin, end, extra + at.now * states + u, nullptr, bias + column, H);
        else
          r.multiply_rows(h, H, b, p, begin, end, g + column, x + column, bias + column, row);
      }
      for (int64_t n = begin; n < end; ++n)
        r.each_vector(p, [&](int64_t j, int lanes) {
          const int64_t k = n * H + j;
          if constexpr (Kind == Cell::plain) {
            const Vec<T> v = read(next + k, lanes);
            write(next + k, a.relu ? (v < 0 ? Vec<T>{} : v) : vtanh(v), lanes);
          } else if constexpr (Kind == Cell::lstm) {
            T* own = g + n * row + j;
            const Vec<T> in = vsigmoid(read(own, lanes)), forget = vsigmoid(read(own + H, lanes));
            const Vec<T> value = vtanh(read(own + 2 * H, lanes)), out = vsigmoid(read(own + 3 * H, lanes));
            Vec<T> c = forget * read(extra + at.before * states + k, lanes) + in * value;
            if (a.clip) c = clipped<T>(a, c);
            write(own, in, lanes);
            write(own + H, forget, lanes);
            write(own + 2 * H, value, lanes);
            write(own + 3 * H, out, lanes);
            write(extra + at.after * states + k, c, lanes);
            write(next + k, out * vtanh(c), lanes);
          } else {
            T* own = g + n * row + j;
            const Vec<T> reset = vsigmoid(read(own, lanes)), keep = vsigmoid(read(own + H, lanes));
            const Vec<T> product = read(extra + at.now * states + k, lanes);
            const Vec<T> value = vtanh(read(x + n * row + 2 * H + j, lanes) + reset * product);
            write(own, reset, lanes);
            write(own + H, keep, lanes);
            write(own + 2 * H, value, lanes);
            write(next + k, (one - keep) * value + keep * read(h + k, lanes), lanes);
          }
        });
    });
  }
}

template <class T, Cell Kind>
void backward(const RnnArgs& a, void* const* buffers, const Context& context) {
  constexpr int64_t gates = gates_of(Kind);
  const int64_t H = a.hidden, states = a.batch * H, row = gates * H;
  int next = 0;
  const auto in = [&] { return static_cast<const T*>(buffers[next++]); };
  const auto out = [&] { return static_cast<T*>(buffers[next++]); };
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
  T* dh = out();  // what arrives at the state, step after step
  T* dc = Kind == Cell::lstm ? out() : nullptr;
  T* scratch = out();
  const size_t bytes = static_cast<size_t>(states) * sizeof(T);
  d_last ? __builtin_memcpy(dh, d_last, bytes) : __builtin_memset(dh, 0, bytes);
  if constexpr (Kind == Cell::lstm)
    d_last_cell ? __builtin_memcpy(dc, d_last_cell, bytes) : __builtin_memset(dc, 0, bytes);
  const Recurrence<T> r(a, gates, scratch);
  r.pack_backward(weight, context);
  const Vec<T> one = splat(static_cast<T>(1));

  for (int64_t i = a.time; i >= 0; --i) {
    const bool first = i == 0;  // no step is left: only what the first one passes on to the state before it
    const Place at = place(a, first ? 0 : i - 1), later = place(a, i);
    const T* passed = i < a.time ? d_product + later.now * a.batch * row : nullptr;
    const T* arrives = d_output && !first ? d_output + at.now * states : nullptr;
    r.step(context, [&](const Panel& p, int64_t begin, int64_t end) {
      const int64_t u = p.first * kLanes<T>;
      if (passed) r.multiply_rows(passed, row, r.backward_panel(p), p, begin, end, dh + u, dh + u, nullptr, H);
      if (first) return;
      for (int64_t n = begin; n < end; ++n)
        r.each_vector(p, [&](int64_t j, int lanes) {
          const int64_t k = n * H + j, own = (at.now * a.batch + n) * row + j;
          Vec<T> d = read(dh + k, lanes);
          if (arrives) d += read(arrives + k, lanes);
          if constexpr (Kind == Cell::plain) {
            const Vec<T> h = read(hidden + at.after * states + k, lanes);
            write(d_projection + own, a.relu ? (h > 0 ? d : Vec<T>{}) : d * (one - h * h), lanes);
            d = Vec<T>{};
          } else if constexpr (Kind == Cell::lstm) {
            const T* g = activity + own;
            const Vec<T> input = read(g, lanes), forget = read(g + H, lanes), value = read(g + 2 * H, lanes),
                         output = read(g + 3 * H, lanes);
            const Vec<T> c = read(extra + at.after * states + k, lanes), t = vtanh(c);
            Vec<T> slope = read(dc + k, lanes) + d * output * (one - t * t);
            if (d_cells) slope += read(d_cells + at.now * states + k, lanes);
            if (a.clip)
              slope =
                  (c > splat(static_cast<T>(a.clip_min))) & (c < splat(static_cast<T>(a.clip_max))) ? slope : Vec<T>{};
            T* to = d_projection + own;
            const Vec<T> before = read(extra + at.before * states + k, lanes);
            write(to, slope * value * input * (one - input), lanes);
            write(to + H, slope * before * forget * (one - forget), lanes);
            write(to + 2 * H, slope * input * (one - value * value), lanes);
            write(to + 3 * H, d * t * output * (one - output), lanes);
            write(dc + k, slope * forget, lanes);
            d = Vec<T>{};
          } else {
            const T* g = activity + own;
            const Vec<T> reset = read(g, lanes), keep = read(g + H, lanes), value = read(g + 2 * H, lanes);
            const Vec<T> product = read(extra + at.now * states + k, lanes);
            const Vec<T> h = read(hidden + at.before * states + k, lanes);
            const Vec<T> dn = d * (one - keep) * (one - value * value);
            const Vec<T> dr = dn * product * reset * (one - reset), dz = d * (h - value) * keep * (one - keep);
            write(d_projection + own, dr, lanes);
            write(d_projection + own + H, dz, lanes);
            write(d_product + own, dr, lanes);
            write(d_product + own + H, dz, lanes);
            write(d_projection + own + 2 * H, dn, lanes);
            write(d_product + own + 2 * H, dn * reset, lanes);
            d *= keep;
          }
          write(dh + k, d, lanes);
        });
    });
  }
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

#define OF_TYPE(name, T)                                                   \
  KERNEL("rnn_plain." name, (forward<T, Cell::plain>), RnnArgs),           \
      KERNEL("rnn_lstm." name, (forward<T, Cell::lstm>), RnnArgs),         \
      KERNEL("rnn_gru." name, (forward<T, Cell::gru>), RnnArgs),           \
      KERNEL("rnn_plain_grad." name, (backward<T, Cell::plain>), RnnArgs), \
      KERNEL("rnn_lstm_grad." name, (backward<T, Cell::lstm>), RnnArgs),   \
      KERNEL("rnn_gru_grad." name, (backward<T, Cell::gru>), RnnArgs)
KERNELS(rnn, OF_TYPE("float32", float), OF_TYPE("float64", double))
