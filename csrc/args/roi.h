// roi: regions of images brought to one size each, in float32 and float64.
#pragma once
#include "../kernel.h"

namespace minimx {

// roi_pool             data, rois, y
// roi_pool_gradient    dy, data, rois, ddata
// roi_align            data, rois, y, scratch
// roi_align_gradient   dy, rois, ddata, scratch
// rotated_roi          data, rois, y
// rotated_roi_gradient dy, rois, ddata
//
// data is (images, channels, height, width), rois (rois, 5): the number of the image and the corners x1, y1, x2, y2 in
// units of which `scale` makes pixels; y is (rois, channels, pooled_height, pooled_width). An image that does not exist
// gives zeros.
//
// roi_pool takes the maximum of each bin of whole pixels; its gradient goes to the first of them. roi_align takes the
// mean of sample_ratio² points in each bin, each between its four pixels (0: as many as the bin has pixels); with
// aligned = 1 coordinates are pixels' centres, half a pixel less, and regions may be narrower than a pixel. With
// position_sensitive = 1 each bin reads a channel of its own, and y has that many fewer. rotated_roi does the same for
// rois (rois, 6): image, centre x and y, width, height and angle in degrees.
//
// Scratch of roi_align, in elements, for `threads` workers: threads·(pooled_height·height + (pooled_width + 1)·width).
struct RoiArgs {
  int64_t images;
  int64_t channels;
  int64_t height;
  int64_t width;
  int64_t rois;
  int64_t pooled_height;
  int64_t pooled_width;
  double scale;
  int64_t sample_ratio;
  int64_t position_sensitive;
  int64_t aligned;
};
MINIMX_ARGS(RoiArgs, images, channels, height, width, rois, pooled_height, pooled_width, scale, sample_ratio,
            position_sensitive, aligned)

// ps_roi                       data, rois, y
// ps_roi_gradient              dy, rois, ddata
// deformable_roi               data, rois, trans, y
// deformable_roi_gradient      dy, rois, trans, ddata
// deformable_roi_trans         dy, data, rois, trans, dtrans
//
// Position-sensitive pooling: bin (i, j) of output channel d is the mean of a channel of its own, (d·group_size + gi)·
// group_size + gj, where gi = i·group_size / pooled_size: over whole pixels, or over sample_per_part² points of the bin
// moved by trans_std times the region's size times trans (rois, 2·classes (x, y), part_size, part_size). Each class has
// output_dim / classes channels; classes = 0 moves nothing, and trans may be null.
struct PsRoiArgs {
  int64_t images;
  int64_t channels;
  int64_t height;
  int64_t width;
  int64_t rois;
  int64_t output_dim;
  int64_t group_size;
  int64_t pooled_size;
  int64_t part_size;
  int64_t sample_per_part;
  int64_t classes;
  double scale;
  double trans_std;
};
MINIMX_ARGS(PsRoiArgs, images, channels, height, width, rois, output_dim, group_size, pooled_size, part_size,
            sample_per_part, classes, scale, trans_std)

}  // namespace minimx
