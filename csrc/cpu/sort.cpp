// order: rows are sorted as items, a key above a position. Short rows by merging, long ones by their digits, lowest
// first; a few of many are found by keeping a bag of candidates that is emptied down to the best k when it is full.
#include "../args/sort.h"

#include "move.h"

namespace minimx {
namespace MINIMX_LEVEL {
namespace {

constexpr int64_t kShort = 128;       // rows up to here are merged
constexpr int64_t kFew = 16;          // so many are kept in order all the time
constexpr int64_t kShared = 1 << 16;  // rows from here on are shared by the threads, if there are no other rows
constexpr int kDigit = 11;
constexpr int64_t kBuckets = 1 << kDigit;

// The item of a key of type K: with its position, or the key alone where positions do not matter.
template <class K>
struct Placed;
template <>
struct Placed<uint32_t> {
  using Item = uint64_t;
  static constexpr int shift = 32;
};
template <>
struct Placed<uint64_t> {
  using Item = unsigned __int128;
  static constexpr int shift = 64;
};
template <class K>
struct Bare {
  using Item = K;
  static constexpr int shift = 0;
};

inline uint32_t rising(float x) {
  if (x != x) return ~0u;
  x += 0.0f;  // -0 and 0 are equal
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
inline uint64_t rising(double x) {
  if (x != x) return ~uint64_t{0};
  x += 0.0;
  uint64_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits >> 63 ? ~bits : bits | uint64_t{1} << 63;
}
inline uint32_t rising(int32_t x) { return static_cast<uint32_t>(x) ^ 0x80000000u; }
inline uint64_t rising(int64_t x) {
  return static_cast<uint64_t>(x) ^ uint64_t { 1 } << 63;
}
inline uint32_t rising(int8_t x) { return static_cast<uint32_t>(x + 128); }
inline uint32_t rising(uint8_t x) { return x; }

inline void restore(uint32_t key, float* out) {
  const uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
  __builtin_memcpy(out, &bits, sizeof bits);
}
inline void restore(uint64_t key, double* out) {
  const uint64_t bits = key >> 63 ? key & ~(uint64_t{1} << 63) : ~key;
  __builtin_memcpy(out, &bits, sizeof bits);
}
inline void restore(uint32_t key, int32_t* out) { *out = static_cast<int32_t>(key ^ 0x80000000u); }
inline void restore(uint64_t key, int64_t* out) { *out = static_cast<int64_t>(key ^ uint64_t{1} << 63); }
inline void restore(uint32_t key, int8_t* out) { *out = static_cast<int8_t>(static_cast<int>(key) - 128); }
inline void restore(uint32_t key, uint8_t* out) { *out = static_cast<uint8_t>(key); }

// Keys of elements, turned round for descending orders.
template <class T>
struct Keys {
  using K = typename OrderKey<T>::type;
  static constexpr K all = OrderKey<T>::bits == 8 ? K{255} : static_cast<K>(~K{0});
  const T* row;
  K flip;
  K operator()(int64_t i) const { return rising(row[i]) ^ flip; }
};

// ---- sorting items
// -----------------------------------------------------------------------------------------------------

// Sorts n items from a, by way of b; gives the one of the two that holds the result.
template <class Item>
Item* merge_sort(Item* a, Item* b, int64_t n) {
  constexpr int64_t kRun = 8;
  for (int64_t first = 0; first < n; first += kRun) {
    const int64_t end = first + kRun < n ? first + kRun : n;
    for (int64_t i = first + 1; i < end; ++i) {
      const Item item = a[i];
      int64_t j = i;
      for (; j > first && item < a[j - 1]; --j) a[j] = a[j - 1];
      a[j] = item;
    }
  }
  for (int64_t width = kRun; width < n; width *= 2) {
    for (int64_t first = 0; first < n; first += 2 * width) {
      const int64_t middle = first + width < n ? first + width : n;
      const int64_t end = first + 2 * width < n ? first + 2 * width : n;
      int64_t i = first, j = middle, to = first;
      while (i < middle && j < end) {
        const bool right = a[j] < a[i];
        b[to++] = right ? a[j] : a[i];
        j += right;
        i += !right;
      }
      copy_run(b + to, a + i, middle - i);
      copy_run(b + to + middle - i, a + j, end - j);
    }
    Item* other = a;
    a = b;
    b = other;
  }
  return a;
}

// By digits of the `bits` above `shift`; items come in the order that equal keys keep.
template <class Item>
Item* digit_sort(Item* a, Item* b, int64_t n, int shift, int bits) {
  const int digit = n < 4096 ? 8 : kDigit;
  const int passes = (bits + digit - 1) / digit;
  const uint32_t mask = (1u << digit) - 1;
  uint32_t counts[8 * 256 > 6 * kBuckets ? 8 * 256 : 6 * kBuckets];
  std::memset(counts, 0, static_cast<size_t>(passes) * (mask + 1) * sizeof counts[0]);
  for (int64_t i = 0; i < n; ++i)
    for (int pass = 0; pass < passes; ++pass)
      ++counts[pass * (mask + 1) + (static_cast<uint32_t>(a[i] >> (shift + pass * digit)) & mask)];
  for (int pass = 0; pass < passes; ++pass) {
    uint32_t* count = counts + pass * (mask + 1);
    const int at = shift + pass * digit;
    if (count[static_cast<uint32_t>(a[0] >> at) & mask] == n) continue;
    uint32_t sum = 0;
    for (uint32_t d = 0; d <= mask; ++d) {
      const uint32_t here = count[d];
      count[d] = sum;
      sum += here;
    }
    for (int64_t i = 0; i < n; ++i) b[count[static_cast<uint32_t>(a[i] >> at) & mask]++] = a[i];
    Item* other = a;
    a = b;
    b = other;
  }
  return a;
}

// The same with all threads: each counts and moves a part of the row.
template <class Item>
Item* shared_digit_sort(Item* a, Item* b, int64_t n, int shift, int bits, uint32_t* counts, const Context& context) {
  const int64_t parts = context.threads;
  const int passes = (bits + kDigit - 1) / kDigit;
  for (int pass = 0; pass < passes; ++pass) {
    const int at = shift + pass * kDigit;
    const auto digit = [at](Item item) { return static_cast<uint32_t>(item >> at) & (kBuckets - 1); };
    parallel(context, parts, [&](int64_t part, int) {
      uint32_t* count = counts + part * kBuckets;
      std::memset(count, 0, kBuckets * sizeof(uint32_t));
      for (int64_t i = n * part / parts; i < n * (part + 1) / parts; ++i) ++count[digit(a[i])];
    });
    uint32_t sum = 0;
    for (int64_t d = 0; d < kBuckets; ++d)
      for (int64_t part = 0; part < parts; ++part) {
        const uint32_t here = counts[part * kBuckets + d];
        counts[part * kBuckets + d] = sum;
        sum += here;
      }
    parallel(context, parts, [&](int64_t part, int) {
      uint32_t* count = counts + part * kBuckets;
      for (int64_t i = n * part / parts; i < n * (part + 1) / parts; ++i) b[count[digit(a[i])]++] = a[i];
    });
    Item* other = a;
    a = b;
    b = other;
  }
  return a;
}

template <class Item>
Item* sort_items(Item* a, Item* b, int64_t n, int shift, int bits) {
  return n <= kShort ? merge_sort(a, b, n) : digit_sort(a, b, n, shift, bits);
}

// ---- a few of many
// -----------------------------------------------------------------------------------------------------

inline int64_t bag_size(int64_t k) { return 2 * k > k + 64 ? 2 * k : k + 64; }
inline bool worth_selecting(int64_t n, int64_t k) { return 4 * k <= n && bag_size(k) <= n; }

// The k smallest items of the elements first ... last - 1, in order; gives where they are in bag or spare, which have
// room for bag_size(k) each. Needs worth_selecting(last - first, k).
template <class Form, class T>
typename Form::Item* select_items(const Keys<T>& key, int64_t first, int64_t last, int64_t k, typename Form::Item* bag,
                                  typename Form::Item* spare) {
  using Item = typename Form::Item;
  using K = typename Keys<T>::K;
  constexpr int64_t kBlock = 64;
  const auto item = [&key](int64_t i) {
    if constexpr (Form::shift > 0)
      return static_cast<Item>(key(i)) << Form::shift | static_cast<Item>(static_cast<uint64_t>(i));
    else
      return static_cast<Item>(key(i));
  };
  if (k <= kFew) {
    int64_t count = 0;
    const auto insert = [&](Item x) {
      int64_t to = count < k ? count++ : k - 1;
      for (; to > 0 && x < bag[to - 1]; --to) bag[to] = bag[to - 1];
      bag[to] = x;
    };
    int64_t i = first;
    for (; i < first + k; ++i) insert(item(i));
    while (i < last) {
      const int64_t end = i + kBlock < last ? i + kBlock : last;
      K limit = static_cast<K>(bag[k - 1] >> Form::shift), any = 0;
      for (int64_t at = i; at < end; ++at) any |= key(at) < limit;
      if (any)
        for (int64_t at = i; at < end; ++at)
          if (key(at) < limit) {
            insert(item(at));
            limit = static_cast<K>(bag[k - 1] >> Form::shift);
          }
      i = end;
    }
    return bag;
  }
  const int64_t room = bag_size(k);
  const auto shrink = [&](int64_t count) {
    Item* best = sort_items(bag, spare, count, Form::shift, OrderKey<T>::bits);
    if (best != bag) {
      spare = bag;
      bag = best;
    }
    return static_cast<K>(bag[k - 1] >> Form::shift);
  };
  int64_t i = first;
  for (; i < first + room; ++i) bag[i - first] = item(i);
  K limit = shrink(room);
  int64_t count = k;
  while (i < last) {
    const int64_t end = i + kBlock < last ? i + kBlock : last;
    K any = 0;
    for (int64_t at = i; at < end; ++at) any |= key(at) < limit;
    if (any) {
      for (int64_t at = i; at < end; ++at) {
        bag[count] = item(at);
        count += key(at) < limit;
        if (count == room) {
          limit = shrink(count);
          count = k;
        }
      }
    }
    i = end;
  }
  if (count > k) shrink(count);
  return bag;
}

// ---- rows
// --------------------------------------------------------------------------------------------------------------

template <class Form, class T>
void write(const typename Form::Item* items, const T* row, typename Keys<T>::K flip, int64_t first, int64_t last,
           T* values, int64_t* indices) {
  using K = typename Keys<T>::K;
  if constexpr (Form::shift == 0) {
    for (int64_t i = first; i < last; ++i) restore(static_cast<K>(items[i] ^ flip), values + i);
  } else {
    if (values)
      for (int64_t i = first; i < last; ++i) values[i] = row[static_cast<int64_t>(static_cast<K>(items[i]))];
    if (indices)
      for (int64_t i = first; i < last; ++i) indices[i] = static_cast<int64_t>(static_cast<K>(items[i]));
  }
}

template <class Form, class T>
void order_rows(const OrderArgs& a, const T* data, T* values, int64_t* indices, void* scratch, const Context& context) {
  using Item = typename Form::Item;
  using K = typename Keys<T>::K;
  const int bits = OrderKey<T>::bits;
  const K flip = a.descending ? Keys<T>::all : K{0};
  const int64_t n = a.n, k = a.k;
  auto* space = static_cast<Item*>(scratch);
  const auto fill = [n](const Keys<T>& key, Item* items, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      items[i] = static_cast<Item>(key(i));
      if constexpr (Form::shift > 0) items[i] = items[i] << Form::shift | static_cast<Item>(static_cast<uint64_t>(i));
    }
  };

  if (a.lanes == 1 && n >= kShared && context.threads > 1) {
    const int64_t parts = context.threads;
    auto* counts = reinterpret_cast<uint32_t*>(space + 2 * n);
    for (int64_t r = 0; r < a.rows; ++r) {
      const Keys<T> key{data + r * n, flip};
      Item* sorted;
      if (worth_selecting(n / parts, k)) {
        parallel(context, parts, [&](int64_t part, int) {
          const int64_t first = n * part / parts, last = n * (part + 1) / parts;
          Item* bag = space + 2 * first;
          const Item* best = select_items<Form, T>(key, first, last, k, bag, bag + bag_size(k));
          if (best != bag) copy_run(bag, best, k);
        });
        for (int64_t part = 1; part < parts; ++part)
          std::memmove(space + part * k, space + 2 * (n * part / parts), static_cast<size_t>(k) * sizeof(Item));
        sorted = sort_items(space, space + parts * k, parts * k, Form::shift, bits);
      } else {
        parallel(context, parts,
                 [&](int64_t part, int) { fill(key, space, n * part / parts, n * (part + 1) / parts); });
        sorted = shared_digit_sort(space, space + n, n, Form::shift, bits, counts, context);
      }
      parallel(context, parts, [&](int64_t part, int) {
        write<Form, T>(sorted, key.row, flip, k * part / parts, k * (part + 1) / parts,
                       values ? values + r * k : nullptr, indices ? indices + r * k : nullptr);
      });
    }
    return;
  }

  const int64_t each = 1 + 8192 / (n + 1);  // rows of one task
  const auto piece = [&](int64_t task, int thread) {
    Item* items = space + thread * 2 * n;
    for (int64_t r = task * each; r < (task + 1) * each && r < a.rows; ++r) {
      const Keys<T> key{data + r * n, flip};
      const Item* sorted;
      if (worth_selecting(n, k)) {
        sorted = select_items<Form, T>(key, 0, n, k, items, items + bag_size(k));
      } else {
        fill(key, items, 0, n);
        sorted = sort_items(items, items + n, n, Form::shift, bits);
      }
      write<Form, T>(sorted, key.row, flip, 0, k, values ? values + r * k : nullptr,
                     indices ? indices + r * k : nullptr);
    }
  };
  const int64_t tasks = (a.rows + each - 1) / each;
  if (a.lanes > 1) return parallel(context, tasks, piece);
  for (int64_t task = 0; task < tasks; ++task) piece(task, 0);
}

template <class T>
void order(const OrderArgs& a, void* const* buffers, const Context& context) {
  if (a.rows * a.n * a.k == 0) return;
  const T* data = static_cast<const T*>(buffers[0]);
  int64_t at = 1;
  T* values = a.values ? static_cast<T*>(buffers[at++]) : nullptr;
  int64_t* indices = a.indices ? static_cast<int64_t*>(buffers[at++]) : nullptr;
  using K = typename Keys<T>::K;
  if (indices)
    order_rows<Placed<K>>(a, data, values, indices, buffers[at], context);
  else
    order_rows<Bare<K>>(a, data, values, indices, buffers[at], context);
}

}  // namespace
}  // namespace MINIMX_LEVEL
}  // namespace minimx

KERNELS(sort, KERNEL("order.float32", order<float>, OrderArgs), KERNEL("order.float64", order<double>, OrderArgs),
        KERNEL("order.int32", order<int32_t>, OrderArgs), KERNEL("order.int64", order<int64_t>, OrderArgs),
        KERNEL("order.uint8", order<uint8_t>, OrderArgs), KERNEL("order.int8", order<int8_t>, OrderArgs))
