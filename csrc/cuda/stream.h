// A CUDA device as a kernel's context names it.
#pragma once
#include <cuda_runtime.h>

#include "../kernel.h"

namespace minimx {
namespace cuda {

struct Stream {
  int device;
  cudaStream_t stream;
};

inline cudaStream_t select(const void* stream) {
  const auto* chosen = static_cast<const Stream*>(stream);
  cudaSetDevice(chosen->device);  // the current device belongs to the calling thread
  return chosen->stream;
}
inline cudaStream_t select(const Context& context) { return select(context.stream); }

}  // namespace cuda
}  // namespace minimx
