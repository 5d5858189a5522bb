// libtorch's fused optimiser kernels, which `tch` does not wrap.
#pragma once

#include <cstddef>

#include "shim.h"

namespace counterstain {

struct AdamNumbers;

// Tensors are passed as addresses of at::Tensor objects that stay alive during
// the call; lists are parallel.
void fused_adam(rust::Slice<const size_t> parameters,
                rust::Slice<const size_t> gradients,
                rust::Slice<const size_t> means,
                rust::Slice<const size_t> squares,
                rust::Slice<const size_t> steps, const AdamNumbers &numbers);

void clip_each_norm(rust::Slice<const size_t> gradients, double most);

void add_scaled(rust::Slice<const size_t> targets,
                rust::Slice<const size_t> sources, double factor);

} // namespace counterstain
