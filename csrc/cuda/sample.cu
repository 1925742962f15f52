// sample: reading images between their pixels, a thread per point; the arithmetic is in csrc/sample.h.
#include "each.cuh"

#define EACH_DEVICE __device__

#include "../sample.h"

SAMPLE_KERNELS
