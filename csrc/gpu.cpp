// Finds the gpu devices of this process at first use: emulated ones where MINIMX_EMULATE asks for them, else those that
// the CUDA half of the package (a shared object beside this one, built where nvcc was) sees. None is no error.
#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "device.h"

namespace minimx {

namespace {

Gpu cuda_gpu() {
  Dl_info self;
  if (!dladdr(reinterpret_cast<void*>(&gpu), &self)) return {};
  std::string path = self.dli_fname;
  const size_t name = path.rfind("_core");  // _cuda has the same suffix
  if (name == std::string::npos) return {};
  void* object = dlopen(path.replace(name, 5, "_cuda").c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!object) return {};
  const auto open = reinterpret_cast<void (*)(Gpu*)>(dlsym(object, "minimx_open_cuda"));
  Gpu found{};
  if (open) open(&found);
  return found;
}

Gpu find_gpu() {
  const char* emulate = std::getenv("MINIMX_EMULATE");
  const int devices = emulate ? std::atoi(emulate) : 0;
  if (devices == 0) return cuda_gpu();
#ifdef MINIMX_NO_EMULATION
  throw std::invalid_argument("MINIMX_EMULATE is set, but this build has no emulated device");
#else
  return emulated_gpu(devices);
#endif
}

}  // namespace

const Gpu& gpu() {
  static const Gpu found = find_gpu();
  return found;
}

}  // namespace minimx
