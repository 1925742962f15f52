// What Python sees of images. Everything that takes long runs without the GIL.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "array.h"
#include "image_ops.h"
#include "image_pipeline.h"
#include "jpeg.h"

namespace py = pybind11;

using namespace minimx;

namespace {

struct Bytes {
  const uint8_t* data;
  size_t size;
};

Bytes bytes_of(const py::buffer_info& info) {
  if (info.ndim != 1 && info.size != 0 && info.strides.back() != info.itemsize)
    throw std::invalid_argument("the encoded image must be contiguous");
  return {static_cast<const uint8_t*>(info.ptr), static_cast<size_t>(info.size * info.itemsize)};
}

// The pixels of an image as a NumPy array that owns them.
py::array_t<uint8_t> to_array(Image&& image) {
  auto* kept = new Image(std::move(image));
  py::capsule owner(kept, [](void* p) { delete static_cast<Image*>(p); });
  return py::array_t<uint8_t>({kept->height, kept->width, kept->channels}, kept->pixels.data(), owner);
}

template <class T>
py::array resized(const py::array& source, int64_t h, int64_t w, int method) {
  const auto a = py::array_t<T, py::array::c_style | py::array::forcecast>(source);
  py::array_t<T> out({h, w, static_cast<int64_t>(a.shape(2))});
  const T* from = a.data();
  T* to = out.mutable_data();
  const int64_t from_h = a.shape(0), from_w = a.shape(1), c = a.shape(2);
  py::gil_scoped_release release;
  resize_pixels(from, from_h, from_w, c, to, h, w, method);
  return std::move(out);
}

template <class T>
void set(T& field, const py::handle& value) {
  field = value.cast<T>();
}

// Fields of the two structures by name; what is no field is an error, so that nothing is set in vain.
PipelineConfig pipeline_config(const py::dict& given) {
  PipelineConfig c;
  AugmentConfig& a = c.augment;
  std::unordered_map<std::string, std::function<void(const py::handle&)>> setters;
#define FIELD(owner, name) setters[#name] = [&](const py::handle& value) { set(owner.name, value); };
  // clang-format off
  FIELD(c, records) FIELD(c, files) FIELD(c, file_labels) FIELD(c, offsets) FIELD(c, relabel) FIELD(c, relabelled)
  FIELD(c, part_index) FIELD(c, num_parts) FIELD(c, batch_size) FIELD(c, label_width) FIELD(c, label_pad)
  FIELD(c, label_pad_value) FIELD(c, shuffle) FIELD(c, round_batch) FIELD(c, seed) FIELD(c, chunk_seed)
  FIELD(c, chunks_shuffled) FIELD(c, prefetch) FIELD(c, threads) FIELD(a, channels) FIELD(a, height) FIELD(a, width)
  FIELD(a, dtype) FIELD(a, resize) FIELD(a, max_crop_size) FIELD(a, min_crop_size) FIELD(a, pad) FIELD(a, fill_value)
  FIELD(a, inter_method) FIELD(a, rand_crop) FIELD(a, random_resized_crop) FIELD(a, mirror) FIELD(a, rand_mirror)
  FIELD(a, max_rotate_angle) FIELD(a, rotate) FIELD(a, rotate_list) FIELD(a, max_aspect_ratio)
  FIELD(a, min_aspect_ratio) FIELD(a, max_shear_ratio) FIELD(a, max_random_scale) FIELD(a, min_random_scale)
  FIELD(a, max_random_area) FIELD(a, min_random_area) FIELD(a, max_img_size) FIELD(a, min_img_size)
  FIELD(a, brightness) FIELD(a, contrast) FIELD(a, saturation) FIELD(a, pca_noise) FIELD(a, random_h)
  FIELD(a, random_s) FIELD(a, random_l) FIELD(a, mean) FIELD(a, deviation) FIELD(a, mean_image) FIELD(a, scale)
  FIELD(a, max_random_contrast) FIELD(a, max_random_illumination) FIELD(a, width_shift) FIELD(a, height_shift)
  FIELD(a, rand_flip) FIELD(a, detection) FIELD(a, resize_mode) FIELD(a, rand_crop_prob) FIELD(a, rand_pad_prob)
  FIELD(a, max_pad_scale) FIELD(a, rand_mirror_prob) FIELD(a, min_crop_scales) FIELD(a, max_crop_scales)
  FIELD(a, min_crop_aspect_ratios) FIELD(a, max_crop_aspect_ratios) FIELD(a, min_crop_overlaps)
  FIELD(a, max_crop_overlaps) FIELD(a, min_crop_sample_coverages) FIELD(a, max_crop_sample_coverages)
  FIELD(a, min_crop_object_coverages) FIELD(a, max_crop_object_coverages) FIELD(a, max_crop_trials)
  FIELD(a, num_crop_sampler) FIELD(a, emit_by_overlap) FIELD(a, emit_overlap_thresh) FIELD(a, random_hue_prob)
  FIELD(a, random_saturation_prob) FIELD(a, random_illumination_prob) FIELD(a, random_contrast_prob)
  // clang-format on
#undef FIELD
                                                                              setters["augment_seed"] =
                                                                                  [&](const py::handle& value) {
                                                                                    set(a.seed, value);
                                                                                  };
  for (const auto& [name, value] : given) {
    const auto setter = setters.find(name.cast<std::string>());
    if (setter == setters.end())
      throw std::invalid_argument("an image pipeline has no parameter " + name.cast<std::string>());
    try {
      setter->second(value);
    } catch (const py::cast_error&) {
      throw py::type_error("image pipeline: " + setter->first + " cannot be " + py::repr(value).cast<std::string>());
    }
  }
  return c;
}

}  // namespace

void bind_image(py::module_& m) {
  py::register_exception<ImageError>(m, "ImageError", PyExc_ValueError);
  m.def("set_jpeg_libraries", &set_jpeg_libraries);
  m.def("jpeg_library", [] { return jpeg_library(); });
  m.def("image_info", [](const py::buffer& data) {
    const py::buffer_info info = data.request();
    const Bytes bytes = bytes_of(info);
    const ImageInfo i = read_info(bytes.data, bytes.size);
    return py::make_tuple(i.height, i.width, i.channels, i.orientation);
  });
  // (h, w, c) of bytes: 1 channel if gray, 3 if colour (as BGR on demand), as stored with channels=0.
  m.def(
      "image_decode",
      [](const py::buffer& data, int channels, bool bgr, bool upright) {
        const py::buffer_info info = data.request();
        const Bytes bytes = bytes_of(info);
        Image image;
        {
          py::gil_scoped_release release;
          const Pixels wanted = channels == 1 ? Pixels::gray : channels == 3 ? Pixels::rgb : Pixels::stored;
          decode_image(bytes.data, bytes.size, wanted, upright, image);
          if (bgr) swap_red_blue(image);
        }
        return to_array(std::move(image));
      },
      py::arg("data"), py::arg("channels") = 3, py::arg("bgr") = false, py::arg("upright") = true);
  m.def(
      "jpeg_encode",
      [](const py::array& pixels, int quality, bool bgr) {
        const auto a = py::array_t<uint8_t, py::array::c_style | py::array::forcecast>(pixels);
        if (a.ndim() != 3)
          throw std::invalid_argument("jpeg_encode: the image must have the axes (height, width, channels)");
        std::vector<uint8_t> out;
        {
          py::gil_scoped_release release;
          out = encode_jpeg(a.data(), a.shape(0), a.shape(1), a.shape(2), bgr, quality);
        }
        return py::bytes(reinterpret_cast<const char*>(out.data()), out.size());
      },
      py::arg("pixels"), py::arg("quality") = 95, py::arg("bgr") = false);
  m.def("image_resize", [](const py::array& a, int64_t h, int64_t w, int method) -> py::array {
    if (a.ndim() != 3 || a.size() == 0)
      throw std::invalid_argument("image_resize: the image must have the axes (height, width, channels) and pixels");
    if (h < 1 || w < 1 || h * w > kMaxPixels)
      throw std::invalid_argument("image_resize: the new size must be from 1x1 to 2^28 pixels, got " +
                                  std::to_string(h) + "x" + std::to_string(w));
    if (method < 0 || method > kLanczos)
      throw std::invalid_argument("image_resize: the interpolation must be 0 to 4, got " + std::to_string(method));
    if (py::isinstance<py::array_t<uint8_t>>(a)) return resized<uint8_t>(a, h, w, method);
    if (py::isinstance<py::array_t<double>>(a)) return resized<double>(a, h, w, method);
    return resized<float>(a, h, w, method);
  });
  m.def("image_warp", [](const py::array& a, const std::vector<double>& matrix, int64_t h, int64_t w, int method,
                         int fill) {
    const auto source = py::array_t<uint8_t, py::array::c_style | py::array::forcecast>(a);
    if (source.ndim() != 3 || source.size() == 0 || matrix.size() != 6 || h < 1 || w < 1 || h * w > kMaxPixels)
      throw std::invalid_argument("image_warp: an image (height, width, channels), six numbers and a size are needed");
    Image from, to;
    from.resize(source.shape(0), source.shape(1), source.shape(2));
    std::copy(source.data(), source.data() + source.size(), from.pixels.begin());
    {
      py::gil_scoped_release release;
      warp_affine(from, matrix.data(), h, w, method, static_cast<uint8_t>(fill), to);
    }
    return to_array(std::move(to));
  });

  py::class_<ImagePipeline>(m, "ImagePipeline")
      .def(py::init([](const py::dict& config) { return std::make_unique<ImagePipeline>(pipeline_config(config)); }))
      .def("next",
           [](ImagePipeline& self) -> py::object {
             ImagePipeline::Batch batch;
             bool good;
             {
               py::gil_scoped_release release;
               good = self.next(&batch);
             }
             if (!good) return py::none();
             return py::make_tuple(batch.data, batch.label, batch.pad,
                                   py::array_t<uint64_t>(static_cast<py::ssize_t>(batch.ids.size()), batch.ids.data()));
           })
      .def("reset", &ImagePipeline::reset, py::call_guard<py::gil_scoped_release>())
      .def("close", &ImagePipeline::close, py::call_guard<py::gil_scoped_release>())
      .def("state", &ImagePipeline::state, py::call_guard<py::gil_scoped_release>())
      .def("set_state", &ImagePipeline::set_state, py::call_guard<py::gil_scoped_release>())
      .def("take_messages", &ImagePipeline::take_messages, py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("epoch", &ImagePipeline::epoch)
      .def_property_readonly("skipped", &ImagePipeline::skipped);
}
