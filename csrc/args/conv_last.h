// conv_last: convolution of (batch, height, width, channels) arrays, in float32, float64 and bfloat16.
#pragma once
#include "../kernel.h"
#include "epilogue.h"

namespace minimx {

// x is (batch, in..., channels), y is (batch, out..., filters), weights are (filters, channels, kernel...) as
// everywhere. `in`, `out`, `kernel`, `stride`, `dilate`, `pad` have two entries each; a stride and a dilation are not
// both above one.
//
//   y[n, o, f] = activation(bias[f] + residual[n, o, f] + scale[f] · Σ_{t,c} w[f, c, t] · x[n, o·stride - pad +
//   t·dilate, c])
//
// conv_last_weights          w, packed          in the order in which the forward kernel reads them
// conv_last_turned           w, packed          in that of the data gradient
// conv_last_forward          x, packed, bias, residual, scale, y, scratch
// conv_last_data_gradient    dy, packed, bias, residual, scale, dx, scratch     the riders being those of dx
// conv_last_weight_gradient  x, dy, dw, scratch
//
// bias, residual and scale may be null: no scale is a scale of one, and a scale comes with a bias. The residual may be
// y, or a gate (epilogue.h) if that is the activation. Forward, neighbouring pixels of y lie `pitch` elements apart, so
// that y may be some of the channels of a larger array; then there is no residual. 0 stands for the number of filters.
// The order of packed weights is the kernels' own business; there are Π kernel · channels · filters of them, with the
// filters (turned: the channels) rounded up to a multiple of 16.
//
// `scratch` elements are there. The least, with C channels, F filters, and up(n) for n rounded up to a multiple of 64:
//   forward          threads · up((kernel[0] - 1)·dilate[0] + 1) · (in[1] + 2·pad[1]) · (C + 16) + 64)
//   data gradient    the same for (kernel[0] rows, out[1] + 2·kernel[1]·dilate[1] columns, F channels)
//   weight gradient  parts · up(Π kernel · C · up16(F)) + threads · up(256 or out[1] if that is more, · ((up16(F) or
//                    512 if that is less) + (Π kernel · C or 256 if that is less) + 48) + 512); 8 parts where there
//                    are 4096 pixels of output or more, and at most 2^17 sums, else 1
// More than the least lets the kernels work on more rows at once.
//
// Of bfloat16 there are the first four, with bias and scale in float32. Two channels are one element of 4 bytes, in
// packed weights and in scratch, and C and F are halved, rounded up, where they are summed up over. Weights may be
// float32 (conv_last_weights.float32.bfloat16, and turned): packing rounds them.
//
// Square windows of R·stride taps, with a dilation of one, have a second way, Winograd's, for tiles of `tile` x `tile`
// outputs (other kernels ignore it): tiles of 2 or 4 for R = 3 with a stride of one, of 4 for R = 2 with a stride of
// one or two.
//
// conv_winograd_weights        w, transformed
// conv_winograd_turned         w, transformed     those of the data gradient
// conv_winograd_forward        x, transformed, bias, residual, scale, y, scratch
// conv_winograd_data_gradient  dy, transformed, bias, residual, scale, dx, scratch
//
// conv_winograd_weight_gradient  x, dy, dw, scratch
//
// With E = (tile + R - 1)² and D = stride² · C there are E · D · F transformed weights, rounded up as above. Scratch:
// for the gradient of weights E · (D · up16(F) + 32 + (D + 32 + up16(F)) · tiles); for the others threads · up(E · (D +
// F + F / 8 + 80) · tiles), where D is F and F is C for the data gradient; for at least one tile at a time. More tiles
// at a time round differently.
struct ConvLastArgs {
  int64_t batch;
  int64_t channels;
  int64_t filters;
  Ints in;
  Ints out;
  Ints kernel;
  Ints stride;
  Ints dilate;
  Ints pad;
  int64_t activation;
  int64_t scratch;
  int64_t tile;
  int64_t pitch;
};
MINIMX_ARGS(ConvLastArgs, batch, channels, filters, in, out, kernel, stride, dilate, pad, activation, scratch, tile,
            pitch)

}  // namespace minimx
