// The emulated device's memory: closed to the host except while a launch or a copy runs.
#pragma once

namespace emulate {

// Opens the memory of the stream's device for as long as it lives. Outside, a host access to device memory faults, as
// it would with a GPU.
class OpenMemory {
 public:
  explicit OpenMemory(const void* stream);
  ~OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;

 private:
  const void* stream_;
};

}  // namespace emulate
