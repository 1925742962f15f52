// sequence: rows of sequences of different lengths, one thread per element.
#include "../args/sequence.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

template <class T, Sequence What>
__global__ void sequence_elements(const T* in, const int64_t* length, T* out, SequenceArgs a) {
  const int64_t count = (What == Sequence::last ? 1 : a.time) * a.batch * a.inner;
  for (int64_t k = first_item(); k < count; k += item_stride()) {
    const int64_t i = k % a.inner, b = k / a.inner % a.batch, t = k / a.inner / a.batch;
    const int64_t n = vmaximum(int64_t{0}, vminimum(length[b], a.time)), last = n > 0 ? n - 1 : 0;
    const auto at = [&](int64_t time) { return time * a.time_stride + b * a.batch_stride + i; };
    if constexpr (What == Sequence::last)
      out[k] = in[at(last)];
    else if constexpr (What == Sequence::reverse)
      out[at(t)] = in[at(t < n ? n - 1 - t : t)];
    else if constexpr (What == Sequence::mask)
      out[at(t)] = t < n ? in[at(t)] : static_cast<T>(a.bits);
    else
      out[at(t)] = t == last ? in[b * a.inner + i] : static_cast<T>(a.bits);
  }
}

template <class T, Sequence What>
void sequence(const SequenceArgs& a, void* const* buffers, const Context& context) {
  const int64_t count = (What == Sequence::last ? 1 : a.time) * a.batch * a.inner;
  if (count == 0) return;
  const auto kernel = sequence_elements<T, What>;
  LAUNCH(kernel, blocks_for(count), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<int64_t>(buffers, 1, context), output<T>(buffers, 2, context), a);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

#define OF_SIZE(size, T)                                                                \
  KERNEL("sequence_mask." size, (sequence<T, Sequence::mask>), SequenceArgs),           \
      KERNEL("sequence_reverse." size, (sequence<T, Sequence::reverse>), SequenceArgs), \
      KERNEL("sequence_last." size, (sequence<T, Sequence::last>), SequenceArgs),       \
      KERNEL("sequence_place." size, (sequence<T, Sequence::place>), SequenceArgs)
KERNELS(sequence, OF_SIZE("1", uint8_t), OF_SIZE("2", uint16_t), OF_SIZE("4", uint32_t), OF_SIZE("8", uint64_t))
