// detection: boxes: which of them to keep, and which belong together. In float32 and float64.
#pragma once
#include "../kernel.h"

namespace minimx {

// box_nms  data, out, slots (int64), scratch
//
// data and out are (batch, boxes, width): each box has four coordinates from coord_start on, a score and, unless
// id_index is -1, a class. Those with a score above valid_thresh that are not background_id (topk of them, if positive)
// are taken by falling score; one that overlaps an earlier one of its class (or of any, with force_suppress) by more
// than overlap_thresh is dropped. out has the others first, then rows of -1; slots (batch, boxes) says where a box
// went, or -1. Coordinates are corners, or with in_center / out_center = 1 centre and size.
//
// Scratch: batch·boxes·(2 int64 and 7 elements).
struct BoxNmsArgs {
  int64_t batch;
  int64_t boxes;
  int64_t width;
  double overlap_thresh;
  double valid_thresh;
  int64_t topk;
  int64_t coord_start;
  int64_t score_index;
  int64_t id_index;
  int64_t background_id;
  int64_t force_suppress;
  int64_t in_center;
  int64_t out_center;
};
MINIMX_ARGS(BoxNmsArgs, batch, boxes, width, overlap_thresh, valid_thresh, topk, coord_start, score_index, id_index,
            background_id, force_suppress, in_center, out_center)

// pull_rows  source (batch, rows, width), slots (batch, rows; int64), out   out[b, r] = source[b, slots[b, r]], or 0
// for -1
struct PullRowsArgs {
  int64_t batch;
  int64_t rows;
  int64_t width;
};
MINIMX_ARGS(PullRowsArgs, batch, rows, width)

// bipartite_matching  scores (batch, rows, columns), row_match (batch, rows), column_match (batch, columns), scratch
//
// Pairs by falling score (rising with is_ascend) of a row and a column that are both free yet, as long as the score is
// above (below) the threshold and, if topk is positive, until there are that many. -1 is no match.
//
// Scratch: batch·rows·columns·(2 int64 and 1 element).
struct MatchingArgs {
  int64_t batch;
  int64_t rows;
  int64_t columns;
  int64_t is_ascend;
  int64_t topk;
  double threshold;
};
MINIMX_ARGS(MatchingArgs, batch, rows, columns, is_ascend, topk, threshold)

}  // namespace minimx
