#include "pack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "image_ops.h"
#include "jpeg.h"
#include "recordio.h"

namespace minimx {

namespace {

[[noreturn]] void refuse(const std::string& what) { throw std::runtime_error(what); }

// Appends the bytes of a file.
void read_file(const std::string& path, Bytes* out) {
  const int handle = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0) refuse(std::strerror(errno));
  struct Closer {
    int handle;
    ~Closer() { ::close(handle); }
  } closer{handle};
  struct stat info;
  if (::fstat(handle, &info) != 0) refuse(std::strerror(errno));
  if (S_ISDIR(info.st_mode)) refuse(std::strerror(EISDIR));
  if (info.st_size > static_cast<int64_t>(kRecordLimit)) refuse("the file is too large for a record");
  size_t end = out->size();
  out->resize(end + static_cast<size_t>(info.st_size));
  while (end < out->size()) {
    const ssize_t got = ::read(handle, out->data() + end, out->size() - end);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(std::strerror(errno));
    if (got == 0) break;
    end += static_cast<size_t>(got);
  }
  out->resize(end);
  if (info.st_size == 0) refuse("the file is empty");
}

void center_crop(Image& image, Image& spare) {
  const int64_t edge = std::min(image.height, image.width);
  if (image.height == image.width) return;
  crop_image(image, (image.height - edge) / 2, (image.width - edge) / 2, edge, edge, spare);
  std::swap(image, spare);
}

void resize_shorter(Image& image, int64_t edge, int interpolation, Image& spare) {
  const bool tall = image.height > image.width;
  const int64_t h = tall ? image.height * edge / image.width : edge;
  const int64_t w = tall ? edge : image.width * edge / image.height;
  if (h == image.height && w == image.width) return;
  resize_image(image, h, w, interpolation, spare);
  std::swap(image, spare);
}

// Memory that is used again for the next image.
struct Workspace {
  Bytes file;
  Image image, spare;
};

void pack_file(const PackItem& item, const PackOptions& options, Workspace& work, Bytes* out) {
  out->insert(out->end(), item.head.begin(), item.head.end());
  if (options.pass_through) return read_file(item.path, out);
  work.file.clear();
  read_file(item.path, &work.file);
  decode_image(work.file.data(), work.file.size(), options.color, options.color != Pixels::stored, work.image);
  if (options.center_crop) center_crop(work.image, work.spare);
  if (options.resize > 0) resize_shorter(work.image, options.resize, options.interpolation, work.spare);
  if (work.image.channels == 4) {  // JPEG has no alpha
    convert_channels(work.image, 3, work.spare);
    std::swap(work.image, work.spare);
  }
  const Image& image = work.image;
  const auto encoded =
      encode_jpeg(image.pixels.data(), image.height, image.width, image.channels, false, options.quality);
  out->insert(out->end(), encoded.begin(), encoded.end());
}

}  // namespace

void pack_files(const std::vector<PackItem>& items, const PackOptions& options, Packed* packed) {
  Workspace work;
  for (const PackItem& item : items) {
    const size_t begin = packed->bytes.size();
    std::string problem;
    try {
      pack_file(item, options, work, &packed->bytes);
      if (packed->bytes.size() - begin > kRecordLimit) refuse("the image is too large for a record");
    } catch (const std::bad_alloc&) {
      problem = "out of memory";
    } catch (const std::exception& error) {
      problem = error.what();
    }
    if (!problem.empty()) packed->bytes.resize(begin);
    packed->ends.push_back(packed->bytes.size());
    packed->problems.push_back(std::move(problem));
  }
}

}  // namespace minimx
