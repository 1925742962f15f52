// JPEG through libjpeg-turbo, found when it is first needed: nothing to link, nothing to have when minimx is built.
#pragma once
#include "image.h"

namespace minimx {

// Names of shared libraries to try before the system's own.
void set_jpeg_libraries(const std::vector<std::string>& paths);
// The library in use; empty with `why` filled when none is found.
std::string jpeg_library(std::string* why = nullptr);

// Decodes one image after the other, keeping its memory. Rows can be read from a window of the image, which saves the
// work for what lies outside.
class JpegReader {
 public:
  JpegReader();
  ~JpegReader();
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  ImageInfo open(const uint8_t* data, size_t bytes);  // the data must live until the last row is read
  // Rows from `top` on, of at least columns [left, right). Returns the first column that rows really have;
  // `width` says how many follow.
  int64_t start(Pixels wanted, int64_t top, int64_t left, int64_t right);
  int64_t width() const;
  int channels() const;  // of rows: 1, 3 or 4
  void read_row(uint8_t* row);
  void stop();  // the rest is not wanted
  void read_all(Pixels wanted, Image& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::vector<uint8_t> encode_jpeg(const uint8_t* pixels, int64_t height, int64_t width, int64_t channels, bool bgr,
                                 int quality);

}  // namespace minimx
