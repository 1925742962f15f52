// Files of records with random damage, read in every way there is, under the sanitizers:
//
//   c++ -std=c++17 -O1 -g -fsanitize=address,undefined -Icsrc tests/fuzz/recordio.cpp csrc/recordio*.cpp -o fuzz
//   ./fuzz FILE COUNT [SEED]      writes its inputs to FILE, one after the other; it has the one that failed
#include "recordio.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <set>

using namespace minimx;
using Bytes = std::vector<uint8_t>;

namespace {

std::mt19937_64 generator;
size_t below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(generator); }
uint64_t sum;  // of everything read, so that it is read

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

void check(bool good, const char* what) {
  if (!good) fail(what);
}

Bytes load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

void store(const std::string& path, const Bytes& bytes) {
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

const uint8_t magic[4] = {0x0A, 0x23, 0xD7, 0xCE};

// Payloads that like to have the magic in them. Few are longer than what is read at once.
Bytes payload() {
  Bytes bytes;
  const size_t words = below(50) ? below(12) : below(30'000);
  for (size_t i = 0; i < words; ++i) {
    const size_t kind = below(6);
    if (kind < 2) bytes.insert(bytes.end(), magic, magic + 4 - below(2) * below(4));
    if (kind == 2) bytes.push_back(static_cast<uint8_t>(below(256)));
    if (kind > 2) bytes.resize(bytes.size() + below(9), static_cast<uint8_t>(below(256)));
  }
  return bytes;
}

void damage(Bytes& bytes) {
  for (size_t times = below(5); times > 0 && !bytes.empty(); --times) {
    const size_t at = below(bytes.size());
    uint8_t piece[8] = {0x0A, 0x23, 0xD7, 0xCE};
    const uint32_t word =
        static_cast<uint32_t>(below(8)) << 29 | static_cast<uint32_t>(below(4) ? below(100) : below(size_t{1} << 29));
    std::memcpy(piece + 4, &word, 4);
    switch (below(7)) {
      case 0:
        bytes[at] = static_cast<uint8_t>(below(256));
        break;
      case 1:
        bytes[at] ^= static_cast<uint8_t>(1 << below(8));
        break;
      case 2:
        bytes.erase(bytes.begin() + at, bytes.begin() + std::min(bytes.size(), at + below(20)));
        break;
      case 3:
        bytes.insert(bytes.begin() + at, piece, piece + below(9));
        break;
      case 4:
        bytes.resize(at);
        break;
      case 5:
        std::memcpy(bytes.data() + at, piece, std::min<size_t>(8, bytes.size() - at));
        break;
      default:
        bytes.insert(bytes.begin() + at, below(70'000), static_cast<uint8_t>(below(2) * 0x0A));
        break;
    }
  }
}

struct Seen {
  std::vector<int64_t> offsets;
  std::vector<Bytes> records;
};

Seen read_all(RecordReader& reader) {
  Seen seen;
  RecordView view;
  int64_t before = -1;
  for (;;) {
    if (!reader.next(&view)) {
      if (reader.error().empty()) return seen;  // a strict one goes on
      check(reader.error_number() == 0, "reading failed");
      continue;
    }
    check(view.offset > before, "offsets do not grow");
    before = view.offset;
    for (size_t i = 0; i < view.size; ++i) sum += view.data[i];
    seen.offsets.push_back(view.offset);
    seen.records.emplace_back(view.data, view.data + view.size);
  }
}

void one(const std::string& path) {
  std::vector<Bytes> payloads(below(12));
  RecordWriter writer;
  check(writer.open(path), "the file cannot be written");
  std::vector<int64_t> offsets;
  for (Bytes& p : payloads) {
    p = payload();
    offsets.push_back(writer.write(p.data(), p.size()));
  }
  check(writer.close(), "the file cannot be written");
  const Bytes good = load(path);
  Bytes bad = good;
  damage(bad);
  store(path, bad);

  RecordReader reader;
  check(reader.open({path}), "the file cannot be opened");
  const Seen seen = read_all(reader);
  if (bad == good) {
    check(seen.records == payloads && seen.offsets == offsets && reader.lost() == 0, "what was written is not read");
  }
  check(reader.lost_bytes() <= static_cast<int64_t>(bad.size()), "more was lost than there was");
  check((reader.lost() == 0) == reader.damage().empty(), "damage is not told");

  RecordReader strict;
  strict.set_strict(true);
  check(strict.open({path}), "the file cannot be opened");
  check(read_all(strict).records == seen.records && strict.lost() == reader.lost(), "a strict reader differs");

  // The same in chunks, by offset, in another order, twice one behind the other.
  reader.reset();
  RecordChunk chunk;
  std::vector<Bytes> chunks;
  while (reader.next(&chunk, 1 + below(3000), 1 + below(5)))
    for (const auto& r : chunk.records)
      chunks.emplace_back(chunk.bytes.begin() + r.begin, chunk.bytes.begin() + r.begin + r.size);
  check(chunks == seen.records, "chunks differ");
  reader.reset();
  std::vector<int64_t> scanned;
  check(reader.scan(&scanned) && scanned == seen.offsets, "a scan differs");
  RecordView view;
  for (size_t i = seen.offsets.size(); i-- > 0;) {
    check(reader.read_at(seen.offsets[i], &view), "a record is not found again");
    check(Bytes(view.data, view.data + view.size) == seen.records[i], "a record differs");
  }
  std::vector<int64_t> order;
  for (int i = 0; i < 8; ++i) order.push_back(static_cast<int64_t>(below(bad.size() + 9)) - 4);
  reader.set_order(order);
  for (int i = 0; i < 20; ++i)
    if (reader.next(&view)) sum += view.size;
  if (bad.size() % 4 == 0) {
    const int parts = 1 + static_cast<int>(below(9));
    std::set<int64_t> found;
    for (int k = 0; k < parts; ++k) {
      RecordReader part;
      check(part.open({path, path}, k, parts), "the files cannot be opened");
      for (const int64_t offset : read_all(part).offsets)
        check(found.insert(offset).second, "a record is in two parts");
    }
    if (bad == good) check(found.size() == 2 * payloads.size(), "a record is in no part");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) fail("usage: fuzz FILE COUNT [SEED]");
  const long count = std::atol(argv[2]);
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  for (long i = 0; i < count; ++i) {
    generator.seed(seed * 1'000'003 + static_cast<uint64_t>(i));
    one(argv[1]);
  }
  std::printf("%ld inputs\n", count);
}
