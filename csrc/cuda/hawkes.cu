// hawkes: self-exciting point processes; the arithmetic is in csrc/hawkes.h.
#define ARITHMETIC "../hawkes.h"
#include "each.cuh"

HAWKES_KERNELS
