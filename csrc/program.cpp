#include "program.h"

#include <atomic>
#include <cstring>
#include <stdexcept>

namespace minimx {

namespace {

const char* type_name(FieldType type) {
  switch (type) {
    case FieldType::integer:
      return "an integer";
    case FieldType::real:
      return "a real number";
    case FieldType::ints:
      return "a list of integers";
    case FieldType::reals:
      return "a list of real numbers";
  }
  return "?";
}

// What is known about a call that nobody has described.
Note named(const std::string& kernel) {
  Note note;
  note.kernel = note.op = kernel;
  return note;
}

}  // namespace

Arguments::Arguments(const KernelEntry& kernel, const ArgValues& values) {
  const ArgsInfo& info = *kernel.args;
  const std::string where = std::string("kernel ") + kernel.name + ": ";
  bytes_.resize((info.size + 7) / 8);
  char* base = reinterpret_cast<char*>(bytes_.data());
  for (uint32_t i = 0; i < info.count; ++i) {
    const Field& field = info.fields[i];
    auto found = values.find(field.name);
    if (found == values.end())
      throw std::invalid_argument(where + "argument '" + field.name + "' of " + info.name + " is missing");
    const ArgValue& value = found->second;
    char* at = base + field.offset;
    const auto wrong_type = [&] {
      return std::invalid_argument(where + "argument '" + field.name + "' must be " + type_name(field.type));
    };
    switch (field.type) {
      case FieldType::integer:
        if (auto* v = std::get_if<int64_t>(&value))
          std::memcpy(at, v, sizeof *v);
        else
          throw wrong_type();
        break;
      case FieldType::real: {
        double real = 0;
        if (auto* v = std::get_if<double>(&value))
          real = *v;
        else if (auto* n = std::get_if<int64_t>(&value))
          real = static_cast<double>(*n);
        else
          throw wrong_type();
        std::memcpy(at, &real, sizeof real);
        break;
      }
      case FieldType::ints: {
        auto* v = std::get_if<std::vector<int64_t>>(&value);
        if (!v) throw wrong_type();
        ints_.push_back(*v);
        const Ints view{ints_.back().data(), static_cast<int64_t>(v->size())};
        std::memcpy(at, &view, sizeof view);
        break;
      }
      case FieldType::reals: {
        if (auto* v = std::get_if<std::vector<double>>(&value))
          reals_.push_back(*v);
        else if (auto* n = std::get_if<std::vector<int64_t>>(&value))
          reals_.emplace_back(n->begin(), n->end());
        else
          throw wrong_type();
        const Reals view{reals_.back().data(), static_cast<int64_t>(reals_.back().size())};
        std::memcpy(at, &view, sizeof view);
        break;
      }
    }
  }
  if (values.size() != info.count)
    for (const auto& [name, value] : values) {
      bool known = false;
      for (uint32_t i = 0; i < info.count; ++i) known = known || name == info.fields[i].name;
      if (!known) throw std::invalid_argument(where + info.name + " has no argument '" + name + "'");
    }
}

namespace {
std::mutex generator_mutex;
}

Generator& generator() {
  static Generator state;
  return state;
}

Generator next_random_state() {
  std::lock_guard<std::mutex> lock(generator_mutex);
  Generator& state = generator();
  const Generator now = state;
  ++state.step;
  return now;
}

int Program::add_bound(Device& device) {
  slots_.push_back({&device, true, bound_count_++, -1, nullptr, nullptr, false});
  uses_.emplace_back();
  return static_cast<int>(slots_.size()) - 1;
}

int Program::add_arena(Device& device, const std::vector<int64_t>& offsets) {
  const int first = static_cast<int>(slots_.size());
  for (int64_t offset : offsets) slots_.push_back({&device, false, offset, -1, nullptr, nullptr, false});
  uses_.resize(slots_.size());
  return first;
}

int Program::add_part(int bound, int64_t offset) {
  slots_.push_back({slots_.at(bound).device, false, offset, bound, nullptr, nullptr, false});
  uses_.emplace_back();
  parts_.push_back(static_cast<int>(slots_.size()) - 1);
  return static_cast<int>(slots_.size()) - 1;
}

int Program::add_kept(Device& device, size_t bytes) {
  auto storage = std::make_shared<Storage>(device, bytes);
  char* const data = storage->data();
  slots_.push_back({&device, false, 0, -1, data, std::move(storage), true});
  uses_.emplace_back();
  return static_cast<int>(slots_.size()) - 1;
}

int Program::add(Kernel run, const void* args, const std::vector<int>& slots, Device& device, Note note) {
  for (int slot : slots)
    if (slot >= static_cast<int>(slots_.size()))
      throw std::out_of_range(note.kernel + ": there is no slot " + std::to_string(slot));
  const size_t first = operand_slots_.size();
  for (int slot : slots) {
    if (slot >= 0) uses_[slot].push_back(operand_slots_.size());  // -1 stands for a missing optional operand
    operand_slots_.push_back(slot);
    operands_.push_back(slot >= 0 ? slots_[slot].data : nullptr);
  }
  auto shared = std::make_shared<const Note>(std::move(note));
  calls_.push_back({run, args, first, slots.size(), device.context_now(), &device, std::move(shared), -1, 0, nullptr});
  bool known = false;
  for (Device* d : devices_) known = known || d == &device;
  if (!known) devices_.push_back(&device);
  return size() - 1;
}

int Program::add_call(Device& device, const std::string& kernel, const ArgValues& args, const std::vector<int>& slots) {
  const KernelEntry* entry = device.find(kernel);
  if (!entry) throw std::invalid_argument("device " + device.type + " has no kernel " + kernel);
  check_home(device, kernel, slots);
  arguments_.emplace_back(*entry, args);
  return add(entry->run, arguments_.back().data(), slots, device, named(kernel));
}

int Program::add_call_like(int call, const std::vector<int>& slots, std::string node) {
  const Call& like = calls_.at(call);
  if (slots.size() != like.operand_count)
    throw std::invalid_argument(like.note->kernel + ": the call that this one is like has another number of operands");
  check_home(*like.device, like.note->kernel, slots);
  Note note = *like.note;
  note.node = std::move(node);
  return add(like.run, like.args, slots, *like.device, std::move(note));
}

void Program::check_home(const Device& device, const std::string& kernel, const std::vector<int>& slots) const {
  for (size_t i = 0; i < slots.size(); ++i) {
    const Device* home = slots[i] < 0 ? &device : slots_.at(slots[i]).device;
    if (home != &device)
      throw std::invalid_argument(kernel + ": operand " + std::to_string(i) + " lies on " + home->type + "(" +
                                  std::to_string(home->id) + "), but the kernel runs on " + device.type + "(" +
                                  std::to_string(device.id) + ")");
  }
}

struct Program::CopyArgs {
  Device* from;
  Device* to;
  int64_t bytes;
};

int Program::add_copy(int from, int to, int64_t bytes) {
  auto args = std::make_shared<CopyArgs>(CopyArgs{slots_.at(from).device, slots_.at(to).device, bytes});
  internal_args_.push_back(args);
  const Kernel run = [](const void* raw, void* const* operands, const Context&) {
    const auto& a = *static_cast<const CopyArgs*>(raw);
    copy_bytes(*a.to, operands[1], *a.from, operands[0], a.bytes);
  };
  return add(run, args.get(), {from, to}, *args->to, named("copy"));
}

struct Program::RandomArgs {
  Device* device;
};

int Program::add_random_step(int slot) {
  auto args = std::make_shared<RandomArgs>(RandomArgs{slots_.at(slot).device});
  internal_args_.push_back(args);
  const Kernel run = [](const void* raw, void* const* operands, const Context& context) {
    const Generator now = next_random_state();
    static_cast<const RandomArgs*>(raw)->device->driver.to_device(operands[0], &now, sizeof now, context.stream);
  };
  return add(run, args.get(), {slot}, *args->device, named("random_step"));
}

int Program::add_host_call(HostBody body, const std::vector<int>& slots) {
  host_calls_.push_back(std::move(body));
  const Kernel run = [](const void* raw, void* const* operands, const Context&) {
    (*static_cast<const HostBody*>(raw))(operands);
  };
  return add(run, &host_calls_.back(), slots, device("cpu", 0), named("python"));
}

void Program::describe(int call, std::string op, std::string node, std::string operands, int64_t bytes) {
  Call& described = calls_.at(call);
  described.note =
      std::make_shared<Note>(Note{described.note->kernel, std::move(op), std::move(node), std::move(operands), bytes});
}

void Program::seal(const std::map<Device*, int64_t>& arena_bytes, const Program* share_with) {
  for (const auto& [device, bytes] : arena_bytes) {
    arena_sizes_[device] = bytes;
    if (bytes == 0) continue;
    if (share_with) {
      auto other = share_with->arenas_.find(device);
      if (other != share_with->arenas_.end() && static_cast<int64_t>(other->second->bytes()) >= bytes)
        arenas_[device] = other->second;
    }
    if (!arenas_.count(device)) arenas_[device] = std::make_shared<Storage>(*device, bytes);
  }
  for (int i = 0; i < static_cast<int>(slots_.size()); ++i) {
    Slot& slot = slots_[i];
    if (slot.bound || slot.parent >= 0 || slot.kept) continue;
    auto arena = arenas_.find(slot.device);
    if (arena == arenas_.end()) continue;
    slot.data = arena->second->data() + slot.offset;
    resolve(i);
  }
}

void Program::resolve(int slot) {
  for (size_t use : uses_[slot]) operands_[use] = slots_[slot].data;
}

void Program::bind(int slot, StoragePtr storage, int64_t offset) {
  Slot& s = slots_.at(slot);
  if (!s.bound) throw std::invalid_argument("slot " + std::to_string(slot) + " lives in the arena and cannot be bound");
  s.storage = std::move(storage);
  s.data = s.storage->data() + offset;
  resolve(slot);
  for (int part : parts_)
    if (slots_[part].parent == slot) {
      slots_[part].data = static_cast<char*>(s.data) + slots_[part].offset;
      resolve(part);
    }
}

// Whether a kept call's result still stands.
bool Program::is_fresh(const Call& call) const {
  const Slot& source = slots_[call.source];
  const uint64_t version = source.storage ? source.storage->version() : 0;
  return version != 0 && version == call.seen && source.data == call.seen_at;
}

// To be called before a kept call runs: a write during it counts.
void Program::note_source(const Call& call) const {
  const Slot& source = slots_[call.source];
  call.seen = source.storage ? source.storage->version() : 0;
  call.seen_at = source.data;
}

bool Program::is_stale() const {
  for (const Call& call : calls_)
    if (call.source >= 0 && !is_fresh(call)) return true;
  return false;
}

void Program::refresh() const {
  for (const Call& call : calls_)
    if (call.source >= 0 && !is_fresh(call)) {
      note_source(call);
      call.run(call.args, operands_.data() + call.first_operand, call.context);
    }
}

void Program::check_bound() const {
  for (size_t i = 0; i < slots_.size(); ++i)
    if (slots_[i].bound && !slots_[i].data && !uses_[i].empty())
      throw std::logic_error("slot " + std::to_string(i) + " of a program has no memory");
  checked_ = true;
}

void Program::run(int first, int last) const {
  if (!checked_) check_bound();
  void* const* operands = operands_.data();
  const bool timed = profiled.load(std::memory_order_relaxed) & kProfileBound;
  if (timed) run_timed(operands, first, last, false);
  for (int i = timed ? last : first; i < last; ++i) {
    const Call& call = calls_[i];
    if (call.source >= 0) {
      if (is_fresh(call)) continue;
      note_source(call);
    }
    call.run(call.args, operands + call.first_operand, call.context);
  }
  for (int slot : written_)
    if (slots_[slot].storage) slots_[slot].storage->touch();
}

// On a gpu a call returns before it has run, so each one is waited for: times are true, but nothing overlaps.
void Program::run_timed(void* const* operands, int first, int last, bool eager) const {
  const uint64_t thread = thread_number();
  for (int i = first; i < last; ++i) {
    const Call& call = calls_[i];
    if (call.source >= 0) {
      if (eager || is_fresh(call)) continue;
      note_source(call);
    }
    const int64_t begin = steady_nanoseconds();
    call.run(call.args, operands + call.first_operand, call.context);
    call.device->driver.wait(call.context.stream);
    const int64_t end = steady_nanoseconds();
    keep_event({call.note, call.device, begin, end, thread, eager, call.device->pool.stats().used});
  }
}

void Program::run_with(void* const* bound, int64_t count) const {
  if (count != bound_count_) throw std::invalid_argument("wrong number of operands");
  constexpr size_t kInline = 64;
  void* inline_operands[kInline];
  std::vector<void*> many;
  void** operands = inline_operands;
  if (operand_slots_.size() > kInline) {
    many.resize(operand_slots_.size());
    operands = many.data();
  }
  std::vector<StoragePtr> arenas;
  for (const auto& [device, bytes] : arena_sizes_)
    if (bytes > 0) arenas.push_back(std::make_shared<Storage>(*device, bytes));
  for (size_t i = 0; i < operand_slots_.size(); ++i) {
    const int slot = operand_slots_[i];
    if (slot < 0) {
      operands[i] = nullptr;
    } else if (const Slot& s = slots_[slot]; s.bound) {
      operands[i] = bound[s.offset];
    } else if (s.kept) {
      operands[i] = s.data;
    } else if (s.parent >= 0) {
      operands[i] = static_cast<char*>(bound[slots_[s.parent].offset]) + s.offset;
    } else {
      for (const StoragePtr& arena : arenas)
        if (&arena->device() == s.device) operands[i] = arena->data() + s.offset;
    }
  }
  if (profiled.load(std::memory_order_relaxed) & kProfileEager) return run_timed(operands, 0, size(), true);
  for (const Call& call : calls_)
    if (call.source < 0) call.run(call.args, operands + call.first_operand, call.context);
}

void Program::wait() const {
  for (Device* d : devices_) d->driver.wait(d->context.stream);
}

int64_t Program::arena_bytes() const {
  int64_t total = 0;
  for (const auto& [device, bytes] : arena_sizes_) total += bytes;
  return total;
}

}  // namespace minimx
