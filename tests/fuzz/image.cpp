// Images with random damage, decoded and made into rows of batches in every way there is, under the sanitizers:
//
//   csrc="csrc/image*.cpp csrc/jpeg.cpp csrc/png.cpp csrc/inflate.cpp csrc/storage.cpp csrc/cpu/image.cpp"  (but the
//   pipeline) c++ -std=c++17 -O1 -g -fsanitize=address,undefined -DMINIMX_LEVEL=baseline -Icsrc tests/fuzz/image.cpp
//   $csrc -ldl -o fuzz
//   ./fuzz INPUT COUNT SEED IMAGE...      INPUT holds the input that failed
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <random>

#include "device.h"
#include "image_augment.h"

namespace minimx {

namespace baseline {
extern const KernelTable image_kernels;
}

// The part of isa.cpp that images need.
Device& device(const std::string& type, int id) {
  static const Driver driver{};
  static Device* only = [&] {
    auto* d = new Device{type, id, driver, {}, Context{1, nullptr, nullptr}, Pool(driver, nullptr)};
    for (int64_t i = 0; i < baseline::image_kernels.count; ++i)
      d->kernels[baseline::image_kernels.entries[i].name] = &baseline::image_kernels.entries[i];
    return d;
  }();
  return *only;
}
int thread_count() { return 1; }

}  // namespace minimx

using namespace minimx;
using Bytes = std::vector<uint8_t>;

namespace {

std::mt19937_64 generator;
size_t below(size_t n) { return n ? generator() % n : 0; }

Bytes load(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

// One to four kinds of damage.
Bytes damaged(const std::vector<Bytes>& images) {
  Bytes b = images[below(images.size())];
  for (size_t n = 1 + below(4); n; --n) {
    switch (below(7)) {
      case 0:  // bits
        for (size_t k = 1 + below(8); k && !b.empty(); --k) b[below(b.size())] ^= static_cast<uint8_t>(1 << below(8));
        break;
      case 1:  // bytes that often mean something
        for (size_t k = 1 + below(4); k && !b.empty(); --k) {
          static constexpr uint8_t kNumbers[] = {0, 1, 0x7f, 0x80, 0xff, 0xd8, 0xd9, 0xda, 0xc0, 0xc4};
          b[below(b.size())] = kNumbers[below(sizeof kNumbers)];
        }
        break;
      case 2:  // in the head, where sizes stand
        if (!b.empty()) b[below(b.size() < 64 ? b.size() : 64)] = static_cast<uint8_t>(generator());
        break;
      case 3:
        b.resize(below(b.size() + 1));
        break;
      case 4: {  // a piece of another image
        const Bytes& other = images[below(images.size())];
        const size_t from = below(other.size()), count = below(other.size() - from), at = below(b.size() + 1);
        b.insert(b.begin() + static_cast<long>(at), other.begin() + static_cast<long>(from),
                 other.begin() + static_cast<long>(from + count));
        break;
      }
      case 5: {  // a gap
        const size_t from = below(b.size()), count = below(b.size() - from);
        b.erase(b.begin() + static_cast<long>(from), b.begin() + static_cast<long>(from + count));
        break;
      }
      default:  // a run of one byte
        if (!b.empty()) {
          const size_t from = below(b.size()), count = below(b.size() - from < 40 ? b.size() - from : 40);
          std::fill_n(b.begin() + static_cast<long>(from), count, static_cast<uint8_t>(generator()));
        }
    }
  }
  return b;
}

std::vector<AugmentConfig> configurations() {
  AugmentConfig window, whole, gray, detection, sized, stored;
  window.height = window.width = 24;
  window.resize = 28;
  window.rand_crop = window.rand_mirror = true;
  whole = window;
  whole.max_rotate_angle = 20;
  whole.max_random_scale = 1.3;
  whole.pad = 2;
  whole.brightness = whole.contrast = whole.saturation = whole.pca_noise = 0.1;
  whole.random_h = 9;
  whole.inter_method = kRandom;
  gray = window;
  gray.channels = 1;
  gray.resize = -1;
  gray.dtype = "uint8";
  sized = window;
  sized.resize = -1;
  sized.random_resized_crop = true;
  sized.min_random_area = 0.1;
  sized.max_aspect_ratio = 0.3;
  sized.dtype = "float16";
  detection = window;
  detection.detection = true;
  detection.rand_crop_prob = detection.rand_pad_prob = detection.rand_mirror_prob = 0.5;
  detection.max_pad_scale = 2;
  stored = window;
  stored.channels = 4;
  stored.dtype = "int8";
  return {window, whole, gray, sized, detection, stored};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const long count = std::atol(argv[2]);
  generator.seed(static_cast<uint64_t>(std::atol(argv[3])));
  std::vector<Bytes> images;
  for (int i = 4; i < argc; ++i) images.push_back(load(argv[i]));
  const std::vector<AugmentConfig> configs = configurations();
  std::deque<Augmenter> augmenters;
  for (const AugmentConfig& c : configs) augmenters.emplace_back(c);
  std::FILE* input = std::fopen(argv[1], "wb");
  if (!input) return 2;
  long decoded = 0;
  for (long n = 0; n < count; ++n) {
    const Bytes b = damaged(images);
    std::rewind(input);
    std::fwrite(b.data(), 1, b.size(), input);
    std::fflush(input);
    if (ftruncate(fileno(input), static_cast<off_t>(b.size()))) return 2;
    // Copied to its exact size, so that reading one byte too many is seen.
    const std::unique_ptr<uint8_t[]> exact(new uint8_t[b.size()]);
    std::copy(b.begin(), b.end(), exact.get());
    const size_t which = below(augmenters.size() + 1);
    try {
      if (which == augmenters.size()) {
        const ImageInfo info = read_info(exact.get(), b.size());
        if (info.height * info.width > 4000000) continue;  // right but slow
        Image out;
        decode_image(exact.get(), b.size(), static_cast<Pixels>(below(4)), true, out);
      } else {
        const ImageInfo info = read_info(exact.get(), b.size());
        if (info.height * info.width > 4000000) continue;
        std::vector<float> label = {2, 5, 1, 0.1f, 0.2f, 0.6f, 0.9f};
        if (below(4) == 0) label[below(label.size())] = static_cast<float>(below(9)) - 3;
        const std::unique_ptr<char[]> out(new char[augmenters[which].bytes_per_image()]);
        Draws draws(3, 0, static_cast<uint64_t>(n));
        augmenters[which].run(exact.get(), b.size(), draws, out.get(), &label);
      }
      ++decoded;
    } catch (const ImageError&) {
    }
  }
  std::printf("%ld inputs, %ld of them images\n", count, decoded);
}
