#include "profile.h"

#include <pthread.h>

#include <chrono>
#include <mutex>

namespace minimx {

std::atomic<int> profiled{0};

namespace {

constexpr size_t kMostEvents = size_t{1} << 20;

struct Events {
  std::mutex mutex;
  std::vector<Event> kept;
  int64_t lost = 0;
};

Events& events() {
  static auto& all = *new Events;
  return all;
}

}  // namespace

int64_t steady_nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

uint64_t thread_number() { return (uint64_t)pthread_self(); }  // an integer on Linux, a pointer elsewhere

void keep_event(Event event) {
  Events& all = events();
  std::lock_guard<std::mutex> lock(all.mutex);
  if (all.kept.size() < kMostEvents)
    all.kept.push_back(std::move(event));
  else
    ++all.lost;
}

std::vector<Event> take_events(int64_t* lost) {
  Events& all = events();
  std::vector<Event> taken;
  std::lock_guard<std::mutex> lock(all.mutex);
  taken.swap(all.kept);
  *lost = all.lost;
  all.lost = 0;
  return taken;
}

}  // namespace minimx
