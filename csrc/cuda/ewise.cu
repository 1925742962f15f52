// ewise: an interpreter of the functions of ewise.def; each thread takes a few elements through the whole chain.
#include <stdexcept>

#include "../args/ewise.h"
#include "convert.cuh"

namespace minimx {
namespace cuda {
namespace {

constexpr int kEach = 4;  // elements of a thread, a block's width apart

enum Types { REAL, ANY };
enum Opcode {
#define EWISE(name, arity, types, expression) op_##name,
#include "../ewise.def"
#undef EWISE
};

#define EWISE(name, arity, types, expression) arity,
constexpr int64_t kArity[] = {
#include "../ewise.def"
};
#undef EWISE

// One function of one element. Not inlined: the mathematics of a hundred functions should be compiled once.
template <class T>
__device__ NOINLINE T apply(int64_t opcode, [[maybe_unused]] T a, [[maybe_unused]] T b, [[maybe_unused]] T c,
                            [[maybe_unused]] T d, [[maybe_unused]] T index) {
  switch (opcode) {
#define EWISE(name, arity, types, expression)                  \
  case op_##name:                                              \
    if constexpr (types == ANY || kReal<T>) return expression; \
    break;
#include "../ewise.def"
#undef EWISE
    default:
      break;
  }
  return T(0);
}

// How an input is walked.
enum Walk : int64_t { kFixed, kLinear, kStrided };

// A call's description, packed into words that travel as the kernel's argument:
//   shape of `dims`; per input: pointer, type, walk, `dims` strides; constants; instructions, ten bits a field (the
//   numbers of `code`) and the arity above them; per output: pointer, type, operand.
struct Layout {
  int32_t dims, inputs, constants, instructions, outputs;
  __host__ __device__ int32_t input(int32_t i) const { return dims + i * (3 + dims); }
  __host__ __device__ int32_t constant(int32_t i) const { return input(inputs) + i; }
  __host__ __device__ int32_t instruction(int32_t i) const { return constant(constants) + i; }
  __host__ __device__ int32_t output(int32_t i) const { return instruction(instructions) + 3 * i; }
  __host__ __device__ int32_t words() const { return output(outputs); }
};
constexpr int kFieldBits = 10;
constexpr int64_t kFieldMask = (1 << kFieldBits) - 1;

// Large calls are rare; small ones should not carry their weight.
struct Small {
  static constexpr int32_t kWords = 120, kRegisters = 24;
};
struct Large {
  static constexpr int32_t kWords = 4000, kRegisters = 64;
};
template <class Size>
struct Call {
  Layout layout;
  int64_t elements;
  int64_t words[Size::kWords];
};

template <class Index>
__device__ inline int64_t offset_at(const int64_t* shape, const int64_t* strides, int32_t dims, int64_t element) {
  Index rest = static_cast<Index>(element);
  int64_t offset = 0;
  for (int32_t d = dims - 1; d > 0; --d) {
    const Index size = static_cast<Index>(shape[d]);
    offset += static_cast<int64_t>(rest % size) * strides[d];
    rest /= size;
  }
  return offset + static_cast<int64_t>(rest) * strides[0];
}

// One thread's share of a call: registers hold kEach elements each.
template <class T, class Size>
struct Interpreter {
  const Layout& layout;
  const int64_t* words;
  int64_t elements;
  T registers[Size::kRegisters][kEach];

  __device__ NOINLINE void fetch(int64_t operand, int64_t first, T (&out)[kEach]) const {
    if (operand >= layout.inputs + layout.constants) {
      const T* in = registers[operand - layout.inputs - layout.constants];
      for (int j = 0; j < kEach; ++j) out[j] = in[j];
    } else if (operand >= layout.inputs) {
      double value;
      memcpy(&value, words + layout.constant(static_cast<int32_t>(operand) - layout.inputs), sizeof value);
      for (int j = 0; j < kEach; ++j) out[j] = static_cast<T>(value);
    } else {
      const int64_t* in = words + layout.input(static_cast<int32_t>(operand));
      const void* data = reinterpret_cast<const void*>(in[0]);
      for (int j = 0; j < kEach; ++j) {
        const int64_t element = first + j * static_cast<int64_t>(blockDim.x);
        if (element >= elements) break;
        int64_t at = 0;
        if (in[2] == kLinear)
          at = element;
        else if (in[2] == kStrided)
          at = elements <= UINT32_MAX ? offset_at<uint32_t>(words, in + 3, layout.dims, element)
                                      : offset_at<uint64_t>(words, in + 3, layout.dims, element);
        out[j] = load_as<T>(data, at, in[1]);
      }
    }
  }

  __device__ void execute(int64_t instruction, int64_t first) {
    T a[kEach] = {}, b[kEach] = {}, c[kEach] = {}, d[kEach] = {};
    const auto field = [&](int i) { return instruction >> (i * kFieldBits) & kFieldMask; };
    const int64_t arity = field(kCodeWidth);
    if (arity > 0) fetch(field(2), first, a);
    if (arity > 1) fetch(field(3), first, b);
    if (arity > 2) fetch(field(4), first, c);
    if (arity > 3) fetch(field(5), first, d);
    T(&out)[kEach] = registers[field(1)];
    for (int j = 0; j < kEach; ++j)
      out[j] = apply(field(0), a[j], b[j], c[j], d[j], static_cast<T>(first + j * static_cast<int64_t>(blockDim.x)));
  }

  __device__ void run() {
    const int64_t stride = item_stride() * kEach;
    for (int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x * kEach + threadIdx.x; first < elements;
         first += stride) {
      for (int32_t i = 0; i < layout.instructions; ++i) execute(words[layout.instruction(i)], first);
      for (int32_t o = 0; o < layout.outputs; ++o) {
        const int64_t* out = words + layout.output(o);
        T value[kEach];
        fetch(out[2], first, value);
        for (int j = 0; j < kEach; ++j) {
          const int64_t element = first + j * static_cast<int64_t>(blockDim.x);
          if (element < elements) store_as(reinterpret_cast<void*>(out[0]), element, out[1], value[j]);
        }
      }
    }
  }
};

template <class T, class Size>
__global__ void __launch_bounds__(kThreads) interpret(const GRID_CONSTANT Call<Size> call) {
  Interpreter<T, Size> interpreter{call.layout, call.words, call.elements, {}};
  interpreter.run();
}

Walk walk_of(const EwiseArgs& a, int64_t input) {
  int64_t step = 1;
  bool fixed = true, linear = true;
  for (int64_t d = a.shape.n - 1; d >= 0; --d) {
    const int64_t stride = a.in_strides[input * a.shape.n + d];
    if (a.shape[d] == 1) continue;
    fixed = fixed && stride == 0;
    linear = linear && stride == step;
    step *= a.shape[d];
  }
  return fixed ? kFixed : linear ? kLinear : kStrided;
}

template <class T, class Size>
void launch(const EwiseArgs& a, void* const* buffers, const Layout& layout, int64_t elements, const Context& context) {
  Call<Size> call;
  call.layout = layout;
  call.elements = elements;
  for (int32_t d = 0; d < layout.dims; ++d) call.words[d] = a.shape[d];
  for (int32_t i = 0; i < layout.inputs; ++i) {
    int64_t* in = call.words + layout.input(i);
    in[0] = reinterpret_cast<int64_t>(input<void>(buffers, i, context));
    in[1] = a.in_types[i];
    in[2] = walk_of(a, i);
    for (int32_t d = 0; d < layout.dims; ++d) in[3 + d] = a.in_strides[i * layout.dims + d];
  }
  for (int32_t i = 0; i < layout.constants; ++i) memcpy(call.words + layout.constant(i), a.constants.v + i, 8);
  for (int32_t i = 0; i < layout.instructions; ++i) {
    const int64_t* code = a.code.v + kCodeWidth * i;
    int64_t packed = kArity[code[0]] << (kCodeWidth * kFieldBits);
    for (int field = 0; field < kCodeWidth; ++field) packed |= code[field] << (field * kFieldBits);
    call.words[layout.instruction(i)] = packed;
  }
  for (int32_t i = 0; i < layout.outputs; ++i) {
    int64_t* out = call.words + layout.output(i);
    out[0] = reinterpret_cast<int64_t>(output<void>(buffers, layout.inputs + i, context));
    out[1] = a.out_types[i];
    out[2] = a.out_operands[i];
  }
  const auto kernel = interpret<T, Size>;
  LAUNCH(kernel, blocks_for(elements, kThreads * kEach), kThreads, 0, context)(call);
}

template <class T>
void ewise(const EwiseArgs& a, void* const* buffers, const Context& context) {
  int64_t elements = 1;
  for (int64_t d = 0; d < a.shape.n; ++d) elements *= a.shape[d];
  if (elements == 0) return;
  const auto narrow = [](int64_t n) { return static_cast<int32_t>(n); };
  const Layout layout = {narrow(a.shape.n), narrow(a.inputs), narrow(a.constants.n), narrow(a.code.n / kCodeWidth),
                         narrow(a.out_types.n)};
  const auto fits = [&](auto size) { return layout.words() <= size.kWords && a.registers <= size.kRegisters; };
  if (fits(Small()))
    launch<T, Small>(a, buffers, layout, elements, context);
  else if (fits(Large()))
    launch<T, Large>(a, buffers, layout, elements, context);
  else
    throw std::length_error("ewise: more inputs, instructions or registers than a gpu call can carry");
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(ewise, KERNEL("ewise.float32", ewise<float>, EwiseArgs), KERNEL("ewise.float64", ewise<double>, EwiseArgs),
        KERNEL("ewise.int32", ewise<int32_t>, EwiseArgs), KERNEL("ewise.int64", ewise<int64_t>, EwiseArgs))
