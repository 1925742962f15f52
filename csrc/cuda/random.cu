// random: the numbers of csrc/cpu/random.cpp, word for word; see ../args/random.h for what makes them the same.
#include "../args/random.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

struct Source {
  uint32_t key0, key1, stream, step;
};

// The state lies on the device, so that a program can be run again without a word from the host.
__device__ inline Source source(const uint64_t* state, int64_t stream) {
  const uint64_t seed = state[0], step = state[1];
  return {static_cast<uint32_t>(seed), static_cast<uint32_t>((seed >> 32) + (step >> 32)),
          static_cast<uint32_t>(stream), static_cast<uint32_t>(step)};
}

struct Words {
  uint32_t w[4];
};

__device__ inline Words philox(const Source& s, uint64_t block, uint32_t draw) {
  uint32_t c0 = static_cast<uint32_t>(block);
  uint32_t c1 = static_cast<uint32_t>(block >> 32 & 0xffffu) + (draw << 16);
  uint32_t c2 = s.stream, c3 = s.step, k0 = s.key0, k1 = s.key1;
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{c0} * 0xD2511F53u, p1 = uint64_t{c2} * 0xCD9E8D57u;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

constexpr int kTileBlocks = 128;

// A tile of numbers comes from kTileBlocks counters. Number i takes its words from counter i % kTileBlocks, where they
// are word i / kTileBlocks and, for numbers of two words, the one after the next.

// Number j of a counter, uniform in [0, 1) with all digits of the type.
template <class T>
__device__ inline T uniform(const Words& words, int j) {
  if constexpr (sizeof(T) == 4)
    return static_cast<T>(words.w[j] >> 8) * T(0x1p-24);
  else
    return (static_cast<T>(words.w[j] >> 5) * T(0x1p26) + static_cast<T>(words.w[j + 2] >> 6)) * T(0x1p-53);
}
__device__ inline uint64_t long_word(const Words& words, int j) { return uint64_t{words.w[j]} << 32 | words.w[j + 2]; }

// The high 64 bits of a product: a number below `range` from a random word.
__device__ inline uint64_t below(uint64_t word, uint64_t range) {
  const uint64_t a = word >> 32, b = word & 0xffffffffu, c = range >> 32, d = range & 0xffffffffu;
  const uint64_t middle = a * d + (b * d >> 32), other = b * c + (middle & 0xffffffffu);
  return a * c + (middle >> 32) + (other >> 32);
}

// What is made of the words of a counter: `kEach` numbers.
template <class T>
struct Uniform {
  static constexpr int kEach = 16 / sizeof(T);
  T low, range, high;
  __device__ T make(const Words& words, int j) const {
    const T x = low + range * uniform<T>(words, j);
    return x < high ? x : low;  // rounding may reach the end of the range
  }
};
// Box and Muller: the first half of a tile takes the cosine, the second the sine of the same pair. Whole quarters come
// off the angle without an error.
template <class T>
struct Normal {
  static constexpr int kEach = 16 / sizeof(T);
  T mean, deviation;
  __device__ T make(const Words& words, int j) const {
    const int first = j % (kEach / 2);
    const T turns = uniform<T>(words, first + kEach / 2), quarters = rint(turns * T(4));
    const T rest = (turns - quarters * T(0.25)) * static_cast<T>(2 * kPi);
    const int quarter = static_cast<int>(quarters) + (j == first ? 1 : 0);  // a cosine is the sine a quarter further
    const T size = quarter % 2 ? vcos(rest) : vsin(rest);
    const T radius = deviation * vsqrt(T(-2) * vlog(T(1) - uniform<T>(words, first)));
    return mean + radius * (quarter & 2 ? -size : size);
  }
};
template <class T>
struct Exponential {
  static constexpr int kEach = 16 / sizeof(T);
  T mean;
  __device__ T make(const Words& words, int j) const { return -mean * vlog(T(1) - uniform<T>(words, j)); }
};
template <class T>
struct Mask {
  static constexpr int kEach = 16 / sizeof(T);
  T keep, scale;
  __device__ T make(const Words& words, int j) const { return uniform<T>(words, j) < keep ? scale : T(0); }
};
template <class T>
struct Integer {
  static constexpr int kEach = 2;
  uint64_t low, range;
  __device__ T make(const Words& words, int j) const { return static_cast<T>(low + below(long_word(words, j), range)); }
};

// A block of kTileBlocks threads per tile, a counter for each.
template <class T, class Make>
__global__ void make_tiles(const uint64_t* state, int64_t stream, T* out, int64_t size, Make make) {
  const Source s = source(state, stream);
  for (int64_t tile = blockIdx.x; tile * kTileBlocks * Make::kEach < size; tile += gridDim.x) {
    const Words words = philox(s, static_cast<uint64_t>(tile * kTileBlocks + threadIdx.x), 0);
    for (int j = 0; j < Make::kEach; ++j) {
      const int64_t i = (tile * Make::kEach + j) * kTileBlocks + threadIdx.x;
      if (i < size) out[i] = make.make(words, j);
    }
  }
}

template <class T, class Make>
void launch_tiles(void* const* buffers, int64_t size, int64_t stream, const Make& make, const Context& context) {
  if (size == 0) return;
  const auto kernel = make_tiles<T, Make>;
  LAUNCH(kernel, blocks_for(size, kTileBlocks * Make::kEach), kTileBlocks, 0, context)
  (input<uint64_t>(buffers, 0, context), stream, output<T>(buffers, 1, context), size, make);
}

template <class T>
void random_uniform(const RandomArgs& a, void* const* buffers, const Context& context) {
  const Uniform<T> make = {static_cast<T>(a.a), static_cast<T>(a.b - a.a), static_cast<T>(a.b)};
  launch_tiles<T>(buffers, a.size, a.stream, make, context);
}
template <class T>
void random_normal(const RandomArgs& a, void* const* buffers, const Context& context) {
  launch_tiles<T>(buffers, a.size, a.stream, Normal<T>{static_cast<T>(a.a), static_cast<T>(a.b)}, context);
}
template <class T>
void random_exponential(const RandomArgs& a, void* const* buffers, const Context& context) {
  launch_tiles<T>(buffers, a.size, a.stream, Exponential<T>{static_cast<T>(a.a)}, context);
}
template <class T>
void random_mask(const RandomArgs& a, void* const* buffers, const Context& context) {
  const Mask<T> make = {static_cast<T>(a.a), static_cast<T>(a.a > 0 ? 1 / a.a : 0)};
  launch_tiles<T>(buffers, a.size, a.stream, make, context);
}
template <class T>
void random_integer(const RandomIntegerArgs& a, void* const* buffers, const Context& context) {
  const auto low = static_cast<uint64_t>(a.low);
  launch_tiles<T>(buffers, a.size, a.stream, Integer<T>{low, static_cast<uint64_t>(a.high) - low}, context);
}

// ---- variates that take an unknown number of draws -----------------------------------------------------------------

class Draws {
 public:
  __device__ Draws(const Source& s, int64_t element) : source_(s), element_(static_cast<uint64_t>(element)) {}

  // Uniform in (0, 1).
  __device__ double next() {
    if (used_ == 4) {
      words_ = philox(source_, element_, draw_++);
      used_ = 0;
    }
    const uint64_t high = words_.w[used_], low = words_.w[used_ + 1];
    used_ += 2;
    return (static_cast<double>((high << 32 | low) >> 11) + 0.5) * 0x1p-53;
  }
  __device__ double normal() {
    const double u = next(), v = next();
    return sqrt(-2 * log(u)) * cos(2 * kPi * v);
  }

 private:
  Source source_;
  uint64_t element_;
  uint32_t draw_ = 0;
  int used_ = 4;
  Words words_{};
};

// Marsaglia and Tsang's method; below shape 1, the variate of shape + 1 times a power of a uniform number.
__device__ inline double gamma_variate(Draws& draws, double shape) {
  if (!(shape > 0 && shape < static_cast<double>(INFINITY))) return shape >= 0 ? shape : static_cast<double>(NAN);
  const double boost = shape < 1 ? pow(draws.next(), 1 / shape) : 1;
  const double d = (shape < 1 ? shape + 1 : shape) - 1 / 3., c = 1 / sqrt(9 * d);
  for (;;) {
    const double x = draws.normal(), t = 1 + c * x;
    if (t <= 0) continue;
    const double v = t * t * t;
    if (log(draws.next()) < 0.5 * x * x + d - d * v + d * log(v)) return boost * d * v;
  }
}

// Multiplication of uniform numbers for small means, Hörmann's transformed rejection (PTRS) for others.
__device__ inline double poisson_variate(Draws& draws, double mean) {
  if (!(mean > 0)) return mean == 0 ? 0 : static_cast<double>(NAN);
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
    if (log(v * scale / (a / (edge * edge) + b)) <= k * log(mean) - mean - lgamma(k + 1)) return k;
  }
}

struct Gamma {
  __device__ double operator()(Draws& draws, double shape, double scale) const {
    return gamma_variate(draws, shape) * scale;
  }
};
struct Poisson {
  __device__ double operator()(Draws& draws, double mean, double) const { return poisson_variate(draws, mean); }
};
// A Poisson number whose mean is a gamma variate.
struct NegativeBinomial {
  __device__ double operator()(Draws& draws, double k, double p) const {
    return poisson_variate(draws, gamma_variate(draws, k) * ((1 - p) / p));
  }
};
struct GeneralizedNegativeBinomial {
  __device__ double operator()(Draws& draws, double mu, double alpha) const {
    return poisson_variate(draws, alpha == 0 ? mu : gamma_variate(draws, 1 / alpha) * alpha * mu);
  }
};

template <class T, class Make>
__global__ void make_variates(const uint64_t* state, const T* first, const T* second, T* out, RandomVariateArgs a) {
  const Source s = source(state, a.stream);
  for (int64_t i = first_item(); i < a.size; i += item_stride()) {
    Draws draws(s, i);
    const double x = first ? first[i / a.repeat] : a.a, y = second ? second[i / a.repeat] : a.b;
    out[i] = static_cast<T>(Make()(draws, x, y));
  }
}

template <class T, class Make>
void variates(const RandomVariateArgs& a, void* const* buffers, const Context& context) {
  if (a.size == 0) return;
  const auto kernel = make_variates<T, Make>;
  LAUNCH(kernel, blocks_for(a.size), kThreads, 0, context)
  (input<uint64_t>(buffers, 0, context), input<T>(buffers, 1, context), input<T>(buffers, 2, context),
   output<T>(buffers, 3, context), a);
}

// A thread per sample adds the row up twice: for its sum, and up to the sample's place in it.
template <class T>
__global__ void make_categories(const uint64_t* state, const T* probabilities, int64_t* out, RandomCategoryArgs a) {
  const Source s = source(state, a.stream);
  for (int64_t i = first_item(); i < a.rows * a.samples; i += item_stride()) {
    const T* row = probabilities + i / a.samples * a.categories;
    double sum = 0, reached = 0;
    for (int64_t c = 0; c < a.categories; ++c) sum += row[c];
    const double target = Draws(s, i).next() * sum;
    int64_t found = 0;
    for (; found + 1 < a.categories; ++found)
      if ((reached += row[found]) > target) break;
    out[i] = found;
  }
}

template <class T>
void random_category(const RandomCategoryArgs& a, void* const* buffers, const Context& context) {
  if (a.rows * a.samples == 0) return;
  const auto kernel = make_categories<T>;
  LAUNCH(kernel, blocks_for(a.rows * a.samples), kThreads, 0, context)
  (input<uint64_t>(buffers, 0, context), input<T>(buffers, 1, context), output<int64_t>(buffers, 2, context), a);
}

// Fisher and Yates: each position swaps with a random earlier one or itself. Every swap needs the ones before, so one
// thread makes them; the others help with the random words.
__global__ void permute(const uint64_t* state, int64_t* out, RandomPermutationArgs a) {
  constexpr int kNumbers = 2 * kTileBlocks;
  SHARED(uint64_t, words, [kNumbers]);
  const Source s = source(state, a.stream);
  const int thread = static_cast<int>(threadIdx.x);
  for (int64_t first = 0; first < a.size; first += kNumbers) {
    const Words mine = philox(s, static_cast<uint64_t>(first / 2 + thread), 0);
    for (int j = 0; j < 2; ++j) words[j * kTileBlocks + thread] = long_word(mine, j);
    __syncthreads();
    for (int64_t i = first; thread == 0 && i < first + kNumbers && i < a.size; ++i) {
      const uint64_t j = below(words[i - first], static_cast<uint64_t>(i + 1));
      out[i] = out[j];
      out[j] = i;
    }
    __syncthreads();  // the next words go to the same place
  }
}

void random_permutation(const RandomPermutationArgs& a, void* const* buffers, const Context& context) {
  if (a.size == 0) return;
  LAUNCH(permute, 1, kTileBlocks, 0, context)(input<uint64_t>(buffers, 0, context),
                                              output<int64_t>(buffers, 1, context), a);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

#define BOTH(name, Args) KERNEL(#name ".float32", name<float>, Args), KERNEL(#name ".float64", name<double>, Args)
#define VARIATES(name, Make)                                            \
  KERNEL(#name ".float32", (variates<float, Make>), RandomVariateArgs), \
      KERNEL(#name ".float64", (variates<double, Make>), RandomVariateArgs)

KERNELS(random, BOTH(random_uniform, RandomArgs), BOTH(random_normal, RandomArgs), BOTH(random_exponential, RandomArgs),
        BOTH(random_mask, RandomArgs), KERNEL("random_integer.int32", random_integer<int32_t>, RandomIntegerArgs),
        KERNEL("random_integer.int64", random_integer<int64_t>, RandomIntegerArgs), VARIATES(random_gamma, Gamma),
        VARIATES(random_poisson, Poisson), VARIATES(random_negative_binomial, NegativeBinomial),
        VARIATES(random_generalized_negative_binomial, GeneralizedNegativeBinomial),
        BOTH(random_category, RandomCategoryArgs),
        KERNEL("random_permutation.int64", random_permutation, RandomPermutationArgs))
