//! The bridge to the C++ shim (`shim/shim.h`). Exceptions arrive as
//! [`cxx::Exception`]; no tensor crosses here, only numbers, text and bytes.
//!
//! Device types and dtypes are libtorch's own numbers (`c10::DeviceType`,
//! `c10::ScalarType`).

#[cxx::bridge(namespace = "counterstain")]
pub mod bridge {
    /// Bytes, as the CUDA caching allocator and the driver count them.
    #[derive(Debug, Clone, Copy)]
    struct AllocatorFigures {
        allocated: u64,
        allocated_peak: u64,
        reserved: u64,
        free: u64,
        total: u64,
    }

    unsafe extern "C++" {
        include!("shim.h");

        fn autocast_enabled(device_type: i32) -> Result<bool>;
        fn autocast_dtype(device_type: i32) -> Result<i32>;
        fn autocast_set(device_type: i32, enabled: bool, dtype: i32) -> Result<()>;
        fn autocast_enter() -> Result<()>;
        fn autocast_leave() -> Result<()>;

        fn libtorch_version() -> String;
        fn cpu_capability() -> Result<String>;
        fn libtorch_cpu_path() -> Result<String>;
        fn load_globally(path: &str) -> Result<()>;

        fn intra_op_threads() -> Result<i32>;
        fn set_intra_op_threads(threads: i32) -> Result<()>;
        fn inter_op_threads() -> Result<i32>;
        fn set_inter_op_threads(threads: i32) -> Result<()>;

        fn set_deterministic(deterministic: bool) -> Result<()>;
        fn is_deterministic() -> Result<bool>;

        fn seed_every_generator(seed: u64) -> Result<()>;
        fn generator_state(device_type: i32, index: i32) -> Result<Vec<u8>>;
        fn set_generator_state(device_type: i32, index: i32, state: &[u8]) -> Result<()>;

        fn cuda_allocator_figures(index: i32) -> Result<AllocatorFigures>;
        fn reset_cuda_peak(index: i32) -> Result<()>;
        fn cuda_compute_capability(index: i32) -> Result<i32>;
    }
}

/// libtorch's numbers for a device: its type and its index (0 on the CPU).
///
/// # Panics
/// For a device this project does not compute on (MPS, Vulkan).
pub fn device_numbers(device: tch::Device) -> (i32, i32) {
    match device {
        tch::Device::Cpu => (0, 0),
        tch::Device::Cuda(index) => (1, i32::try_from(index).unwrap_or(i32::MAX)),
        other => panic!("{other:?} is neither the CPU nor a CUDA device"),
    }
}
