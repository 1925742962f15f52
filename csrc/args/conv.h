// conv: convolution of plain (batch, channels, depth, height, width) arrays, in float32 and float64.
#pragma once
#include "../kernel.h"
#include "epilogue.h"

namespace minimx {

// x is (batch, channels, in...), w is (filters, channels / groups, kernel...), y is (batch, filters, out...). Arrays
// with fewer than three spatial dimensions put ones in front; `in`, `out`, `kernel`, `stride`, `dilate`, `pad` have
// three entries each. out = (in + 2·pad - dilate·(kernel - 1) - 1) / stride + 1, rounded down.
//
//   y[n, f, o] = activation(bias[f] + residual[n, f, o] + scale[f] · Σ_{c,t} w[f, c, t] · x[n, c, o·stride - pad +
//   t·dilate])
//
// where c runs over the channels of f's group and what lies outside of x is zero.
//
// conv_forward          x, w, bias, residual, scale, y, scratch
// conv_data_gradient    dy, w, dx, scratch
// conv_weight_gradient  x, dy, dw, scratch
//
// bias, residual and scale may be null: no scale is a scale of one, and a scale comes with a
// bias. The residual may be y.
// The gradients ignore `activation`. A kernel cuts its work so that it fits the `scratch` elements there are: at least
// what follows, which minimx/ops/conv.py computes. More than the least serves the caches.
//
//   reach[a]   = (kernel[a] - 1)·dilate[a] / stride[a]
//   phases[a]  = min(kernel[a], stride[a] / gcd(stride[a], dilate[a]))
//   source     = C·(Π_a phases[a]·(rows[a] + reach[a]) + 32) + 64: padded input for a box of `rows` outputs, C channels
//   places     = rows[0]·(rows[1]·(rows[2] + reach[2] + 16) + 64)
//   box        = source + F·places + terms + places + 64, rounded up to a multiple of 64
//
// with C channels and F filters of one group, and terms = C·Π kernel.
//
// forward: threads·box, where a box is one slice of the output along its first dimension that is longer than one.
// data gradient: the size of w rounded up to a multiple of 64, and threads·box with channels and filters exchanged,
// `in` for `out`, a stride of one, and a reach of (kernel - 1)·dilate. weight gradient: terms + places + 64, and the
// source of all channels (64 more for each group) with places of all filters for at least one whole image.
struct ConvArgs {
  int64_t batch;
  int64_t channels;
  int64_t filters;
  int64_t groups;
  Ints in;
  Ints out;
  Ints kernel;
  Ints stride;
  Ints dilate;
  Ints pad;
  int64_t activation;
  int64_t scratch;
};
MINIMX_ARGS(ConvArgs, batch, channels, filters, groups, in, out, kernel, stride, dilate, pad, activation, scratch)

}  // namespace minimx
