// fft: discrete Fourier transforms of rows, of any length, in float32 and float64.
#pragma once
#include "../kernel.h"

namespace minimx {

// fft   x (rows, n), y (rows, 2·n), scratch   y[2k], y[2k + 1]: real and imaginary part of Σ_j x[j]·exp(-2πi·jk/n)
// ifft  x (rows, 2·n), y (rows, n), scratch   y[j]: real part of Σ_k (x[2k] + i·x[2k + 1])·exp(2πi·jk/n), not divided
// by n
//
// Scratch, in elements: 2·n + rows·4·n.
struct FftArgs {
  int64_t rows;
  int64_t n;
};
MINIMX_ARGS(FftArgs, rows, n)

}  // namespace minimx
