// The scheduler behind emulate.h: fibres, barriers, shuffles and the block's shared memory.
#include "emulate.h"

#include <sys/mman.h>

#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "memory.h"

#if !defined(__x86_64__) || defined(MINIMX_EMULATE_UCONTEXT)
#include <ucontext.h>
#endif

namespace emulate {

Thread* current = nullptr;
uint3 block_index{};
dim3 block_size, grid_size;

namespace {

constexpr unsigned kMaxThreads = 1024;
constexpr size_t kSharedLimit = 48 << 10;  // what a launch gets without asking for more
constexpr size_t kCanary = 64;             // bytes after every shared array that must stay as they are
constexpr unsigned char kCanaryByte = 0xA5;
constexpr unsigned char kPoison = 0xFF;  // NaN as float or double, -1 as integer
constexpr size_t kStack = 64 << 10;
constexpr size_t kPage = 4096;

// Fibres: switching is six registers and a stack pointer; ucontext, which also saves the signal mask with a system
// call, serves other processors.
#if defined(__x86_64__) && !defined(MINIMX_EMULATE_UCONTEXT)
using Point = void*;
extern "C" void minimx_switch_fibre(void** from, void* to);
asm(R"(
.text
.local minimx_switch_fibre
.type minimx_switch_fibre, @function
minimx_switch_fibre:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size minimx_switch_fibre, .-minimx_switch_fibre
)");
void switch_fibre(Point& from, Point& to) { minimx_switch_fibre(&from, to); }
void prepare_fibre(Point& point, char* stack, void (*entry)()) {
  // The entry finds the stack as after a call: 8 bytes past a multiple of 16, a return address it never uses on top.
  auto** top = reinterpret_cast<void**>(stack + kStack - 72);
  top[0] = nullptr;
  top[-1] = reinterpret_cast<void*>(entry);
  for (int i = 2; i < 8; ++i) top[-i] = nullptr;
  point = top - 7;
  static_assert(kStack % 16 == 0);
}
#else
using Point = ucontext_t;
void switch_fibre(Point& from, Point& to) { swapcontext(&from, &to); }
void prepare_fibre(Point& point, char* stack, void (*entry)()) {
  getcontext(&point);
  point.uc_stack.ss_sp = stack;
  point.uc_stack.ss_size = kStack;
  point.uc_link = nullptr;
  makecontext(&point, entry, 0);
}
#endif

struct Fibre {
  char* stack;
  Point point;
};

enum class State { fresh, ready, waiting, done };

struct Worker : Thread {
  State state;
  Fibre* fibre;
};

struct Warp {
  unsigned arrived, expected;
  unsigned here;  // lanes that exist
  unsigned parity;
  const char* file;
  int line;
  uint64_t slots[2][32];  // by turns, so that a fast lane cannot overwrite what a slow one still has to read
};

struct SharedArray {
  const void* key;
  size_t offset, bytes;
};

// One launch at a time: everything below belongs to it.
std::mutex launches;
std::vector<Fibre*> free_fibres;
std::vector<Worker> workers;
std::vector<Warp> warps;
std::vector<SharedArray> shared_arrays;
alignas(128) char shared_memory[2 * kSharedLimit];
size_t shared_used;
Point scheduler;
void (*kernel_body)(const void*);
const void* kernel_state;
std::string failure;
bool released;  // somebody who waited may go on
struct {
  unsigned count;
  const char* file;
  int line;
} waiters;

void pause() { switch_fibre(static_cast<Worker*>(current)->fibre->point, scheduler); }

std::string name_thread() {
  return "thread " + std::to_string(current->rank) + " of block (" + std::to_string(block_index.x) + ", " +
         std::to_string(block_index.y) + ", " + std::to_string(block_index.z) + ")";
}

// Called on a fibre, which is left behind: the scheduler throws.
void fail(const std::string& message) {
  if (failure.empty()) failure = message;
  static_cast<Worker*>(current)->state = State::done;
  for (;;) pause();
}

std::string site(const char* file, int line) {
  const char* slash = std::strrchr(file, '/');
  return std::string(slash ? slash + 1 : file) + ":" + std::to_string(line);
}

void fibre_main() {
  for (;;) {  // a fibre whose thread has finished starts the next one
    kernel_body(kernel_state);
    static_cast<Worker*>(current)->state = State::done;
    pause();
  }
}

Fibre* take_fibre() {
  if (!free_fibres.empty()) {
    Fibre* fibre = free_fibres.back();
    free_fibres.pop_back();
    return fibre;
  }
  void* memory = mmap(nullptr, kStack + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kPage, PROT_NONE);  // an overflow faults instead of running into the next stack
  auto* fibre = new Fibre{static_cast<char*>(memory) + kPage, {}};
  prepare_fibre(fibre->point, fibre->stack, fibre_main);
  return fibre;
}

struct Order {
  enum { ascending, descending, shuffled } kind;
  uint64_t random = 0x9E3779B97F4A7C15u;

  Order() {
    const char* text = std::getenv("MINIMX_EMULATE_ORDER");
    const std::string wanted = text && *text ? text : "ascending";
    if (wanted == "ascending")
      kind = ascending;
    else if (wanted == "descending")
      kind = descending;
    else if (wanted == "shuffled")
      kind = shuffled;
    else
      throw std::invalid_argument("MINIMX_EMULATE_ORDER=" + wanted + ": it is ascending, descending or shuffled");
  }

  void arrange(std::vector<unsigned>& ranks) {
    for (unsigned i = 0; i < ranks.size(); ++i)
      ranks[i] = kind == descending ? static_cast<unsigned>(ranks.size()) - 1 - i : i;
    if (kind != shuffled) return;
    for (size_t i = ranks.size(); i > 1; --i) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      std::swap(ranks[i - 1], ranks[(random >> 33) % i]);
    }
  }
};

void start_block(unsigned threads, size_t dynamic) {
  workers.resize(threads);
  warps.assign((threads + 31) / 32, Warp{});
  for (unsigned rank = 0; rank < threads; ++rank) {
    Worker& w = workers[rank];
    w.index = {rank % block_size.x, rank / block_size.x % block_size.y, rank / block_size.x / block_size.y};
    w.rank = rank;
    w.state = State::fresh;
    w.fibre = nullptr;
    warps[rank / 32].here |= 1u << rank % 32;
  }
  waiters = {};
  shared_arrays.clear();
  shared_used = 0;
  shared_array(nullptr, dynamic);
}

void resume(Worker& w) {
  if (w.state == State::fresh) {
    w.fibre = take_fibre();
    w.state = State::ready;
  }
  current = &w;
  switch_fibre(scheduler, w.fibre->point);
  if (w.state == State::done && failure.empty()) {
    free_fibres.push_back(w.fibre);
    w.fibre = nullptr;
  }
}

// The first thread that can run always does, so that it gets as far ahead of the others as barriers let it.
void run_block(const std::vector<unsigned>& ranks) {
  for (size_t i = 0; i < ranks.size(); ++i) {
    Worker& w = workers[ranks[i]];
    if (w.state != State::fresh && w.state != State::ready) continue;
    released = false;
    resume(w);
    if (!failure.empty()) return;
    if (released) i = static_cast<size_t>(-1);
  }
  for (const Worker& w : workers)
    if (w.state != State::done) {
      failure = "divergent barrier: some threads of the block wait ";
      failure += waiters.count ? "at " + site(waiters.file, waiters.line) : "in a warp operation";
      failure += " while the others have left or wait elsewhere";
      return;
    }
}

void check_canaries() {
  for (const SharedArray& a : shared_arrays)
    for (size_t i = 0; i < kCanary; ++i)
      if (static_cast<unsigned char>(shared_memory[a.offset + a.bytes + i]) != kCanaryByte)
        failure = "a write past the end of a shared array of " + std::to_string(a.bytes) + " bytes";
}

// After a failure: fibres are stuck inside a kernel that will not go on; they start afresh.
void abandon_fibres() {
  for (Worker& w : workers)
    if (w.fibre) {
      prepare_fibre(w.fibre->point, w.fibre->stack, fibre_main);
      free_fibres.push_back(w.fibre);
      w.fibre = nullptr;
    }
}

void check_limits(dim3 grid, dim3 block) {
  const auto volume = [](dim3 d) { return uint64_t{d.x} * d.y * d.z; };
  if (volume(block) == 0 || volume(block) > kMaxThreads || block.z > 64)
    throw std::logic_error("a launch with " + std::to_string(volume(block)) + " threads per block");
  if (volume(grid) == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    throw std::logic_error("a launch with a grid of (" + std::to_string(grid.x) + ", " + std::to_string(grid.y) + ", " +
                           std::to_string(grid.z) + ") blocks");
}

}  // namespace

void* shared_array(const void* key, size_t bytes) {
  for (const SharedArray& a : shared_arrays)
    if (a.key == key) return shared_memory + a.offset;
  const size_t offset = shared_used, rounded = (bytes + 15) / 16 * 16;
  shared_used += rounded;
  const size_t at = offset + shared_arrays.size() * (kCanary + 64);
  if (shared_used > kSharedLimit || at + rounded + kCanary > sizeof shared_memory)
    fail("more than " + std::to_string(kSharedLimit) + " bytes of shared memory");
  shared_arrays.push_back({key, at, bytes});
  std::memset(shared_memory + at, kPoison, bytes);
  std::memset(shared_memory + at + bytes, kCanaryByte, kCanary);
  return shared_memory + at;
}

void* dynamic_shared() { return shared_array(nullptr, 0); }

void barrier(const char* file, int line) {
  if (waiters.count && (waiters.line != line || waiters.file != file))
    fail("divergent barrier: " + name_thread() + " waits at " + site(file, line) + " while others wait at " +
         site(waiters.file, waiters.line));
  waiters.file = file;
  waiters.line = line;
  static_cast<Worker*>(current)->state = State::waiting;
  if (++waiters.count == workers.size()) {
    waiters.count = 0;
    released = true;
    for (Worker& w : workers) w.state = State::ready;
  }
  pause();
}

uint64_t exchange(unsigned mask, uint64_t bytes, int source, const char* file, int line) {
  const unsigned rank = current->rank, lane = rank % 32;
  Warp& warp = warps[rank / 32];
  mask &= warp.here;
  if (!(mask >> lane & 1)) fail(name_thread() + " is not in the mask of its warp operation at " + site(file, line));
  if (source >= 0 && !(mask >> source & 1))
    fail(name_thread() + " reads lane " + std::to_string(source) + ", which does not take part, at " +
         site(file, line));
  if (warp.arrived && (warp.expected != mask || warp.line != line || warp.file != file))
    fail("divergent warp: " + name_thread() + " is at " + site(file, line) + " while other lanes are at " +
         site(warp.file, warp.line));
  warp.expected = mask;
  warp.file = file;
  warp.line = line;
  const unsigned turn = warp.parity;
  warp.slots[turn][lane] = bytes;
  warp.arrived |= 1u << lane;
  static_cast<Worker*>(current)->state = State::waiting;
  if (warp.arrived == mask) {
    warp.arrived = 0;
    warp.parity ^= 1;
    released = true;
    for (unsigned l = 0; l < 32; ++l)
      if (mask >> l & 1) workers[rank / 32 * 32 + l].state = State::ready;
  }
  pause();
  return source >= 0 ? warp.slots[turn][source] : bytes;
}

unsigned ballot(unsigned mask, bool vote, const char* file, int line) {
  const unsigned rank = current->rank;
  const Warp& warp = warps[rank / 32];
  const unsigned turn = warp.parity;
  mask &= warp.here;
  exchange(mask, vote, -1, file, line);
  unsigned votes = 0;
  for (unsigned l = 0; l < 32; ++l)
    if ((mask >> l & 1) && warp.slots[turn][l]) votes |= 1u << l;
  return votes;
}

void foreign_pointer(const void* pointer) {
  char text[32];
  std::snprintf(text, sizeof text, "%p", pointer);
  throw std::logic_error(std::string("a kernel was given ") + text + ", which is not memory of its device");
}

void run(dim3 grid, dim3 block, size_t shared, const void* stream, void (*body)(const void*), const void* state) {
  check_limits(grid, block);
  if (shared > kSharedLimit)
    throw std::logic_error("a launch with " + std::to_string(shared) + " bytes of shared memory");
  std::lock_guard<std::mutex> lock(launches);
  const OpenMemory open(stream);
  Order order;
  grid_size = grid;
  block_size = block;
  kernel_body = body;
  kernel_state = state;
  failure.clear();
  std::vector<unsigned> blocks(size_t{grid.x} * grid.y * grid.z), ranks(size_t{block.x} * block.y * block.z);
  order.arrange(blocks);
  for (unsigned b : blocks) {
    block_index = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    start_block(static_cast<unsigned>(ranks.size()), shared);
    order.arrange(ranks);
    run_block(ranks);
    if (failure.empty()) check_canaries();
    if (!failure.empty()) {
      abandon_fibres();
      throw std::logic_error("emulated kernel: " + failure);
    }
  }
}

}  // namespace emulate
