#include "image_pipeline.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "device.h"

namespace minimx {
namespace {

constexpr size_t kHead = 24;  // of a record with an image: flag, label, two ids
constexpr size_t kChunk = size_t{4} << 20, kShuffledChunk = size_t{64} << 20;

// A random order that depends on the two numbers only.
void shuffle(std::vector<int64_t>& v, uint64_t seed, uint64_t epoch, uint64_t what) {
  Draws draws(seed ^ 0x5eed0fda7a5e7ull, epoch, what);
  for (size_t i = v.size(); i > 1; --i)
    std::swap(v[i - 1], v[static_cast<size_t>(draws.integer(0, static_cast<int64_t>(i) - 1))]);
}

void read_file(const std::string& path, std::vector<uint8_t>& bytes) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (!file) throw ImageError("the file cannot be opened");
  struct stat info;
  const size_t size = fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode) ? static_cast<size_t>(info.st_size) : 0;
  bytes.resize(size);
  const size_t got = size ? std::fread(bytes.data(), 1, size, file) : 0;
  std::fclose(file);
  if (got != size) throw ImageError("the file cannot be read");
}

float read_float(const uint8_t* p) {
  float v;
  std::memcpy(&v, p, 4);
  return v;
}

}  // namespace

ImagePipeline::ImagePipeline(PipelineConfig config)
    : config_(std::move(config)), owner_(getpid()), by_order_(!config_.offsets.empty() || !config_.files.empty()) {
  if (config_.files.empty() && !reader_.open(config_.records, by_order_ ? 0 : static_cast<int>(config_.part_index),
                                             by_order_ ? 1 : static_cast<int>(config_.num_parts)))
    throw std::invalid_argument(reader_.error());
  if (by_order_) {
    all_ = config_.offsets;
    if (all_.empty()) {
      all_.resize(config_.files.size());
      std::iota(all_.begin(), all_.end(), int64_t{0});
    }
  }
  pieces_.resize(static_cast<size_t>(std::max<int64_t>(1, config_.chunks_shuffled)));
  image_bytes_ = Augmenter(config_.augment).bytes_per_image();  // throws where the threads could not
  go_to(Cursor());
  for (int64_t i = 0; i < std::max<int64_t>(1, config_.threads); ++i) threads_.emplace_back([this] { loop(); });
}

ImagePipeline::~ImagePipeline() {
  close();
  if (getpid() != owner_) sync_.release();
}

void ImagePipeline::close() {
  if (getpid() != owner_) {  // a forked child has no threads to join
    for (auto& t : threads_) t.detach();
    threads_.clear();
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  produce_.notify_all();
  ready_.notify_all();
  for (auto& t : threads_) t.join();
  threads_.clear();
}

void ImagePipeline::check_process() const {
  if (getpid() != owner_)
    throw std::runtime_error("an image iterator works only in the process that made it; make a new one after a fork");
}

// ---- the source: called with the mutex held -------------------------------------------------------------------------

std::shared_ptr<ImagePipeline::Block> ImagePipeline::new_block() {
  for (auto& block : spare_)
    if (block.use_count() == 1) {
      block->records.records.clear();
      return block;
    }
  spare_.push_back(std::make_shared<Block>());
  return spare_.back();
}

void ImagePipeline::go_to(const Cursor& cursor) {
  cursor_ = cursor;
  has_ahead_ = false;
  ahead_ = {};
  block_ = nullptr;
  open_piece_ = -1;
  if (by_order_) {
    order_ = all_;
    if (config_.shuffle) shuffle(order_, config_.seed, static_cast<uint64_t>(cursor.epoch), 0);
  } else {
    std::iota(pieces_.begin(), pieces_.end(), int64_t{0});
    if (pieces_.size() > 1) shuffle(pieces_, config_.chunk_seed, static_cast<uint64_t>(cursor.epoch), 1);
  }
}

void ImagePipeline::next_epoch() {
  Cursor next;
  next.epoch = cursor_.epoch + 1;
  go_to(next);
}

// The chunk at the cursor, in the order in which its records are taken.
bool ImagePipeline::load_chunk() {
  const auto pieces = static_cast<int64_t>(pieces_.size());
  while (cursor_.piece < pieces) {
    const int64_t piece = pieces_[static_cast<size_t>(cursor_.piece)];
    if (open_piece_ != cursor_.piece) {
      if (pieces > 1) {
        if (!reader_.open(config_.records, static_cast<int>(config_.part_index * pieces + piece),
                          static_cast<int>(config_.num_parts * pieces))) {
          source_error_ = reader_.error();
          return false;
        }
      } else {
        reader_.reset();
      }
      open_piece_ = cursor_.piece;
      if (cursor_.offset >= 0 && !reader_.seek(cursor_.offset)) {
        source_error_ = reader_.error();
        return false;
      }
    }
    cursor_.offset = reader_.tell();
    block_ = new_block();
    reader_.next(&block_->records, config_.shuffle ? kShuffledChunk : kChunk);
    if (reader_.lost() != lost_before_) {
      if (damages_.insert(reader_.damage()).second) {
        skipped_ += reader_.lost() - lost_before_;
        messages_.push_back(reader_.damage());
      }
      lost_before_ = reader_.lost();
    }
    if (block_->records.records.empty()) {
      if (!reader_.error().empty()) {
        source_error_ = reader_.error();
        return false;
      }
      block_ = nullptr;
      ++cursor_.piece;
      cursor_.offset = -1;
      continue;
    }
    block_->order.resize(block_->records.records.size());
    std::iota(block_->order.begin(), block_->order.end(), int64_t{0});
    if (config_.shuffle)
      shuffle(block_->order, config_.seed, static_cast<uint64_t>(cursor_.epoch),
              2 + static_cast<uint64_t>(cursor_.chunk));
    return true;
  }
  return false;
}

bool ImagePipeline::more() {
  while (!has_ahead_) {
    if (by_order_) {
      if (cursor_.index >= static_cast<int64_t>(order_.size())) return false;
      const int64_t at = order_[static_cast<size_t>(cursor_.index++)];
      if (bad_.count(static_cast<uint64_t>(at))) continue;
      ahead_ = {};
      ahead_.key = static_cast<uint64_t>(at);
      if (config_.files.empty()) {
        RecordView view;
        if (!reader_.read_at(at, &view)) {
          ++skipped_;
          bad_.insert(ahead_.key);
          messages_.push_back(reader_.error());
          continue;
        }
        ahead_.block = new_block();
        ahead_.block->records.bytes.assign(view.data, view.data + view.size);
        ahead_.data = ahead_.block->records.bytes.data();
        ahead_.size = view.size;
      }
      has_ahead_ = true;
      return true;
    }
    if (!block_ && !load_chunk()) return false;
    if (cursor_.index >= static_cast<int64_t>(block_->order.size())) {
      block_ = nullptr;
      ++cursor_.chunk;
      cursor_.index = 0;
      continue;
    }
    const auto& record =
        block_->records.records[static_cast<size_t>(block_->order[static_cast<size_t>(cursor_.index++)])];
    if (bad_.count(static_cast<uint64_t>(record.offset))) continue;
    ahead_.block = block_;
    ahead_.data = block_->records.bytes.data() + record.begin;
    ahead_.size = record.size;
    ahead_.key = static_cast<uint64_t>(record.offset);
    has_ahead_ = true;
  }
  return true;
}

std::string ImagePipeline::place(uint64_t key) const {
  return config_.files.empty() ? reader_.place(static_cast<int64_t>(key)) : config_.files[static_cast<size_t>(key)];
}

// ---- production -----------------------------------------------------------------------------------------------------

// The next record with its row, with the mutex held; false if there is nothing to do now.
bool ImagePipeline::take(Task* task) {
  if (paused_) return false;
  if (!open_ && static_cast<int64_t>(queue_.size()) > config_.prefetch) return false;
  if (!queue_.empty() && !queue_.back()->error.empty()) return false;
  if (!open_) {
    open_ = std::make_shared<Work>();
    open_->start = cursor_;
    if (has_ahead_) --open_->start.index;  // the record that was looked at already
    Device& cpu = device("cpu", 0);
    const auto labels = static_cast<size_t>(config_.augment.detection ? config_.label_pad + 4 : config_.label_width);
    const auto batch = static_cast<size_t>(config_.batch_size);
    open_->out.data = std::make_shared<Storage>(cpu, batch * image_bytes_);
    open_->out.label = std::make_shared<Storage>(cpu, batch * labels * sizeof(float));
    open_->out.ids.resize(batch);
    queue_.push_back(open_);
  }
  Work& work = *open_;
  if (!more()) {
    const Cursor& c = work.start;
    if (source_error_.empty() && (c.piece || c.chunk || c.index)) {
      // All that was left of the epoch cannot be read, which came out when the batch before was gone.
      work.closed = work.last = true;
      open_ = nullptr;
      next_epoch();
      ready_.notify_all();
      return take(task);
    }
    work.error =
        !source_error_.empty() ? source_error_
        : skipped_
            ? "none of the images can be read; " + (messages_.empty() ? std::string("see above") : messages_.back())
            : "there are no images in " + (config_.records.empty() ? std::string("the list") : config_.records[0]);
    source_error_.clear();
    work.closed = true;
    open_ = nullptr;
    ready_.notify_all();
    return false;
  }
  task->item = ahead_;
  task->work = open_;
  task->row = work.assigned++;
  task->epoch = cursor_.epoch;
  has_ahead_ = false;
  ahead_ = {};
  const bool full = work.assigned == config_.batch_size;
  if (!more()) {
    if (!source_error_.empty()) {
      work.error = source_error_;
      source_error_.clear();
      work.closed = true;
    } else if (work.borrows) {
      // All of an epoch is not enough to complete the last batch of the one before.
      if (!full) {
        work.error = "the number of images must be at least the batch size " + std::to_string(config_.batch_size) +
                     " if round_batch is set";
        work.closed = true;
      }
    } else {
      work.last = true;
      work.out.pad = config_.batch_size - work.assigned;
      work.borrows = !full && config_.round_batch;
      if (!work.borrows) work.closed = true;
    }
    if (full && work.borrows) {
      // The borrowed records are a whole epoch: the next one begins after it.
      work.closed = true;
    }
    next_epoch();
  }
  if (full) work.closed = true;
  if (work.closed) open_ = nullptr;
  return true;
}

void ImagePipeline::loop() {
  Augmenter augmenter(config_.augment);
  std::vector<uint8_t> file;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    Task task;
    while (!stop_ && !take(&task)) produce_.wait(lock);
    if (stop_) return;
    ++running_;
    lock.unlock();
    std::string failure, error;
    try {
      process(augmenter, task, file);
    } catch (const ImageError& e) {
      failure = e.what();
    } catch (const std::bad_alloc&) {
      failure = "there is not enough memory to decode it";
    } catch (const std::exception& e) {
      error = e.what();
    }
    lock.lock();
    --running_;
    Work& work = *task.work;
    if (!failure.empty()) work.failures.emplace_back(task.item.key, place(task.item.key) + ": " + failure);
    if (!error.empty() && (work.error.empty() || task.row < work.error_row)) {
      work.error_row = task.row;
      work.error = place(task.item.key) + ": " + error;  // and nothing more is produced
      work.closed = true;
      if (open_ == task.work) open_ = nullptr;
    }
    task.item = {};
    ++work.done;
    if (work.done == work.assigned && work.closed) ready_.notify_all();
    if (paused_ && running_ == 0) ready_.notify_all();
  }
}

void ImagePipeline::process(Augmenter& augmenter, const Task& task, std::vector<uint8_t>& file) {
  const uint8_t* data = task.item.data;
  size_t size = task.item.size;
  uint64_t id = task.item.key;
  Batch& out = task.work->out;
  const bool detection = config_.augment.detection;
  const auto width = static_cast<size_t>(detection ? config_.label_pad + 4 : config_.label_width);
  float* label = reinterpret_cast<float*>(out.label->data()) + static_cast<size_t>(task.row) * width;
  std::vector<float> own;
  if (!config_.files.empty()) {  // labels are checked where the list is made
    const float* from = config_.file_labels.data() + id * width;
    std::copy(from, from + width, label);
    read_file(config_.files[static_cast<size_t>(id)], file);
    data = file.data();
    size = file.size();
  } else {
    if (size < kHead) throw ImageError("the record is too short for an image");
    uint32_t flag;
    std::memcpy(&flag, data, 4);
    std::memcpy(&id, data + 8, 8);
    if (flag > (size - kHead) / 4) throw ImageError("the record promises more labels than it has bytes");
    own.resize(std::max<uint32_t>(flag, 1));
    own[0] = read_float(data + 4);
    for (uint32_t i = 0; i < flag; ++i) own[i] = read_float(data + kHead + 4 * i);
    data += kHead + 4 * flag;
    size -= kHead + 4 * flag;
    if (config_.relabelled) {
      const auto found = config_.relabel.find(id);
      if (found == config_.relabel.end())
        throw std::invalid_argument("path_imglist has no line for record id " + std::to_string(id));
      own = found->second;
    }
    if (!detection) {
      if (own.size() != width)
        throw std::invalid_argument("the record has " + std::to_string(own.size()) + " label" +
                                    (own.size() == 1 ? "" : "s") + ", label_width is " + std::to_string(width));
      std::copy(own.begin(), own.end(), label);
    }
  }
  out.ids[static_cast<size_t>(task.row)] = id;
  Draws draws(config_.augment.seed, static_cast<uint64_t>(task.epoch), task.item.key);
  char* target = out.data->data() + static_cast<size_t>(task.row) * image_bytes_;
  const Augmenter::Size shape = augmenter.run(data, size, draws, target, &own);
  if (!detection) return;
  // What the image's shape is, how many numbers follow, and they.
  if (own.size() > static_cast<size_t>(config_.label_pad))
    throw std::invalid_argument("the record has " + std::to_string(own.size()) + " labels, label_pad_width is " +
                                std::to_string(config_.label_pad));
  label[0] = static_cast<float>(config_.augment.channels);
  label[1] = static_cast<float>(shape.height);
  label[2] = static_cast<float>(shape.width);
  label[3] = static_cast<float>(own.size());
  std::copy(own.begin(), own.end(), label + 4);
  std::fill(label + 4 + own.size(), label + width, config_.label_pad_value);
}

// Rows that no record filled.
void ImagePipeline::finish_work(Work& work) {
  if (work.assigned == config_.batch_size) return;
  const auto batch = static_cast<size_t>(config_.batch_size), rows = static_cast<size_t>(work.assigned);
  for (const StoragePtr& part : {work.out.data, work.out.label}) {
    const size_t row = part->bytes() / batch;
    std::memset(part->data() + rows * row, 0, (batch - rows) * row);
  }
}

// ---- delivery -------------------------------------------------------------------------------------------------------

// Throws away what is in production and goes on from the cursor.
void ImagePipeline::restart(std::unique_lock<std::mutex>& lock, const Cursor& cursor) {
  const Cursor target = cursor;
  paused_ = true;
  ready_.wait(lock, [this] { return running_ == 0; });
  for (const auto& work : queue_)
    for (const auto& [key, sentence] : work->failures)
      if (bad_.insert(key).second) {
        ++skipped_;
        messages_.push_back(sentence);
      }
  queue_.clear();
  open_ = nullptr;
  source_error_.clear();
  go_to(target);
  paused_ = false;
  produce_.notify_all();
}

bool ImagePipeline::next(Batch* batch) {
  check_process();
  std::unique_lock<std::mutex> lock(mutex_);
  if (ended_ || stop_) return false;
  for (;;) {
    produce_.notify_all();
    ready_.wait(lock, [this] {
      return !queue_.empty() && queue_.front()->closed && queue_.front()->done == queue_.front()->assigned;
    });
    Work& work = *queue_.front();
    if (!work.error.empty() && work.failures.empty()) throw std::runtime_error(work.error);
    if (work.failures.empty()) break;
    restart(lock, work.start);
  }
  const std::shared_ptr<Work> work = queue_.front();
  queue_.pop_front();
  ended_ = work->last;
  ++delivered_;
  now_ = work->start.epoch;
  produce_.notify_all();
  lock.unlock();
  if (work->assigned == 0) return false;
  finish_work(*work);
  *batch = std::move(work->out);
  return true;
}

void ImagePipeline::reset() {
  check_process();
  std::unique_lock<std::mutex> lock(mutex_);
  const bool failed = !queue_.empty() && !queue_.front()->error.empty();
  if (!ended_ && (delivered_ > 0 || failed)) {
    Cursor start;
    start.epoch = now_ + 1;
    restart(lock, start);
  }
  ended_ = false;
  delivered_ = 0;
}

std::vector<int64_t> ImagePipeline::state() {
  check_process();
  std::lock_guard<std::mutex> lock(mutex_);
  Cursor c = queue_.empty() ? cursor_ : queue_.front()->start;
  if (queue_.empty() && has_ahead_) --c.index;
  return {c.epoch, c.piece, c.offset, c.chunk, c.index, ended_, delivered_, now_};
}

void ImagePipeline::set_state(const std::vector<int64_t>& s) {
  check_process();
  if (s.size() != 8) throw std::invalid_argument("this is not the state of an image iterator");
  std::unique_lock<std::mutex> lock(mutex_);
  restart(lock, Cursor{s[0], s[1], s[2], s[3], s[4]});
  ended_ = s[5] != 0;
  delivered_ = s[6];
  now_ = s[7];
}

int64_t ImagePipeline::skipped() {
  check_process();
  std::lock_guard<std::mutex> lock(mutex_);
  return skipped_;
}

int64_t ImagePipeline::epoch() {
  check_process();
  std::lock_guard<std::mutex> lock(mutex_);
  return now_;
}

std::vector<std::string> ImagePipeline::take_messages() {
  if (getpid() != owner_) return {};  // `next` has said why already
  std::lock_guard<std::mutex> lock(mutex_);
  return std::move(messages_);
}

}  // namespace minimx
