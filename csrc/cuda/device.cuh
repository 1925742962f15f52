// What the kernels of this directory share: the launch on either kind of device, sums and maxima over warps and blocks,
// and the scalar functions that csrc/ewise.def and the epilogues are written with.
#pragma once
#include <math.h>

#include "../args/epilogue.h"
#include "../kernel.h"

#ifdef MINIMX_EMULATE
#include "emulate.h"
#define NOINLINE
#define GRID_CONSTANT
#else
#include "stream.h"
#define NOINLINE __noinline__
#define GRID_CONSTANT __grid_constant__  // may be read by address without a copy in every thread
#define SHARED(T, name, extent) __shared__ T name extent
#define DYNAMIC_SHARED(T, name)                                 \
  extern __shared__ __align__(16) unsigned char shared_bytes[]; \
  T* name = reinterpret_cast<T*>(shared_bytes)
#define LAUNCH(kernel, grid, block, shared, context) \
  kernel<<<(grid), (block), (shared), ::minimx::cuda::select(context)>>>
#endif

namespace minimx {
namespace cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Blocks for n items of which a block takes `each`. Kernels loop with the stride of the grid, so that more never helps.
inline unsigned blocks_for(int64_t n, int64_t each = kThreads) {
#ifdef MINIMX_EMULATE
  constexpr int64_t kMost = 3;  // so that tests go round those loops
#else
  constexpr int64_t kMost = 1 << 13;
#endif
  const int64_t blocks = (n + each - 1) / each;
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks < kMost ? blocks : kMost);
}

__device__ inline int64_t first_item() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t item_stride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// Operand i. It may travel on inside a struct, where a launch would not see that it is not the device's memory.
template <class T>
T* output(void* const* buffers, int64_t i, [[maybe_unused]] const Context& context) {
#ifdef MINIMX_EMULATE
  emulate::check_pointer(context.stream, buffers[i]);
#endif
  return static_cast<T*>(buffers[i]);
}
template <class T>
const T* input(void* const* buffers, int64_t i, const Context& context) {
  return output<const T>(buffers, i, context);
}

template <class T>
__global__ void set_all(T* out, T value, int64_t count) {
  for (int64_t i = first_item(); i < count; i += item_stride()) out[i] = value;
}
template <class T>
void launch_set_all(T* out, T value, int64_t count, const Context& context) {
  if (count == 0) return;
  const auto kernel = set_all<T>;
  LAUNCH(kernel, blocks_for(count), kThreads, 0, context)(out, value, count);
}

// ---- folding over threads ------------------------------------------------------------------------------------------

// Every thread gets the fold of its warp's values; whole warps only.
template <class T, class Fold>
__device__ inline T fold_warp(T value, Fold fold) {
  for (int bits = kWarp / 2; bits > 0; bits /= 2) value = fold(value, __shfl_xor_sync(kAllLanes, value, bits));
  return value;
}

// Every thread gets the fold of the block's values; for one-dimensional blocks of whole warps. `none` folds to nothing.
template <class T, class Fold>
__device__ inline T fold_block(T value, T none, Fold fold) {
  SHARED(T, of_warp, [kWarp]);
  const unsigned lane = threadIdx.x % kWarp;
  value = fold_warp(value, fold);
  if (lane == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = fold_warp(lane < blockDim.x / kWarp ? of_warp[lane] : none, fold);
  __syncthreads();  // the next fold writes of_warp again
  return value;
}

// The fold over a group of 1, kWarp or kThreads neighbouring threads.
template <unsigned Group, class T, class Fold>
__device__ inline T fold_group(T value, T none, Fold fold) {
  static_assert(Group == 1 || Group == kWarp || Group == kThreads);
  if constexpr (Group == kWarp) return fold_warp(value, fold);
  if constexpr (Group == kThreads) return fold_block(value, none, fold);
  return value;
}
// How many threads should share a fold of n elements that lie side by side.
inline unsigned group_for(int64_t n) { return n < 8 ? 1 : n <= 1024 ? kWarp : kThreads; }

struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
// NaN wins over every number.
struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a != a || a > b ? a : b;
  }
};

// ---- walking arrays -------------------------------------------------------------------------------------------------

// Some axes of an array: where the index-th of their combinations, in row-major order, lies.
struct Axes {
  static constexpr int kMost = 16;
  int32_t count;
  int64_t size[kMost], stride[kMost];

  __device__ int64_t at(int64_t index) const {
    int64_t offset = 0;
    for (int32_t d = count - 1; d > 0; --d) {
      offset += index % size[d] * stride[d];
      index /= size[d];
    }
    return count ? offset + index * stride[0] : 0;
  }
};

// ---- scalar functions, named as in csrc/cpu/vmath.h ----------------------------------------------------------------

template <class T>
constexpr bool kReal = T(0.5) != 0;

template <class T>
__device__ inline T num(T, double value) {
  return static_cast<T>(value);
}
// The value itself, which nvcc does not merge with what is done to it: a product stays rounded.
#ifdef MINIMX_EMULATE
template <class T>
inline T rounded(T a) {
  return a;
}
#else
template <class T>
__device__ inline T rounded(T a) {
  return a;
}
template <>
__device__ inline float rounded(float a) {
  return __fmul_rn(a, 1.0f);
}
template <>
__device__ inline double rounded(double a) {
  return __dmul_rn(a, 1.0);
}
#endif
template <class T>
__device__ inline T flag(T, bool condition) {
  return static_cast<T>(condition);
}
template <class T>
__device__ inline T select(bool condition, T yes, T no) {
  return condition ? yes : no;
}

__device__ inline float vabs(float a) { return fabsf(a); }
__device__ inline double vabs(double a) { return fabs(a); }
template <class T>
__device__ inline T vabs(T a) {
  return a < 0 ? -a : a;
}
template <class T>
__device__ inline T vsign(T a) {
  return static_cast<T>((a > 0) - (a < 0));
}
template <class T>
__device__ inline T vminimum(T a, T b) {
  return a != a || a < b ? a : b;
}
template <class T>
__device__ inline T vmaximum(T a, T b) {
  return a != a || a > b ? a : b;
}
template <class T>
__device__ inline T vclip(T a, T low, T high) {
  return a > high ? high : a < low ? low : a;
}

template <class T>
__device__ inline T vfloor(T a) {
  if constexpr (kReal<T>)
    return floor(a);
  else
    return a;
}
template <class T>
__device__ inline T vceil(T a) {
  if constexpr (kReal<T>)
    return ceil(a);
  else
    return a;
}
template <class T>
__device__ inline T vtrunc(T a) {
  if constexpr (kReal<T>)
    return trunc(a);
  else
    return a;
}
// Halves to the lower neighbour, as MXNet's rint.
template <class T>
__device__ inline T vrint(T a) {
  if constexpr (kReal<T>) {
    const T below = floor(a);
    return copysign(a - below > T(0.5) ? below + T(1) : below, a);
  } else {
    return a;
  }
}
// Halves away from zero.
template <class T>
__device__ inline T vround(T a) {
  if constexpr (kReal<T>)
    return round(a);
  else
    return a;
}

// Integers: towards zero, and 0 for a division by zero; the lowest number by -1 wraps.
template <class T>
__device__ inline T vdiv(T a, T b) {
  if constexpr (kReal<T>)
    return a / b;
  else
    return b == 0 ? T(0) : b == -1 ? static_cast<T>(0 - static_cast<uint64_t>(a)) : a / b;
}
// The remainder with the sign of the divisor; 0 by a zero divisor.
template <class T>
__device__ inline T vmod(T a, T b) {
  if (b == 0) return T(0);
  T rest;
  if constexpr (kReal<T>)
    rest = fmod(a, b);
  else
    rest = b == -1 ? T(0) : a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

// Chosen by type, since an unqualified exp(float) is C's double function in some host headers.
#define REAL_FUNCTION(name, of_float, of_double)                \
  __device__ inline float name(float a) { return of_float(a); } \
  __device__ inline double name(double a) { return of_double(a); }
#define REAL_FUNCTION2(name, of_float, of_double)                           \
  __device__ inline float name(float a, float b) { return of_float(a, b); } \
  __device__ inline double name(double a, double b) { return of_double(a, b); }
REAL_FUNCTION(vsqrt, sqrtf, sqrt)
REAL_FUNCTION(vcbrt, cbrtf, cbrt)
REAL_FUNCTION(vexp, expf, exp)
REAL_FUNCTION(vexpm1, expm1f, expm1)
REAL_FUNCTION(vlog, logf, log)
REAL_FUNCTION(vlog2, log2f, log2)
REAL_FUNCTION(vlog10, log10f, log10)
REAL_FUNCTION(vlog1p, log1pf, log1p)
REAL_FUNCTION(vsin, sinf, sin)
REAL_FUNCTION(vcos, cosf, cos)
REAL_FUNCTION(vtan, tanf, tan)
REAL_FUNCTION(vasin, asinf, asin)
REAL_FUNCTION(vacos, acosf, acos)
REAL_FUNCTION(vatan, atanf, atan)
REAL_FUNCTION(vsinh, sinhf, sinh)
REAL_FUNCTION(vcosh, coshf, cosh)
REAL_FUNCTION(vtanh, tanhf, tanh)
REAL_FUNCTION(vasinh, asinhf, asinh)
REAL_FUNCTION(vacosh, acoshf, acosh)
REAL_FUNCTION(vatanh, atanhf, atanh)
REAL_FUNCTION(vgamma, tgammaf, tgamma)
REAL_FUNCTION(vlgamma, lgammaf, lgamma)
REAL_FUNCTION(verf, erff, erf)
REAL_FUNCTION2(vpow, powf, pow)
REAL_FUNCTION2(vhypot, hypotf, hypot)
REAL_FUNCTION2(vatan2, atan2f, atan2)
#undef REAL_FUNCTION
#undef REAL_FUNCTION2

template <class T>
__device__ inline T vsigmoid(T a) {
  return T(1) / (T(1) + vexp(-a));
}
template <class T>
__device__ inline T vsoftrelu(T a) {
  return (a > T(0) ? a : a != a ? a : T(0)) + vlog1p(vexp(-vabs(a)));
}

constexpr double kPi = 3.14159265358979323846;

// Reflection for negative numbers, recurrence up to 10, then the asymptotic series.
template <class T>
__device__ inline T vdigamma(T a) {
  double x = a;
  if (x == -HUGE_VAL || (x <= 0 && x == floor(x))) return static_cast<T>(NAN);
  double y = 0;
  if (x < 0) {
    y = -kPi / tan(kPi * x);
    x = 1 - x;
  }
  for (; x < 10; x += 1) y -= 1 / x;
  const double z = 1 / (x * x);
  const double tail =
      z * (1 / 12. - z * (1 / 120. - z * (1 / 252. - z * (1 / 240. - z * (1 / 132. - z * (691 / 32760. - z / 12))))));
  return static_cast<T>(y + log(x) - 0.5 / x - tail);
}

// Winitzki's estimate (two digits), then three steps of Halley's iteration.
template <class T>
__device__ inline T verfinv(T a) {
  const double size = fabs(static_cast<double>(a));
  if (!(size < 1)) return size == 1 ? a * static_cast<T>(HUGE_VAL) : static_cast<T>(NAN);
  const double l = log((1 - size) * (1 + size)), m = 2 / (kPi * 0.147) + l / 2;
  double y = sqrt(sqrt(m * m - l / 0.147) - m);
  for (int i = 0; i < 3; ++i) {
    const double miss = size > 0.5 ? (1 - size) - erfc(y) : erf(y) - size;
    const double step = miss * 0.88622692545275801 * exp(y * y);
    y -= step / (1 + y * step);
  }
  return static_cast<T>(copysign(y, static_cast<double>(a)));
}

template <class T>
__device__ inline T activate(T x, int64_t activation) {
  switch (activation) {
    case kRelu:
      return vmaximum(x, T(0));
    case kSigmoid:
      return vsigmoid(x);
    case kTanh:
      return vtanh(x);
    case kSoftrelu:
      return vsoftrelu(x);
    case kSoftsign:
      return x / (T(1) + vabs(x));
    default:
      return x;
  }
}

}  // namespace
}  // namespace cuda
}  // namespace minimx
