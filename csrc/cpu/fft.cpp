// fft: Fourier transforms; the arithmetic is in csrc/fft.h.
#include "each.h"

#define EACH_DEVICE

#include "../fft.h"

FFT_KERNELS
