// sequence: rows of sequences of different lengths, moved as runs of memory.
#include "../args/sequence.h"

#include "simd.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kTaskBytes = 1 << 16;  // work worth handing to a thread

template <class T, Sequence What>
void sequence(const SequenceArgs& a, void* const* buffers, const Context& context) {
  const T* in = static_cast<const T*>(buffers[0]);
  const int64_t* length = static_cast<const int64_t*>(buffers[1]);
  T* out = static_cast<T*>(buffers[2]);
  const T value = static_cast<T>(a.bits);
  const size_t bytes = static_cast<size_t>(a.inner) * sizeof(T);
  const int64_t rows = What == Sequence::last ? a.batch : a.time * a.batch;
  const int64_t group = 1 + kTaskBytes / static_cast<int64_t>(bytes + 8);
  parallel(context, (rows + group - 1) / group, [&](int64_t task, int) {
    for (int64_t row = task * group; row < rows && row < (task + 1) * group; ++row) {
      const int64_t b = row % a.batch, t = row / a.batch;
      const int64_t n = length[b] < 0 ? 0 : length[b] > a.time ? a.time : length[b], last = n > 0 ? n - 1 : 0;
      const auto at = [&](int64_t time) { return time * a.time_stride + b * a.batch_stride; };
      if constexpr (What == Sequence::last) {
        __builtin_memcpy(out + b * a.inner, in + at(last), bytes);
      } else if constexpr (What == Sequence::reverse) {
        __builtin_memcpy(out + at(t), in + at(t < n ? n - 1 - t : t), bytes);
      } else if (What == Sequence::mask ? t < n : t == last) {
        __builtin_memcpy(out + at(t), in + (What == Sequence::mask ? at(t) : b * a.inner), bytes);
      } else {
        T* const to = out + at(t);
        for (int64_t i = 0; i < a.inner; ++i) to[i] = value;
      }
    }
  });
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

#define OF_SIZE(size, T)                                                                \
  KERNEL("sequence_mask." size, (sequence<T, Sequence::mask>), SequenceArgs),           \
      KERNEL("sequence_reverse." size, (sequence<T, Sequence::reverse>), SequenceArgs), \
      KERNEL("sequence_last." size, (sequence<T, Sequence::last>), SequenceArgs),       \
      KERNEL("sequence_place." size, (sequence<T, Sequence::place>), SequenceArgs)
KERNELS(sequence, OF_SIZE("1", uint8_t), OF_SIZE("2", uint16_t), OF_SIZE("4", uint32_t), OF_SIZE("8", uint64_t))
