// multibox: detectors: what anchors should find, what they found, and regions that may hold objects. In float32 and
// float64.
#pragma once
#include "../kernel.h"

namespace minimx {

// multibox_target  anchor (anchors, 4), label (batch, labels, label_width), cls_pred (batch, classes, anchors),
//                  loc_target, loc_mask (batch, anchors·4), cls_target (batch, anchors), scratch
//
// Scratch: batch·((anchors·(labels + 3) + labels) elements and (4·anchors + labels) int64).
struct MultiBoxTargetArgs {
  int64_t batch;
  int64_t anchors;
  int64_t labels;
  int64_t label_width;
  int64_t classes;
  double overlap_threshold;
  double ignore_label;
  double negative_mining_ratio;
  double negative_mining_thresh;
  int64_t minimum_negative_samples;
  double variance_x;
  double variance_y;
  double variance_width;
  double variance_height;
};
MINIMX_ARGS(MultiBoxTargetArgs, batch, anchors, labels, label_width, classes, overlap_threshold, ignore_label,
            negative_mining_ratio, negative_mining_thresh, minimum_negative_samples, variance_x, variance_y,
            variance_width, variance_height)

// multibox_detection  cls_prob (batch, classes, anchors), loc_pred (batch, anchors·4), anchor (anchors, 4),
//                     out (batch, anchors, 6), scratch
//
// Scratch: batch·anchors·(3 int64 and 7 elements).
struct MultiBoxDetectionArgs {
  int64_t batch;
  int64_t anchors;
  int64_t classes;
  int64_t clip;
  double threshold;
  double nms_threshold;
  int64_t force_suppress;
  int64_t nms_topk;
  double variance_x;
  double variance_y;
  double variance_width;
  double variance_height;
};
MINIMX_ARGS(MultiBoxDetectionArgs, batch, anchors, classes, clip, threshold, nms_threshold, force_suppress, nms_topk,
            variance_x, variance_y, variance_width, variance_height)

// proposal  scores (batch, 2·anchors, height, width), deltas (batch, 4·anchors, height, width), info (batch, 3),
//           boxes (anchors, 4), out (batch·post_nms, 5), score (batch·post_nms, 1), scratch
//
// Scratch: batch·count·(2 int64 and 7 elements), count = anchors·height·width.
struct ProposalArgs {
  int64_t batch;
  int64_t anchors;
  int64_t height;
  int64_t width;
  int64_t pre_nms;
  int64_t post_nms;
  double threshold;
  double min_size;
  int64_t feature_stride;
  int64_t iou_loss;
};
MINIMX_ARGS(ProposalArgs, batch, anchors, height, width, pre_nms, post_nms, threshold, min_size, feature_stride,
            iou_loss)

}  // namespace minimx
