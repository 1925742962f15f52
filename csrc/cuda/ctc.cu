// ctc: a block per example, its threads side by side along the states of the alignment.
#include "../args/ctc.h"
#include "device.cuh"

namespace minimx {
namespace cuda {
namespace {

template <class T>
__device__ inline T log_sum(T a, T b, T c) {
  const T top = vmaximum(a, vmaximum(b, c));
  return top + vlog(vexp(a - top) + vexp(b - top) + vexp(c - top));
}

template <class T>
__global__ void align(const T* logps, const int64_t* labels, const int64_t* data_length, const int64_t* label_length,
                      T* losses, T* slopes, T* scratch, CtcArgs a) {
  SHARED(int64_t, counts, [2]);  // labels, and steps they need at least
  const T none = static_cast<T>(kImpossible);
  const int64_t step = a.batch * a.classes, row = 2 * a.labels + 1 + 64;
  for (int64_t b = blockIdx.x; b < a.batch; b += gridDim.x) {
    const int64_t* label = labels + b * a.labels;
    const T* logp = logps + b * a.classes;
    T* slope = slopes + b * a.classes;
    T* const beta = scratch + b * (a.time + 5) * row + 2;  // two rows, of this step and the one after
    T* const alpha = beta + 2 * row;
    if (threadIdx.x == 0) {
      int64_t count = 0;
      if (label_length)
        count = vmaximum(int64_t{0}, vminimum(label_length[b], a.labels));
      else
        while (count < a.labels && label[count] != a.padding) ++count;
      int64_t needed = count;
      for (int64_t i = 1; i < count; ++i) needed += label[i] == label[i - 1];
      counts[0] = count;
      counts[1] = needed;
    }
    __syncthreads();
    const int64_t count = counts[0], states = 2 * count + 1;
    const int64_t time = data_length ? vmaximum(int64_t{0}, vminimum(data_length[b], a.time)) : a.time;
    const bool possible = counts[1] <= time && time > 0;
    for (int64_t i = threadIdx.x; i < a.time * a.classes; i += kThreads)
      slope[i / a.classes * step + i % a.classes] =
          possible && i / a.classes < time ? vexp(logp[i / a.classes * step + i % a.classes]) : T(0);
    if (!possible) {
      if (threadIdx.x == 0) losses[b] = 0;
      __syncthreads();  // the next example writes counts again
      continue;
    }
    const auto of_state = [&](int64_t i) {
      return i % 2 ? vmaximum(int64_t{0}, vminimum(label[i / 2], a.classes - 1)) : a.blank;
    };
    const auto jumps = [&](int64_t i) { return i % 2 && i > 2 && label[i / 2] != label[i / 2 - 1]; };
    for (int64_t t = 0; t < time; ++t) {
      const T* from = alpha + (t - 1) * row;
      for (int64_t i = threadIdx.x; i < states; i += kThreads) {
        const T seen = logp[t * step + of_state(i)];
        alpha[t * row + i] = t == 0
                                 ? (i < 2 ? seen : none)
                                 : seen + log_sum(from[i], i > 0 ? from[i - 1] : none, jumps(i) ? from[i - 2] : none);
      }
      __syncthreads();
    }
    const T* end = alpha + (time - 1) * row + states;
    const T total = log_sum(end[-1], states > 1 ? end[-2] : none, none);
    if (threadIdx.x == 0) losses[b] = -total;
    for (int64_t t = time - 1; t >= 0; --t) {
      // Rows hold beta and what the step saw, which the step before needs together.
      const T* after = beta + (t + 1) % 2 * row;
      T* const here = beta + t % 2 * row;
      for (int64_t i = threadIdx.x; i < states; i += kThreads) {
        T back = i + 2 >= states ? T(0) : none;
        if (t < time - 1)
          back = log_sum(after[i], i + 1 < states ? after[i + 1] : none,
                         i + 2 < states && jumps(i + 2) ? after[i + 2] : none);
        atomicAdd(slope + t * step + of_state(i), -vexp(alpha[t * row + i] + back - total));
        here[i] = back + logp[t * step + of_state(i)];
      }
      __syncthreads();
    }
  }
}

template <class T>
void ctc_loss(const CtcArgs& a, void* const* buffers, const Context& context) {
  if (a.batch == 0) return;
  const auto kernel = align<T>;
  LAUNCH(kernel, blocks_for(a.batch, 1), kThreads, 0, context)
  (input<T>(buffers, 0, context), input<int64_t>(buffers, 1, context), input<int64_t>(buffers, 2, context),
   input<int64_t>(buffers, 3, context), output<T>(buffers, 4, context), output<T>(buffers, 5, context),
   output<T>(buffers, 6, context), a);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(ctc, KERNEL("ctc_loss.float32", ctc_loss<float>, CtcArgs),
        KERNEL("ctc_loss.float64", ctc_loss<double>, CtcArgs))
