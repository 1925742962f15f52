// hawkes: events that excite each other; the arithmetic is in csrc/hawkes.h.
#include "each.h"

#define EACH_DEVICE

#include "../hawkes.h"

HAWKES_KERNELS
