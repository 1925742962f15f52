// The devices of this process and the kernels each of them has: the CPU's from the best level the machine can run.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>

#include "device.h"
#include "threads.h"

// The build names the kernel families (one per file in csrc/cpu) and the levels it compiled:
//   MINIMX_FAMILIES(F)  F(gemm) F(ewise) ...      MINIMX_LEVELS(L)  L(baseline) L(avx2) ...
// and the families that multiply bfloat16, with levels that have only these, and everything else from another level:
//   MINIMX_BFLOAT_FAMILIES(F)  F(gemm_bfloat) ...  MINIMX_BFLOAT_LEVELS(L)  L(avx512bf16, avx512)
#include "families.inc"

namespace minimx {

#define DECLARE_FAMILY(family) extern const KernelTable family##_kernels;
#define DECLARE_LEVEL(level)             \
  namespace level {                      \
  MINIMX_FAMILIES(DECLARE_FAMILY)        \
  MINIMX_BFLOAT_FAMILIES(DECLARE_FAMILY) \
  }
#define DECLARE_BFLOAT_LEVEL(level, base) \
  namespace level {                       \
  MINIMX_BFLOAT_FAMILIES(DECLARE_FAMILY)  \
  }
MINIMX_LEVELS(DECLARE_LEVEL)
MINIMX_BFLOAT_LEVELS(DECLARE_BFLOAT_LEVEL)

namespace {

struct Level {
  const char* name;
  std::vector<const KernelTable*> tables, bfloat;
  bool multiplies_pairs;  // of bfloat16, in one instruction
};

const std::vector<Level>& levels() {
#define ADDRESS(family) &family##_kernels,
  static const std::vector<Level> all = [] {
    std::vector<Level> list;
#define ADD_LEVEL(level)                                                                            \
  {                                                                                                 \
    using namespace level;                                                                          \
    list.push_back({#level, {MINIMX_FAMILIES(ADDRESS)}, {MINIMX_BFLOAT_FAMILIES(ADDRESS)}, false}); \
  }
#define ADD_BFLOAT_LEVEL(level, base)                                          \
  {                                                                            \
    std::vector<const KernelTable*> tables;                                    \
    for (const Level& l : list)                                                \
      if (l.name == std::string(#base)) tables = l.tables;                     \
    using namespace level;                                                     \
    list.push_back({#level, tables, {MINIMX_BFLOAT_FAMILIES(ADDRESS)}, true}); \
  }
    MINIMX_LEVELS(ADD_LEVEL)
    MINIMX_BFLOAT_LEVELS(ADD_BFLOAT_LEVEL)
    return list;
  }();
  return all;
}

bool machine_runs(const std::string& level) {
  if (level == "baseline" || level == "neon") return true;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (level == "avx2" || level == "wide") return avx2;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (level == "avx512") return avx512;
  if (level == "avx512bf16") return avx512 && __builtin_cpu_supports("avx512bf16");
#endif
  return false;
}

// "wide" runs the 64-byte code on 32-byte registers: for tests, never chosen by itself.
const Level& chosen_level() {
  static const Level& level = []() -> const Level& {
    const char* wanted = std::getenv("MINIMX_ISA");
    if (wanted && *wanted) {
      for (const Level& l : levels())
        if (l.name == std::string(wanted)) {
          if (!machine_runs(l.name))
            throw std::invalid_argument(std::string("MINIMX_ISA=") + wanted + ": this machine cannot run it");
          return l;
        }
      std::string known;
      for (const Level& l : levels()) known += std::string(known.empty() ? "" : ", ") + l.name;
      throw std::invalid_argument(std::string("MINIMX_ISA=") + wanted + ": this build has " + known);
    }
    const Level* best = &levels().front();
    for (const Level& l : levels())
      if (l.name != std::string("wide") && machine_runs(l.name)) best = &l;
    return *best;
  }();
  return level;
}

// Kernels that multiply bfloat16 are offered where there is an instruction for it. MINIMX_BF16=1 offers them anywhere,
// which is how they are tested, and 0 nowhere; without them everything is converted to float32 and back.
bool offers_bfloat() {
  const char* wanted = std::getenv("MINIMX_BF16");
  return wanted && *wanted ? *wanted != '0' : chosen_level().multiplies_pairs;
}

constexpr size_t kHugePage = size_t{2} << 20;

void* cpu_allocate(size_t bytes, void*) {
  if (bytes < kHugePage / 2) {
    void* data = nullptr;
    return posix_memalign(&data, 64, bytes) == 0 ? data : nullptr;
  }
  void* data = nullptr;
  if (posix_memalign(&data, kHugePage, (bytes + kHugePage - 1) / kHugePage * kHugePage) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  madvise(data, (bytes + kHugePage - 1) / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return data;
}

void cpu_release(void* data, size_t, void*) { std::free(data); }
void cpu_copy(void* dst, const void* src, size_t bytes, void*) { std::memmove(dst, src, bytes); }
void cpu_move(void* dst, const void* src, size_t bytes, void*, void*) { std::memmove(dst, src, bytes); }
void cpu_wait(void*) {}
void cpu_memory(int64_t* free_bytes, int64_t* total_bytes, void*) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  *free_bytes = page * sysconf(_SC_AVPHYS_PAGES);
  *total_bytes = page * sysconf(_SC_PHYS_PAGES);
}

const Driver cpu_driver = {cpu_allocate, cpu_release, cpu_copy, cpu_copy, cpu_move, cpu_wait, cpu_memory};

std::map<std::pair<std::string, int>, std::unique_ptr<Device>>& devices() {
  static auto& all = *new std::map<std::pair<std::string, int>, std::unique_ptr<Device>>;  // outlives every Storage
  return all;
}

std::mutex devices_mutex;

void add_tables(Device& device, const KernelTable* const* tables, size_t count) {
  for (size_t t = 0; t < count; ++t)
    for (int64_t i = 0; i < tables[t]->count; ++i) device.kernels[tables[t]->entries[i].name] = &tables[t]->entries[i];
}

}  // namespace

Device& device(const std::string& type, int id) {
  std::lock_guard<std::mutex> lock(devices_mutex);
  auto& slot = devices()[{type, id}];
  if (slot) return *slot;
  if (type == "cpu") {
    const Context context{thread_count(), run_parallel, nullptr};
    slot.reset(new Device{type, id, cpu_driver, {}, context, Pool(cpu_driver, nullptr)});
    const Level& level = chosen_level();
    add_tables(*slot, level.tables.data(), level.tables.size());
    if (offers_bfloat()) add_tables(*slot, level.bfloat.data(), level.bfloat.size());
  } else if (type == "gpu" && id >= 0 && id < gpu().devices) {
    const Context context{1, run_parallel, gpu().make_stream(id)};
    slot.reset(new Device{type, id, *gpu().driver, {}, context, Pool(*gpu().driver, context.stream)});
    add_tables(*slot, gpu().tables, gpu().table_count);
  } else {
    devices().erase({type, id});
    throw std::invalid_argument("there is no device " + type + "(" + std::to_string(id) + "): this process has " +
                                std::to_string(gpu().devices) + " gpu devices");
  }
  return *slot;
}

int device_count(const std::string& type) { return type == "gpu" ? gpu().devices : 1; }

const char* cpu_level() { return chosen_level().name; }

}  // namespace minimx
