#include "optim.h"

#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_reciprocal.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>

#include "counterstain-torch/src/optim/ffi.rs.h"

namespace counterstain {

// Shallow copies: they share storage with the tensors at the addresses.
static std::vector<at::Tensor> tensors(rust::Slice<const size_t> addresses) {
  std::vector<at::Tensor> list;
  list.reserve(addresses.size());
  for (size_t address : addresses) {
    list.push_back(*reinterpret_cast<const at::Tensor *>(address));
  }
  return list;
}

void fused_adam(rust::Slice<const size_t> parameters,
                rust::Slice<const size_t> gradients,
                rust::Slice<const size_t> means,
                rust::Slice<const size_t> squares,
                rust::Slice<const size_t> steps, const AdamNumbers &numbers) {
  auto p = tensors(parameters), g = tensors(gradients), m = tensors(means),
       v = tensors(squares), t = tensors(steps);
  at::_foreach_add_(t, 1);
  const auto &n = numbers;
  if (n.decoupled) {
    at::_fused_adamw_(p, g, m, v, {}, t, n.learning_rate, n.beta1, n.beta2,
                      n.weight_decay, n.epsilon, false, false);
  } else {
    at::_fused_adam_(p, g, m, v, {}, t, n.learning_rate, n.beta1, n.beta2,
                     n.weight_decay, n.epsilon, false, false);
  }
}

// Each gradient by itself: g *= most / max(|g|, most), without asking the
// device for a norm's value.
void clip_each_norm(rust::Slice<const size_t> gradients, double most) {
  auto g = tensors(gradients);
  auto factors = at::_foreach_norm(g, 2);
  at::_foreach_clamp_min_(factors, most);
  at::_foreach_reciprocal_(factors);
  at::_foreach_mul_(factors, most);
  at::_foreach_mul_(g, factors);
}

void add_scaled(rust::Slice<const size_t> targets,
                rust::Slice<const size_t> sources, double factor) {
  auto t = tensors(targets), s = tensors(sources);
  at::_foreach_add_(t, s, factor);
}

} // namespace counterstain
