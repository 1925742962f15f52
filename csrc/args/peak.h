// peak: nothing but multiply-adds in registers, to learn what the machine can do at most.
#pragma once
#include "../kernel.h"

namespace minimx {

// Buffers: out, one element per task. Each of `tasks` does iterations x 64 multiply-adds of whole vectors on
// independent accumulators; flops (a buffer of one int64) is set to the number of floating-point operations that all of
// them do.
struct PeakArgs {
  int64_t tasks;
  int64_t iterations;
};
MINIMX_ARGS(PeakArgs, tasks, iterations)

}  // namespace minimx
