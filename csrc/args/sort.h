// order: the k smallest (or, with `descending`, largest) elements of every row, in order. Equal elements stay in the
// order they came in; NaN counts as the largest of all numbers.
//
// Buffers: data (rows, n), then, as `values` and `indices` say, the elements (rows, k) and their int64 positions in the
// row (rows, k), then scratch. Scratch holds 2 n items for each of `lanes`, the rows that are worked on at once; an
// item is twice as large as an element, counted with 4 bytes at least. With one lane, the threads share each row and
// need 2048 counts of 4 bytes each. On a gpu scratch holds 2 items for every element of `rows` rows of `padded`
// elements: the next power of two, for the scratch at least 1024.
#pragma once
#include <type_traits>

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
struct OrderKey {
  using type = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  static constexpr int bits = 8 * static_cast<int>(sizeof(T));
};

}  // namespace
}  // namespace minimx
