#include "threads.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace minimx {

namespace {

// A container's CPU quota, rounded up to whole cores; 0 when there is none.
int quota_cores() {
  std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r");
  if (!file) return 0;
  long long quota = 0, period = 0;
  const int got = std::fscanf(file, "%lld %lld", &quota, &period);
  std::fclose(file);
  return got == 2 && period > 0 ? static_cast<int>((quota + period - 1) / period) : 0;
}

int default_threads() {
  for (const char* name : {"MINIMX_NUM_THREADS", "MXNET_CPU_WORKER_NTHREADS", "OMP_NUM_THREADS"})
    if (const char* text = std::getenv(name))
      if (const int n = std::atoi(text); n > 0) return n;
  int cores = static_cast<int>(std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
#endif
  const int quota = quota_cores();
  if (quota > 0 && quota < cores) cores = quota;
  return cores > 0 ? cores : 1;
}

struct alignas(128) Line {
  std::atomic<int64_t> value{0};
};

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

constexpr int kSpins = 2000;  // about 30 us: longer than the gap between two calls of a step, shorter than a time slice

// Workers wait for a job (spinning first, then asleep) and draw its tasks. They are dealt out in hands of neighbours,
// one for each thread or for several of them: a thread draws from its own first, where it meets what it left in its
// caches in the call before, and then from the others'.
//
// Nobody waits for a worker that has not begun: when the caller has drawn the last task it closes the job, and only
// those that entered before must come out. So a call never costs more than doing it alone, however busy the other cores
// are.
class Pool {
 public:
  explicit Pool(int threads) : hands_(threads < kMostHands ? threads : kMostHands) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
    for (auto& worker : workers_) worker.detach();
  }

  void run(int64_t tasks, Task task, void* state) {
    std::unique_lock<std::mutex> one_caller(callers_, std::try_to_lock);
    if (!one_caller.owns_lock() || inside_) {  // another thread, or a task of ours, already uses the workers
      for (int64_t i = 0; i < tasks; ++i) task(state, i, 0);
      return;
    }
    inside_ = true;
    task_ = task;
    state_ = state;
    deal(tasks);
    open();
    draw(0);
    job_.value.fetch_and(~kOpen, std::memory_order_acq_rel);
    for (int spins = 0; job_.value.load(std::memory_order_acquire) & kInside; ++spins) {
      if (spins < kSpins)
        relax();
      else
        sched_yield();
    }
    inside_ = false;
  }

 private:
  // job_ holds the number of the job, whether it is open, and how many workers are inside.
  static constexpr int64_t kInside = (1 << 16) - 1, kOpen = 1 << 16, kNumber = 1 << 17;

  void open() {
    const int64_t next = (job_.value.load(std::memory_order_relaxed) / kNumber + 1) * kNumber + kOpen;
    job_.value.store(next, std::memory_order_seq_cst);
    if (sleepers_.value.load(std::memory_order_seq_cst) > 0) {
      {
        std::lock_guard<std::mutex> lock(sleep_);
      }  // whoever is about to sleep has looked at job_ or will be woken
      wake_.notify_all();
    }
  }

  // At the end of a call a thread looks into every hand.
  static constexpr int kMostHands = 8;

  void deal(int64_t tasks) {
    for (int k = 0; k < hands_; ++k) {
      next_[k].value.store(tasks * k / hands_, std::memory_order_relaxed);
      ends_[k] = tasks * (k + 1) / hands_;
    }
  }

  void draw(int thread) {
    for (int k = 0; k < hands_; ++k) {
      const int hand = (thread + k) % hands_;
      for (;;) {
        const int64_t i = next_[hand].value.fetch_add(1, std::memory_order_relaxed);
        if (i >= ends_[hand]) break;
        task_(state_, i, thread);
      }
    }
  }

  // Waits for a job other than `seen` and returns what job_ was then.
  int64_t wait(int64_t seen) {
    for (int spins = 0; spins < kSpins; ++spins, relax())
      if (const int64_t job = job_.value.load(std::memory_order_acquire); job / kNumber != seen) return job;
    std::unique_lock<std::mutex> lock(sleep_);
    sleepers_.value.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(lock, [&] { return job_.value.load(std::memory_order_seq_cst) / kNumber != seen; });
    sleepers_.value.fetch_sub(1, std::memory_order_relaxed);
    return job_.value.load(std::memory_order_acquire);
  }

  void work(int thread) {
    inside_ = true;
    for (int64_t seen = 0;;) {
      int64_t job = wait(seen);
      while (job & kOpen && !job_.value.compare_exchange_weak(job, job + 1, std::memory_order_acq_rel)) {
      }
      seen = job / kNumber;
      if (!(job & kOpen)) continue;
      draw(thread);
      job_.value.fetch_sub(1, std::memory_order_release);
    }
  }

  static thread_local bool inside_;
  std::vector<std::thread> workers_;
  std::mutex callers_, sleep_;
  std::condition_variable wake_;
  Task task_ = nullptr;
  void* state_ = nullptr;
  int hands_;
  int64_t ends_[kMostHands] = {};
  Line job_, sleepers_, next_[kMostHands];
};
thread_local bool Pool::inside_ = false;

std::atomic<Pool*> pool{nullptr};
std::mutex pool_mutex;
std::atomic<int> wanted{0};

// The child of a fork has no workers: it forgets the pool, whose memory stays as the parent left it, and makes its own.
// The mutex is held across the fork, so that the child does not inherit it locked by a thread that it does not have.
void forget_pool_on_fork() {
  pthread_atfork([] { pool_mutex.lock(); }, [] { pool_mutex.unlock(); },
                 [] {
                   pool.store(nullptr);
                   pool_mutex.unlock();
                 });
}

Pool& the_pool() {
  if (Pool* p = pool.load(std::memory_order_acquire)) return *p;
  static std::once_flag once;
  std::call_once(once, forget_pool_on_fork);
  std::lock_guard<std::mutex> lock(pool_mutex);
  if (!pool.load()) pool.store(new Pool(thread_count()), std::memory_order_release);
  return *pool.load();
}

}  // namespace

int thread_count() {
  int n = wanted.load();
  if (n == 0) wanted.store(n = default_threads());
  return n;
}

void set_thread_count(int threads) {
  std::lock_guard<std::mutex> lock(pool_mutex);
  wanted.store(threads < 1 ? 1 : threads);
  pool.store(nullptr);  // idle workers of the old pool sleep for good
}

void run_parallel(int64_t tasks, Task task, void* state) { the_pool().run(tasks, task, state); }

}  // namespace minimx
