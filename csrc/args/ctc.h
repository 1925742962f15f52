// ctc_loss: connectionist temporal classification, the loss of a sequence of labels that is shorter than the data.
#pragma once
#include "../kernel.h"

namespace minimx {

// The negative logarithm of the probability of the labels, summed over all alignments with blanks between them, and its
// gradient with respect to what the softmax was taken of.
//
// Buffers: logp (time x batch x classes, logarithms of probabilities), label (batch x labels, int64), data_length and
// label_length (batch, int64, or null), loss (batch), slope (time x batch x classes), scratch. Without label lengths a
// label ends before the first `padding`. Where no alignment exists, loss and slope are 0.
//
// Scratch, in elements, for each of `threads` workers on the cpu and for each example on a gpu:
//   (time + 5)·(2·labels + 1 + 64)
struct CtcArgs {
  int64_t time;
  int64_t batch;
  int64_t classes;
  int64_t labels;
  int64_t blank;
  int64_t padding;
};
MINIMX_ARGS(CtcArgs, time, batch, classes, labels, blank, padding)

constexpr double kImpossible = -1e30;  // the logarithm of 0, without the arithmetic of infinities

}  // namespace minimx
