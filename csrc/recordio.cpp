#include "recordio.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace minimx {

namespace {

constexpr size_t kAheadMin = size_t{4} << 10;
constexpr size_t kAheadMax = size_t{1} << 20;

// Files are little endian whatever the machine is.
uint32_t load(const uint8_t* p) { return p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24; }

uint32_t flag_of(const uint8_t* head) { return load(head + 4) >> 29; }
int64_t length_of(const uint8_t* head) { return load(head + 4) & kRecordLimit; }
int64_t padded(int64_t length) { return (length + 3) & ~int64_t{3}; }
bool is_magic(const uint8_t* p) { return std::memcmp(p, kRecordMagic, 4) == 0; }

}  // namespace

bool RecordReader::fail(std::string what, int number) {
  if (number) what += std::string(": ") + std::strerror(number);
  error_ = std::move(what);
  error_number_ = number;
  return false;
}

bool RecordReader::open(std::vector<std::string> paths, int part_index, int num_parts) try {
  close();
  error_.clear();
  lost_ = lost_bytes_ = 0;
  if (paths.empty()) return fail("a reader of records needs at least one file");
  if (num_parts < 1 || part_index < 0 || part_index >= num_parts)
    return fail("part_index must be between 0 and num_parts - 1, got " + std::to_string(part_index) + " of " +
                std::to_string(num_parts));
  int64_t total = 0;
  for (std::string& path : paths) {
    files_.push_back({std::move(path), total, 0, -1});
    if (!open_file(files_.back())) {
      close();
      return false;
    }
    total += files_.back().size;
  }
  int64_t step = padded((total + num_parts - 1) / num_parts);
  first_ = record_head(std::min(step * part_index, total));
  last_ = record_head(std::min(step * (part_index + 1), total));
  ordered_ = false;
  reset();
  return error_.empty();
} catch (const std::bad_alloc&) {
  return fail("out of memory");
}

bool RecordReader::open_file(File& file) {
  struct stat info;
  file.handle = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file.handle < 0) return fail(file.path + ": cannot be opened", errno);
  if (::fstat(file.handle, &info) != 0) return fail(file.path, errno);
  if (!S_ISREG(info.st_mode)) return fail(file.path + ": is not a file of records but a folder or a device");
  file.size = info.st_size;
  return true;
}

void RecordReader::close() {
  for (const File& file : files_)
    if (file.handle >= 0) ::close(file.handle);
  files_.clear();
  buffer_.clear();
  filled_ = 0;
}

void RecordReader::set_order(std::vector<int64_t> offsets) {
  order_ = std::move(offsets);
  ordered_ = true;
  turn_ = 0;
}

void RecordReader::reset() {
  turn_ = 0;
  locate(first_);
}

void RecordReader::locate(int64_t offset) {
  file_ = files_.empty() ? 0 : files_.size() - 1;
  while (file_ > 0 && files_[file_].begin > offset) --file_;
  at_ = offset - (files_.empty() ? 0 : files_[file_].begin);
}

bool RecordReader::seek(int64_t offset) {
  if (offset < 0 || offset > bytes())
    return fail("offset " + std::to_string(offset) + " is outside of the " + std::to_string(bytes()) + " bytes" +
                (files_.empty() ? "" : " of " + files_[0].path));
  error_.clear();
  ordered_ = false;
  locate(offset);
  return true;
}

int64_t RecordReader::tell() const {
  if (ordered_) return turn_ < order_.size() ? order_[turn_] : bytes();
  return files_.empty() ? 0 : files_[file_].begin + at_;
}

int64_t RecordReader::bytes() const { return files_.empty() ? 0 : files_.back().begin + files_.back().size; }

std::string RecordReader::place(int64_t offset) const {
  size_t i = files_.empty() ? 0 : files_.size() - 1;
  while (i > 0 && files_[i].begin > offset) --i;
  if (files_.empty()) return "offset " + std::to_string(offset);
  return files_[i].path + ", offset " + std::to_string(offset - files_[i].begin);
}

// Where the part that begins at `offset` has its first record: there if a file begins, else at the next head.
int64_t RecordReader::record_head(int64_t offset) {
  locate(offset);
  if (at_ == 0 || at_ >= files_[file_].size) return offset;
  const File& file = files_[file_];
  at_ = padded(at_);
  while (const uint8_t* head = fetch(at_, kRecordHead)) {
    if (is_magic(head) && flag_of(head) <= 1) return file.begin + at_;
    at_ += 4;
  }
  return file.begin + file.size;
}

int64_t RecordReader::read_file(int64_t at, uint8_t* target, size_t count) {
  size_t done = 0;
  while (done < count) {
    const ssize_t got = ::pread(files_[file_].handle, target + done, count - done, at + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      fail(files_[file_].path + ": cannot be read at offset " + std::to_string(at), errno);
      return -1;
    }
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return static_cast<int64_t>(done);
}

// `count` bytes of the present file from `at` on; null past its end, or if reading fails. Bytes that were fetched
// before may have moved.
const uint8_t* RecordReader::fetch(int64_t at, size_t count) {
  File& file = files_[file_];
  if (at < 0 || at > file.size || static_cast<int64_t>(count) > file.size - at) return nullptr;
  const bool same = buffer_file_ == file_ && filled_ && at >= buffer_at_;
  const bool near = same && at <= buffer_at_ + static_cast<int64_t>(filled_);
  if (near && at + static_cast<int64_t>(count) <= buffer_at_ + static_cast<int64_t>(filled_))
    return buffer_.data() + (at - buffer_at_);
  // Reading on means reading more at once; a jump means that little of what follows may be wanted.
  ahead_ = near ? std::min(2 * ahead_, kAheadMax) : kAheadMin;
  const size_t wanted = static_cast<size_t>(std::min<int64_t>(std::max<size_t>(count, ahead_), file.size - at));
  size_t kept = 0;
  if (near) {
    kept = static_cast<size_t>(buffer_at_ + static_cast<int64_t>(filled_) - at);
    std::memmove(buffer_.data(), buffer_.data() + (at - buffer_at_), kept);
  }
  if (buffer_.size() < wanted) buffer_.resize(wanted);
  filled_ = 0;
  const int64_t got = read_file(at + static_cast<int64_t>(kept), buffer_.data() + kept, wanted - kept);
  if (got < 0) return nullptr;
  buffer_file_ = file_;
  buffer_at_ = at;
  filled_ = kept + static_cast<size_t>(got);
  if (filled_ < wanted) file.size = at + static_cast<int64_t>(filled_);  // it was cut while we read
  return filled_ >= count ? buffer_.data() : nullptr;
}

RecordReader::Found RecordReader::damaged(int64_t retry, std::string what) {
  if (!error_.empty()) return Found::failure;
  damage_ = place(files_[file_].begin + at_) + ": " + std::move(what);
  retry_ = retry;
  return Found::damage;
}

RecordReader::Found RecordReader::read_record(RecordView* record) {
  const int64_t size = files_[file_].size;
  const int64_t offset = files_[file_].begin + at_;
  int64_t at = at_;
  joined_.clear();
  for (bool first = true;; first = false) {
    const uint8_t* head = fetch(at, kRecordHead);
    if (!head)
      return damaged(size,
                     first ? "the file ends within the head of a record" : "the last piece of a record is missing");
    if (!is_magic(head))
      return damaged(first ? at + 1 : at, first ? "no record begins here" : "a piece of this record is missing");
    const uint32_t flag = flag_of(head);
    const int64_t length = length_of(head);
    if (flag > 3 || (flag >= 2) == first)
      return damaged(first ? at + 4 : at, first ? "a later piece of a record stands here without the first one"
                                                : "a piece of this record is missing");
    if (length > size - at - static_cast<int64_t>(kRecordHead))
      return damaged(at + 4, std::to_string(length) + " bytes are announced, " +
                                 std::to_string(size - at - static_cast<int64_t>(kRecordHead)) +
                                 " are left in the file");
    const int64_t next = at + static_cast<int64_t>(kRecordHead) + padded(length);
    // With the magic of the next piece, so that looking at it does not move these bytes.
    head = fetch(at, static_cast<size_t>(std::min(next + 4, size) - at));
    if (!head) return damaged(size, "the file was cut while it was read");
    const uint8_t* payload = head + kRecordHead;
    // A length that leads nowhere and jumps over the beginning of another record is wrong.
    const bool follows = next >= size || (next + 4 <= size && is_magic(head + (next - at)));
    if (!follows && jumps_over_record(at + static_cast<int64_t>(kRecordHead), payload, next))
      return damaged(at + 4, "the length of " + std::to_string(length) + " bytes leads past the next record");
    at = next;
    if (first && flag == 0) {
      *record = {payload, static_cast<size_t>(length), offset};
      break;
    }
    if (!first) joined_.insert(joined_.end(), kRecordMagic, kRecordMagic + 4);
    joined_.insert(joined_.end(), payload, payload + length);
    if (flag == 3) {
      *record = {joined_.data(), joined_.size(), offset};
      break;
    }
  }
  at_ = std::min(at, size);
  return Found::record;
}

// Whether what stands behind a magic can be the head of a record. Where alignment does not speak for it, the next piece
// must.
bool RecordReader::plausible(int64_t at, bool aligned) {
  uint8_t head[kRecordHead];
  const int64_t size = files_[file_].size;
  if (size - at < static_cast<int64_t>(kRecordHead) || read_file(at, head, kRecordHead) != kRecordHead ||
      flag_of(head) > 1)
    return false;
  const int64_t length = length_of(head);
  if (length > size - at - static_cast<int64_t>(kRecordHead)) return false;
  const int64_t next = at + static_cast<int64_t>(kRecordHead) + padded(length);
  if (aligned || next >= size) return true;
  return size - next >= 4 && read_file(next, head, 4) == 4 && is_magic(head);
}

// Whether a record begins among the bytes from `begin` to `end`, of which `data` has four more.
bool RecordReader::jumps_over_record(int64_t begin, const uint8_t* data, int64_t end) {
  const uint8_t* const last = data + std::min(end, files_[file_].size - 4) - begin;
  for (const uint8_t* p = data; p < last; ++p) {
    p = static_cast<const uint8_t*>(std::memchr(p, kRecordMagic[0], static_cast<size_t>(last - p)));
    if (!p) break;
    if (is_magic(p) && ((p - data) % 4 == 0 || plausible(begin + (p - data), false))) return true;
  }
  return false;
}

// The next place where a record begins, in the present file from `from` on. Bytes may be missing or too many before it,
// so it need not be aligned.
int64_t RecordReader::resynchronise(int64_t from) {
  const int64_t size = files_[file_].size;
  for (int64_t at = from; at + static_cast<int64_t>(kRecordHead) <= size;) {
    const uint8_t* block = fetch(at, kRecordHead);
    if (!block) break;
    const size_t count = static_cast<size_t>(buffer_at_ + static_cast<int64_t>(filled_) - at);
    for (size_t i = 0; i + kRecordHead <= count; ++i) {
      const void* hit = std::memchr(block + i, kRecordMagic[0], count - kRecordHead + 1 - i);
      if (!hit) break;
      i = static_cast<size_t>(static_cast<const uint8_t*>(hit) - block);
      const int64_t here = at + static_cast<int64_t>(i);
      if (is_magic(block + i) && plausible(here, (here - at_) % 4 == 0)) return here;
    }
    if (!error_.empty()) break;
    at += static_cast<int64_t>(count - kRecordHead + 1);
  }
  return size;
}

bool RecordReader::next(RecordView* record) try {
  error_.clear();
  if (files_.empty()) return fail("the reader is closed");
  for (;;) {
    if (ordered_) {
      if (turn_ >= order_.size()) return false;
      const int64_t offset = order_[turn_++];
      if (offset < 0 || offset >= bytes())
        return fail("there is no record at offset " + std::to_string(offset) + " of the " + std::to_string(bytes()) +
                    " bytes of " + files_[0].path);
      locate(offset);
    } else {
      while (at_ >= files_[file_].size && file_ + 1 < files_.size()) {
        ++file_;
        at_ = 0;
      }
      if (at_ >= files_[file_].size || files_[file_].begin + at_ >= last_) return false;
    }
    const Found found = read_record(record);
    if (found == Found::record) return true;
    if (found == Found::failure) return false;
    const int64_t begin = at_;
    ++lost_;
    if (!ordered_) {
      at_ = resynchronise(retry_);
      lost_bytes_ += at_ - begin;
      if (!error_.empty()) return false;
    }
    if (strict_) return fail(damage_);
  }
} catch (const std::bad_alloc&) {
  return fail(place(tell()) + ": out of memory");
}

bool RecordReader::next(std::vector<uint8_t>* record) try {
  RecordView view;
  if (!next(&view)) return false;
  record->assign(view.data, view.data + view.size);
  return true;
} catch (const std::bad_alloc&) {
  return fail(place(tell()) + ": out of memory");
}

bool RecordReader::next(RecordChunk* chunk, size_t bytes, size_t records) try {
  chunk->bytes.clear();
  chunk->records.clear();
  RecordView view;
  while (chunk->bytes.size() < bytes && chunk->records.size() < records && next(&view)) {
    chunk->records.push_back({chunk->bytes.size(), view.size, view.offset});
    chunk->bytes.insert(chunk->bytes.end(), view.data, view.data + view.size);
  }
  return !chunk->records.empty() && error_.empty();
} catch (const std::bad_alloc&) {
  return fail(place(tell()) + ": out of memory");
}

bool RecordReader::read_at(int64_t offset, RecordView* record) try {
  if (!seek(offset)) return false;
  if (offset == bytes()) return fail(place(offset) + ": the file ends here");
  const Found found = read_record(record);
  if (found == Found::damage) fail(damage_);
  return found == Found::record;
} catch (const std::bad_alloc&) {
  return fail(place(offset) + ": out of memory");
}

bool RecordReader::scan(std::vector<int64_t>* offsets) try {
  RecordView view;
  while (next(&view)) offsets->push_back(view.offset);
  return error_.empty();
} catch (const std::bad_alloc&) {
  return fail("out of memory");
}

}  // namespace minimx
