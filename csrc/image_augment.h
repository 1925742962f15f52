// From an encoded image to its place in a batch: decoding, random changes, normalising, laying out.
#pragma once
#include <cmath>
#include <functional>

#include "image_ops.h"
#include "jpeg.h"
#include "kernel.h"

namespace minimx {

// Random numbers by counter: those of an image depend on the seed, the epoch and the image only.
class Draws {
 public:
  Draws(uint64_t seed, uint64_t epoch, uint64_t image) : key_(seed), epoch_(epoch), image_(image) {}
  double uniform();  // in [0, 1)
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  int64_t integer(int64_t low, int64_t high);  // both may come
  double normal();
  bool coin() { return uniform() < 0.5; }

 private:
  uint64_t key_, epoch_, image_;
  uint32_t words_[4] = {}, block_ = 0;
  int used_ = 4;
};

// The parameters of MXNet's default augmenters; what they mean is in the documentation of mx.io.ImageRecordIter.
struct AugmentConfig {
  int64_t channels = 3, height = 0, width = 0;
  std::string dtype = "float32";
  uint64_t seed = 0;

  int64_t resize = -1, max_crop_size = -1, min_crop_size = -1, pad = 0, fill_value = 255, inter_method = 1;
  bool rand_crop = false, random_resized_crop = false, mirror = false, rand_mirror = false;
  int64_t max_rotate_angle = 0, rotate = -1;
  std::vector<int64_t> rotate_list;
  double max_aspect_ratio = 0, min_aspect_ratio = NAN, max_shear_ratio = 0;
  double max_random_scale = 1, min_random_scale = 1, max_random_area = 1, min_random_area = 1;
  double max_img_size = 1e10, min_img_size = 0;
  double brightness = 0, contrast = 0, saturation = 0, pca_noise = 0;
  int64_t random_h = 0, random_s = 0, random_l = 0;

  std::vector<double> mean = {0, 0, 0, 0}, deviation = {1, 1, 1, 1};
  std::vector<float> mean_image;  // empty, or as large as the result; replaces `mean`
  double scale = 1, max_random_contrast = 0, max_random_illumination = 0;

  // As in Keras: shifts as a part of the size, flips of rows.
  double width_shift = 0, height_shift = 0;
  bool rand_flip = false;

  // Detection.
  bool detection = false;
  int64_t resize_mode = 0;  // force, shrink, fit
  double rand_crop_prob = 0, rand_pad_prob = 0, max_pad_scale = 1, rand_mirror_prob = 0;
  std::vector<double> min_crop_scales, max_crop_scales, min_crop_aspect_ratios, max_crop_aspect_ratios;
  std::vector<double> min_crop_overlaps, max_crop_overlaps, min_crop_sample_coverages, max_crop_sample_coverages;
  std::vector<double> min_crop_object_coverages, max_crop_object_coverages;
  std::vector<int64_t> max_crop_trials;
  int64_t num_crop_sampler = 1;
  bool emit_by_overlap = false;
  double emit_overlap_thresh = 0.3;
  double random_hue_prob = 0, random_saturation_prob = 0, random_illumination_prob = 0, random_contrast_prob = 0;
};

// One thread's worker. Keeps its buffers from image to image.
class Augmenter {
 public:
  explicit Augmenter(const AugmentConfig& config);

  // Writes one image (channels, height, width) of the dtype to `out`. Throws ImageError. A detection label changes
  // along; its image may be smaller than the result: its rows lie without gaps, the returned size says how many and how
  // long.
  struct Size {
    int64_t height, width;
  };
  Size run(const uint8_t* data, size_t bytes, Draws& draws, void* out, std::vector<float>* label = nullptr);
  size_t bytes_per_image() const;

 private:
  struct Axis {  // one dimension of a map: a window of the source, its size afterwards, what is taken of it
    int64_t from, count, size, first, taken;
  };
  struct Step {
    int64_t resize_h, resize_w, top, left, h, w;  // crop in the resized image
    bool stretch;                                 // the crop is resized to the result
  };

  bool changes_aspect() const;
  bool needs_affine() const;
  bool changes_colour() const;
  Step choose_crop(int64_t h, int64_t w, Draws& draws) const;
  Step plain_crop(int64_t h, int64_t w, Draws& draws) const;
  void affine(Image& image, Draws& draws);
  void small_to_size(Image& image, Draws& draws);
  void shift(Image& image, Draws& draws);
  void colours(Image& image, Draws& draws);
  void detect(Image& image, Draws& draws, std::vector<float>& label);
  void detect_colours(Image& image, Draws& draws);

  void rows(const Axis& vertical, const Axis& horizontal, bool mirrored,
            const std::function<const uint8_t*(int64_t)>& row, int64_t row_first, int64_t row_pixels, const char* kind,
            void* out, Draws* draws);
  void fill_tables(const Axis& axis, bool mirrored, int64_t row_first);
  void decode(const uint8_t* data, size_t bytes, Image& out);
  void stretch(Image& image, int64_t h, int64_t w, Draws& draws);
  void finish(const Image& image, bool mirrored, bool flipped, Draws& draws, void* out);
  void from_jpeg(const Axis& vertical, const Axis& horizontal, bool mirrored, const char* kind, void* out,
                 Draws& draws);

  const AugmentConfig& config_;
  const KernelEntry* planes_;
  const KernelEntry* pixels_;
  JpegReader jpeg_;
  Image image_, other_;
  std::vector<uint8_t> lines_[2], gray_;
  std::vector<int32_t> places_;
  std::vector<int16_t> weights_, blended_;
};

}  // namespace minimx
