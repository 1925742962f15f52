// hawkes: self-exciting point processes; the arithmetic is in csrc/hawkes.h.
#define ARITHMETIC "../hawkes.h"
#include "each.h"

HAWKES_KERNELS
