// ctc: the sums over all alignments, forwards and backwards in time, by logarithms; vectors run along the labels.
#include "../args/ctc.h"

#include "simd.h"
#include "vmath.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

inline int64_t within(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

template <class T>
inline Vec<T> log_sum(Vec<T> a, Vec<T> b, Vec<T> c) {
  const Vec<T> top = vmax(a, vmax(b, c));
  return top + vlog(vexp(a - top) + vexp(b - top) + vexp(c - top));
}

// One example. The states of an alignment are the labels with blanks around each of them: 2 labels + 1.
template <class T>
struct Alignment {
  int64_t states = 0, row = 0;
  T *alpha, *beta, *next, *seen, *jump;  // rows of states, with room for the neighbours on both sides
  static constexpr int64_t kLeft = 2;

  Alignment(T* scratch, int64_t time, int64_t width) : row(width) {
    jump = scratch + kLeft;
    beta = jump + row;
    next = beta + row;
    seen = next + row;
    alpha = seen + row;
    for (int64_t i = 0; i < (time + 4) * row; ++i) scratch[i] = static_cast<T>(kImpossible);
  }
};

template <class T>
void one_example(const CtcArgs& a, const T* logp, const int64_t* label, int64_t time, int64_t count, T* loss, T* slope,
                 T* scratch) {
  constexpr int L = kLanes<T>;
  const int64_t step = a.batch * a.classes;
  for (int64_t t = 0; t < a.time; ++t)
    __builtin_memset(slope + t * step, 0, static_cast<size_t>(a.classes) * sizeof(T));
  *loss = 0;
  int64_t needed = count;
  for (int64_t i = 1; i < count; ++i) needed += label[i] == label[i - 1];
  if (needed > time || time == 0) return;

  Alignment<T> s(scratch, a.time, 2 * a.labels + 1 + 64);
  s.states = 2 * count + 1;
  const auto of_state = [&](int64_t i) { return i % 2 ? within(label[i / 2], 0, a.classes - 1) : a.blank; };
  // A blank between two labels may be left out where they differ.
  for (int64_t i = 3; i < s.states; i += 2)
    if (label[i / 2] != label[i / 2 - 1]) s.jump[i] = 0;
  const auto see = [&](int64_t t) {
    for (int64_t i = 0; i < s.states; ++i) s.seen[i] = logp[t * step + of_state(i)];
  };
  // A whole vector may hold states past the last one: they stay impossible.
  const auto keep = [&](T* row, int64_t i, Vec<T> v) {
    if (i + L <= s.states)
      store(row + i, v);
    else
      store_part(row + i, v, static_cast<int>(s.states - i));
  };

  see(0);
  s.alpha[0] = s.seen[0];
  if (s.states > 1) s.alpha[1] = s.seen[1];
  for (int64_t t = 1; t < time; ++t) {
    see(t);
    const T* from = s.alpha + (t - 1) * s.row;
    for (int64_t i = 0; i < s.states; i += L)
      keep(s.alpha + t * s.row, i,
           load(s.seen + i) + log_sum<T>(load(from + i), load(from + i - 1), load(from + i - 2) + load(s.jump + i)));
  }
  const T* end = s.alpha + (time - 1) * s.row + s.states;
  const T total = log_sum<T>(splat(end[-1]), splat(s.states > 1 ? end[-2] : static_cast<T>(kImpossible)),
                             splat(static_cast<T>(kImpossible)))[0];
  *loss = -total;

  for (int64_t t = time - 1; t >= 0; --t) {
    see(t);
    if (t == time - 1) {
      s.beta[s.states - 1] = 0;
      if (s.states > 1) s.beta[s.states - 2] = 0;
    } else {
      for (int64_t i = 0; i < s.states; i += L)  // s.next holds beta + seen of the step after
        keep(s.beta, i,
             log_sum<T>(load(s.next + i), load(s.next + i + 1), load(s.next + i + 2) + load(s.jump + i + 2)));
    }
    T* const out = slope + t * step;
    const T* const p = logp + t * step;
    for (int64_t c = 0; c < a.classes; c += L) {
      if (c + L <= a.classes)
        store(out + c, vexp(load(p + c)));
      else
        store_part(out + c, vexp(load_part(p + c, static_cast<int>(a.classes - c))), static_cast<int>(a.classes - c));
    }
    for (int64_t i = 0; i < s.states; i += L) {
      const Vec<T> beta = load(s.beta + i);
      const Vec<T> share = vexp(load(s.alpha + t * s.row + i) + beta - splat(total));
      for (int64_t j = 0; j < L && i + j < s.states; ++j) out[of_state(i + j)] -= share[j];
      keep(s.next, i, beta + load(s.seen + i));
    }
  }
}

template <class T>
void ctc_loss(const CtcArgs& a, void* const* buffers, const Context& context) {
  const T* logp = static_cast<const T*>(buffers[0]);
  const int64_t* label = static_cast<const int64_t*>(buffers[1]);
  const int64_t* data_length = static_cast<const int64_t*>(buffers[2]);
  const int64_t* label_length = static_cast<const int64_t*>(buffers[3]);
  T* loss = static_cast<T*>(buffers[4]);
  T* slope = static_cast<T*>(buffers[5]);
  T* scratch = static_cast<T*>(buffers[6]);
  const int64_t share = (a.time + 5) * (2 * a.labels + 1 + 64);
  parallel(context, a.batch, [&](int64_t b, int thread) {
    const int64_t* own = label + b * a.labels;
    int64_t count = 0;
    if (label_length)
      count = within(label_length[b], 0, a.labels);
    else
      while (count < a.labels && own[count] != a.padding) ++count;
    one_example(a, logp + b * a.classes, own, data_length ? within(data_length[b], 0, a.time) : a.time, count, loss + b,
                slope + b * a.classes, scratch + thread * share);
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(ctc, KERNEL("ctc_loss.float32", ctc_loss<float>, CtcArgs),
        KERNEL("ctc_loss.float64", ctc_loss<double>, CtcArgs))
