// What `tch` lacks, as plain functions over numbers, strings and bytes.
// Every exception becomes a Rust `Result`; nothing here keeps state of its own.
#pragma once

#include <cstdint>
#include <exception>

#include <c10/util/Exception.h>

#include "rust/cxx.h"

namespace rust::behavior {

// Replaces cxx's default handler: a c10 error is reported without the C++
// backtrace that its `what()` carries.
template <typename Try, typename Fail>
static void trycatch(Try &&attempt, Fail &&fail) noexcept try {
  attempt();
} catch (const c10::Error &error) {
  fail(error.what_without_backtrace());
} catch (const std::exception &error) {
  fail(error.what());
}

} // namespace rust::behavior

namespace counterstain {

struct AllocatorFigures;

// Device types are passed as c10::DeviceType's numbers: 0 is the CPU, 1 is CUDA.
// Dtypes are passed as c10::ScalarType's numbers.

bool autocast_enabled(int32_t device_type);
int32_t autocast_dtype(int32_t device_type);
void autocast_set(int32_t device_type, bool enabled, int32_t dtype);
void autocast_enter();
void autocast_leave();

rust::String libtorch_version();
rust::String cpu_capability();
rust::String libtorch_cpu_path();
void load_globally(rust::Str path);

int32_t intra_op_threads();
void set_intra_op_threads(int32_t threads);
int32_t inter_op_threads();
void set_inter_op_threads(int32_t threads);

void set_deterministic(bool deterministic);
bool is_deterministic();

void seed_every_generator(uint64_t seed);
rust::Vec<uint8_t> generator_state(int32_t device_type, int32_t index);
void set_generator_state(int32_t device_type, int32_t index,
                         rust::Slice<const uint8_t> state);

AllocatorFigures cuda_allocator_figures(int32_t index);
void reset_cuda_peak(int32_t index);
int32_t cuda_compute_capability(int32_t index);

} // namespace counterstain
