//! What `tch` lacks: autocast with a device and a dtype, loading libtorch_cuda,
//! generator state, deterministic algorithms, thread counts, memory figures,
//! libtorch's errors as errors, and named tensors as safetensors.
//!
//! The foreign functions are in a small C++ shim (`shim/`), each wrapped once;
//! this is the only crate that may hold `unsafe`.

pub mod autocast;
pub mod cuda;
pub mod device;
mod error;
mod ffi;
pub mod generator;
pub mod guard;
pub mod layout;
pub mod memory;
pub mod named;
pub mod optim;
pub mod scale;
pub mod settings;

pub use autocast::{autocast, current_autocast};
pub use cuda::{CudaLibrary, libtorch_folder, load_cuda};
pub use device::{DeviceChoice, device_class};
pub use error::Error;
pub use generator::{generator_state, manual_seed, set_generator_state};
pub use guard::guard;
pub use layout::{channels_last, is_channels_last};
pub use memory::{MemoryFigures, memory, reset_peak};
pub use named::{NamedTensors, from_safetensors, to_safetensors};
pub use scale::LossScale;
pub use settings::{
    cpu_capability, deterministic, inter_op_threads, is_deterministic, libtorch_version,
    set_inter_op_threads, set_threads, threads,
};
