// detection: boxes; the arithmetic is in csrc/detection.h.
#include "each.h"

#define EACH_DEVICE

#include "../detection.h"

DETECTION_KERNELS
