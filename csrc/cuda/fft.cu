// fft: Fourier transforms, a block per row; the arithmetic is in csrc/fft.h.
#include "each.cuh"

#define EACH_DEVICE __device__

#include "../fft.h"

FFT_KERNELS
