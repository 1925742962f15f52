#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "recordio.h"

namespace minimx {

namespace {

constexpr size_t kBuffered = size_t{1} << 20;
constexpr size_t kDirect = size_t{32} << 10;  // payloads that are not worth copying

// The first multiple of four from `from` on where the magic stands; `size` (a multiple of four) if there is none.
size_t find_magic(const uint8_t* data, size_t from, size_t size) {
  constexpr size_t kBlock = 128;
  size_t i = from;
  for (; i + kBlock <= size; i += kBlock) {
    uint32_t words[kBlock / 4], magic, any = 0;
    std::memcpy(words, data + i, kBlock);
    std::memcpy(&magic, kRecordMagic, 4);
    for (const uint32_t word : words) any |= word == magic;
    if (any) break;
  }
  while (i < size && std::memcmp(data + i, kRecordMagic, 4) != 0) i += 4;
  return std::min(i, size);
}

}  // namespace

bool RecordWriter::fail(std::string what, int number) {
  if (number) what += std::string(": ") + std::strerror(number);
  error_ = std::move(what);
  error_number_ = number;
  return false;
}

bool RecordWriter::open(const std::string& path) {
  close();
  error_.clear();
  path_ = path;
  written_ = 0;
  handle_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (handle_ < 0) return fail(path + ": cannot be written", errno);
  owner_ = ::getpid();
  return true;
}

bool RecordWriter::piece(uint32_t flag, const uint8_t* data, size_t size) {
  const uint32_t word = flag << 29 | static_cast<uint32_t>(size);
  uint8_t head[kRecordHead];
  std::memcpy(head, kRecordMagic, 4);
  for (int i = 0; i < 4; ++i) head[4 + i] = static_cast<uint8_t>(word >> 8 * i);
  buffer_.insert(buffer_.end(), head, head + kRecordHead);
  if (size >= kDirect) {
    if (!put(data, size)) return false;
  } else {
    buffer_.insert(buffer_.end(), data, data + size);
  }
  buffer_.resize(buffer_.size() + (-size & 3));
  return true;
}

int64_t RecordWriter::write(const uint8_t* data, size_t size) try {
  if (handle_ < 0) return fail("the writer is closed"), -1;
  if (size > kRecordLimit)
    return fail(path_ + ": a record has at most " + std::to_string(kRecordLimit) + " bytes, this one has " +
                std::to_string(size)),
           -1;
  const int64_t offset = tell();
  const size_t whole = size & ~size_t{3};
  size_t begin = 0;
  uint32_t flag = 0;
  for (size_t cut = find_magic(data, 0, whole); cut < whole; cut = find_magic(data, begin, whole)) {
    if (!piece(flag == 0 ? 1 : 2, data + begin, cut - begin)) return -1;
    begin = cut + 4;
    flag = 3;
  }
  if (!piece(flag, data + begin, size - begin)) return -1;
  return buffer_.size() < kBuffered || flush() ? offset : -1;
} catch (const std::bad_alloc&) {
  return fail(path_ + ": out of memory"), -1;
}

bool RecordWriter::flush() {
  if (handle_ < 0) return fail("the writer is closed");
  return put(nullptr, 0);
}

// Writes what is buffered and, without copying it, what comes behind it.
bool RecordWriter::put(const uint8_t* data, size_t size) {
  if (owner_ != ::getpid()) {
    buffer_.clear();
    return fail(path_ + ": was opened by another process, which alone may write it");
  }
  iovec parts[2] = {{buffer_.data(), buffer_.size()}, {const_cast<uint8_t*>(data), size}};
  while (parts[0].iov_len + parts[1].iov_len > 0) {
    const ssize_t done = ::writev(handle_, parts, 2);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      const int why = errno;
      // What is there stays there, what could not be written is forgotten: the disk is full for the next one, too.
      buffer_.clear();
      return fail(path_ + ": cannot be written at offset " + std::to_string(written_), why);
    }
    written_ += done;
    auto left = static_cast<size_t>(done);
    for (iovec& part : parts) {
      const size_t here = std::min(left, part.iov_len);
      part.iov_base = static_cast<uint8_t*>(part.iov_base) + here;
      part.iov_len -= here;
      left -= here;
    }
  }
  buffer_.clear();
  return true;
}

bool RecordWriter::sync() {
  if (!flush()) return false;
  if (::fsync(handle_) != 0 && errno != EINVAL && errno != EROFS)
    return fail(path_ + ": cannot be written to the disk", errno);
  return true;
}

bool RecordWriter::close() {
  if (handle_ < 0) return true;
  const bool good = owner_ == ::getpid() ? flush() : true;
  buffer_.clear();
  const bool closed = ::close(handle_) == 0 || errno == EINTR;
  handle_ = -1;
  return good && (closed || fail(path_ + ": cannot be closed", errno));
}

}  // namespace minimx
