// softmax, log_softmax, their gradients, and the gradient of the SoftmaxOutput loss. Arrays are seen as
// (outer, n, inner); every column of n elements is one distribution.
#pragma once
#include "../kernel.h"

namespace minimx {

// softmax, log_softmax: buffers data, length (or null), out.
//
//   softmax = exp(scale·x) / Σ exp(scale·x)
//
// scale is one over the temperature, negative for softmin. With lengths (int64, (outer, inner)) only that many
// leading elements of a column take part and the others give 0.
//
// softmax_grad, log_softmax_grad: buffers dy, y, dx, where y is what the forward kernel gave.
struct SoftmaxArgs {
  int64_t outer;
  int64_t n;
  int64_t inner;
  double scale;
};
MINIMX_ARGS(SoftmaxArgs, outer, n, inner, scale)

// softmax_output_grad: buffers p, label (int64, (outer, inner)), head gradient (or null), dx.
//
//   dx = (p - target) · scale [/ valid labels] [· head gradient]
//
// The target is 1 - smooth_alpha at the label and smooth_alpha / (n - 1) elsewhere; a label outside of 0..n-1 is
// nowhere. Columns whose label is ignore_label get 0 if use_ignore is set. If per_valid is set, the sum is divided by
// the number of labels that are not ignore_label, at least 1.
struct SoftmaxOutputGradArgs {
  int64_t outer;
  int64_t n;
  int64_t inner;
  double scale;
  double smooth_alpha;
  int64_t use_ignore;
  int64_t ignore_label;
  int64_t per_valid;
};
MINIMX_ARGS(SoftmaxOutputGradArgs, outer, n, inner, scale, smooth_alpha, use_ignore, ignore_label, per_valid)

}  // namespace minimx
