// roi: regions of images, a thread per bin; the arithmetic is in csrc/roi.h.
#include "each.cuh"

#define EACH_DEVICE __device__

#include "../roi.h"

namespace minimx {
namespace {

template <class T>
void roi_align(const RoiArgs& a, void* const* b, const Context& c) {
  read_aligned<T, false>(a, b, c);
}
template <class T>
void roi_align_gradient(const RoiArgs& a, void* const* b, const Context& c) {
  spread_aligned<T, false>(a, b, c);
}

}  // namespace
}  // namespace minimx

ROI_KERNELS
