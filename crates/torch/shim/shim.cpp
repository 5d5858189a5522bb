#include "shim.h"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <mutex>
#include <stdexcept>
#include <string>

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/headeronly/version.h>

#include "counterstain-torch/src/ffi.rs.h"

// Declared here because <ATen/autocast_mode.h> pulls in the whole operator
// library, which doubles the time to compile. A changed signature fails to link.
namespace at::autocast {
TORCH_API bool is_autocast_enabled(at::DeviceType device_type);
TORCH_API void set_autocast_enabled(at::DeviceType device_type, bool enabled);
TORCH_API at::ScalarType get_autocast_dtype(at::DeviceType device_type);
TORCH_API void set_autocast_dtype(at::DeviceType device_type, at::ScalarType dtype);
TORCH_API void clear_cache();
TORCH_API int increment_nesting();
TORCH_API int decrement_nesting();
} // namespace at::autocast

namespace counterstain {

namespace {

at::DeviceType device_type_of(int32_t device_type) {
  return static_cast<at::DeviceType>(device_type);
}

// The CPU has no index, a CUDA device has one.
at::Device device_of(int32_t device_type, int32_t index) {
  auto type = device_type_of(device_type);
  return type == at::kCPU ? at::Device(type)
                          : at::Device(type, static_cast<at::DeviceIndex>(index));
}

c10::DeviceAllocator *cuda_allocator(int32_t index) {
  // The allocator's tables exist only once CUDA has been initialised.
  at::globalContext().lazyInitDevice(at::kCUDA);
  if (index < 0 || index >= at::accelerator::deviceCount()) {
    throw std::out_of_range("there is no CUDA device " + std::to_string(index));
  }
  return at::getDeviceAllocator(at::kCUDA);
}

} // namespace

bool autocast_enabled(int32_t device_type) {
  return at::autocast::is_autocast_enabled(device_type_of(device_type));
}

int32_t autocast_dtype(int32_t device_type) {
  return static_cast<int32_t>(at::autocast::get_autocast_dtype(device_type_of(device_type)));
}

void autocast_set(int32_t device_type, bool enabled, int32_t dtype) {
  at::autocast::set_autocast_dtype(device_type_of(device_type),
                                   static_cast<at::ScalarType>(dtype));
  at::autocast::set_autocast_enabled(device_type_of(device_type), enabled);
}

void autocast_enter() { at::autocast::increment_nesting(); }

// Cached casts of the weights would go stale after the next optimiser step, so
// that the outermost region drops them.
void autocast_leave() {
  if (at::autocast::decrement_nesting() == 0) {
    at::autocast::clear_cache();
  }
}

rust::String libtorch_version() { return TORCH_VERSION; }

rust::String cpu_capability() { return at::get_cpu_capability(); }

rust::String libtorch_cpu_path() {
  Dl_info found;
  if (dladdr(reinterpret_cast<void *>(&at::get_cpu_capability), &found) == 0 ||
      found.dli_fname == nullptr) {
    throw std::runtime_error("the loader does not know where libtorch_cpu is");
  }
  return found.dli_fname;
}

void load_globally(rust::Str path) {
  std::string file(path.data(), path.size());
  if (dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char *reason = dlerror();
    throw std::runtime_error(reason != nullptr ? reason : "dlopen gave no reason");
  }
}

int32_t intra_op_threads() { return at::get_num_threads(); }

void set_intra_op_threads(int32_t threads) { at::set_num_threads(threads); }

int32_t inter_op_threads() { return static_cast<int32_t>(at::get_num_interop_threads()); }

void set_inter_op_threads(int32_t threads) { at::set_num_interop_threads(threads); }

void set_deterministic(bool deterministic) {
  if (deterministic) {
    // cuBLAS is repeatable only with a fixed workspace; it reads this once, when
    // its first handle is made. An operator's own value wins.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  }
  auto &context = at::globalContext();
  context.setDeterministicAlgorithms(deterministic, /*warn_only=*/false);
  // Filling fresh memory finds reads of uninitialised values; it costs time and
  // changes no result of a correct program.
  context.setDeterministicFillUninitializedMemory(false);
  context.setDeterministicCuDNN(deterministic);
  context.setDeterministicMkldnn(deterministic);
  context.setBenchmarkCuDNN(false);
}

bool is_deterministic() { return at::globalContext().deterministicAlgorithms(); }

void seed_every_generator(uint64_t seed) { at::manual_seed(seed); }

rust::Vec<uint8_t> generator_state(int32_t device_type, int32_t index) {
  auto generator = at::globalContext().defaultGenerator(device_of(device_type, index));
  at::Tensor state;
  {
    std::lock_guard<std::mutex> lock(generator.mutex());
    state = generator.get_state();
  }
  rust::Vec<uint8_t> bytes;
  auto length = static_cast<size_t>(state.numel());
  bytes.reserve(length);
  const auto *first = state.const_data_ptr<uint8_t>();
  for (size_t position = 0; position < length; ++position) {
    bytes.push_back(first[position]);
  }
  return bytes;
}

void set_generator_state(int32_t device_type, int32_t index,
                         rust::Slice<const uint8_t> state) {
  auto tensor = at::empty({static_cast<int64_t>(state.size())}, at::TensorOptions(at::kByte));
  std::memcpy(tensor.mutable_data_ptr<uint8_t>(), state.data(), state.size());
  auto generator = at::globalContext().defaultGenerator(device_of(device_type, index));
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(tensor);
}

AllocatorFigures cuda_allocator_figures(int32_t index) {
  auto *allocator = cuda_allocator(index);
  auto device = static_cast<c10::DeviceIndex>(index);
  auto stats = allocator->getDeviceStats(device);
  auto [free_bytes, total_bytes] = allocator->getMemoryInfo(device);
  // The first element of each figure sums over the pools.
  const auto &allocated = stats.allocated_bytes[0];
  const auto &reserved = stats.reserved_bytes[0];
  return AllocatorFigures{
      static_cast<uint64_t>(allocated.current), static_cast<uint64_t>(allocated.peak),
      static_cast<uint64_t>(reserved.current), static_cast<uint64_t>(free_bytes),
      static_cast<uint64_t>(total_bytes)};
}

void reset_cuda_peak(int32_t index) {
  cuda_allocator(index)->resetPeakStats(static_cast<c10::DeviceIndex>(index));
}

// The CUDA headers are not part of libtorch: the one function that is needed is
// looked up in the runtime that libtorch_cuda brought with it. 75 and 76 are
// cudaDevAttrComputeCapabilityMajor and cudaDevAttrComputeCapabilityMinor.
int32_t cuda_compute_capability(int32_t index) {
  using GetAttribute = int (*)(int *value, int attribute, int device);
  auto get_attribute =
      reinterpret_cast<GetAttribute>(dlsym(RTLD_DEFAULT, "cudaDeviceGetAttribute"));
  if (get_attribute == nullptr) {
    throw std::runtime_error("the CUDA runtime is not loaded");
  }
  int major = 0;
  int minor = 0;
  if (get_attribute(&major, 75, index) != 0 || get_attribute(&minor, 76, index) != 0) {
    throw std::runtime_error("the CUDA runtime does not know device " + std::to_string(index));
  }
  return major * 10 + minor;
}

} // namespace counterstain
