// Batches of images: read, decoded, changed and laid out by threads of their own while the program works on others.
//
// Records are taken in order by whoever is free, so that which record becomes which row depends on nothing but the
// files and the seed; random numbers are a function of seed, epoch and record. A record that cannot be decoded is found
// out late: when its batch is due, production stops, goes back to where that batch began and does without the record.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

#include "image_augment.h"
#include "recordio.h"
#include "storage.h"

namespace minimx {

struct PipelineConfig {
  AugmentConfig augment;
  std::vector<std::string> records;                          // record files; or
  std::vector<std::string> files;                            // images in files of their own,
  std::vector<float> file_labels;                            //   label_width labels each
  std::vector<int64_t> offsets;                              // of the records to use; empty: all there are
  std::unordered_map<uint64_t, std::vector<float>> relabel;  // labels by record id; empty: the records' own
  bool relabelled = false;
  int64_t part_index = 0, num_parts = 1;
  int64_t batch_size = 1, label_width = 1, label_pad = 0;
  float label_pad_value = -1;
  bool shuffle = false, round_batch = true;
  uint64_t seed = 0, chunk_seed = 0;
  int64_t chunks_shuffled = 1;  // pieces of the part that are read in random order
  int64_t prefetch = 4, threads = 1;
};

// Where the next record comes from.
struct Cursor {
  int64_t epoch = 0;
  int64_t piece = 0;    // how many of chunks_shuffled are done
  int64_t offset = -1;  // where the present chunk begins; -1: at the beginning of the piece
  int64_t chunk = 0;    // its number in the epoch
  int64_t index = 0;    // in the chunk, or in the order
};

class ImagePipeline {
 public:
  explicit ImagePipeline(PipelineConfig config);
  ~ImagePipeline();

  struct Batch {
    StoragePtr data, label;
    std::vector<uint64_t> ids;
    int64_t pad = 0;
  };
  void close();             // ends the threads; nothing comes afterwards
  bool next(Batch* batch);  // false at the end of an epoch, until reset()
  void reset();
  // What get_state needs: the cursor and two flags; and back.
  std::vector<int64_t> state();
  void set_state(const std::vector<int64_t>& state);
  int64_t skipped();
  std::vector<std::string> take_messages();  // about records left out since the last call
  int64_t epoch();

 private:
  struct Block {
    RecordChunk records;
    std::vector<int64_t> order;
  };
  struct Item {
    std::shared_ptr<Block> block;
    const uint8_t* data = nullptr;
    size_t size = 0;
    uint64_t key = 0;  // offset of the record, number of the file
  };
  struct Work {
    Batch out;
    Cursor start;
    int64_t assigned = 0, done = 0;
    bool closed = false, last = false, borrows = false;
    std::vector<std::pair<uint64_t, std::string>> failures;
    std::string error;
    int64_t error_row = 0;
  };
  struct Task {
    Item item;
    std::shared_ptr<Work> work;
    int64_t row = 0, epoch = 0;
  };

  void loop();
  bool take(Task* task);
  void process(Augmenter& augmenter, const Task& task, std::vector<uint8_t>& file);
  void finish_work(Work& work);
  bool more();  // whether this epoch has another record; loads it
  bool load_chunk();
  void next_epoch();
  void go_to(const Cursor& cursor);
  void restart(std::unique_lock<std::mutex>& lock, const Cursor& cursor);
  void check_process() const;
  std::string place(uint64_t key) const;
  std::shared_ptr<Block> new_block();

  const PipelineConfig config_;
  const int owner_;
  // The child of a fork gets these as some thread, which it does not have, may have locked them: it neither uses nor
  // destroys them.
  struct Sync {
    std::mutex mutex;
    std::condition_variable produce, ready;
  };
  std::unique_ptr<Sync> sync_ = std::make_unique<Sync>();
  std::mutex& mutex_ = sync_->mutex;
  std::condition_variable &produce_ = sync_->produce, &ready_ = sync_->ready;
  bool stop_ = false, paused_ = false;
  int64_t running_ = 0;  // tasks being worked on

  // The source.
  RecordReader reader_;
  bool by_order_;
  std::vector<int64_t> all_;    // offsets, or numbers of files
  std::vector<int64_t> order_;  // of this epoch
  std::vector<int64_t> pieces_;
  int64_t open_piece_ = -1;
  Cursor cursor_;
  Item ahead_;
  bool has_ahead_ = false;
  std::shared_ptr<Block> block_;
  std::vector<std::shared_ptr<Block>> spare_;
  std::string source_error_;
  std::set<uint64_t> bad_;
  std::set<std::string> damages_;  // sentences of the reader's, each told once
  int64_t lost_before_ = 0;
  size_t image_bytes_ = 0;

  std::deque<std::shared_ptr<Work>> queue_;
  std::shared_ptr<Work> open_;
  bool ended_ = false;
  int64_t delivered_ = 0;  // batches of this epoch
  int64_t now_ = 0;        // epoch of the batch delivered last
  int64_t skipped_ = 0;
  std::vector<std::string> messages_;
  std::vector<std::thread> threads_;
};

}  // namespace minimx
