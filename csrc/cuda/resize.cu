// resize: planes of another size; the arithmetic is in csrc/resize.h.
#include "each.cuh"

#define EACH_DEVICE __device__

#include "../resize.h"

RESIZE_KERNELS
