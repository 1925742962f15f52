// RecordIO files: reading one record after the other, in parts or in a given order, and writing them.
//
// A file is a row of pieces: magic, a word with a flag and the length, the payload, zeros up to a multiple of four. A
// payload that holds the magic at a multiple of four is cut there into several pieces, so the magic at such a place
// always begins a piece: a reader that lost its way finds the next one.
//
// Nothing here throws. What fails returns false (or -1) and leaves a sentence in error(), and in error_number() what
// the system said (0 if it is the file's content that is wrong).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace minimx {

constexpr uint8_t kRecordMagic[4] = {0x0A, 0x23, 0xD7, 0xCE};
constexpr size_t kRecordHead = 8;                       // bytes of the magic and the word behind it
constexpr size_t kRecordLimit = (size_t{1} << 29) - 1;  // bytes in a record

// A record inside a reader; valid until the reader is used again.
struct RecordView {
  const uint8_t* data;
  size_t size;
  int64_t offset;  // where its first piece begins, in the files put one behind the other
};

// Records copied out of a reader, one behind the other: what is handed to another thread.
struct RecordChunk {
  struct Record {
    size_t begin, size;  // in bytes
    int64_t offset;
  };
  std::vector<uint8_t> bytes;
  std::vector<Record> records;
};

// One thread at a time. Files are read with their own offsets, so a forked process may go on reading.
//
// A damaged place is skipped up to the next record that can be found and counted in lost() and lost_bytes(); damage()
// says what was wrong with the last one. A strict reader fails there instead. A strict reader that failed, or one whose
// file could not be read, goes on behind that place when next() is called again.
class RecordReader {
 public:
  RecordReader() = default;
  ~RecordReader() { close(); }
  RecordReader(const RecordReader&) = delete;
  RecordReader& operator=(const RecordReader&) = delete;

  // Everything, or one of num_parts parts of about as many bytes that together have every record once.
  bool open(std::vector<std::string> paths, int part_index = 0, int num_parts = 1);
  // The records at these offsets (in the files put one behind the other), in this order. Also for an open reader.
  void set_order(std::vector<int64_t> offsets);
  void close();
  bool is_open() const { return !files_.empty(); }
  void set_strict(bool strict) { strict_ = strict; }

  // False at the end, or when error() says something; a chunk has then what came before.
  bool next(RecordView* record);
  bool next(std::vector<uint8_t>* record);                                 // a copy
  bool next(RecordChunk* chunk, size_t bytes, size_t records = SIZE_MAX);  // until there are so many
  bool read_at(int64_t offset, RecordView* record);  // the one at an offset; next() goes on behind it
  bool seek(int64_t offset);                         // also ends an order
  int64_t tell() const;                              // offset of what next() reads
  void reset();                                      // back to the first; counts go on
  // Offsets of all records from here to the end.
  bool scan(std::vector<int64_t>* offsets);

  int64_t bytes() const;  // of all files
  int64_t lost() const { return lost_; }
  int64_t lost_bytes() const { return lost_bytes_; }
  const std::string& damage() const { return damage_; }
  const std::string& error() const { return error_; }
  int error_number() const { return error_number_; }
  std::string place(int64_t offset) const;  // "name, offset 123"

 private:
  struct File {
    std::string path;
    int64_t begin, size;  // begin: in the files put one behind the other
    int handle;
  };
  enum class Found { record, damage, failure };

  bool open_file(File& file);
  void locate(int64_t offset);
  int64_t record_head(int64_t offset);
  const uint8_t* fetch(int64_t at, size_t count);
  int64_t read_file(int64_t at, uint8_t* target, size_t count);
  Found read_record(RecordView* record);
  Found damaged(int64_t retry, std::string what);
  int64_t resynchronise(int64_t from);
  bool plausible(int64_t at, bool aligned);
  bool jumps_over_record(int64_t begin, const uint8_t* data, int64_t end);
  bool fail(std::string what, int number = 0);

  std::vector<File> files_;
  int64_t first_ = 0, last_ = 0;  // this part: heads in [first_, last_)
  bool ordered_ = false;
  std::vector<int64_t> order_;
  size_t turn_ = 0;  // in order_
  bool strict_ = false;

  size_t file_ = 0;
  int64_t at_ = 0;     // in that file
  int64_t retry_ = 0;  // behind what was found damaged: where to look for the next record
  std::vector<uint8_t> buffer_;
  size_t buffer_file_ = 0;
  int64_t buffer_at_ = 0;
  size_t filled_ = 0, ahead_ = 0;
  std::vector<uint8_t> joined_;

  int64_t lost_ = 0, lost_bytes_ = 0;
  std::string damage_, error_;
  int error_number_ = 0;
};

class RecordWriter {
 public:
  RecordWriter() = default;
  ~RecordWriter() { close(); }
  RecordWriter(const RecordWriter&) = delete;
  RecordWriter& operator=(const RecordWriter&) = delete;

  bool open(const std::string& path);
  bool is_open() const { return handle_ >= 0; }
  int64_t write(const uint8_t* data, size_t size);  // where it begins; -1 if that fails
  int64_t tell() const { return written_ + static_cast<int64_t>(buffer_.size()); }
  bool flush();
  bool sync();  // to the disk
  bool close();
  const std::string& error() const { return error_; }
  int error_number() const { return error_number_; }

 private:
  bool piece(uint32_t flag, const uint8_t* data, size_t size);
  bool put(const uint8_t* data, size_t size);
  bool fail(std::string what, int number = 0);

  std::string path_;
  int handle_ = -1;
  int64_t owner_ = 0;  // the process that opened it: a forked child must not write what its parent has buffered
  int64_t written_ = 0;
  std::vector<uint8_t> buffer_;
  std::string error_;
  int error_number_ = 0;
};

}  // namespace minimx
