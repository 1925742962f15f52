// The thread pool: sized from affinity and cgroup, started on first use, forgotten after fork and started again.
#pragma once
#include "kernel.h"

namespace minimx {

int thread_count();
// For start-up and tests. A program has scratch for the number it was made under and must not run under a larger one.
void set_thread_count(int threads);
void run_parallel(int64_t tasks, Task task, void* state);

}  // namespace minimx
