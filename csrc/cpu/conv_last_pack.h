// Weights in the order in which channels-last kernels read them.
#pragma once
#include "conv_last.h"
#include "gemm_pack.h"
#include "move.h"

namespace minimx {
namespace {

template <class T>
inline void clear_run(T* to, int64_t n) {
  constexpr int L = kLanes<T>;
  int64_t i = 0;
  for (; i + L <= n; i += L) store(to + i, Vec<T>{});
  for (; i < n; ++i) to[i] = 0;
}

// The place of a term within a panel.
struct Place {
  const Sweep& s;
  Terms terms;
  explicit Place(const Sweep& sweep) : s(sweep), terms(sweep) {}
  int64_t of(int64_t channel, int64_t i, int64_t j) const {
    if (terms.wide) return (i * s.column.taps + j) * s.depth + channel;
    // Chunks are even: the first guess is at most one off.
    int64_t c = channel * terms.chunks / s.depth;
    while (terms.chunk(c + 1, s.depth) <= channel) ++c;
    const int64_t lo = terms.chunk(c, s.depth), hi = terms.chunk(c + 1, s.depth);
    return (i * s.depth + lo) * s.column.taps + j * (hi - lo) + channel - lo;
  }
};

// Forward: the filters are the lanes. Squares of a vector of filters by as many neighbouring weights are transposed.
template <class T>
void pack_forward(const Sweep& s, const T* w, T* packed, int64_t panel_lo, int64_t panel_hi) {
  constexpr int L = kLanes<T>;
  const Panels<T> panels(s.width);
  const Place place(s);
  const int64_t taps = s.row.taps * s.column.taps, terms = s.terms();
  for (int64_t p = panel_lo; p < panel_hi; ++p) {
    const int64_t v0 = panels.begin(p), wide = (panels.begin(p + 1) - v0) * L;
    T* const panel = packed + v0 * L * terms;
    for (int64_t v = 0; v * L < wide; ++v) {
      const int64_t filter = (v0 + v) * L, filters = lesser(L, s.width - filter);
      int64_t channel = 0, tap = 0;
      for (int64_t t = 0; t < terms; t += L) {
        const int deep = static_cast<int>(lesser(L, terms - t));
        Vec<T> r[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) {
          const T* from = w + (filter + i) * terms + t;
          r[i] = i >= filters ? Vec<T>{} : deep == L ? load(from) : load_part(from, deep);
        }
        transpose<T>(r);
        for (int i = 0; i < deep; ++i) {
          store(panel + place.of(channel, tap / s.column.taps, tap % s.column.taps) * wide + v * L, r[i]);
          if (++tap == taps) {
            tap = 0;
            ++channel;
          }
        }
      }
    }
  }
}

// Turned: the channels are the lanes, `kernel` weights apart.
template <class T>
void pack_turned(const Sweep& s, int64_t kernel, int64_t kernel_columns, const T* w, T* packed, int64_t panel_lo,
                 int64_t panel_hi) {
  constexpr int L = kLanes<T>;
  const Panels<T> panels(s.width);
  const Place place(s);
  for (int64_t p = panel_lo; p < panel_hi; ++p) {
    const int64_t v0 = panels.begin(p), wide = (panels.begin(p + 1) - v0) * L;
    const int64_t channel = v0 * L, channels = lesser(wide, s.width - channel);
    T* const panel = packed + v0 * L * s.terms();
    for (int64_t f = 0; f < s.depth; ++f)
      for (int64_t i = 0; i < s.row.taps; ++i)
        for (int64_t j = 0; j < s.column.taps; ++j) {
          const int64_t tap = (s.row.from + i * s.row.step) * kernel_columns + s.column.from + j * s.column.step;
          const T* from = w + (f * s.width + channel) * kernel + tap;
          T* to = panel + place.of(f, i, j) * wide;
          for (int64_t c = 0; c < channels; ++c) to[c] = from[c * kernel];
          for (int64_t c = channels; c < wide; ++c) to[c] = 0;
        }
  }
}

// A gradient's way back: from sums[term][filter] to dw[filter][channel][tap].
template <class T>
void deliver_weights(const Sweep& s, const T* sums, int64_t pitch, T* dw, int64_t lo, int64_t hi) {
  constexpr int L = kLanes<T>;
  const int64_t taps = s.row.taps * s.column.taps;
  for (int64_t f = lo; f < hi; f += L) {
    const int64_t filters = lesser(L, hi - f);
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t c = 0; c < s.depth; c += L) {
        const int64_t channels = lesser(L, s.depth - c);
        Vec<T> r[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) r[i] = i < channels ? load(sums + (t * s.depth + c + i) * pitch + f) : Vec<T>{};
        transpose<T>(r);
        for (int64_t i = 0; i < filters; ++i) {
          T* to = dw + ((f + i) * s.depth + c) * taps + t;
          T row[L];
          store(row, r[i]);
          for (int64_t j = 0; j < channels; ++j) to[j * taps] = row[j];
        }
      }
  }
}

}  // namespace
}  // namespace minimx
