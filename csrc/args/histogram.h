// histogram. Buffers: data (size), edges (bins + 1) of float64, counts (bins) of int64, scratch of 8 bins bytes per
// thread. counts[b] is how many elements lie in edges[b] <= x < edges[b + 1], the last edge included in the last bin.
// `uniform` says that the edges are evenly spaced, up to rounding.
#pragma once
#include "../kernel.h"

namespace minimx {

struct HistogramArgs {
  int64_t size;
  int64_t bins;
  int64_t uniform;
};
MINIMX_ARGS(HistogramArgs, size, bins, uniform)

}  // namespace minimx
