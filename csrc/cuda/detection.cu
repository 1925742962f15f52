// detection: boxes, a block per image; the arithmetic is in csrc/detection.h.
#include "each.cuh"

#define EACH_DEVICE __device__

#include "../detection.h"

DETECTION_KERNELS
