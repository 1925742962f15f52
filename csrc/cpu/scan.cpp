// cumsum: along rows in pieces, whose sums are known before they are scanned; along columns many at once.
#include "../args/scan.h"

#include "simd.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kPiece = 8192;
constexpr int64_t kColumns = 512;

template <class T>
struct Sum {
  using type = int64_t;
};
template <>
struct Sum<float> {
  using type = double;
};
template <>
struct Sum<double> {
  using type = double;
};

template <class T>
void scan_rows(const CumsumArgs& a, const T* data, T* out, void* scratch, const Context& context) {
  using S = typename Sum<T>::type;
  auto* before = static_cast<S*>(scratch);  // of each piece: its sum, then the sum of those before it
  const int64_t pieces = (a.n + kPiece - 1) / kPiece, total = a.outer * pieces;
  const int64_t each = a.n < kPiece ? 1 + kPiece / (a.n + 1) : 1;
  const int64_t tasks = a.outer * a.n < 2 * kPiece ? 1 : (total + each - 1) / each;
  const int64_t group = tasks == 1 ? total : each;
  // The elements of a piece in the order they are summed up: from `first` in steps of `step`.
  const auto piece_of = [&](int64_t p, int64_t& first, int64_t& count, int64_t& step) {
    const int64_t row = p / pieces, at = p % pieces * kPiece;
    count = a.n - at < kPiece ? a.n - at : kPiece;
    step = a.reverse ? -1 : 1;
    first = row * a.n + (a.reverse ? a.n - 1 - at : at);
  };
  if (pieces > 1) {
    parallel(context, tasks, [&](int64_t task, int) {
      for (int64_t p = task * group; p < (task + 1) * group && p < total; ++p) {
        int64_t first, count, step;
        piece_of(p, first, count, step);
        S sum = 0;
        for (int64_t i = 0; i < count; ++i) sum += static_cast<S>(data[first + i * step]);
        before[p] = sum;
      }
    });
    for (int64_t row = 0; row < a.outer; ++row) {
      S sum = 0;
      for (int64_t p = row * pieces; p < (row + 1) * pieces; ++p) {
        const S own = before[p];
        before[p] = sum;
        sum += own;
      }
    }
  }
  parallel(context, tasks, [&](int64_t task, int) {
    for (int64_t p = task * group; p < (task + 1) * group && p < total; ++p) {
      int64_t first, count, step;
      piece_of(p, first, count, step);
      S sum = pieces > 1 ? before[p] : S{0};
      for (int64_t i = 0; i < count; ++i) {
        sum += static_cast<S>(data[first + i * step]);
        out[first + i * step] = static_cast<T>(sum);
      }
    }
  });
}

template <class T>
void scan_columns(const CumsumArgs& a, const T* data, T* out, const Context& context) {
  using S = typename Sum<T>::type;
  const int64_t cuts = (a.inner + kColumns - 1) / kColumns, total = a.outer * cuts;
  const int64_t work = a.n * (a.inner < kColumns ? a.inner : kColumns) + 1;
  const int64_t each = 1 + 4 * kPiece / work, tasks = (total + each - 1) / each;
  parallel(context, tasks, [&](int64_t task, int) {
    S sums[kColumns];
    for (int64_t unit = task * each; unit < (task + 1) * each && unit < total; ++unit) {
      const int64_t left = unit % cuts * kColumns;
      const int64_t width = a.inner - left < kColumns ? a.inner - left : kColumns;
      const int64_t start = unit / cuts * a.n * a.inner + left;
      for (int64_t c = 0; c < width; ++c) sums[c] = 0;
      for (int64_t i = 0; i < a.n; ++i) {
        const int64_t at = start + (a.reverse ? a.n - 1 - i : i) * a.inner;
        for (int64_t c = 0; c < width; ++c) {
          sums[c] += static_cast<S>(data[at + c]);
          out[at + c] = static_cast<T>(sums[c]);
        }
      }
    }
  });
}

template <class T>
void cumsum(const CumsumArgs& a, void* const* buffers, const Context& context) {
  if (a.outer * a.n * a.inner == 0) return;
  const T* data = static_cast<const T*>(buffers[0]);
  T* out = static_cast<T*>(buffers[1]);
  if (a.inner == 1)
    scan_rows(a, data, out, buffers[2], context);
  else
    scan_columns(a, data, out, context);
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(scan, KERNEL("cumsum.float32", cumsum<float>, CumsumArgs), KERNEL("cumsum.float64", cumsum<double>, CumsumArgs),
        KERNEL("cumsum.int32", cumsum<int32_t>, CumsumArgs), KERNEL("cumsum.int64", cumsum<int64_t>, CumsumArgs))
