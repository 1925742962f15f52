// conv_last in bfloat16: channels-last convolution and its data gradient, with sums in float32.
//
// Two neighbouring channels make one element of 32 bits. With these the geometry is that of float32 with half as many
// channels (conv_last.h), and what a tile multiplies are pairs. An odd channel is copied beside a zero.
#include "../args/conv_last.h"
#include "bfloat_tile.h"
#include "conv_last_sweep.h"
#include "epilogue.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int L = kLanes<float>;

// ---- Weights --------------------------------------------------------------------------------------------------------

inline Sweep pairs_sweep(const ConvLastArgs& a) {
  return {a.batch, ceil_div(a.channels, 2), a.filters, pitch_of(a), forward_axis(a, 0), forward_axis(a, 1), false};
}

// Where the weight of a term for one of the results lies: `result` and `term` elements apart, and its taps in
// `columns`.
struct Weights {
  int64_t result, term, terms, columns;
};

// Packs pairs of terms by vectors of results, as pack_forward and pack_turned do with single ones.
template <class S>
void pack_pairs(const Sweep& s, const Weights& from, const S* w, uint32_t* packed, const Context& context) {
  const Panels<float> panels(s.width);
  const Place place(s);
  const bool small = s.terms() * s.width < kWorthATask / 16;
  const int64_t tasks = small ? 1 : lesser(panels.count, 4 * static_cast<int64_t>(context.threads));
  parallel(context, tasks, [&](int64_t task, int) {
    for (int64_t p = begin_of(task, panels.count, tasks); p < begin_of(task + 1, panels.count, tasks); ++p) {
      const int64_t first = panels.begin(p) * L, wide = panels.begin(p + 1) * L - first;
      const int64_t results = lesser(wide, s.width - first);
      for (int64_t q = 0; q < s.depth; ++q)
        for (int64_t i = 0; i < s.row.taps; ++i)
          for (int64_t j = 0; j < s.column.taps; ++j) {
            const int64_t tap = (s.row.from + i * s.row.step) * from.columns + s.column.from + j * s.column.step;
            const S* at = w + first * from.result + 2 * q * from.term + tap;
            const bool both = 2 * q + 1 < from.terms;
            uint32_t* const to = packed + first * s.terms() + place.of(q, i, j) * wide;
            for (int64_t r = 0; r < wide; ++r, at += from.result) {
              uint32_t pair = 0;
              if (r < results) pair = Stored<BFloat16, float>::from(from_stored<float>(at[0])).bits;
              if (r < results && both)
                pair |= static_cast<uint32_t>(Stored<BFloat16, float>::from(from_stored<float>(at[from.term])).bits)
                        << 16;
              to[r] = pair;
            }
          }
    }
  });
}

template <class S>
void conv_last_weights(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  const int64_t kernel = a.kernel[0] * a.kernel[1];
  const Weights from{a.channels * kernel, kernel, a.channels, a.kernel[1]};
  pack_pairs(pairs_sweep(a), from, static_cast<const S*>(buffers[0]), static_cast<uint32_t*>(buffers[1]), context);
}

template <class S>
void conv_last_turned(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  const int64_t kernel = a.kernel[0] * a.kernel[1];
  const Weights from{kernel, a.channels * kernel, a.filters, a.kernel[1]};
  uint32_t* packed = static_cast<uint32_t*>(buffers[1]);
  each_class(a, ceil_div(a.filters, 2), [&](const Sweep& s) {
    pack_pairs(s, from, static_cast<const S*>(buffers[0]), packed, context);
    packed += s.terms() * Panels<float>(s.width).vectors * L;
  });
}

// ---- Sweeps ---------------------------------------------------------------------------------------------------------

struct Riders {
  const float* bias;
  const BFloat16* residual;
  const float* scale;
  int64_t activation;
};

// Images of pixels of so many bfloat16.
struct Images {
  const BFloat16* at;
  int64_t channels;
  bool odd() const { return channels % 2; }
};

// `count` neighbouring pixels become pairs, `pixel` apart; the last one of an odd number gets a zero.
inline void copy_pixels(const Images& x, int64_t from, int64_t count, uint32_t* to, int64_t pixel) {
  const int64_t pairs = x.channels / 2;
  for (int64_t j = 0; j < count; ++j, to += pixel) {
    const BFloat16* at = x.at + (from + j) * x.channels;
    copy_run(reinterpret_cast<float*>(to), reinterpret_cast<const float*>(at), pairs);
    if (x.odd()) to[pairs] = at[2 * pairs].bits;
  }
}

// The result of one tile that has an activation which is not done in registers.
inline void finish(float* floats, int64_t rows, int64_t columns, int64_t activation, BFloat16* y, int64_t row) {
  activate(floats, kVectors * L, rows, columns, activation);
  narrow_rows(floats, kVectors * L, rows, columns, y, row);
}

// The outputs of a box by the filters of one panel. `from` is where the box's first output finds its first term.
void sweep_panel(const Sweep& s, const Box& box, const Source& source, const BFloat16* from, const Run* runs,
                 int64_t image, int64_t v0, int64_t vectors, const uint32_t* packed, const Riders& riders,
                 BFloat16* y) {
  const Panels<float> panels(s.width);
  const int64_t filter = v0 * L;
  const uint32_t* const weights = packed + filter * s.terms();
  const bool partial = v0 + vectors == panels.vectors && panels.last < L;
  const auto& table = partial ? kPairTiles<true> : kPairTiles<false>;
  float floats[kPixels * kVectors * L];
  PairEnds ends{};
  ends.floats = riders.activation > kRelu ? floats : nullptr;
  ends.pitch = kVectors * L;
  ends.row = s.column.every * s.pitch;
  ends.bias = riders.bias ? riders.bias + filter : nullptr;
  ends.scale = riders.scale ? riders.scale + filter : nullptr;
  ends.relu = riders.activation == kRelu;
  ends.last = static_cast<int>(panels.last);
  each_tile(s, box, source, runs, image, vectors * L, kPixels, [&](const OutputTile& t) {
    ends.y = y + t.at + filter;
    ends.residual = riders.residual ? riders.residual + t.at + filter : nullptr;
    table.at[vectors - 1][t.pixels - 1](from + 2 * t.from, 2 * s.column.stride * source.pixel, t.runs, t.count,
                                        weights + t.weights, ends);
    if (ends.floats)
      finish(floats, t.pixels, lesser(vectors * L, s.width - filter), riders.activation, ends.y, ends.row);
  });
}

void sweep(Sweep s, const Images& x, const uint32_t* packed, const Riders& riders, BFloat16* y, uint32_t* scratch,
           int64_t scratch_size, const Context& context) {
  if (s.outputs() * s.width == 0) return;
  const Sweep images = s;
  const bool picked = join_pixels(s) && (s.picked || x.odd());
  s.picked |= x.odd();  // what is picked is never read in place
  const auto fill = [&](int64_t image, const Box& box, const Source& source, uint32_t* copy) {
    const auto pixels = [&](int64_t from, int64_t count, uint32_t* to) {
      copy_pixels(x, image * s.row.in * s.column.in + from, count, to, source.pixel);
    };
    if (picked)
      copy_picked(images, box, source, pixels, copy);
    else
      copy_source(s, box, source, pixels, copy);
  };
  const Panels<float> panels(s.width);
  each_panel(
      s, 2 * s.outputs() * s.terms() * s.width, scratch, scratch_size, context, fill,
      [&](int64_t image, const Box& box, const Source& source, uint32_t* copy, const Run* runs, const Turn& turn) {
        const BFloat16* from =
            source.in_place ? x.at + first_pixel(s, box, image) * x.channels : reinterpret_cast<const BFloat16*>(copy);
        const int64_t v0 = panels.begin(turn.panel), vectors = panels.begin(turn.panel + 1) - v0;
        sweep_panel(s, box, source, from, runs, image, v0, vectors, packed, riders, y);
      });
}

void conv_last_forward(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  const Riders riders{static_cast<const float*>(buffers[2]), static_cast<const BFloat16*>(buffers[3]),
                      static_cast<const float*>(buffers[4]), a.activation};
  sweep(pairs_sweep(a), {static_cast<const BFloat16*>(buffers[0]), a.channels},
        static_cast<const uint32_t*>(buffers[1]), riders, static_cast<BFloat16*>(buffers[5]),
        static_cast<uint32_t*>(buffers[6]), a.scratch, context);
}

void conv_last_data_gradient(const ConvLastArgs& a, void* const* buffers, const Context& context) {
  const uint32_t* packed = static_cast<const uint32_t*>(buffers[1]);
  BFloat16* const dx = static_cast<BFloat16*>(buffers[5]);
  if (a.kernel[0] < a.stride[0] || a.kernel[1] < a.stride[1]) {  // some pixels are not reached
    const int64_t size = a.batch * a.in[0] * a.in[1] * a.channels;
    const int64_t tasks = size > kWorthATask ? 4 * static_cast<int64_t>(context.threads) : 1;
    parallel(context, tasks, [&](int64_t task, int) {
      const int64_t lo = begin_of(task, size, tasks), n = begin_of(task + 1, size, tasks) - lo;
      __builtin_memset(dx + lo, 0, static_cast<size_t>(n) * sizeof *dx);
    });
  }
  each_class(a, ceil_div(a.filters, 2), [&](const Sweep& s) {
    if (s.terms())
      sweep(s, {static_cast<const BFloat16*>(buffers[0]), a.filters}, packed, Riders{}, dx,
            static_cast<uint32_t*>(buffers[6]), a.scratch, context);
    packed += s.terms() * Panels<float>(s.width).vectors * L;
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

// Weights that are float32 are rounded while they are packed.
KERNELS(conv_last_bfloat, KERNEL("conv_last_weights.bfloat16", conv_last_weights<BFloat16>, ConvLastArgs),
        KERNEL("conv_last_weights.float32.bfloat16", conv_last_weights<float>, ConvLastArgs),
        KERNEL("conv_last_turned.bfloat16", conv_last_turned<BFloat16>, ConvLastArgs),
        KERNEL("conv_last_turned.float32.bfloat16", conv_last_turned<float>, ConvLastArgs),
        KERNEL("conv_last_forward.bfloat16", conv_last_forward, ConvLastArgs),
        KERNEL("conv_last_data_gradient.bfloat16", conv_last_data_gradient, ConvLastArgs))
