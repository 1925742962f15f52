// conv: convolution straight from planar images, forward and both gradients.
//
// Vectors lie along the pixels of a row, which planar arrays have side by side; the weights are broadcast. Only padded
// or strided input is copied first (conv_source.h). A data gradient is a forward convolution of dy with turned weights,
// one for every class of result pixels that the same taps reach; with a stride of one there is one class.
#include "../args/conv.h"

#include "conv_source.h"
#include "conv_tile.h"
#include "epilogue.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

Shape shape_of(const ConvArgs& a) {
  Shape s{};
  s.channels = a.channels / a.groups;
  s.filters = a.filters / a.groups;
  for (int i = 0; i < 3; ++i)
    s.axis[i] = {a.in[i], a.out[i], a.kernel[i], a.stride[i], a.dilate[i], a.pad[i], a.out[i], 0, 1};
  return s;
}

int64_t products(const ConvArgs& a) {
  return a.batch * a.filters * (a.channels / a.groups) * a.kernel[0] * a.kernel[1] * a.kernel[2] * a.out[0] * a.out[1] *
         a.out[2];
}
// Less work than this is not worth waking another thread.
constexpr int64_t kWorthATask = 1 << 18;

int64_t tasks_for(const Context& context, int64_t units, int64_t work) {
  const int64_t most = lesser(most_tasks(context), greater(1, work / kWorthATask));
  return context.threads == 1 ? 1 : lesser(units, most);
}

// ---- Forward --------------------------------------------------------------------------------------------------------

template <class T>
struct Convolution {
  Shape shape;
  int64_t batch, groups;
  const T *x, *w, *bias, *residual, *scale;
  T* y;
  int64_t activation;
  T* scratch;
  int64_t scratch_size;  // elements, for all threads

  // Vectors overlap at the ends of rows: what they add to must not be what they write.
  bool buffered() const { return residual && residual == y; }
};

// How the output is cut into boxes along one dimension, and the filters of a group into parts.
struct Cut {
  int dimension;
  int64_t length, boxes, parts;
};

inline Box box_of(const Shape& s, const Cut& cut, int64_t i) {
  Box b = whole(s);
  b.lo[cut.dimension] = i * cut.length;
  b.hi[cut.dimension] = lesser(b.hi[cut.dimension], (i + 1) * cut.length);
  return b;
}

// How one box is computed.
template <class T>
struct Way {
  Source source;
  Cover cover;

  // `buffered`: results must not be written before all of the box is computed.
  Way(const Shape& s, const Box& box, bool buffered) {
    if (can_stay(s) && !buffered) {
      source = located<T>(s, box, true);
      cover = minimx::cover<T>(s, box, source, false);
      if (cover.direct) return;
    }
    source = located<T>(s, box, false);
    cover = minimx::cover<T>(s, box, source, buffered);
  }
  int64_t scratch(const Shape& s) const {
    return source.size + s.filters * cover.buffer + s.terms() + 2 * cover.count + kSlack;
  }
};

template <class T>
Cut cut_for(const Convolution<T>& c, const Context& context) {
  // Input and result of a box should stay in the second-level cache.
  constexpr int64_t kCacheElements = 512 * 1024 / sizeof(T);
  const Shape& s = c.shape;
  Cut cut{};
  cut.dimension = s.axis[0].out > 1 ? 0 : s.axis[1].out > 1 ? 1 : 2;
  const int64_t out = s.axis[cut.dimension].out, limit = lesser(c.scratch_size / context.threads, kCacheElements);
  const int64_t wanted = context.threads == 1 ? 1 : 4 * static_cast<int64_t>(context.threads);
  const int64_t images = c.batch * c.groups;
  // Boxes of a few rows copy most of their input twice.
  for (cut.length = out; cut.length > 1; cut.length = ceil_div(cut.length, 2)) {
    const bool fits = Way<T>(s, box_of(s, cut, 0), c.buffered()).scratch(s) <= limit;
    if (fits && (images * ceil_div(out, cut.length) >= wanted || cut.length < 8)) break;
  }
  cut.boxes = ceil_div(out, cut.length);
  cut.parts = lesser(ceil_div(wanted, images * cut.boxes), ceil_div(s.filters, 4 * kTileFilters));
  return cut;
}

struct Terms {
  int64_t lo, hi;
};
// The terms of outputs that lie from place `from` to place `to` in the source, without those that see only padding.
inline Terms terms_of(const Shape& s, const Box& box, const Source& source, int64_t from, int64_t to) {
  const Axis& h = s.axis[1];
  const int64_t row = s.terms() / h.kernel;
  if (!s.rows_first || s.axis[0].kernel > 1 || box.size(0) > 1) return {0, s.terms()};
  const int64_t first = box.lo[1] + from / source.pitch - h.pad, last = box.lo[1] + to / source.pitch - h.pad;
  const int64_t apart = greater(1, h.dilate);
  const int64_t lo = last < 0 ? lesser(h.kernel - 1, ceil_div(-last, apart)) : 0;
  const int64_t hi = first < h.in ? lesser(h.kernel, (h.in - 1 - first) / apart + 1) : 1;
  return {lo * row, greater(lo + 1, hi) * row};
}

// Filters lo..hi-1 of one box, whose sums wait in `sums` while there are terms to come.
template <class T>
void compute(const Shape& s, const Box& box, const Way<T>& way, const T* x, const T* w, const int32_t* offset,
             const int32_t* from, int64_t filters, T* sums, const TileEnds<T>& ends) {
  constexpr int64_t L = kLanes<T>;
  const int64_t terms = s.terms(), vectors = way.cover.count, blocks = ceil_div(filters, kTileFilters);
  const int64_t most = most_vectors(static_cast<int>(ceil_div(filters, blocks))), tiles = ceil_div(vectors, most);
  const int64_t rounds = ceil_div(terms, kTermsAtOnce);
  for (int64_t round = 0; round < rounds; ++round)
    for (int64_t j = 0; j < tiles; ++j) {
      const int64_t v0 = begin_of(j, vectors, tiles), v1 = begin_of(j + 1, vectors, tiles);
      const Terms all = terms_of(s, box, way.source, from[v0], from[v1 - 1] + L - 1);
      const int64_t k0 = greater(all.lo, begin_of(round, terms, rounds));
      const int64_t k1 = lesser(all.hi, begin_of(round + 1, terms, rounds));
      if (k0 >= k1) continue;
      for (int64_t i = 0; i < blocks; ++i) {
        const int64_t f0 = begin_of(i, filters, blocks), f1 = begin_of(i + 1, filters, blocks);
        TileEnds<T> e = ends;
        e.sums = sums + f0 * way.cover.buffer + v0 * L;
        e.sums_filter = way.cover.buffer;
        e.first = k0 == all.lo;
        e.last = k1 == all.hi;
        e.out += f0 * e.filter;
        e.to += v0;
        if (e.residual) e.residual += f0 * e.filter;
        if (e.bias) e.bias += f0;
        if (e.scale) e.scale += f0;
        kTiles<T>.output[f1 - f0 - 1][v1 - v0 - 1](x, from + v0, offset + k0, w + f0 * terms + k0, terms, k1 - k0, e);
      }
    }
}

// Moves the rows of one filter from the buffer to the result.
template <class T>
void deliver(const Shape& s, const Box& box, const Source& source, const Cover& cover, const T* buffer,
             const T* residual, T* y, bool relu) {
  const Axis &d = s.axis[0], &h = s.axis[1], &w = s.axis[2];
  const int64_t plane = cover.buffer / box.size(0), width = box.size(2);
  for (int64_t i = 0; i < box.size(0); ++i)
    for (int64_t j = 0; j < box.size(1); ++j) {
      const int64_t z = d.first + (box.lo[0] + i) * d.every, r = h.first + (box.lo[1] + j) * h.every;
      const int64_t at = (z * h.result + r) * w.result + w.first + box.lo[2] * w.every;
      const T* row = buffer + i * plane + j * source.pitch;
      T* to = y + at;
      if (w.every != 1) {
        for (int64_t e = 0; e < width; ++e) to[e * w.every] = row[e];
        continue;
      }
      if (residual)
        for (int64_t e = 0; e < width; ++e) to[e] = row[e] + residual[at + e];
      else
        for (int64_t e = 0; e < width; ++e) to[e] = row[e];
      if (relu)
        for (int64_t e = 0; e < width; ++e) to[e] = to[e] < 0 ? 0 : to[e];
    }
}

template <class T>
void convolve(const Convolution<T>& c, const Context& context) {
  const Shape& s = c.shape;
  const int64_t work = c.batch * c.groups * s.filters * s.terms() * s.out_size();
  if (c.batch * c.groups * s.filters * s.out_size() == 0) return;
  const Cut cut = cut_for(c, context);
  const int64_t per_thread = c.scratch_size / context.threads / kSlack * kSlack;
  const int64_t images = c.batch * c.groups, units = cut.boxes * images * cut.parts;
  const int64_t tasks = tasks_for(context, units, work);
  parallel(context, tasks, [&](int64_t task, int thread) {
    int64_t last_box = -1, last_copy = -1;
    T* const copy = c.scratch + thread * per_thread;
    for (int64_t unit = begin_of(task, units, tasks); unit < begin_of(task + 1, units, tasks); ++unit) {
      const int64_t part = unit % cut.parts, image = unit / cut.parts % images, group = image % c.groups;
      const int64_t box_number = unit / (cut.parts * images);
      const Box box = box_of(s, cut, box_number);
      const Way<T> way(s, box, c.buffered());
      T* const buffer = copy + way.source.size;
      int32_t* const offset = reinterpret_cast<int32_t*>(buffer + s.filters * way.cover.buffer);
      int32_t *const from = offset + s.terms(), *const to = from + way.cover.count;
      if (box_number != last_box) {
        fill_offsets(s, way.source, offset);
        fill_places<T>(s, box, way.source, way.cover, from, to);
        last_box = box_number;
      }
      const T* x = c.x + image * s.channels * s.in_size() + way.source.origin;
      if (!way.source.in_place) {
        if (unit / cut.parts != last_copy) copy_source(s, box, way.source, x, copy, 0, s.channels);
        last_copy = unit / cut.parts;
        x = copy;
      }
      const int64_t lo = begin_of(part, s.filters, cut.parts), hi = begin_of(part + 1, s.filters, cut.parts);
      const int64_t first = (image * s.filters + lo) * s.result_size();
      const T* residual = c.residual ? c.residual + first : nullptr;
      const bool direct = way.cover.direct, relu = c.activation == kRelu;
      TileEnds<T> ends{};
      ends.out = direct ? c.y + first : buffer;
      ends.residual = direct ? residual : nullptr;
      ends.filter = direct ? s.result_size() : way.cover.buffer;
      ends.to = to;
      ends.bias = c.bias ? c.bias + group * s.filters + lo : nullptr;
      ends.scale = c.scale ? c.scale + group * s.filters + lo : nullptr;
      ends.relu = direct && relu;
      compute(s, box, way, x, c.w + (group * s.filters + lo) * s.terms(), offset, from, hi - lo, buffer, ends);
      for (int64_t f = lo; f < hi; ++f) {
        const int64_t at = (f - lo) * s.result_size();
        if (!direct)
          deliver(s, box, way.source, way.cover, buffer + (f - lo) * way.cover.buffer,
                  residual ? residual + at : nullptr, c.y + first + at, relu);
        if (c.activation > kRelu) {
          const int64_t row = (box.lo[0] * s.axis[1].out + box.lo[1]) * s.axis[2].out + box.lo[2];
          const int64_t size = box.size(0) * box.size(1) * box.size(2);
          activate(c.y + first + at + row, size, 1, size, c.activation);
        }
      }
    }
  });
}

template <class T>
void conv_forward(const ConvArgs& a, void* const* buffers, const Context& context) {
  Convolution<T> c{};
  c.shape = shape_of(a);
  c.batch = a.batch;
  c.groups = a.groups;
  c.x = static_cast<const T*>(buffers[0]);
  c.w = static_cast<const T*>(buffers[1]);
  c.bias = static_cast<const T*>(buffers[2]);
  c.residual = static_cast<const T*>(buffers[3]);
  c.scale = static_cast<const T*>(buffers[4]);
  c.y = static_cast<T*>(buffers[5]);
  c.activation = a.activation;
  c.scratch = static_cast<T*>(buffers[6]);
  c.scratch_size = a.scratch;
  convolve(c, context);
}

// ---- Data gradient --------------------------------------------------------------------------------------------------

// The taps first, first + every, ... of one dimension, which meet pixels of one remainder by the stride, and the
// convolution of dy that gives those pixels' gradient.
struct TapClass {
  int64_t first, every, count;
  Axis axis;
};

// Class i of dimension d; an axis with no outputs when it is empty.
TapClass tap_class(const ConvArgs& a, int d, int64_t i) {
  const Axis forward{a.in[d], a.out[d], a.stride[d], a.stride[d], a.dilate[d], a.pad[d], 0, 0, 1};
  const int64_t stride = a.stride[d], dilate = a.dilate[d], pad = a.pad[d];
  TapClass t{};
  t.first = i;
  t.every = forward.phases();
  t.count = (a.kernel[d] - 1 - i) / t.every + 1;
  const int64_t rest = i * dilate % stride, apart = dilate * t.every / stride;
  const int64_t last = (i * dilate - rest) / stride + (t.count - 1) * apart;  // how far back the last tap looks
  const int64_t begin = ((rest - pad) % stride + stride) % stride;
  const int64_t count = begin < a.in[d] ? (a.in[d] - 1 - begin) / stride + 1 : 0;
  t.axis = {a.out[d], count, t.count, 1, apart, last - (begin + pad - rest) / stride, a.in[d], begin, stride};
  return t;
}

// The weights of the classes' taps, last first, as filters of dy: out[c][tap plane and row][f][tap column] for the
// channels c of all groups.
template <class T>
void turn_weights(const ConvArgs& a, const TapClass (&classes)[3], const T* w, T* out, const Context& context) {
  const int64_t channels = a.channels / a.groups, filters = a.filters / a.groups;
  const int64_t taps = a.kernel[0] * a.kernel[1] * a.kernel[2];
  const int64_t kept = classes[0].count * classes[1].count * classes[2].count;
  const int64_t tasks = tasks_for(context, a.channels, a.channels * filters * kept * 8);
  parallel(context, tasks, [&](int64_t task, int) {
    for (int64_t row = begin_of(task, a.channels, tasks); row < begin_of(task + 1, a.channels, tasks); ++row) {
      const int64_t group = row / channels, c = row % channels;
      T* to = out + row * filters * kept;
      for (int64_t i = classes[0].count - 1; i >= 0; --i)
        for (int64_t j = classes[1].count - 1; j >= 0; --j) {
          const int64_t z = classes[0].first + i * classes[0].every, y = classes[1].first + j * classes[1].every;
          const T* from = w + (group * filters * channels + c) * taps + (z * a.kernel[1] + y) * a.kernel[2];
          for (int64_t f = 0; f < filters; ++f, from += channels * taps)
            for (int64_t k = classes[2].count - 1; k >= 0; --k) *to++ = from[classes[2].first + k * classes[2].every];
        }
    }
  });
}

template <class T>
void conv_data_gradient(const ConvArgs& a, void* const* buffers, const Context& context) {
  const T* w = static_cast<const T*>(buffers[1]);
  T* turned = static_cast<T*>(buffers[3]);
  const Shape forward = shape_of(a);
  const int64_t weights = ceil_div(a.filters * forward.terms(), kSlack) * kSlack;
  Convolution<T> c{};
  c.batch = a.batch;
  c.groups = a.groups;
  c.x = static_cast<const T*>(buffers[0]);
  c.w = turned;
  c.y = static_cast<T*>(buffers[2]);
  c.scratch = turned + weights;
  c.scratch_size = a.scratch - weights;
  c.shape.channels = forward.filters;
  c.shape.filters = forward.channels;
  c.shape.rows_first = true;
  int64_t classes[3], reached = 1, all = 1;
  for (int d = 0; d < 3; ++d) {
    classes[d] = forward.axis[d].phases();
    reached *= classes[d];
    all *= a.stride[d];
  }
  if (reached < all) {  // some pixels are met by no tap
    const int64_t size = a.batch * a.channels * forward.in_size();
    const int64_t tasks = tasks_for(context, size, size * 8);
    parallel(context, tasks, [&](int64_t task, int) {
      const int64_t lo = begin_of(task, size, tasks), hi = begin_of(task + 1, size, tasks);
      std::memset(c.y + lo, 0, static_cast<size_t>(hi - lo) * sizeof(T));
    });
  }
  for (int64_t i = 0; i < reached; ++i) {
    const TapClass taps[3] = {tap_class(a, 0, i / (classes[1] * classes[2])),
                              tap_class(a, 1, i / classes[2] % classes[1]), tap_class(a, 2, i % classes[2])};
    for (int d = 0; d < 3; ++d) c.shape.axis[d] = taps[d].axis;
    if (c.shape.out_size() == 0) continue;
    turn_weights(a, taps, w, turned, context);
    convolve(c, context);
  }
}

// ---- Weight gradient ------------------------------------------------------------------------------------------------

// Where the pixels of an image and of its dy lie, for both to be read in the same vectors.
struct Pairing {
  bool copy_dy;
  Source source;
  int64_t count;   // whole vectors of an image
  int tail;        // pixels that are left, when neither is copied
  int64_t places;  // entries of the tables of places
  int64_t filter;  // elements between filters of dy
};

template <class T>
Pairing pair_up(const Shape& s) {
  constexpr int64_t L = kLanes<T>;
  const Box box = whole(s);
  const int64_t width = s.axis[2].out, rows = s.axis[0].out * s.axis[1].out;
  Pairing p{};
  p.filter = s.out_size();
  const bool stays = can_stay(s), whole_rows = width % L == 0;
  p.source = located<T>(s, box, stays);
  if (whole_rows) {
    p.count = rows * (width / L);
  } else if (stays && p.source.pitch == width && s.axis[0].out == 1) {
    p.count = rows * width / L;
    p.tail = static_cast<int>(rows * width % L);
  } else {
    p.source = located<T>(s, box, false);
    p.copy_dy = true;
    p.count = s.axis[0].out * ceil_div((s.axis[1].out - 1) * p.source.pitch + width, L);
    p.filter = p.count * L;
  }
  p.places = p.count + (p.tail ? 1 : 0);
  return p;
}

template <class T>
void fill_pairs(const Shape& s, const Pairing& p, int32_t* from, int32_t* to) {
  constexpr int64_t L = kLanes<T>;
  const int64_t depth = s.axis[0].out, height = s.axis[1].out, width = s.axis[2].out;
  const bool by_rows = width % L == 0;
  const int64_t runs = by_rows ? depth * height : depth, vectors = by_rows ? width / L : p.places / depth;
  for (int64_t r = 0; r < runs; ++r) {
    const int64_t row = by_rows ? r / height * p.source.rows + r % height : r * p.source.rows;
    for (int64_t v = 0; v < vectors; ++v) {
      *from++ = static_cast<int32_t>(row * p.source.pitch + v * L);
      *to++ = static_cast<int32_t>((r * vectors + v) * L);
    }
  }
}

// dy with its rows as far apart as those of the source, zeros in the gaps.
template <class T>
void spread(const Shape& s, const Pairing& p, const T* dy, T* out) {
  const int64_t depth = s.axis[0].out, height = s.axis[1].out, width = s.axis[2].out, plane = p.filter / depth;
  for (int64_t i = 0; i < depth; ++i, out += plane) {
    int64_t at = 0;
    for (int64_t j = 0; j < height; ++j, dy += width) {
      for (; at < j * p.source.pitch; ++at) out[at] = 0;
      std::memcpy(out + at, dy, static_cast<size_t>(width) * sizeof(T));
      at += width;
    }
    for (; at < plane; ++at) out[at] = 0;
  }
}

// Copies of the images first..first+count-1 that need them.
template <class T>
void prepare(const ConvArgs& a, const Shape& s, const Pairing& p, const T* x, const T* dy, T* x_copy, T* dy_copy,
             int64_t count, const Context& context) {
  const Box box = whole(s);
  const int64_t sources = p.source.in_place ? 0 : count * a.groups, planes = p.copy_dy ? count * a.filters : 0;
  const int64_t units = sources + planes;
  if (units == 0) return;
  const int64_t tasks = tasks_for(context, units, (sources * p.source.size + planes * p.filter) * 8);
  parallel(context, tasks, [&](int64_t task, int) {
    for (int64_t u = begin_of(task, units, tasks); u < begin_of(task + 1, units, tasks); ++u)
      if (u < sources)
        copy_source(s, box, p.source, x + u * s.channels * s.in_size(), x_copy + u * p.source.size, 0, s.channels);
      else
        spread(s, p, dy + (u - sources) * s.out_size(), dy_copy + (u - sources) * p.filter);
  });
}

template <class T>
void conv_weight_gradient(const ConvArgs& a, void* const* buffers, const Context& context) {
  const T* x = static_cast<const T*>(buffers[0]);
  const T* dy = static_cast<const T*>(buffers[1]);
  T* dw = static_cast<T*>(buffers[2]);
  const Shape s = shape_of(a);
  const int64_t terms = s.terms();
  const Pairing p = pair_up<T>(s);
  if (a.batch * s.out_size() == 0) {
    std::memset(dw, 0, static_cast<size_t>(a.filters * terms) * sizeof(T));
    return;
  }
  int32_t* const offset = static_cast<int32_t*>(buffers[3]);
  int32_t *const from = offset + terms, *const to = from + p.places;
  const int64_t tables = ceil_div(terms + 2 * p.places, kSlack) * kSlack;
  T* const copies = static_cast<T*>(buffers[3]) + tables;
  fill_offsets(s, p.source, offset);
  fill_pairs<T>(s, p, from, to);

  const int64_t x_size = p.source.in_place ? a.channels * s.in_size() : a.groups * p.source.size;
  const int64_t dy_size = a.filters * p.filter;
  const int64_t per_image = (p.source.in_place ? 0 : x_size) + (p.copy_dy ? dy_size : 0);
  const int64_t at_once = per_image ? greater(1, lesser(a.batch, (a.scratch - tables) / per_image)) : a.batch;
  T* const dy_copies = copies + (p.source.in_place ? 0 : at_once * x_size);

  // What a row of tiles reads again and again, dy of its filters, should stay in the first-level cache.
  constexpr int64_t kVectorsAtOnce = 128;
  const int64_t chunks = ceil_div(p.count, kVectorsAtOnce);
  const int64_t images_at_once = chunks > 1 ? 1 : kVectorsAtOnce / greater(1, p.count);

  const int64_t blocks = ceil_div(s.filters, kTileFilters);
  const int64_t wanted = context.threads == 1 ? 1 : 8 * static_cast<int64_t>(context.threads);
  const int64_t parts = lesser(ceil_div(wanted, a.groups * blocks), ceil_div(terms, 4 * kTileTerms));
  const int64_t units = a.groups * blocks * parts, tasks = tasks_for(context, units, products(a));

  for (int64_t first = 0; first < a.batch; first += at_once) {
    const int64_t images = lesser(at_once, a.batch - first);
    prepare(a, s, p, x + first * a.channels * s.in_size(), dy + first * a.filters * s.out_size(), copies, dy_copies,
            images, context);
    const T* const xs = p.source.in_place ? x + first * x_size + p.source.origin : copies;
    const T* const dys = p.copy_dy ? dy_copies : dy + first * dy_size;
    parallel(context, tasks, [&](int64_t task, int) {
      for (int64_t u = begin_of(task, units, tasks); u < begin_of(task + 1, units, tasks); ++u) {
        const int64_t part = u % parts, block = u / parts % blocks, group = u / (parts * blocks);
        const int64_t f0 = begin_of(block, s.filters, blocks), f1 = begin_of(block + 1, s.filters, blocks);
        const int64_t k0 = begin_of(part, terms, parts), k1 = begin_of(part + 1, terms, parts);
        const int64_t tiles = ceil_div(k1 - k0, kTileTerms);
        const T* const x_group = xs + group * (p.source.in_place ? s.channels * s.in_size() : p.source.size);
        Pixels<T> pixels{};
        pixels.x_image = x_size;
        pixels.dy_image = dy_size;
        pixels.filter = p.filter;
        for (int64_t n = 0; n < images; n += images_at_once)
          for (int64_t chunk = 0; chunk < greater(1, chunks); ++chunk) {
            const int64_t v0 = begin_of(chunk, p.count, greater(1, chunks));
            pixels.x = x_group + n * x_size;
            pixels.dy = dys + n * dy_size + (group * s.filters + f0) * p.filter;
            pixels.from = from + v0;
            pixels.to = to + v0;
            pixels.images = lesser(images_at_once, images - n);
            pixels.count = begin_of(chunk + 1, p.count, greater(1, chunks)) - v0;
            pixels.tail = chunk + 1 >= chunks ? p.tail : 0;
            for (int64_t i = 0; i < tiles; ++i) {
              const int64_t t0 = k0 + begin_of(i, k1 - k0, tiles), t1 = k0 + begin_of(i + 1, k1 - k0, tiles);
              kTiles<T>.weight[f1 - f0 - 1][t1 - t0 - 1](
                  pixels, offset + t0, dw + (group * s.filters + f0) * terms + t0, terms, first + n + chunk > 0);
            }
          }
      }
    });
  }
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(conv, KERNEL("conv_forward.float32", conv_forward<float>, ConvArgs),
        KERNEL("conv_forward.float64", conv_forward<double>, ConvArgs),
        KERNEL("conv_data_gradient.float32", conv_data_gradient<float>, ConvArgs),
        KERNEL("conv_data_gradient.float64", conv_data_gradient<double>, ConvArgs),
        KERNEL("conv_weight_gradient.float32", conv_weight_gradient<float>, ConvArgs),
        KERNEL("conv_weight_gradient.float64", conv_weight_gradient<double>, ConvArgs))
