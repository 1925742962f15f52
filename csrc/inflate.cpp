// Inflate (RFC 1950 and 1951), for PNG: a few hundred lines less than a library, and nothing to have when minimx is
// built.
#include <cstring>

#include "image.h"

namespace minimx {
namespace {

constexpr int kRootBits = 10, kMaxBits = 15;

struct Bits {
  const uint8_t *next, *end;
  uint64_t held = 0;
  int count = 0;
  int past = 0;  // bytes made up after the end

  void fill() {
    if (end - next >= 8) {
      uint64_t word;
      std::memcpy(&word, next, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
      word = __builtin_bswap64(word);
#endif
      held |= word << count;
      next += (63 - count) >> 3;
      count |= 56;
      return;
    }
    while (count <= 56) {
      if (next < end)
        held |= static_cast<uint64_t>(*next++) << count;
      else
        ++past;
      count += 8;
    }
  }
  uint32_t peek(int n) const { return static_cast<uint32_t>(held & ((uint64_t{1} << n) - 1)); }
  void drop(int n) {
    held >>= n;
    count -= n;
  }
  uint32_t take(int n) {
    if (count < n) fill();
    const uint32_t value = peek(n);
    drop(n);
    return value;
  }
  bool overrun() const { return past * 8 > count; }
};

// A canonical Huffman code. A short code is found by its first bits in a table, a long one by counting.
struct Code {
  uint16_t table[1 << kRootBits];  // symbol << 4 | length; 0 for codes that are longer or do not exist
  uint16_t symbols[288];
  uint16_t counts[kMaxBits + 1];

  bool build(const uint8_t* lengths, int n) {
    std::memset(counts, 0, sizeof counts);
    std::memset(table, 0, sizeof table);
    for (int i = 0; i < n; ++i) ++counts[lengths[i]];
    counts[0] = 0;
    uint16_t offsets[kMaxBits + 2] = {};
    int left = 1, used = 0;
    for (int length = 1; length <= kMaxBits; ++length) {
      left = left * 2 - counts[length];
      if (left < 0) return false;
      offsets[length + 1] = static_cast<uint16_t>(offsets[length] + counts[length]);
      used += counts[length];
    }
    if (left > 0 && used > 1) return false;  // incomplete; one code alone may be
    uint16_t place[kMaxBits + 2];
    std::memcpy(place, offsets, sizeof place);
    for (int i = 0; i < n; ++i)
      if (lengths[i]) symbols[place[lengths[i]]++] = static_cast<uint16_t>(i);
    int code = 0;
    for (int length = 1; length <= kRootBits; ++length, code <<= 1)
      for (int k = 0; k < counts[length]; ++k, ++code) {
        int reversed = 0;
        for (int b = 0; b < length; ++b) reversed |= (code >> b & 1) << (length - 1 - b);
        const int symbol = symbols[offsets[length] + k];
        for (int at = reversed; at < 1 << kRootBits; at += 1 << length)
          table[at] = static_cast<uint16_t>(symbol << 4 | length);
      }
    return true;
  }

  int read(Bits& bits) const {
    if (bits.count < kMaxBits) bits.fill();
    if (const uint16_t entry = table[bits.peek(kRootBits)]) {
      bits.drop(entry & 15);
      return entry >> 4;
    }
    int code = 0, first = 0, index = 0;
    for (int length = 1; length <= kMaxBits; ++length) {
      code |= static_cast<int>(bits.peek(length) >> (length - 1));
      if (code - counts[length] < first) {
        bits.drop(length);
        return symbols[index + code - first];
      }
      index += counts[length];
      first = (first + counts[length]) << 1;
      code <<= 1;
    }
    return -1;
  }
};

constexpr uint16_t kLengthBase[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                      31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr uint8_t kLengthBits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                     2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr uint16_t kFarBase[30] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                   33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                   1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
constexpr uint8_t kFarBits[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                  6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

bool read_codes(Bits& bits, Code& literals, Code& distances) {
  static constexpr uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  const int n_literals = static_cast<int>(bits.take(5)) + 257, n_distances = static_cast<int>(bits.take(5)) + 1;
  const int n_lengths = static_cast<int>(bits.take(4)) + 4;
  if (n_literals > 286 || n_distances > 30) return false;
  uint8_t lengths[320] = {};
  for (int i = 0; i < n_lengths; ++i) lengths[order[i]] = static_cast<uint8_t>(bits.take(3));
  if (!literals.build(lengths, 19)) return false;
  const int total = n_literals + n_distances;
  std::memset(lengths, 0, sizeof lengths);
  const Code lengths_code = literals;
  for (int i = 0; i < total;) {
    const int symbol = lengths_code.read(bits);
    if (symbol < 0) return false;
    if (symbol < 16) {
      lengths[i++] = static_cast<uint8_t>(symbol);
      continue;
    }
    if (symbol == 16 && i == 0) return false;
    const uint8_t value = symbol == 16 ? lengths[i - 1] : 0;
    const int repeat = symbol == 16   ? 3 + static_cast<int>(bits.take(2))
                       : symbol == 17 ? 3 + static_cast<int>(bits.take(3))
                                      : 11 + static_cast<int>(bits.take(7));
    if (i + repeat > total) return false;
    for (int k = 0; k < repeat; ++k) lengths[i++] = value;
  }
  return lengths[256] && literals.build(lengths, n_literals) && distances.build(lengths + n_literals, n_distances);
}

void fixed_codes(Code& literals, Code& distances) {
  uint8_t lengths[288];
  for (int i = 0; i < 288; ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  literals.build(lengths, 288);
  std::memset(lengths, 5, 32);
  distances.build(lengths, 32);
}

}  // namespace

bool inflate_zlib(const uint8_t* data, size_t bytes, uint8_t* out, size_t out_bytes) {
  if (bytes < 2 || (data[0] & 15) != 8 || (data[0] << 8 | data[1]) % 31 || data[1] & 32) return false;
  Bits bits{data + 2, data + bytes};
  uint8_t *to = out, *const end = out + out_bytes;
  Code literals, distances;
  for (bool last = false; !last;) {
    last = bits.take(1);
    const uint32_t kind = bits.take(2);
    if (kind == 3 || bits.overrun()) return false;
    if (kind == 0) {
      bits.drop(bits.count & 7);
      const uint32_t length = bits.take(16), inverse = bits.take(16);
      if ((length ^ inverse) != 0xffff || bits.overrun() || length > static_cast<size_t>(end - to)) return false;
      uint32_t left = length;
      while (left && bits.count >= 8) {  // what was read ahead
        *to++ = static_cast<uint8_t>(bits.take(8));
        --left;
      }
      if (bits.overrun() || left > static_cast<size_t>(bits.end - bits.next)) return false;
      if (left) bits.held = 0, bits.count = 0;
      std::memcpy(to, bits.next, left);
      to += left;
      bits.next += left;
      continue;
    }
    if (kind == 1)
      fixed_codes(literals, distances);
    else if (!read_codes(bits, literals, distances))
      return false;
    for (;;) {
      const int symbol = literals.read(bits);
      if (symbol < 0 || bits.overrun()) return false;
      if (symbol < 256) {
        if (to == end) return false;
        *to++ = static_cast<uint8_t>(symbol);
        continue;
      }
      if (symbol == 256) break;
      if (symbol > 285) return false;
      const size_t length = kLengthBase[symbol - 257] + bits.take(kLengthBits[symbol - 257]);
      const int far = distances.read(bits);
      if (far < 0 || far > 29) return false;
      const size_t distance = kFarBase[far] + bits.take(kFarBits[far]);
      if (distance > static_cast<size_t>(to - out) || length > static_cast<size_t>(end - to)) return false;
      if (distance >= length) {
        std::memcpy(to, to - distance, length);
        to += length;
      } else {
        for (size_t k = 0; k < length; ++k, ++to) *to = *(to - distance);
      }
    }
  }
  return to == end && !bits.overrun();
}

}  // namespace minimx
