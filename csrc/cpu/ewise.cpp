// ewise: a small interpreter whose instructions are the functions of ewise.def and whose registers are tiles.
//
// An input that is stored as the kernel computes and walks contiguously is read where it lies; every other one is
// expanded and converted into a tile of its own. The last instruction writes a sole output straight into memory.
#include "../args/ewise.h"

#include "convert.h"
#include "vmath.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kTileBytes = 2048;  // a dozen of them fit the first-level cache
constexpr int64_t kMaxDims = 32;
constexpr int64_t kParallelWork = 1 << 17;           // in elements × operands and instructions: some 5 us
constexpr int64_t kAhead = 2 * kTileBytes;           // how far before their use far operands are asked for
constexpr int64_t kStreamBytes = int64_t{16} << 20;  // an output this large would only push others out of the caches

template <class T>
constexpr int64_t kTile = kTileBytes / static_cast<int64_t>(sizeof(T));

// ---- instructions --------------------------------------------------------------------------------------------------

enum Types { REAL, ANY };

#define EWISE(name, arity, types, expression)                                                                    \
  struct name##_function {                                                                                       \
    static constexpr int kArity = arity;                                                                         \
    static constexpr Types kTypes = types;                                                                       \
    template <class V>                                                                                           \
    static V apply([[maybe_unused]] V a, [[maybe_unused]] V b, [[maybe_unused]] V c, [[maybe_unused]] V index) { \
      return expression;                                                                                         \
    }                                                                                                            \
  };
#include "../ewise.def"
#undef EWISE

template <class T>
inline Vec<T> indices_from(int64_t first) {
  Vec<T> lanes{};
  for (int i = 0; i < kLanes<T>; ++i) lanes[i] = static_cast<T>(i);
  return lanes + splat(static_cast<T>(first));
}

// One function over n elements of a tile; `first` is the linear index of its first element.
template <class T>
using Instruction = void (*)(const T* a, const T* b, const T* c, T* out, int64_t n, int64_t first);

template <class T, class F>
void apply(const T* a, const T* b, const T* c, T* out, int64_t n, int64_t first) {
  Vec<T> x{}, y{}, z{};
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) {
    if constexpr (F::kArity > 0) x = load(a + i);
    if constexpr (F::kArity > 1) y = load(b + i);
    if constexpr (F::kArity > 2) z = load(c + i);
    store(out + i, F::apply(x, y, z, indices_from<T>(first + i)));
  }
  if (i == n) return;
  const int rest = static_cast<int>(n - i);
  if constexpr (F::kArity > 0) x = load_part(a + i, rest);
  if constexpr (F::kArity > 1) y = load_part(b + i, rest);
  if constexpr (F::kArity > 2) z = load_part(c + i, rest);
  store_part(out + i, F::apply(x, y, z, indices_from<T>(first + i)), rest);
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
};

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
  for (int64_t o = 0; o < a.out_operands.n; ++o) in.in_place &= a.out_operands.n == 1 || a.out_operands[o] != i;
  in.period = in.stride[outermost] == 0 ? elements / in.size[outermost] : elements;
  in.fixed = !in.in_place && kTile<T> % in.period == 0;
}

// Elements first .. first + n of the input, converted.
template <class T>
void expand(const Input<T>& in, T* tile, int64_t first, int64_t n) {
  int64_t at[kMaxDims], offset = 0, rest = first;
  for (int64_t d = 0; d < in.dims; ++d) {
    at[d] = d + 1 < in.dims ? rest % in.size[d] : rest;
    rest /= in.size[d];
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

// Writes whole cache lines past the caches; both pointers are aligned to vectors, n is a multiple of a vector.
inline void stream(char* to, const char* from, int64_t bytes) {
#if defined(__AVX512F__)
  for (int64_t i = 0; i < bytes; i += 64)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_load_si512(from + i));
#elif defined(__AVX2__)
  for (int64_t i = 0; i < bytes; i += 32)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i),
                        _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i)));
#else
  __builtin_memcpy(to, from, static_cast<size_t>(bytes));
#endif
}
inline void finish_streams() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

template <class T>
struct Output {
  char* data;
  const Conversion<T>* type;
  int64_t operand;
  bool direct;  // the last instruction writes it
  bool streamed;
};

// One call, as every task of it sees it.
template <class T>
struct Chain {
  const EwiseArgs& args;
  const Input<T>* inputs;
  const Output<T>* outputs;
  int64_t elements;
  bool far;  // operands come from memory: ask for them early
};

// ---- running -------------------------------------------------------------------------------------------------------

template <class T>
void run_tiles(const Chain<T>& chain, int64_t begin, int64_t end) {
  const EwiseArgs& a = chain.args;
  const int64_t span = end - begin < kTile<T> ? end - begin : kTile<T>;
  const int64_t tile = (span + 15) / 16 * 16;  // elements between tiles: whole vectors, and no more than are used
  const int64_t first_register = a.inputs + a.constants.n, operands = first_register + a.registers;
  auto* memory = static_cast<char*>(__builtin_alloca(static_cast<size_t>(operands * tile) * sizeof(T) + 64));
  T* tiles = reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(memory) + 63) / 64 * 64);
  auto** operand = static_cast<const T**>(__builtin_alloca(static_cast<size_t>(operands) * sizeof(T*)));

  for (int64_t k = 0; k < operands; ++k) operand[k] = tiles + k * tile;
  for (int64_t i = 0; i < a.inputs; ++i)
    if (chain.inputs[i].fixed) expand(chain.inputs[i], tiles + i * tile, 0, span);
  for (int64_t i = 0; i < a.constants.n; ++i) {
    const auto value = splat(static_cast<T>(a.constants[i]));
    for (int64_t j = 0; j < tile; j += kLanes<T>) store(tiles + (a.inputs + i) * tile + j, value);
  }

  for (int64_t first = begin; first < end; first += kTile<T>) {
    const int64_t n = end - first < kTile<T> ? end - first : kTile<T>;
    for (int64_t i = 0; i < a.inputs; ++i) {
      const Input<T>& in = chain.inputs[i];
      if (in.in_place) {
        operand[i] = reinterpret_cast<const T*>(in.data) + first;
        if (chain.far)
          for (int64_t b = 0; b < kTileBytes; b += 64)
            __builtin_prefetch(reinterpret_cast<const char*>(operand[i]) + kAhead + b);
      } else if (!in.fixed) {
        expand(in, tiles + i * tile, first, n);
      }
    }
    for (int64_t k = 0; k < a.code.n; k += 5) {
      const int64_t* code = a.code.v + k;
      T* out = tiles + (first_register + code[1]) * tile;
      if (k + 5 == a.code.n && chain.outputs[0].direct) out = reinterpret_cast<T*>(chain.outputs[0].data) + first;
      kInstructions<T>[code[0]](operand[code[2]], operand[code[3]], operand[code[4]], out, n, first);
    }
    for (int64_t o = 0; o < a.out_types.n; ++o) {
      const Output<T>& out = chain.outputs[o];
      char* to = out.data + first * out.type->bytes;
      if (out.streamed && n == kTile<T>)
        stream(to, reinterpret_cast<const char*>(operand[out.operand]), kTileBytes);
      else if (!out.direct)
        out.type->store(to, operand[out.operand], n);
    }
  }
  for (int64_t o = 0; o < a.out_types.n; ++o)
    if (chain.outputs[o].streamed) finish_streams();
}

template <class T>
void ewise(const EwiseArgs& a, void* const* buffers, const Context& context) {
  int64_t elements = 1;
  for (int64_t d = 0; d < a.shape.n; ++d) elements *= a.shape[d];
  if (elements == 0) return;

  auto* inputs = static_cast<Input<T>*>(__builtin_alloca(static_cast<size_t>(a.inputs) * sizeof(Input<T>)));
  for (int64_t i = 0; i < a.inputs; ++i) describe(inputs[i], a, i, buffers[i], elements);

  const int64_t first_register = a.inputs + a.constants.n;
  const int64_t written_last = a.code.n ? first_register + a.code[a.code.n - 4] : -1;
  auto* outputs = static_cast<Output<T>*>(__builtin_alloca(static_cast<size_t>(a.out_types.n) * sizeof(Output<T>)));
  for (int64_t o = 0; o < a.out_types.n; ++o) {
    Output<T>& out = outputs[o];
    out.data = static_cast<char*>(buffers[a.inputs + o]);
    out.type = &conversion<T>(a.out_types[o]);
    out.operand = a.out_operands[o];
    const bool plain = a.out_types[o] == kDType<T> && out.operand >= first_register;
    bool shared = false;
    for (int64_t i = 0; i < a.inputs; ++i) shared |= buffers[i] == buffers[a.inputs + o];
    out.streamed = plain && !shared && elements * out.type->bytes >= kStreamBytes &&
                   reinterpret_cast<uintptr_t>(out.data) % kVectorBytes == 0;
    out.direct = plain && !out.streamed && a.out_types.n == 1 && out.operand == written_last;
  }

  const bool far = elements * static_cast<int64_t>(sizeof(T)) >= kStreamBytes;
  const Chain<T> chain{a, inputs, outputs, elements, far};
  const int64_t tiles = (elements + kTile<T> - 1) / kTile<T>;
  int64_t tasks = 1;
  if (tiles > 1 && context.threads > 1) {
    int64_t cost = a.inputs + a.out_types.n;
    for (int64_t k = 0; k < a.code.n; k += 5) cost += kCost[a.code[k]];
    const int64_t worthwhile = elements * cost / (kParallelWork / 2);
    const int64_t wanted = worthwhile < 8 * context.threads ? worthwhile : 8 * context.threads;
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
