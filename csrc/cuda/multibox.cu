// multibox: detectors, a block per image; the arithmetic is in csrc/multibox.h.
#include "each.cuh"

#define EACH_DEVICE __device__

#include "../multibox.h"

MULTIBOX_KERNELS
