// What programs leave behind while the profiler is on: when each call began and ended.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace minimx {

struct Device;

// What is known about a call before it runs.
struct Note {
  std::string kernel;
  std::string op;        // the operators it stands for
  std::string node;      // the layers it comes from
  std::string operands;  // dtypes and shapes
  int64_t bytes = 0;     // read and written
};

struct Event {
  std::shared_ptr<const Note> note;
  const Device* device;
  int64_t begin, end;  // nanoseconds of the steady clock
  uint64_t thread;
  bool eager;
  int64_t memory;  // bytes of the device's pool in use afterwards
};

enum Profiled : int { kProfileBound = 1, kProfileEager = 2 };
extern std::atomic<int> profiled;  // which programs are timed; 0: none, and then this one load is all that it costs

int64_t steady_nanoseconds();
uint64_t thread_number();
void keep_event(Event event);
// What was kept since the last time, and how many events did not fit any more.
std::vector<Event> take_events(int64_t* lost);

}  // namespace minimx
