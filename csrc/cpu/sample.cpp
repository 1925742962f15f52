// sample: reading images between their pixels; the arithmetic is in csrc/sample.h.
#include "each.h"

#define EACH_DEVICE

#include "../sample.h"

SAMPLE_KERNELS
