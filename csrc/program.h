// A program: a list of calls over slots, made once at bind time and run many times without a check or an allocation.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "device.h"
#include "kernel.h"
#include "profile.h"
#include "storage.h"

namespace minimx {

// What Python hands over for one field of an argument struct.
using ArgValue = std::variant<int64_t, double, std::vector<int64_t>, std::vector<double>>;
using ArgValues = std::map<std::string, ArgValue>;

// The argument struct of one call, filled by field name; owns the arrays behind its Ints and Reals.
class Arguments {
 public:
  // Throws std::invalid_argument naming kernel and field when a name, a type or the completeness is wrong.
  Arguments(const KernelEntry& kernel, const ArgValues& values);
  const void* data() const { return bytes_.data(); }

 private:
  std::vector<uint64_t> bytes_;  // uint64_t for alignment
  std::vector<std::vector<int64_t>> ints_;
  std::vector<std::vector<double>> reals_;
};

// The generator of one device context: kernels see {seed, step} and derive everything else from their counters.
struct Generator {
  uint64_t seed = 0;
  uint64_t step = 0;
};
Generator& generator();         // one for all devices, so that a model gives the same numbers anywhere
Generator next_random_state();  // takes one step; safe from several threads

// A call of something that is no kernel, given the addresses of its operands.
using HostBody = std::function<void(void* const* operands)>;

class Program {
 public:
  // Slots. A bound slot gets its memory from outside with `bind`; an arena slot is an offset in its device's arena.
  int add_bound(Device& device);
  int add_arena(Device& device, const std::vector<int64_t>& offsets);  // one for each; returns the first
  int add_part(int bound, int64_t offset);                             // follows a bound slot, some bytes further on
  int add_kept(Device& device, size_t bytes);  // memory of the program's own, which lasts from run to run

  // Calls, in running order; each returns the position of the call.
  int add_call(Device& device, const std::string& kernel, const ArgValues& args, const std::vector<int>& slots);
  // The kernel of an earlier call with the same arguments, for another node: nothing is read or checked again.
  int add_call_like(int call, const std::vector<int>& slots, std::string node);
  int add_copy(int from, int to, int64_t bytes);                    // between devices, or on one
  int add_random_step(int slot);                                    // writes the next {seed, step} into the slot
  int add_host_call(HostBody body, const std::vector<int>& slots);  // Python inside a program

  // What the caller of a bound slot must be told: that runs write into it.
  void writes(int slot) { written_.push_back(slot); }
  // Whether one of the first `count` bound slots is written.
  bool writes_first(int64_t count) const {
    for (int slot : written_)
      if (slots_[slot].offset < count) return true;
    return false;
  }
  // A call whose result lasts: it is skipped while nothing was written into the bound slot that it reads.
  void keep(int call, int slot) { calls_.at(call).source = slot; }
  // Runs kept calls whose result no longer stands. `run` does so itself, `run_with` does not.
  void refresh() const;
  bool is_stale() const;
  // What the profiler says about a call.
  void describe(int call, std::string op, std::string node, std::string operands, int64_t bytes);

  // Ends the building: one arena per device, from the pool or from another program that never runs at the same time.
  void seal(const std::map<Device*, int64_t>& arena_bytes, const Program* share_with);

  void bind(int slot, StoragePtr storage, int64_t offset);
  void* address(int slot) const { return slots_[slot].data; }
  void run(int first, int last) const;
  void wait() const;

  // The eager way: everything is passed in, nothing is remembered, several threads may run the same program at once.
  // `operands` are the addresses of the bound slots in the order they were added.
  void run_with(void* const* operands, int64_t count) const;

  int size() const { return static_cast<int>(calls_.size()); }
  int64_t arena_bytes() const;
  const std::string& kernel_name(int call) const { return calls_[call].note->kernel; }

 private:
  struct Slot {
    Device* device;
    bool bound;
    int64_t offset;  // bytes in the arena or from the parent; for a bound slot its rank among the bound ones
    int parent;      // the bound slot this one is a part of, or -1
    void* data = nullptr;
    StoragePtr storage;
    bool kept = false;
  };
  struct Call {
    Kernel run;
    const void* args;
    size_t first_operand;  // in operands_
    size_t operand_count;
    Context context;
    Device* device;
    std::shared_ptr<const Note> note;
    int source = -1;            // what a kept call reads
    mutable uint64_t seen = 0;  // the source's version when the call ran last
    mutable void* seen_at = nullptr;
  };

  int add(Kernel run, const void* args, const std::vector<int>& slots, Device& device, Note note);
  void check_home(const Device& device, const std::string& kernel, const std::vector<int>& slots) const;
  void resolve(int slot);
  bool is_fresh(const Call& call) const;
  void note_source(const Call& call) const;
  void check_bound() const;
  void run_timed(void* const* operands, int first, int last, bool eager) const;

  std::vector<Slot> slots_;
  std::vector<Call> calls_;
  std::vector<int> operand_slots_;
  std::vector<void*> operands_;            // addresses, refreshed when a slot is bound
  std::vector<std::vector<size_t>> uses_;  // slot -> positions in operands_
  std::vector<int> parts_;                 // slots that follow a bound one
  std::deque<Arguments> arguments_;
  std::deque<HostBody> host_calls_;
  struct CopyArgs;
  struct RandomArgs;
  std::deque<std::shared_ptr<void>> internal_args_;
  std::map<Device*, StoragePtr> arenas_;
  std::map<Device*, int64_t> arena_sizes_;
  int bound_count_ = 0;
  std::vector<int> written_;
  mutable bool checked_ = false;  // whether every slot was seen to have memory
  std::vector<Device*> devices_;
};

}  // namespace minimx
