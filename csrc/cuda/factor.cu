// factor: factorisations of small matrices; the arithmetic is in csrc/factor.h.
#define ARITHMETIC "../factor.h"
#include "each.cuh"

FACTOR_KERNELS
