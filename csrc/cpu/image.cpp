// image_row: the pass between the decoder and the batch.
//
// The two rows are blended in 16 bits (8-bit weights, of which the result keeps seven bits behind the point). A pair of
// neighbours is then eight numbers of 16 bits, one load; interleaved they are multiplied and added in pairs. Four
// vectors of such pixels, whose lanes hold every fourth pixel, are turned into planes by unpacking within lanes.
#include "../args/image.h"

#include "convert.h"
#include "simd.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

typedef int16_t Pair __attribute__((vector_size(16)));
typedef int16_t PairInMemory __attribute__((vector_size(16), aligned(2), may_alias));

constexpr int kPixels = kVectorBytes / 16;  // in a vector of four int32 each
using Whole = Vec<int32_t>;

inline Pair load_pair(const int16_t* p) { return *reinterpret_cast<const PairInMemory*>(p); }

template <int... I>
struct List {};
template <int N, int... I>
struct CountTo : CountTo<N - 1, N - 1, I...> {};
template <int... I>
struct CountTo<0, I...> {
  using type = List<I...>;
};
template <int N>
using Count = typename CountTo<N>::type;

// Index of element i in a shuffle that works alike in every 16 bytes of vectors with n elements.
constexpr int interleave_pair(int i) { return i / 8 * 8 + i % 8 / 2 + i % 2 * 4; }
constexpr int unpack32(int i, int n, int high) { return i / 4 * 4 + high * 2 + i % 4 / 2 + i % 2 * n; }
constexpr int unpack64(int i, int n, int high) { return i / 4 * 4 + high * 2 + i % 2 + i % 4 / 2 * n; }

template <int... I>
inline Vec<int16_t> interleave(Vec<int16_t> v, List<I...>) {
  return __builtin_shufflevector(v, v, interleave_pair(I)...);
}
template <int High, int... I>
inline Whole unpack(Whole a, Whole b, List<I...>) {
  return __builtin_shufflevector(a, b, unpack32(I, 4 * kPixels, High)...);
}
template <int High, int... I>
inline Whole unpack_wide(Whole a, Whole b, List<I...>) {
  return __builtin_shufflevector(a, b, unpack64(I, 4 * kPixels, High)...);
}

template <class V, int... I>
inline auto join(V a, V b, List<I...>) {
  return __builtin_shufflevector(a, b, I...);
}

// The pairs at P places, and P pairs of weights, every `step`-th.
template <int P>
inline auto gather(const int16_t* line, const int32_t* places, int step) {
  if constexpr (P == 1)
    return load_pair(line + 4 * places[0]);
  else
    return join(gather<P / 2>(line, places, step), gather<P / 2>(line, places + P / 2 * step, step), Count<8 * P>());
}
template <int P>
inline auto gather(const int16_t* weights, int step) {
  if constexpr (P == 1)
    return load_pair(weights);
  else
    return join(gather<P / 2>(weights, step), gather<P / 2>(weights + P / 2 * 8 * step, step), Count<8 * P>());
}

// Sums of products of neighbours.
inline Whole multiply_add(Vec<int16_t> a, Vec<int16_t> b) {
#if defined(__AVX512BW__) && MINIMX_VECTOR_BYTES == 64
  return (Whole)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__) && MINIMX_VECTOR_BYTES == 32
  return (Whole)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__) && MINIMX_VECTOR_BYTES == 16
  return (Whole)__builtin_ia32_pmaddwd128(a, b);
#else
  const Whole x = (Whole)a, y = (Whole)b;
  return ((x << 16) >> 16) * ((y << 16) >> 16) + (x >> 16) * (y >> 16);
#endif
}

// The pixel(s) as whole numbers, all four bytes of each.
inline Whole pixels(const int16_t* line, const int32_t* places, const int16_t* weights, int step) {
  const Vec<int16_t> pairs = interleave((Vec<int16_t>)gather<kPixels>(line, places, step), Count<8 * kPixels>());
  return (multiply_add(pairs, (Vec<int16_t>)gather<kPixels>(weights, step)) + (1 << 20)) >> 21;
}

// kLanes<uint16_t> bytes as numbers of 16 bits.
inline Vec<uint16_t> widen(const uint8_t* p) {
#if defined(__AVX512BW__) && MINIMX_VECTOR_BYTES == 64
  return (Vec<uint16_t>)_mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#else
  typedef uint8_t Narrow __attribute__((vector_size(kVectorBytes / 2), aligned(1), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Narrow*>(p), Vec<uint16_t>);
#endif
}

void blend(const uint8_t* a, const uint8_t* b, int64_t bytes, int64_t lower, int16_t* line) {
  const auto low = static_cast<uint16_t>(lower), high = static_cast<uint16_t>(256 - lower);
  int64_t i = 0;
  for (; i + kLanes<uint16_t> <= bytes; i += kLanes<uint16_t>) {
    const Vec<uint16_t> x = widen(a + i), y = widen(b + i);
    store(line + i, (Vec<int16_t>)((x * high + y * low) >> 1));
  }
  for (; i < bytes; ++i) line[i] = static_cast<int16_t>((a[i] * high + b[i] * low) >> 1);
  for (int64_t k = 0; k < 4; ++k) line[bytes + k] = 0;  // the last place's neighbour, whose weight is zero
}

struct Bytes {};  // the type of whole pixels as output

// A run of one plane; n says how much of it exists.
inline void put(float* out, Whole v, int64_t n, float mean, float scale, float add) {
  const Vec<float> x = (__builtin_convertvector(v, Vec<float>) - mean) * scale + add;
  if (n >= kLanes<float>)
    store(out, x);
  else
    store_part(out, x, static_cast<int>(n));
}
inline void put(Half* out, Whole v, int64_t n, float mean, float scale, float add) {
  const Vec<float> x = (__builtin_convertvector(v, Vec<float>) - mean) * scale + add;
  for (int i = 0; i < kLanes<float> && i < n; ++i) out[i].bits = float_to_half(x[i]);
}
template <class T>
inline void put_bytes(T* out, Whole v, int64_t n) {
  typedef T Narrow __attribute__((vector_size(kLanes<int32_t>)));
  const Narrow bytes = __builtin_convertvector(v, Narrow);
  if (n >= kLanes<int32_t>)
    __builtin_memcpy(out, &bytes, sizeof bytes);
  else
    __builtin_memcpy(out, &bytes, static_cast<size_t>(n));
}
inline void put(uint8_t* out, Whole v, int64_t n, float, float, float) { put_bytes(out, v, n); }
inline void put(int8_t* out, Whole v, int64_t n, float mean, float, float) {
  v -= static_cast<int32_t>(mean < 0 ? mean - 0.5f : mean + 0.5f);
  v = vmin(vmax(v, splat<int32_t>(-128)), splat<int32_t>(127));
  put_bytes(out, v, n);
}

template <class T>
void image_row(const ImageRowArgs& a, void* const* buffers, const Context&) {
  const auto* first = static_cast<const uint8_t*>(buffers[0]);
  const auto* second = static_cast<const uint8_t*>(buffers[1]);
  const auto* places = static_cast<const int32_t*>(buffers[2]);
  const auto* weights = static_cast<const int16_t*>(buffers[3]);
  auto* line = static_cast<int16_t*>(buffers[4]);
  blend(first, second, a.columns * 4, a.lower, line);
  constexpr int step = 4 * kPixels;
  for (int64_t x = 0; x < a.width; x += step, places += step, weights += 8 * step) {
    Whole v[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) v[i] = pixels(line, places + i, weights + 8 * i, 4);
    const auto all = Count<step>();
    const Whole rg0 = unpack<0>(v[0], v[1], all), rg1 = unpack<0>(v[2], v[3], all);
    const Whole bx0 = unpack<1>(v[0], v[1], all), bx1 = unpack<1>(v[2], v[3], all);
    const int64_t n = a.width - x;
    auto plane = [&](int64_t p, Whole value) {
      put(static_cast<T*>(buffers[5]) + p * a.plane + x, value, n, static_cast<float>(a.mean[p]),
          static_cast<float>(a.scale[p]), static_cast<float>(a.add[p]));
    };
    plane(0, unpack_wide<0>(rg0, rg1, all));
    if (a.planes < 3) continue;
    plane(1, unpack_wide<1>(rg0, rg1, all));
    plane(2, unpack_wide<0>(bx0, bx1, all));
    if (a.planes > 3) plane(3, unpack_wide<1>(bx0, bx1, all));
  }
}

template <>
void image_row<Bytes>(const ImageRowArgs& a, void* const* buffers, const Context&) {
  const auto* places = static_cast<const int32_t*>(buffers[2]);
  const auto* weights = static_cast<const int16_t*>(buffers[3]);
  auto* line = static_cast<int16_t*>(buffers[4]);
  auto* out = static_cast<uint8_t*>(buffers[5]);
  blend(static_cast<const uint8_t*>(buffers[0]), static_cast<const uint8_t*>(buffers[1]), a.columns * 4, a.lower, line);
  for (int64_t x = 0; x < a.width; x += kPixels)
    put_bytes(out + 4 * x, pixels(line, places + x, weights + 8 * x, 1), 4 * (a.width - x));
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(image, KERNEL("image_row.float32", image_row<float>, ImageRowArgs),
        KERNEL("image_row.float16", image_row<Half>, ImageRowArgs),
        KERNEL("image_row.uint8", image_row<uint8_t>, ImageRowArgs),
        KERNEL("image_row.int8", image_row<int8_t>, ImageRowArgs),
        KERNEL("image_row.pixels", image_row<Bytes>, ImageRowArgs))
