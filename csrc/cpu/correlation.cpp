// correlation: how alike two images are; the arithmetic is in csrc/correlation.h.
#include "each.h"

#define EACH_DEVICE

#include "../correlation.h"

CORRELATION_KERNELS
