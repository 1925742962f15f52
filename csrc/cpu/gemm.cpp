// gemm: matrix products. How they are cut between threads is in gemm_cut.h, the loops of one product in gemm_block.h.
#include "gemm_cut.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

template <class T>
void gemm(const GemmArgs& g, void* const* buffers, const Context& context) {
  Product<T> all = first_product<T, T>(g, buffers);
  if (g.m == 0 || g.n == 0 || g.batch == 0) return;
  const int64_t thread_scratch = product_scratch(g.m, g.n, g.k);
  const bool turn = is_better_turned(g);
  if (turn) all = turned(all);
  T* const scratch = static_cast<T*>(buffers[5]);
  const bool thin = is_thin(all);
  share_out(g, all, turn, thin ? 1 : kLanes<T>, context,
            [&](const Product<T>& part, int thread) { multiply(part, thin, scratch + thread * thread_scratch); });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(gemm, KERNEL("gemm.float32", gemm<float>, GemmArgs), KERNEL("gemm.float64", gemm<double>, GemmArgs))
