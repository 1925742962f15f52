// The contract between the program and its kernels.
//
// A kernel is a plain function over contiguous, typed buffers. By the time it runs, everything about it has been
// decided: device, dtype, instruction set, shapes, scratch. It checks nothing, throws nothing, allocates nothing, and
// it always overwrites its outputs.
//
// Kernel objects are compiled once per instruction-set level, so nothing in this header may leave a shared (weak)
// symbol behind: every template lives in an unnamed namespace, and tables are constant data.
#pragma once
#include <cstddef>
#include <cstdint>

namespace minimx {

// The numbers are MXNet's type flags, as written in .params files.
enum DType : int64_t {
  kFloat32 = 0,
  kFloat64 = 1,
  kFloat16 = 2,
  kUint8 = 3,
  kInt32 = 4,
  kInt8 = 5,
  kInt64 = 6,
  kBool = 7,
  kBFloat16 = 12,
};

// One piece of a parallel call: `task` counts 0..tasks-1, `thread` is the worker that runs it (0..threads-1).
using Task = void (*)(void* state, int64_t task, int thread);

// What a kernel may use besides its operands.
struct Context {
  int threads;  // workers a parallel call may use, this one included
  void (*run_parallel)(int64_t tasks, Task task, void* state);
  void* stream;  // CUDA stream; null on the CPU
};

// Argument structs hold int64_t, double, Ints and Reals only. The arrays behind Ints and Reals belong to the program.
struct Ints {
  const int64_t* v;
  int64_t n;
  int64_t operator[](int64_t i) const { return v[i]; }
};
struct Reals {
  const double* v;
  int64_t n;
  double operator[](int64_t i) const { return v[i]; }
};

enum class FieldType : int32_t { integer, real, ints, reals };
struct Field {
  const char* name;
  FieldType type;
  uint32_t offset;
};
struct ArgsInfo {
  const char* name;
  uint32_t size;
  uint32_t count;
  const Field* fields;
};

// Operands arrive as `inputs..., outputs..., scratch` in the order the kernel documents; a missing optional operand is
// null. Scratch, when the call asked for some, is 64-byte aligned with undefined contents.
using Kernel = void (*)(const void* args, void* const* buffers, const Context& context);
struct KernelEntry {
  const char* name;  // "gemm.float32": kernel, then the dtypes it is typed for
  Kernel run;
  const ArgsInfo* args;
};
struct KernelTable {
  const KernelEntry* entries;
  int64_t count;
};

namespace {

template <class T>
struct FieldTypeOf;
template <>
struct FieldTypeOf<int64_t> {
  static constexpr FieldType value = FieldType::integer;
};
template <>
struct FieldTypeOf<double> {
  static constexpr FieldType value = FieldType::real;
};
template <>
struct FieldTypeOf<Ints> {
  static constexpr FieldType value = FieldType::ints;
};
template <>
struct FieldTypeOf<Reals> {
  static constexpr FieldType value = FieldType::reals;
};

template <size_t N>
constexpr size_t fields_size(const Field (&fields)[N]) {
  size_t total = 0;
  for (size_t i = 0; i < N; ++i)
    total += fields[i].type == FieldType::ints || fields[i].type == FieldType::reals ? 16 : 8;
  return total;
}

template <class Args, void (*F)(const Args&, void* const*, const Context&)>
void typed(const void* args, void* const* buffers, const Context& context) {
  F(*static_cast<const Args*>(args), buffers, context);
}

// Runs body(task, thread) for every task, on the pool when there is more than one.
template <class Body>
inline void parallel(const Context& context, int64_t tasks, const Body& body) {
  if (tasks <= 1 || context.threads == 1) {
    for (int64_t i = 0; i < tasks; ++i) body(i, 0);
    return;
  }
  context.run_parallel(
      tasks, [](void* state, int64_t task, int thread) { (*static_cast<const Body*>(state))(task, thread); },
      const_cast<Body*>(&body));
}

}  // namespace
}  // namespace minimx

// MINIMX_ARGS(GemmArgs, m, n, k) after `struct GemmArgs` publishes its fields by name, so that the program can check
// and fill it. A field that is left out is a compile error.
#define MINIMX_FIELD(S, f) {#f, ::minimx::FieldTypeOf<decltype(S::f)>::value, offsetof(S, f)},
#define MINIMX_EACH_1(S, f) MINIMX_FIELD(S, f)
#define MINIMX_EACH_2(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_1(S, __VA_ARGS__)
#define MINIMX_EACH_3(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_2(S, __VA_ARGS__)
#define MINIMX_EACH_4(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_3(S, __VA_ARGS__)
#define MINIMX_EACH_5(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_4(S, __VA_ARGS__)
#define MINIMX_EACH_6(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_5(S, __VA_ARGS__)
#define MINIMX_EACH_7(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_6(S, __VA_ARGS__)
#define MINIMX_EACH_8(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_7(S, __VA_ARGS__)
#define MINIMX_EACH_9(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_8(S, __VA_ARGS__)
#define MINIMX_EACH_10(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_9(S, __VA_ARGS__)
#define MINIMX_EACH_11(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_10(S, __VA_ARGS__)
#define MINIMX_EACH_12(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_11(S, __VA_ARGS__)
#define MINIMX_EACH_13(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_12(S, __VA_ARGS__)
#define MINIMX_EACH_14(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_13(S, __VA_ARGS__)
#define MINIMX_EACH_15(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_14(S, __VA_ARGS__)
#define MINIMX_EACH_16(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_15(S, __VA_ARGS__)
#define MINIMX_EACH_17(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_16(S, __VA_ARGS__)
#define MINIMX_EACH_18(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_17(S, __VA_ARGS__)
#define MINIMX_EACH_19(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_18(S, __VA_ARGS__)
#define MINIMX_EACH_20(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_19(S, __VA_ARGS__)
#define MINIMX_EACH_21(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_20(S, __VA_ARGS__)
#define MINIMX_EACH_22(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_21(S, __VA_ARGS__)
#define MINIMX_EACH_23(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_22(S, __VA_ARGS__)
#define MINIMX_EACH_24(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_23(S, __VA_ARGS__)
#define MINIMX_EACH_25(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_24(S, __VA_ARGS__)
#define MINIMX_EACH_26(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_25(S, __VA_ARGS__)
#define MINIMX_EACH_27(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_26(S, __VA_ARGS__)
#define MINIMX_EACH_28(S, f, ...) MINIMX_FIELD(S, f) MINIMX_EACH_27(S, __VA_ARGS__)
#define MINIMX_PICK(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17, _18, _19, _20, _21, \
                    _22, _23, _24, _25, _26, _27, _28, NAME, ...)                                                   \
  NAME
#define MINIMX_EACH(S, ...)                                                                                   \
  MINIMX_PICK(__VA_ARGS__, MINIMX_EACH_28, MINIMX_EACH_27, MINIMX_EACH_26, MINIMX_EACH_25, MINIMX_EACH_24,    \
              MINIMX_EACH_23, MINIMX_EACH_22, MINIMX_EACH_21, MINIMX_EACH_20, MINIMX_EACH_19, MINIMX_EACH_18, \
              MINIMX_EACH_17, MINIMX_EACH_16, MINIMX_EACH_15, MINIMX_EACH_14, MINIMX_EACH_13, MINIMX_EACH_12, \
              MINIMX_EACH_11, MINIMX_EACH_10, MINIMX_EACH_9, MINIMX_EACH_8, MINIMX_EACH_7, MINIMX_EACH_6,     \
              MINIMX_EACH_5, MINIMX_EACH_4, MINIMX_EACH_3, MINIMX_EACH_2, MINIMX_EACH_1, 0)(S, __VA_ARGS__)
#define MINIMX_ARGS(S, ...)                                                                                    \
  static constexpr ::minimx::Field S##_fields[] = {MINIMX_EACH(S, __VA_ARGS__)};                               \
  static constexpr ::minimx::ArgsInfo S##_info = {#S, sizeof(S), sizeof(S##_fields) / sizeof(::minimx::Field), \
                                                  S##_fields};                                                 \
  static_assert(::minimx::fields_size(S##_fields) == sizeof(S), #S ": a field is missing from MINIMX_ARGS");

// KERNELS(gemm, KERNEL("gemm.float32", gemm<float>, GemmArgs), ...) at the end of csrc/cpu/gemm.cpp: the family is
// named like its file. MINIMX_LEVEL is the namespace of the instruction-set level being compiled.
#define KERNEL(name, function, Args) {name, ::minimx::typed<Args, function>, &Args##_info}
#define KERNELS(family, ...)                                                                                       \
  namespace minimx {                                                                                               \
  namespace MINIMX_LEVEL {                                                                                         \
  static constexpr KernelEntry family##_entries[] = {__VA_ARGS__};                                                 \
  extern const KernelTable family##_kernels;                                                                       \
  const KernelTable family##_kernels = {family##_entries, sizeof(family##_entries) / sizeof(family##_entries[0])}; \
  }                                                                                                                \
  }
