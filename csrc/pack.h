// Image files to records: what im2rec does with each file of its list.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "image.h"

namespace minimx {

struct PackOptions {
  bool pass_through = false;  // the file's bytes as they are
  int64_t resize = 0;         // the shorter edge becomes this; 0: no
  bool center_crop = false;   // to a square, before resizing
  Pixels color = Pixels::rgb;
  int interpolation = 1;
  int quality = 95;  // of JPEG
};

// Records of some files, one behind the other.
struct Packed {
  std::vector<uint8_t> bytes;
  std::vector<size_t> ends;           // of each record; that of a file that was left out is empty
  std::vector<std::string> problems;  // why it was left out; empty where it was not
};

// Each record is the item's head and the image. Does not throw.
struct PackItem {
  std::string path, head;
};
void pack_files(const std::vector<PackItem>& items, const PackOptions& options, Packed* packed);

}  // namespace minimx
