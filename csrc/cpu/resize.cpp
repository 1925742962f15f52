// resize: planes of another size; the arithmetic is in csrc/resize.h.
#include "each.h"

#define EACH_DEVICE

#include "../resize.h"

RESIZE_KERNELS
