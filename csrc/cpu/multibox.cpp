// multibox: detectors; the arithmetic is in csrc/multibox.h.
#include "each.h"

#define EACH_DEVICE

#include "../multibox.h"

MULTIBOX_KERNELS
