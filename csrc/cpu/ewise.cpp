// ewise: a small interpreter whose instructions are the functions of ewise.def and whose registers are tiles.
//
// An input that is stored as the kernel computes and walks contiguously is read where it lies, one that is the same
// number everywhere is a single vector; every other one is expanded and converted into a tile of its own. An output
// that is stored as it is computed is written into memory by the instruction that makes it.
#include "../args/ewise.h"

#include "convert.h"
#include "cuts.h"
#include "stream.h"
#include "vmath.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kTileBytes = 2048;  // a dozen of them fit the first-level cache
constexpr int64_t kMaxDims = 32;
constexpr int64_t kParallelWork = 1 << 17;  // in elements × operands and instructions: some 5 us

template <class T>
constexpr int64_t kTile = kTileBytes / static_cast<int64_t>(sizeof(T));

// ---- instructions --------------------------------------------------------------------------------------------------

enum Types { REAL, ANY };

#define EWISE(name, arity, types, expression)                                                              \
  struct name##_function {                                                                                 \
    static constexpr int kArity = arity;                                                                   \
    static constexpr Types kTypes = types;                                                                 \
    template <class V>                                                                                     \
    static V apply([[maybe_unused]] V a, [[maybe_unused]] V b, [[maybe_unused]] V c, [[maybe_unused]] V d, \
                   [[maybe_unused]] V index) {                                                             \
      return expression;                                                                                   \
    }                                                                                                      \
  };
#include "../ewise.def"
#undef EWISE

template <class T>
inline Vec<T> indices_from(int64_t first) {
  Vec<T> lanes{};
  for (int i = 0; i < kLanes<T>; ++i) lanes[i] = static_cast<T>(i);
  return lanes + splat(static_cast<T>(first));
}

// What an instruction reads: a run of elements, or, when `step` is 0, one vector for all of them.
template <class T>
struct Operand {
  const T* data;
  int64_t step;  // from one vector to the next
};

// One function over n elements of a tile; `first` is the linear index of its first element, `code` the instruction.
template <class T>
using Instruction = void (*)(const Operand<T>* operands, const int64_t* code, T* out, int64_t n, int64_t first);

// The walk over a tile. Single: bit k says that operand k is one vector; kMixed: only its step does.
constexpr int kMixed = -1;
template <class T, class F, int Single>
inline void walk(const Operand<T>* operands, const int64_t* code, T* out, int64_t n, int64_t first) {
  constexpr int L = kLanes<T>;
  const auto data = [&](int k) { return k < F::kArity ? operands[code[2 + k]].data : nullptr; };
  const auto step = [&](int k) -> int64_t {
    return k >= F::kArity ? 0 : Single == kMixed ? operands[code[2 + k]].step : Single >> k & 1 ? 0 : L;
  };
  const T *p = data(0), *q = data(1), *r = data(2), *s = data(3);
  const int64_t p_step = step(0), q_step = step(1), r_step = step(2), s_step = step(3);
  Vec<T> a{}, b{}, c{}, d{};
  const auto one = [&](int64_t i, int64_t ahead) {
    if constexpr (F::kArity > 0) a = load(p + ahead * p_step);
    if constexpr (F::kArity > 1) b = load(q + ahead * q_step);
    if constexpr (F::kArity > 2) c = load(r + ahead * r_step);
    if constexpr (F::kArity > 3) d = load(s + ahead * s_step);
    store(out + i, F::apply(a, b, c, d, indices_from<T>(first + i)));
  };
  // Where little is done with an element, counting on would cost as much.
  constexpr int kAtOnce = F::kTypes == ANY ? 4 : 1;
  int64_t i = 0;
  for (; i + kAtOnce * L <= n; i += kAtOnce * L) {
#pragma GCC unroll 4
    for (int k = 0; k < kAtOnce; ++k) one(i + k * L, k);
    p += kAtOnce * p_step, q += kAtOnce * q_step, r += kAtOnce * r_step, s += kAtOnce * s_step;
  }
  for (; i + L <= n; i += L, p += p_step, q += q_step, r += r_step, s += s_step) one(i, 0);
  if (i == n) return;
  const int rest = static_cast<int>(n - i);
  if constexpr (F::kArity > 0) a = load_part(p, rest);
  if constexpr (F::kArity > 1) b = load_part(q, rest);
  if constexpr (F::kArity > 2) c = load_part(r, rest);
  if constexpr (F::kArity > 3) d = load_part(s, rest);
  store_part(out + i, F::apply(a, b, c, d, indices_from<T>(first + i)), rest);
}

template <class T, class F, int Single>
void walk_knowing(int single, const Operand<T>* operands, const int64_t* code, T* out, int64_t n, int64_t first) {
  if constexpr (Single < 1 << F::kArity) {
    if (single == Single) return walk<T, F, Single>(operands, code, out, n, first);
    walk_knowing<T, F, Single + 1>(single, operands, code, out, n, first);
  }
}

template <class T, class F>
void apply(const Operand<T>* operands, const int64_t* code, T* out, int64_t n, int64_t first) {
  // Four steps and their multiples are more than there are registers.
  if constexpr (F::kArity == 4 && T(0.5) != 0) {
    int single = 0;
    for (int k = 0; k < F::kArity; ++k) single |= (operands[code[2 + k]].step == 0) << k;
    walk_knowing<T, F, 0>(single, operands, code, out, n, first);
  } else {
    walk<T, F, kMixed>(operands, code, out, n, first);
  }
}

template <class T, class F>
constexpr Instruction<T> instruction() {
  if constexpr (F::kTypes == ANY || T(0.5) != 0)
    return apply<T, F>;
  else
    return nullptr;
}

#define EWISE(name, arity, types, expression) instruction<T, name##_function>(),
template <class T>
constexpr Instruction<T> kInstructions[] = {
#include "../ewise.def"
};
#undef EWISE

#define EWISE(name, arity, types, expression) arity,
constexpr int8_t kArity[] = {
#include "../ewise.def"
};
#undef EWISE
#define EWISE(name, arity, types, expression) types == REAL ? 8 : 1,
constexpr int8_t kCost[] = {
#include "../ewise.def"
};
#undef EWISE

// ---- operands ------------------------------------------------------------------------------------------------------

// How an input is walked: its dimensions, innermost first, with those merged that one stride covers.
template <class T>
struct Input {
  const char* data;
  const Conversion<T>* type;
  int64_t dims;
  int64_t size[kMaxDims], stride[kMaxDims];
  int64_t period;  // its values repeat after this many elements
  bool in_place;   // read where it lies
  bool fixed;      // the same in every tile
  bool single;     // the same number everywhere
};

// Whether an output is operand k itself, which then is wanted as a run of elements.
inline bool is_stored(const EwiseArgs& a, int64_t k) {
  for (int64_t o = 0; o < a.out_operands.n; ++o)
    if (a.out_operands[o] == k) return true;
  return false;
}

template <class T>
void describe(Input<T>& in, const EwiseArgs& a, int64_t i, const void* data, int64_t elements) {
  in.data = static_cast<const char*>(data);
  in.type = &conversion<T>(a.in_types[i]);
  in.dims = 0;
  for (int64_t d = a.shape.n - 1; d >= 0; --d) {
    const int64_t size = a.shape[d], stride = a.in_strides[i * a.shape.n + d];
    if (size == 1) continue;
    if (in.dims && stride == in.stride[in.dims - 1] * in.size[in.dims - 1]) {
      in.size[in.dims - 1] *= size;
    } else {
      in.size[in.dims] = size;
      in.stride[in.dims++] = stride;
    }
  }
  if (!in.dims) in.size[0] = in.stride[0] = in.dims = 1;
  const int64_t outermost = in.dims - 1;
  in.in_place = outermost == 0 && in.stride[0] == 1 && a.in_types[i] == kDType<T>;
  // An input that is stored as it is must outlive the outputs before it, one of which may lie over it.
  in.in_place &= a.out_operands.n == 1 || !is_stored(a, i);
  // Chains over a few numbers are common, and a division costs as much as many of those.
  const bool repeats = in.stride[outermost] == 0;
  in.period = !repeats ? elements : outermost == 0 ? 1 : elements / in.size[outermost];
  in.single = repeats && outermost == 0 && !is_stored(a, i);
  in.fixed = !in.in_place && in.period <= kTile<T> && (in.period & (in.period - 1)) == 0;  // divides a tile
}

// Elements first .. first + n of the input, converted.
template <class T>
void expand(const Input<T>& in, T* tile, int64_t first, int64_t n) {
  int64_t at[kMaxDims], offset = 0, rest = first;
  for (int64_t d = 0; d < in.dims; ++d) {
    at[d] = rest;
    if (rest && d + 1 < in.dims) {
      at[d] = rest % in.size[d];
      rest /= in.size[d];
    }
    offset += at[d] * in.stride[d];
  }
  const int64_t walked = n < in.period ? n : in.period;
  for (int64_t done = 0; done < walked;) {
    const int64_t row = in.size[0] - at[0], left = walked - done, run = row < left ? row : left;
    in.type->load(tile + done, in.data + offset * in.type->bytes, in.stride[0], run);
    done += run;
    at[0] += run;
    offset += run * in.stride[0];
    for (int64_t d = 0; d + 1 < in.dims && at[d] == in.size[d]; ++d) {
      offset += in.stride[d + 1] - in.size[d] * in.stride[d];
      at[d] = 0;
      ++at[d + 1];
    }
  }
  for (int64_t done = walked; done < n;) {
    const int64_t more = done < n - done ? done : n - done;
    __builtin_memcpy(tile + done, tile, static_cast<size_t>(more) * sizeof(T));
    done += more;
  }
}

template <class T>
struct Output {
  char* data;
  const Conversion<T>* type;
  int64_t operand;
  bool plain;     // stored as it is computed, by an instruction
  bool streamed;  // written past the caches at the end of a tile
  bool direct;    // written by the instruction that makes it
};

// One call, as every task of it sees it.
template <class T>
struct Chain {
  const EwiseArgs& args;
  const Input<T>* inputs;
  const Output<T>* outputs;
  const int64_t* target;  // the output that an instruction writes, or -1 when it writes a tile
};

// ---- running -------------------------------------------------------------------------------------------------------

// The memory of a thread: a tile for every register and every input that needs one, a vector for each single number.
// Tiles are a cache line more than what they hold apart, so that neighbours do not meet in the same cache sets.
template <class T>
struct Tiles {
  T* next;
  int64_t size;
  T* tile() { return take(size); }
  T* vector() { return take(64 / static_cast<int64_t>(sizeof(T))); }
  T* take(int64_t elements) {
    T* const taken = next;
    next += elements;
    return taken;
  }
};

template <class T>
void run_tiles(const Chain<T>& chain, int64_t begin, int64_t end) {
  const EwiseArgs& a = chain.args;
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  const int64_t span = end - begin < kTile<T> ? end - begin : kTile<T>;
  const int64_t tile = (span + kLine - 1) / kLine * kLine + kLine;
  const int64_t first_register = a.inputs + a.constants.n, operands = first_register + a.registers;
  const int64_t bytes = (operands * tile + first_register * kLine) * static_cast<int64_t>(sizeof(T));
  const auto memory = reinterpret_cast<uintptr_t>(__builtin_alloca(static_cast<size_t>(bytes) + 64));
  Tiles<T> tiles{reinterpret_cast<T*>((memory + 63) / 64 * 64), tile};
  auto* operand = static_cast<Operand<T>*>(__builtin_alloca(static_cast<size_t>(operands) * sizeof(Operand<T>)));
  auto** home = static_cast<T**>(__builtin_alloca(static_cast<size_t>(operands) * sizeof(T*)));

  for (int64_t k = 0; k < operands; ++k) {
    const bool single = k < a.inputs ? chain.inputs[k].single : k < first_register && !is_stored(a, k);
    home[k] = single ? tiles.vector() : k < a.inputs && chain.inputs[k].in_place ? nullptr : tiles.tile();
    operand[k] = {home[k], single ? 0 : kLanes<T>};
  }
  for (int64_t i = 0; i < a.inputs; ++i) {
    const Input<T>& in = chain.inputs[i];
    if (in.single) {
      T number;
      in.type->load(&number, in.data, 0, 1);
      store(home[i], splat(number));
    } else if (in.fixed) {
      expand(in, home[i], 0, span);
    }
  }
  for (int64_t i = 0; i < a.constants.n; ++i) {
    const Operand<T>& constant = operand[a.inputs + i];
    for (int64_t j = 0; j < (constant.step ? span : 1); j += kLanes<T>)
      store(home[a.inputs + i] + j, splat(static_cast<T>(a.constants[i])));
  }

  for (int64_t first = begin; first < end; first += kTile<T>) {
    const int64_t n = end - first < kTile<T> ? end - first : kTile<T>;
    for (int64_t i = 0; i < a.inputs; ++i) {
      const Input<T>& in = chain.inputs[i];
      if (in.in_place) {
        operand[i].data = reinterpret_cast<const T*>(in.data) + first;
      } else if (!in.fixed && !in.single) {
        expand(in, home[i], first, n);
      }
    }
    for (int64_t k = 0; k < a.code.n; k += kCodeWidth) {
      const int64_t* code = a.code.v + k;
      const int64_t target = chain.target[k / kCodeWidth], to = first_register + code[1];
      T* out = target < 0 ? home[to] : reinterpret_cast<T*>(chain.outputs[target].data) + first;
      kInstructions<T>[code[0]](operand, code, out, n, first);
      operand[to].data = out;
    }
    for (int64_t o = 0; o < a.out_types.n; ++o) {
      const Output<T>& out = chain.outputs[o];
      char* to = out.data + first * out.type->bytes;
      if (out.streamed && n == kTile<T>)
        stream_lines(to, reinterpret_cast<const char*>(operand[out.operand].data), kTileBytes);
      else if (!out.direct)
        out.type->store(to, operand[out.operand].data, n);
    }
  }
  for (int64_t o = 0; o < a.out_types.n; ++o)
    if (chain.outputs[o].streamed) finish_streams();
}

// Which instruction may write output o where it belongs: the last one that writes its register, unless a later one
// still reads an input that lies there; -1 when none may.
template <class T>
int64_t writer_of(const EwiseArgs& a, void* const* buffers, const Output<T>& out, int64_t o) {
  const int64_t first_register = a.inputs + a.constants.n;
  if (!out.plain || out.streamed) return -1;
  for (int64_t k = a.code.n / kCodeWidth - 1; k >= 0; --k) {
    const int64_t* code = a.code.v + kCodeWidth * k;
    if (first_register + code[1] == out.operand) return k;
    for (int read = 2; read < 2 + kArity[code[0]]; ++read)
      if (code[read] < a.inputs && buffers[code[read]] == buffers[a.inputs + o]) return -1;
  }
  return -1;
}

template <class T>
void describe_outputs(Output<T>* outputs, int64_t* target, const EwiseArgs& a, void* const* buffers, int64_t elements) {
  for (int64_t k = 0; k < a.code.n / kCodeWidth; ++k) target[k] = -1;
  for (int64_t o = 0; o < a.out_types.n; ++o) {
    Output<T>& out = outputs[o];
    out.data = static_cast<char*>(buffers[a.inputs + o]);
    out.type = &conversion<T>(a.out_types[o]);
    out.operand = a.out_operands[o];
    out.plain = a.out_types[o] == kDType<T> && out.operand >= a.inputs + a.constants.n;
    bool shared = false;
    for (int64_t i = 0; i < a.inputs; ++i) shared |= buffers[i] == buffers[a.inputs + o];
    out.streamed = out.plain && !shared && elements * out.type->bytes >= kStreamBytes &&
                   reinterpret_cast<uintptr_t>(out.data) % kVectorBytes == 0;
    const int64_t writer = writer_of(a, buffers, out, o);
    out.direct = writer >= 0 && target[writer] < 0;
    if (out.direct) target[writer] = o;
  }
}

template <class T>
void ewise(const EwiseArgs& a, void* const* buffers, const Context& context) {
  int64_t elements = 1;
  for (int64_t d = 0; d < a.shape.n; ++d) elements *= a.shape[d];
  if (elements == 0) return;

  auto* inputs = static_cast<Input<T>*>(__builtin_alloca(static_cast<size_t>(a.inputs) * sizeof(Input<T>)));
  for (int64_t i = 0; i < a.inputs; ++i) describe(inputs[i], a, i, buffers[i], elements);
  auto* outputs = static_cast<Output<T>*>(__builtin_alloca(static_cast<size_t>(a.out_types.n) * sizeof(Output<T>)));
  auto* target = static_cast<int64_t*>(__builtin_alloca(static_cast<size_t>(a.code.n / kCodeWidth) * sizeof(int64_t)));
  describe_outputs(outputs, target, a, buffers, elements);

  const Chain<T> chain{a, inputs, outputs, target};
  const int64_t tiles = (elements + kTile<T> - 1) / kTile<T>;
  int64_t tasks = 1;
  if (tiles > 1 && context.threads > 1) {
    int64_t cost = a.inputs + a.out_types.n;
    for (int64_t k = 0; k < a.code.n; k += kCodeWidth) cost += kCost[a.code[k]];
    const int64_t worthwhile = elements * cost / (kParallelWork / 2);
    const int64_t wanted = lesser(worthwhile, most_tasks(context));
    tasks = wanted < 2 ? 1 : (wanted < tiles ? wanted : tiles);
  }
  if (tasks == 1) {
    run_tiles(chain, 0, elements);
  } else {
    parallel(context, tasks, [&](int64_t task, int) {
      const int64_t begin = tiles * task / tasks * kTile<T>, end = tiles * (task + 1) / tasks * kTile<T>;
      run_tiles(chain, begin, end < elements ? end : elements);
    });
  }
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(ewise, KERNEL("ewise.float32", ewise<float>, EwiseArgs), KERNEL("ewise.float64", ewise<double>, EwiseArgs),
        KERNEL("ewise.int32", ewise<int32_t>, EwiseArgs), KERNEL("ewise.int64", ewise<int64_t>, EwiseArgs))
