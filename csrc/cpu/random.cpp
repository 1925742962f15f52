// random: numbers of many distributions from a counter-based generator; see ../args/random.h for what makes them the
// same everywhere. This file is compiled without contraction of a * b + c, so that all levels round alike.
#include "../args/random.h"

#include "vmath.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

// ---- Philox4x32-10
// ---------------------------------------------------------------------------------------------------

constexpr uint32_t kFactor0 = 0xD2511F53, kFactor1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr int kRounds = 10;

struct Source {
  uint32_t key0, key1, stream, step;
};

Source source(const void* state, int64_t stream) {
  const auto* words = static_cast<const uint64_t*>(state);
  const uint64_t seed = words[0], step = words[1];
  return {static_cast<uint32_t>(seed), static_cast<uint32_t>((seed >> 32) + (step >> 32)),
          static_cast<uint32_t>(stream), static_cast<uint32_t>(step)};
}

using Words = Vec<uint64_t>;  // one 32-bit word per lane; what stands above it is ignored until the end

inline Words multiply(Words a, uint32_t factor) {
#if defined(__AVX512F__)
  return (Words)_mm512_maskz_mul_epu32(0xff, (__m512i)a, _mm512_set1_epi64(factor));
#elif defined(__AVX2__) && MINIMX_VECTOR_BYTES == 32
  return (Words)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(factor));
#else
  return (a & 0xffffffffu) * factor;
#endif
}

constexpr int kTileWords = 512, kTileBlocks = kTileWords / 4;

// The words of tile `tile`: word j of block b at out[j * kTileBlocks + b].
void fill_words(uint32_t* out, const Source& s, int64_t tile) {
  typedef uint32_t Packed __attribute__((vector_size(MINIMX_VECTOR_BYTES / 2), aligned(4), may_alias));
  Words lanes{};
  for (int i = 0; i < kLanes<uint64_t>; ++i) lanes[i] = static_cast<uint64_t>(i);
  for (int b = 0; b < kTileBlocks; b += kLanes<uint64_t>) {
    const Words block = lanes + static_cast<uint64_t>(tile * kTileBlocks + b);
    Words c0 = block, c1 = (block >> 32) & 0xffffu, c2 = splat<uint64_t>(s.stream), c3 = splat<uint64_t>(s.step);
    uint32_t k0 = s.key0, k1 = s.key1;
    for (int round = 0; round < kRounds; ++round) {
      const Words p0 = multiply(c0, kFactor0), p1 = multiply(c2, kFactor1);
      c0 = (p1 >> 32) ^ c1 ^ static_cast<uint64_t>(k0);
      c1 = p1;
      c2 = (p0 >> 32) ^ c3 ^ static_cast<uint64_t>(k1);
      c3 = p0;
      k0 += kWeyl0;
      k1 += kWeyl1;
    }
    const Words words[4] = {c0, c1, c2, c3};
    for (int j = 0; j < 4; ++j)
      *reinterpret_cast<Packed*>(out + j * kTileBlocks + b) = __builtin_convertvector(words[j], Packed);
  }
}

// The draws of one element, when it is not known how many it takes.
class Draws {
 public:
  Draws(const Source& s, int64_t element) : source_(s), element_(static_cast<uint64_t>(element)) {}

  // Uniform in (0, 1).
  double next() {
    if (used_ == 4) refill();
    const uint64_t high = words_[used_], low = words_[used_ + 1];
    used_ += 2;
    return (static_cast<double>((high << 32 | low) >> 11) + 0.5) * 0x1p-53;
  }

  double normal() {
    const double u = next(), v = next();
    return sqrt(-2 * log(u)) * cos(2 * kPi * v);
  }

 private:
  void refill() {
    uint32_t c0 = static_cast<uint32_t>(element_);
    uint32_t c1 = static_cast<uint32_t>((element_ >> 32 & 0xffffu) + (static_cast<uint64_t>(draw_++) << 16));
    uint32_t c2 = source_.stream, c3 = source_.step, k0 = source_.key0, k1 = source_.key1;
    for (int round = 0; round < kRounds; ++round) {
      const uint64_t p0 = static_cast<uint64_t>(c0) * kFactor0, p1 = static_cast<uint64_t>(c2) * kFactor1;
      c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c1 = static_cast<uint32_t>(p1);
      c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c3 = static_cast<uint32_t>(p0);
      k0 += kWeyl0;
      k1 += kWeyl1;
    }
    words_[0] = c0;
    words_[1] = c1;
    words_[2] = c2;
    words_[3] = c3;
    used_ = 0;
  }

  Source source_;
  uint64_t element_;
  int draw_ = 0, used_ = 4;
  uint32_t words_[4];
};

// ---- tiles
// -----------------------------------------------------------------------------------------------------------

template <class T>
constexpr int kTileNumbers = kTileWords * 4 / static_cast<int>(sizeof(T));

constexpr int64_t kTilesPerTask = 64;  // some 30 us

// Runs make(words, numbers) for every tile and copies the numbers out.
template <class T, class Make>
void by_tiles(const Source& s, T* out, int64_t size, const Context& context, const Make& make) {
  const int64_t tiles = (size + kTileNumbers<T> - 1) / kTileNumbers<T>;
  const int64_t tasks = (tiles + kTilesPerTask - 1) / kTilesPerTask;
  parallel(context, tasks, [&](int64_t task, int) {
    alignas(64) uint32_t words[kTileWords];
    alignas(64) T numbers[kTileNumbers<T>];
    const int64_t end = (task + 1) * kTilesPerTask < tiles ? (task + 1) * kTilesPerTask : tiles;
    for (int64_t tile = task * kTilesPerTask; tile < end; ++tile) {
      fill_words(words, s, tile);
      make(words, numbers);
      const int64_t first = tile * kTileNumbers<T>, left = size - first;
      const int64_t n = left < kTileNumbers<T> ? left : kTileNumbers<T>;
      __builtin_memcpy(out + first, numbers, static_cast<size_t>(n) * sizeof(T));
    }
  });
}

// Number i of a tile, as one vector: uniform in [0, 1) with all digits of the type.
inline Vec<float> uniform(const uint32_t* words, int i, float) {
  const Vec<uint32_t> w = load(words + i);
  return __builtin_convertvector((Vec<int32_t>)(w >> 8), Vec<float>) * splat(0x1p-24f);
}
inline Vec<double> uniform(const uint32_t* words, int i, double) {
  typedef int32_t Packed __attribute__((vector_size(MINIMX_VECTOR_BYTES / 2), aligned(4), may_alias));
  typedef uint32_t PackedWords __attribute__((vector_size(MINIMX_VECTOR_BYTES / 2), aligned(4), may_alias));
  const auto high = *reinterpret_cast<const PackedWords*>(words + i);
  const auto low = *reinterpret_cast<const PackedWords*>(words + kTileWords / 2 + i);
  const Vec<double> upper = __builtin_convertvector((Packed)(high >> 5), Vec<double>);
  const Vec<double> lower = __builtin_convertvector((Packed)(low >> 6), Vec<double>);
  return (upper * splat(0x1p26) + lower) * splat(0x1p-53);
}

template <class T>
void random_uniform(const RandomArgs& a, void* const* buffers, const Context& context) {
  const auto low = static_cast<T>(a.a), range = static_cast<T>(a.b - a.a), high = static_cast<T>(a.b);
  by_tiles(source(buffers[0], a.stream), static_cast<T*>(buffers[1]), a.size, context,
           [&](const uint32_t* words, T* out) {
             for (int i = 0; i < kTileNumbers<T>; i += kLanes<T>) {
               const Vec<T> x = splat(low) + splat(range) * uniform(words, i, T());
               store(out + i, x < high ? x : splat(low));  // rounding may reach the end of the range
             }
           });
}

// Cosine and sine of an angle in turns, in [0, 1]: whole quarters come off without an error.
inline void circle(Vec<float> turns, Vec<float>& cosine, Vec<float>& sine) {
  const Vec<float> quarters = round_even(turns * num(turns, 4));
  const Vec<float> r = (turns - quarters * num(turns, 0.25)) * num(turns, 2 * kPi);
  const Vec<int32_t> q = __builtin_convertvector(quarters, Vec<int32_t>);
  const Vec<float> s = sin_near(r), c = cos_near(r);
  cosine = (Vec<float>)((Vec<int32_t>)((q & 1) != 0 ? s : c) ^ (((q + 1) & 2) << 30));
  sine = (Vec<float>)((Vec<int32_t>)((q & 1) != 0 ? c : s) ^ ((q & 2) << 30));
}
inline void circle(Vec<double> turns, Vec<double>& cosine, Vec<double>& sine) {
  cosine = vcos(turns * num(turns, 2 * kPi));
  sine = vsin(turns * num(turns, 2 * kPi));
}

// Box and Muller: the first half of a tile are radii, the second half angles.
template <class T>
void random_normal(const RandomArgs& a, void* const* buffers, const Context& context) {
  const auto mean = splat(static_cast<T>(a.a)), deviation = splat(static_cast<T>(a.b));
  by_tiles(source(buffers[0], a.stream), static_cast<T*>(buffers[1]), a.size, context,
           [&](const uint32_t* words, T* out) {
             constexpr int half = kTileNumbers<T> / 2;
             for (int i = 0; i < half; i += kLanes<T>) {
               const Vec<T> u = num(mean, 1) - uniform(words, i, T());
               Vec<T> cosine, sine;
               circle(uniform(words, half + i, T()), cosine, sine);
               const Vec<T> radius = deviation * vsqrt(num(mean, -2) * vlog(u));
               store(out + i, mean + radius * cosine);
               store(out + half + i, mean + radius * sine);
             }
           });
}

template <class T>
void random_exponential(const RandomArgs& a, void* const* buffers, const Context& context) {
  const auto mean = splat(static_cast<T>(a.a));
  by_tiles(source(buffers[0], a.stream), static_cast<T*>(buffers[1]), a.size, context,
           [&](const uint32_t* words, T* out) {
             for (int i = 0; i < kTileNumbers<T>; i += kLanes<T>)
               store(out + i, -mean * vlog(num(mean, 1) - uniform(words, i, T())));
           });
}

template <class T>
void random_mask(const RandomArgs& a, void* const* buffers, const Context& context) {
  const auto keep = splat(static_cast<T>(a.a)), scale = splat(static_cast<T>(a.a > 0 ? 1 / a.a : 0));
  by_tiles(source(buffers[0], a.stream), static_cast<T*>(buffers[1]), a.size, context,
           [&](const uint32_t* words, T* out) {
             for (int i = 0; i < kTileNumbers<T>; i += kLanes<T>)
               store(out + i, uniform(words, i, T()) < keep ? scale : Vec<T>{});
           });
}

// The upper half of word * range is uniform over the range up to a part in 2^64 / range.
template <class T>
void random_integer(const RandomIntegerArgs& a, void* const* buffers, const Context& context) {
  const auto range = static_cast<uint64_t>(a.high) - static_cast<uint64_t>(a.low);
  T* out = static_cast<T*>(buffers[1]);
  const Source s = source(buffers[0], a.stream);
  constexpr int64_t kNumbers = kTileWords / 2;
  const int64_t tiles = (a.size + kNumbers - 1) / kNumbers, tasks = (tiles + kTilesPerTask - 1) / kTilesPerTask;
  parallel(context, tasks, [&](int64_t task, int) {
    alignas(64) uint32_t words[kTileWords];
    for (int64_t tile = task * kTilesPerTask; tile < (task + 1) * kTilesPerTask && tile < tiles; ++tile) {
      fill_words(words, s, tile);
      for (int64_t i = 0; i < kNumbers && tile * kNumbers + i < a.size; ++i) {
        const uint64_t word = static_cast<uint64_t>(words[i]) << 32 | words[kNumbers + i];
        const auto offset = static_cast<uint64_t>(static_cast<unsigned __int128>(word) * range >> 64);
        out[tile * kNumbers + i] = static_cast<T>(static_cast<uint64_t>(a.low) + offset);
      }
    }
  });
}

// ---- variates that take an unknown number of draws
// -------------------------------------------------------------------

// Marsaglia and Tsang's method; below shape 1, the variate of shape + 1 times a power of a uniform number.
double gamma_variate(Draws& draws, double shape) {
  if (!(shape > 0 && shape < __builtin_inf())) return shape >= 0 ? shape : __builtin_nan("");
  const double boost = shape < 1 ? pow(draws.next(), 1 / shape) : 1;
  const double d = (shape < 1 ? shape + 1 : shape) - 1 / 3., c = 1 / sqrt(9 * d);
  for (;;) {
    const double x = draws.normal(), t = 1 + c * x;
    if (t <= 0) continue;
    const double v = t * t * t, u = draws.next(), square = x * x;
    // The first condition implies the second, needs no logarithm and nearly always holds.
    if (u < 1 - 0.0331 * square * square || log(u) < 0.5 * square + d - d * v + d * log(v)) return boost * d * v;
  }
}

// Multiplication of uniform numbers for small means, Hörmann's transformed rejection (PTRS) for others.
double poisson_variate(Draws& draws, double mean) {
  if (!(mean > 0)) return mean == 0 ? 0 : __builtin_nan("");
  if (mean < 10) {
    const double limit = exp(-mean);
    double count = 0;
    for (double product = draws.next(); product > limit; product *= draws.next()) ++count;
    return count;
  }
  const double b = 0.931 + 2.53 * sqrt(mean), a = -0.059 + 0.02483 * b;
  const double accept = 0.9277 - 3.6224 / (b - 2), scale = 1.1239 + 1.1328 / (b - 3.4);
  for (;;) {
    const double u = draws.next() - 0.5, v = draws.next(), edge = 0.5 - fabs(u);
    const double k = floor((2 * a / edge + b) * u + mean + 0.43);
    if (edge >= 0.07 && v <= accept) return k;
    if (k < 0 || (edge < 0.013 && v > edge)) continue;
    int sign;
    if (log(v * scale / (a / (edge * edge) + b)) <= k * log(mean) - mean - lgamma_r(k + 1, &sign)) return k;
  }
}

constexpr int64_t kVariatesPerTask = 1024;

// out[i] = make(draws, first parameter, second parameter).
template <class T, class Make>
void by_variates(const RandomVariateArgs& a, void* const* buffers, const Context& context, const Make& make) {
  const Source s = source(buffers[0], a.stream);
  const T *first = static_cast<const T*>(buffers[1]), *second = static_cast<const T*>(buffers[2]);
  T* out = static_cast<T*>(buffers[3]);
  parallel(context, (a.size + kVariatesPerTask - 1) / kVariatesPerTask, [&](int64_t task, int) {
    const int64_t end = (task + 1) * kVariatesPerTask < a.size ? (task + 1) * kVariatesPerTask : a.size;
    for (int64_t i = task * kVariatesPerTask; i < end; ++i) {
      Draws draws(s, i);
      const double x = first ? first[i / a.repeat] : a.a, y = second ? second[i / a.repeat] : a.b;
      out[i] = static_cast<T>(make(draws, x, y));
    }
  });
}

template <class T>
void random_gamma(const RandomVariateArgs& a, void* const* buffers, const Context& context) {
  by_variates<T>(a, buffers, context,
                 [](Draws& draws, double shape, double scale) { return gamma_variate(draws, shape) * scale; });
}

template <class T>
void random_poisson(const RandomVariateArgs& a, void* const* buffers, const Context& context) {
  by_variates<T>(a, buffers, context, [](Draws& draws, double mean, double) { return poisson_variate(draws, mean); });
}

// A Poisson number whose mean is a gamma variate.
template <class T>
void random_negative_binomial(const RandomVariateArgs& a, void* const* buffers, const Context& context) {
  by_variates<T>(a, buffers, context, [](Draws& draws, double k, double p) {
    const double mean = gamma_variate(draws, k) * ((1 - p) / p);
    return poisson_variate(draws, mean);
  });
}

template <class T>
void random_generalized_negative_binomial(const RandomVariateArgs& a, void* const* buffers, const Context& context) {
  by_variates<T>(a, buffers, context, [](Draws& draws, double mu, double alpha) {
    const double mean = alpha == 0 ? mu : gamma_variate(draws, 1 / alpha) * alpha * mu;
    return poisson_variate(draws, mean);
  });
}

// ---- categories and permutations
// -------------------------------------------------------------------------------------

template <class T>
void random_category(const RandomCategoryArgs& a, void* const* buffers, const Context& context) {
  const Source s = source(buffers[0], a.stream);
  const T* probabilities = static_cast<const T*>(buffers[1]);
  auto* out = static_cast<int64_t*>(buffers[2]);
  auto* scratch = static_cast<double*>(buffers[3]);
  const int64_t rows = 1 + 4096 / (a.categories + 16 * a.samples + 1);  // of one task
  parallel(context, (a.rows + rows - 1) / rows, [&](int64_t task, int thread) {
    double* sums = scratch + thread * a.categories;
    for (int64_t r = task * rows; r < (task + 1) * rows && r < a.rows; ++r) {
      double sum = 0;
      for (int64_t c = 0; c < a.categories; ++c) sums[c] = sum += probabilities[r * a.categories + c];
      for (int64_t i = r * a.samples; i < (r + 1) * a.samples; ++i) {
        const double target = Draws(s, i).next() * sum;
        int64_t low = 0, high = a.categories - 1;  // the first category whose sum is above the target
        while (low < high) {
          const int64_t middle = (low + high) / 2;
          if (sums[middle] > target)
            high = middle;
          else
            low = middle + 1;
        }
        out[i] = low;
      }
    }
  });
}

// Fisher and Yates: each position swaps with a random earlier one or itself.
void random_permutation(const RandomPermutationArgs& a, void* const* buffers, const Context&) {
  const Source s = source(buffers[0], a.stream);
  auto* out = static_cast<int64_t*>(buffers[1]);
  alignas(64) uint32_t words[kTileWords];
  constexpr int64_t kNumbers = kTileWords / 2;
  for (int64_t i = 0; i < a.size; ++i) {
    if (i % kNumbers == 0) fill_words(words, s, i / kNumbers);
    const uint64_t word = static_cast<uint64_t>(words[i % kNumbers]) << 32 | words[kNumbers + i % kNumbers];
    const auto j = static_cast<int64_t>(static_cast<unsigned __int128>(word) * static_cast<uint64_t>(i + 1) >> 64);
    out[i] = out[j];
    out[j] = i;
  }
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

#define BOTH(name, Args) KERNEL(#name ".float32", name<float>, Args), KERNEL(#name ".float64", name<double>, Args)

KERNELS(random, BOTH(random_uniform, RandomArgs), BOTH(random_normal, RandomArgs), BOTH(random_exponential, RandomArgs),
        BOTH(random_mask, RandomArgs), KERNEL("random_integer.int32", random_integer<int32_t>, RandomIntegerArgs),
        KERNEL("random_integer.int64", random_integer<int64_t>, RandomIntegerArgs),
        BOTH(random_gamma, RandomVariateArgs), BOTH(random_poisson, RandomVariateArgs),
        BOTH(random_negative_binomial, RandomVariateArgs),
        BOTH(random_generalized_negative_binomial, RandomVariateArgs), BOTH(random_category, RandomCategoryArgs),
        KERNEL("random_permutation.int64", random_permutation, RandomPermutationArgs))
