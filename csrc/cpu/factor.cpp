// factor: factorisations of small matrices, a thread for each; the arithmetic is in csrc/factor.h.
#include "../kernel.h"

#define EACH_DEVICE

namespace minimx {
namespace {

template <class One>
void for_each(const Context& context, int64_t batch, const One& one) {
  parallel(context, batch, [&](int64_t q, int) { one(q); });
}

}  // namespace
}  // namespace minimx

#include "../factor.h"

FACTOR_KERNELS
