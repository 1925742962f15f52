// What may ride on a gemm or a convolution after its sum is complete: out = activation(sum + bias + residual).
//
// A gate, the gradient of relu, has the place of the residual: out = (residual > 0) * (sum + bias).
#pragma once
#include "../kernel.h"

namespace minimx {

enum Activation : int64_t {
  kNone = 0,
  kRelu = 1,
  kSigmoid = 2,
  kTanh = 3,
  kSoftrelu = 4,  // log(1 + exp(x))
  kSoftsign = 5,  // x / (1 + |x|)
  kGate = -1,
};

}  // namespace minimx
