// A thread for each item of a batch: runs the kernels whose arithmetic both devices share, in the file ARITHMETIC.
#include "device.cuh"

#define EACH_DEVICE __device__

namespace minimx {
namespace {

template <class One>
__global__ void run_each(int64_t batch, One one) {
  for (int64_t q = cuda::first_item(); q < batch; q += cuda::item_stride()) one(q);
}

template <class One>
void for_each(const Context& context, int64_t batch, const One& one) {
  if (batch == 0) return;
  const auto kernel = run_each<One>;
  LAUNCH(kernel, cuda::blocks_for(batch, 32), 32, 0, context)(batch, one);
}

}  // namespace
}  // namespace minimx

#include ARITHMETIC
