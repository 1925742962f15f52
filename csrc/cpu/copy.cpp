// copy: strided_copy for elements of 1, 2, 4 and 8 bytes.
#include "../args/copy.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

template <class T>
void strided_copy(const StridedCopyArgs& a, void* const* buffers, const Context& context) {
  const T* in = static_cast<const T*>(buffers[0]) + a.in_offset;
  T* out = static_cast<T*>(buffers[1]) + a.out_offset;
  const int64_t inner = a.shape.n ? a.shape[a.shape.n - 1] : 1;
  const int64_t in_step = a.shape.n ? a.in_strides[a.shape.n - 1] : 0;
  const int64_t out_step = a.shape.n ? a.out_strides[a.shape.n - 1] : 0;
  int64_t rows = 1;
  for (int64_t d = 0; d + 1 < a.shape.n; ++d) rows *= a.shape[d];
  (void)context;
  for (int64_t r = 0; r < rows; ++r) {
    int64_t rest = r, from = 0, to = 0;
    for (int64_t d = a.shape.n - 2; d >= 0; --d) {
      const int64_t i = rest % a.shape[d];
      rest /= a.shape[d];
      from += i * a.in_strides[d];
      to += i * a.out_strides[d];
    }
    for (int64_t i = 0; i < inner; ++i) out[to + i * out_step] = in[from + i * in_step];
  }
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(copy, KERNEL("strided_copy.1", strided_copy<uint8_t>, StridedCopyArgs),
        KERNEL("strided_copy.2", strided_copy<uint16_t>, StridedCopyArgs),
        KERNEL("strided_copy.4", strided_copy<uint32_t>, StridedCopyArgs),
        KERNEL("strided_copy.8", strided_copy<uint64_t>, StridedCopyArgs))
