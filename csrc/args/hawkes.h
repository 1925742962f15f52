// hawkes: the likelihood of events that excite each other, in float32 and float64.
#pragma once
#include "../kernel.h"

namespace minimx {

// hawkes  mu (rows, kinds), alpha (kinds), beta (kinds), state (rows, kinds), lags (rows, events),
//         marks (rows, events; int64), valid_length (rows; int64), max_time (rows),
//         likelihood, end_state, by_mu, by_alpha, by_beta, by_state, state_by_beta, state_by_state (rows, kinds)
//
// Events of kind k come at the rate mu + alpha·beta·Σ exp(-beta·(time since each earlier event of kind k)); `state` is
// the sum of these terms at time 0. likelihood is each kind's part of the logarithm of the likelihood of a row's first
// valid_length events up to max_time, end_state the sum then; the others are their derivatives.
struct HawkesArgs {
  int64_t rows;
  int64_t kinds;
  int64_t events;
};
MINIMX_ARGS(HawkesArgs, rows, kinds, events)

}  // namespace minimx
