// rnn: one layer of a recurrent network in one direction, over all time steps.
#pragma once
#include "../kernel.h"

namespace minimx {

// What the kernels below have in common. A step takes the state h (batch x hidden) of the step before it and the
// projection of its input (batch x gates·hidden, the gates one after the other), and makes with R = h·weightᵀ + bias
//
//   rnn_plain: h' = activation(x + R)                                  relu if `relu` is set, else tanh; 1 gate
//   rnn_lstm:  c' = σ(f)·c + σ(i)·tanh(g), h' = σ(o)·tanh(c')          4 gates i, f, g, o, each the sum x + R
//   rnn_gru:   h' = (1 - σ(z))·tanh(n) + σ(z)·h                        3 gates r, z (sums x + R) and n = x + σ(r)·R
//
// `hidden` and `cells` hold the states of all steps and the one before the first: with `reverse` the walk is backwards
// in time and begins at the last of the time + 1 entries, else at the first. If `clip` is set, c' is held between
// clip_min and clip_max; a NaN becomes clip_min with clip_nan.
//
//   rnn_plain: projection, weight, bias, state -> hidden
//   rnn_lstm:  projection, weight, bias, state, cell -> gates, hidden, cells
//   rnn_gru:   projection, weight, bias, state -> gates, hidden, products (the candidate's R, one per step)
//
// `gates` holds what the gates were after their sigmoid or tanh and may be the memory of the projection.
//
//   rnn_plain_grad: d_output, d_last, weight, hidden -> d_projection, d_state
//   rnn_lstm_grad:  d_output, d_last, d_last_cell, d_cells, weight, gates, cells -> d_projection, d_state, d_cell
//   rnn_gru_grad:   d_output, d_last, weight, gates, hidden, products -> d_projection, d_product, d_state
//
// The gradients among the inputs may be null. d_output and d_cells belong to the states after each step, d_product to
// R.
//
// Scratch, in elements: gates·hidden·(hidden + 16) rounded up to a multiple of 64.
struct RnnArgs {
  int64_t time;
  int64_t batch;
  int64_t hidden;
  int64_t reverse;
  int64_t relu;
  int64_t clip;
  int64_t clip_nan;
  double clip_min;
  double clip_max;
};
MINIMX_ARGS(RnnArgs, time, batch, hidden, reverse, relu, clip, clip_nan, clip_min, clip_max)

enum class Cell { plain, lstm, gru };
constexpr int64_t gates_of(Cell cell) { return cell == Cell::plain ? 1 : cell == Cell::lstm ? 4 : 3; }

}  // namespace minimx
