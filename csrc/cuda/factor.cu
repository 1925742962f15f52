// factor: factorisations of small matrices; the arithmetic is in csrc/factor.h.
#include "each.cuh"

#define EACH_DEVICE __device__

#include "../factor.h"

FACTOR_KERNELS
