// Image files to records: what im2rec does with each file of its list.
#pragma once
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <utility>
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

// An allocator of bytes that are written before they are read, so that nobody need clear them.
struct Unwritten : std::allocator<uint8_t> {
  template <class U>
  struct rebind {
    using other = Unwritten;
  };
  template <class U>
  void construct(U*) noexcept {}
  template <class U, class... Values>
  void construct(U* p, Values&&... values) {
    ::new (static_cast<void*>(p)) U(std::forward<Values>(values)...);
  }
};
using Bytes = std::vector<uint8_t, Unwritten>;

// Records of some files, one behind the other.
struct Packed {
  Bytes bytes;
  std::vector<size_t> ends;           // of each record; that of a file that was left out is empty
  std::vector<std::string> problems;  // why it was left out; empty where it was not
};

// Each record is the item's head and the image. Does not throw.
struct PackItem {
  std::string path, head;
};
void pack_files(const std::vector<PackItem>& items, const PackOptions& options, Packed* packed);

}  // namespace minimx
