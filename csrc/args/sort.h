// order: the k smallest (or, with `descending`, largest) elements of every row, in order. Equal elements stay in the
// order they came in; NaN counts as the largest of all numbers.
//
// Buffers: data (rows, n), then, as `values` and `indices` say, the elements (rows, k) and their int64 positions in the
// row (rows, k), then scratch. Scratch holds 2 n items for each of `lanes`, the rows that are worked on at once; an
// item is twice as large as an element, counted with 4 bytes at least. With one lane, the threads share each row and
// need 2048 counts of 4 bytes each. On a gpu scratch holds 2 items for every element of `rows` rows of `padded`
// elements: the next power of two, for the scratch at least 1024.
#pragma once
#include "../kernel.h"

namespace minimx {

struct OrderArgs {
  int64_t rows;
  int64_t n;
  int64_t k;
  int64_t descending;
  int64_t values;
  int64_t indices;
  int64_t lanes;
  int64_t padded;
};
MINIMX_ARGS(OrderArgs, rows, n, k, descending, values, indices, lanes, padded)

namespace {

// Rows of an order are sorted as unsigned integers: the element's bits, changed so that they compare as the element
// does, above its position, which makes all items of a row different.
template <class T>
struct OrderKey;
template <>
struct OrderKey<float> {
  using type = uint32_t;
  static constexpr int bits = 32;
};
template <>
struct OrderKey<double> {
  using type = uint64_t;
  static constexpr int bits = 64;
};
template <>
struct OrderKey<int32_t> {
  using type = uint32_t;
  static constexpr int bits = 32;
};
template <>
struct OrderKey<int64_t> {
  using type = uint64_t;
  static constexpr int bits = 64;
};
template <>
struct OrderKey<int8_t> {
  using type = uint32_t;
  static constexpr int bits = 8;
};
template <>
struct OrderKey<uint8_t> {
  using type = uint32_t;
  static constexpr int bits = 8;
};

}  // namespace
}  // namespace minimx
