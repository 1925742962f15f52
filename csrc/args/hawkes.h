// hawkes: the log-likelihood of marked self-exciting point processes with exponential decay, and its slopes.
//
// Buffers: mu (batch, marks), alpha (marks), beta (marks), state (batch, marks), lags (batch, steps), mark numbers
// (batch, steps, int64), lengths (batch, int64), end (batch), likelihood (batch), new state (batch, marks), the slopes
// of the likelihood by mu, alpha and beta (each batch, marks), scratch (batch, 2, marks).
//
// Event j of a sequence comes lags[j] after the one before it. An event of mark m at time t adds
// log(mu + alpha beta s), where s is the state of m, decayed since its last event; the likelihood loses the integral of
// the intensities up to `end`. The new state is the one at the end.
#pragma once
#include "../kernel.h"

namespace minimx {

struct HawkesArgs {
  int64_t batch;
  int64_t marks;
  int64_t steps;
};
MINIMX_ARGS(HawkesArgs, batch, marks, steps)

}  // namespace minimx
