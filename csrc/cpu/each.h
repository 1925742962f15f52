// A worker for each item of a batch: runs the kernels whose arithmetic both devices share, in the file ARITHMETIC.
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

#include ARITHMETIC
