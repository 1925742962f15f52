// Random numbers by counter: every number is a function of (seed, step, stream, position) alone, so that it is the same
// on every device, instruction set and number of threads.
//
// The first buffer of every kernel here is the state of the run, {uint64 seed, uint64 step}; `stream` tells the calls
// of one run apart. The numbers come from Philox4x32-10 with the seed as its key (the high half of the step is added to
// the key's second word) and the counter
//   { low 32 bits of the block, the block's next 16 bits + 65536 * draw, stream, low 32 bits of the step }.
//
// random_uniform, random_normal, random_exponential, random_mask and random_integer fill tiles of 512 words: word
// j * 128 + b of tile t is word j of block 128 * t + b (draw 0). A float32 number takes one word; a float64 or an
// integer takes two, words k and k + 256 of a tile, the first being the upper half. The others take for element i the
// words of the blocks i, draw 0, 1, 2, ... two by two, as numbers of 53 bits.
#pragma once
#include "../kernel.h"

namespace minimx {

// Buffers: state, out.
//   random_uniform: a + (b - a) u.   random_normal: mean a, deviation b.   random_exponential: mean a.
//   random_mask: 1 / a with probability a, else 0.
//   random_integer (int32, int64): at least low, less than high.
struct RandomArgs {
  int64_t size;
  int64_t stream;
  double a;
  double b;
};
MINIMX_ARGS(RandomArgs, size, stream, a, b)

struct RandomIntegerArgs {
  int64_t size;
  int64_t stream;
  int64_t low;
  int64_t high;
};
MINIMX_ARGS(RandomIntegerArgs, size, stream, low, high)

// Buffers: state, first parameter, second parameter, out. A parameter that is missing has the value a (the first) or b
// (the second) everywhere; else each of its elements serves `repeat` consecutive numbers.
//   random_gamma: shape, scale.   random_poisson: mean (one parameter: the second is not read).
//   random_negative_binomial: failures k, success probability p.   random_generalized_negative_binomial: mean mu,
//   dispersion alpha.
struct RandomVariateArgs {
  int64_t size;
  int64_t stream;
  double a;
  double b;
  int64_t repeat;
};
MINIMX_ARGS(RandomVariateArgs, size, stream, a, b, repeat)

// Buffers: state, probabilities (rows, categories), out (rows, samples) int64, scratch of categories doubles per
// thread. The probabilities of a row need not add up to 1.
struct RandomCategoryArgs {
  int64_t rows;
  int64_t categories;
  int64_t samples;
  int64_t stream;
};
MINIMX_ARGS(RandomCategoryArgs, rows, categories, samples, stream)

// Buffers: state, out int64: the numbers 0 ... size - 1 in random order.
struct RandomPermutationArgs {
  int64_t size;
  int64_t stream;
};
MINIMX_ARGS(RandomPermutationArgs, size, stream)

}  // namespace minimx
