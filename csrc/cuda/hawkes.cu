// hawkes: events that excite each other, a thread per kind of event; the arithmetic is in csrc/hawkes.h.
#include "each.cuh"

#define EACH_DEVICE __device__

#include "../hawkes.h"

HAWKES_KERNELS
