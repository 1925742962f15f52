// index: gather, pick and one_hot, and the scatters that undo them.
//
// A scatter is cut so that no two tasks write the same place: by columns of the rows that move, or by ranges of the
// rows they go to, each task then looking at all indices. So sums are made in one order whatever the thread count.
#include "../args/index.h"

#include "stream.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

// Index x made valid for an axis of n > 0.
inline int64_t clipped(int64_t x, int64_t n) { return x < 0 ? 0 : x >= n ? n - 1 : x; }
inline int64_t wrapped(int64_t x, int64_t n) {
  if (x >= 0 && x < n) return x;
  x %= n;
  return x < 0 ? x + n : x;
}
inline int64_t valid(int64_t x, int64_t n, int64_t mode) { return mode == kWrap ? wrapped(x, n) : clipped(x, n); }

// Which row of the table the c-th index means.
struct AxisRows {
  const int64_t* indices;
  int64_t axis, mode;
  int64_t operator()(int64_t c) const { return valid(indices[c], axis, mode); }
};
struct NdRows {
  const int64_t* indices;
  Ints dims;
  int64_t count;
  int64_t operator()(int64_t c) const {
    int64_t row = 0;
    for (int64_t d = 0; d < dims.n; ++d) row = row * dims[d] + wrapped(indices[d * count + c], dims[d]);
    return row;
  }
};

int64_t product(const Ints& dims) {
  int64_t n = 1;
  for (int64_t d = 0; d < dims.n; ++d) n *= dims[d];
  return n;
}

// out (outer, count, inner) from data (outer, rows, inner).
template <class T, class Rows>
void gather_rows(const T* data, T* out, int64_t outer, int64_t rows, int64_t count, int64_t inner, const Rows& row,
                 const Context& context) {
  const int64_t total = outer * count;
  const int64_t work = pieces(context, total * (2 * inner * static_cast<int64_t>(sizeof(T)) + 8));
  const int64_t tasks = work < total ? work : total;
  const int64_t bytes = inner * static_cast<int64_t>(sizeof(T));
  const bool streamed = total * bytes >= kStreamBytes && bytes % 64 == 0 && reinterpret_cast<uintptr_t>(out) % 64 == 0;
  parallel(context, tasks, [&](int64_t task, int) {
    int64_t at = total * task / tasks;
    const int64_t end = total * (task + 1) / tasks;
    while (at < end) {
      const int64_t o = at / count;
      const int64_t stop = (o + 1) * count < end ? (o + 1) * count : end;
      const T* table = data + o * rows * inner;
      if (inner == 1)
        for (; at < stop; ++at) out[at] = table[row(at - o * count)];
      else if (streamed)
        for (; at < stop; ++at)
          stream_lines(reinterpret_cast<char*>(out + at * inner),
                       reinterpret_cast<const char*>(table + row(at - o * count) * inner), bytes);
      else
        for (; at < stop; ++at) copy_run(out + at * inner, table + row(at - o * count) * inner, inner);
    }
    if (streamed) finish_streams();
  });
}

struct Assign {
  template <class T>
  static void run(T* out, const T* in, int64_t n) {
    copy_run(out, in, n);
  }
};
struct Add {
  template <class T>
  static void run(T* out, const T* in, int64_t n) {
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(out[i] + in[i]);
  }
};

// values (outer, count, inner) into out (outer, rows, inner), over what is there when `keep`, else over zeros.
template <class Combine, class T, class Rows>
void scatter_rows(const T* values, T* out, int64_t outer, int64_t rows, int64_t count, int64_t inner, const Rows& row,
                  bool keep, const Context& context) {
  const int64_t size = sizeof(T);
  const int64_t cleared = keep ? 0 : outer * rows * inner * size, moved = outer * count * inner * size;
  const int64_t work = pieces(context, cleared + 3 * moved);
  // Column cuts balance any indices but need wide rows (under 1 KB a piece, reading them is slow); they are for when
  // the moving outweighs the clearing.
  const int64_t wide = inner * size / 1024;
  const bool by_columns = moved > cleared && wide >= context.threads;
  const int64_t cuts = by_columns ? wide : rows;
  const int64_t per_outer = (work + outer - 1) / outer < cuts ? (work + outer - 1) / outer : cuts;
  const auto piece = [&](int64_t task, int) {
    const int64_t o = task / per_outer, part = task % per_outer, extent = by_columns ? inner : rows;
    const int64_t first = extent * part / per_outer, last = extent * (part + 1) / per_outer;
    const T* from = values + o * count * inner;
    T* to = out + o * rows * inner;
    if (by_columns) {
      if (!keep)
        for (int64_t r = 0; r < rows; ++r) fill_run(to + r * inner + first, last - first, T{});
      for (int64_t c = 0; c < count; ++c)
        Combine::run(to + row(c) * inner + first, from + c * inner + first, last - first);
    } else {
      if (!keep) fill_run(to + first * inner, (last - first) * inner, T{});
      for (int64_t c = 0; c < count; ++c) {
        const int64_t r = row(c);
        if (r >= first && r < last) Combine::run(to + r * inner, from + c * inner, inner);
      }
    }
  };
  if (work > 1) return parallel(context, outer * per_outer, piece);
  for (int64_t o = 0; o < outer; ++o) piece(o, 0);
}

template <class T>
void gather(const GatherArgs& a, void* const* buffers, const Context& context) {
  const AxisRows row{static_cast<const int64_t*>(buffers[1]), a.axis, a.mode};
  gather_rows(static_cast<const T*>(buffers[0]), static_cast<T*>(buffers[2]), a.outer, a.axis, a.count, a.inner, row,
              context);
}

template <class T>
void scatter_add(const GatherArgs& a, void* const* buffers, const Context& context) {
  const AxisRows row{static_cast<const int64_t*>(buffers[1]), a.axis, a.mode};
  if (a.outer * a.axis * a.inner == 0) return;
  scatter_rows<Add>(static_cast<const T*>(buffers[0]), static_cast<T*>(buffers[2]), a.outer, a.axis, a.count, a.inner,
                    row, false, context);
}

template <class T>
void gather_nd(const GatherNdArgs& a, void* const* buffers, const Context& context) {
  const auto* indices = static_cast<const int64_t*>(buffers[1]);
  const auto run = [&](const auto& row) {
    gather_rows(static_cast<const T*>(buffers[0]), static_cast<T*>(buffers[2]), 1, product(a.dims), a.count, a.inner,
                row, context);
  };
  if (a.dims.n == 1) return run(AxisRows{indices, a.dims[0], kWrap});
  run(NdRows{indices, a.dims, a.count});
}

template <class Combine, class T>
void scatter_nd_rows(const ScatterNdArgs& a, void* const* buffers, const Context& context) {
  const NdRows row{static_cast<const int64_t*>(buffers[1]), a.dims, a.count};
  const int64_t rows = product(a.dims);
  if (rows * a.inner == 0) return;
  scatter_rows<Combine>(static_cast<const T*>(buffers[0]), static_cast<T*>(buffers[2]), 1, rows, a.count, a.inner, row,
                        a.keep != 0, context);
}
template <class T>
void scatter_nd(const ScatterNdArgs& a, void* const* buffers, const Context& context) {
  scatter_nd_rows<Assign, T>(a, buffers, context);
}
template <class T>
void scatter_nd_add(const ScatterNdArgs& a, void* const* buffers, const Context& context) {
  scatter_nd_rows<Add, T>(a, buffers, context);
}

template <class T>
void pick(const PickArgs& a, void* const* buffers, const Context& context) {
  const T* data = static_cast<const T*>(buffers[0]);
  const int64_t* indices = static_cast<const int64_t*>(buffers[1]);
  T* out = static_cast<T*>(buffers[2]);
  const int64_t rows = a.outer * a.count, total = rows * a.inner, tasks = pieces(context, total * 64);
  parallel(context, tasks, [&](int64_t task, int) {
    int64_t at = total * task / tasks;
    const int64_t end = total * (task + 1) / tasks;
    int64_t row = at / a.inner, i = at % a.inner;
    int64_t o = row / a.count, c = row % a.count;
    for (; at < end; ++at) {
      out[at] = data[(o * a.axis + valid(indices[at], a.axis, a.mode)) * a.inner + i];
      if (++i < a.inner) continue;
      i = 0;
      if (++c < a.count) continue;
      c = 0;
      ++o;
    }
  });
}

template <class T>
void place(const PlaceArgs& a, void* const* buffers, const Context& context) {
  const T* values = static_cast<const T*>(buffers[0]);
  const int64_t* indices = static_cast<const int64_t*>(buffers[1]);
  T* out = static_cast<T*>(buffers[2]);
  const int64_t block = a.axis * a.inner;
  if (block == 0) return;
  const int64_t work =
      pieces(context, a.outer * (a.count * a.inner * 64 + (a.keep ? 0 : block * static_cast<int64_t>(sizeof(T)))));
  const int64_t tasks = work < a.outer ? work : a.outer;
  parallel(context, tasks, [&](int64_t task, int) {
    const int64_t first = a.outer * task / tasks, last = a.outer * (task + 1) / tasks;
    for (int64_t o = first; o < last; ++o) {
      T* to = out + o * block;
      if (!a.keep) fill_run(to, block, T{});
      for (int64_t c = 0; c < a.count; ++c) {
        const int64_t row = (o * a.count + c) * a.inner;
        for (int64_t i = 0; i < a.inner; ++i)
          to[valid(indices[row + i], a.axis, a.mode) * a.inner + i] = values[row + i];
      }
    }
  });
}

template <class T>
void one_hot(const OneHotArgs& a, void* const* buffers, const Context& context) {
  const int64_t* indices = static_cast<const int64_t*>(buffers[0]);
  T* out = static_cast<T*>(buffers[1]);
  const T on = static_cast<T>(a.on), off = static_cast<T>(a.off);
  const int64_t work = pieces(context, a.count * a.depth * static_cast<int64_t>(sizeof(T)));
  const int64_t tasks = work < a.count ? work : a.count;
  parallel(context, tasks, [&](int64_t task, int) {
    const int64_t first = a.count * task / tasks, last = a.count * (task + 1) / tasks;
    fill_run(out + first * a.depth, (last - first) * a.depth, off);
    for (int64_t c = first; c < last; ++c)
      if (indices[c] >= 0 && indices[c] < a.depth) out[c * a.depth + indices[c]] = on;
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
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
