// correlation: how alike two images are, a thread per element; the arithmetic is in csrc/correlation.h.
#include "each.cuh"

#define EACH_DEVICE __device__

#include "../correlation.h"

CORRELATION_KERNELS
