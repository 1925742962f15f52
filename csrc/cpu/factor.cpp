// factor: factorisations of small matrices; the arithmetic is in csrc/factor.h.
#include "each.h"

#define EACH_DEVICE

#include "../factor.h"

FACTOR_KERNELS
