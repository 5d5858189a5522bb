//! Memory figures of a device, for progress reports and benchmarks.

use crate::error::Error;
use crate::ffi::{bridge, device_numbers};
use serde::Serialize;
use tch::Device;

/// Bytes in use on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryFigures {
    /// CUDA: bytes in live tensors. CPU: the resident memory of the whole process.
    pub used: u64,
    /// The highest value of `used` so far.
    pub peak: u64,
    /// CUDA: bytes the allocator holds, free blocks included. CPU: equal to `used`.
    pub reserved: u64,
    /// Bytes that the device (the machine, on the CPU) could still give.
    pub free: u64,
    /// Bytes that the device has.
    pub total: u64,
}

/// Reads the memory figures of `device`.
///
/// # Errors
/// When there is no such device, or `/proc` cannot be read.
pub fn memory(device: Device) -> Result<MemoryFigures, Error> {
    if device == Device::Cpu {
        return process_memory();
    }
    let (_, index) = device_numbers(device);
    let figures = bridge::cuda_allocator_figures(index)?;
    Ok(MemoryFigures {
        used: figures.allocated,
        peak: figures.allocated_peak,
        reserved: figures.reserved,
        free: figures.free,
        total: figures.total,
    })
}

/// Starts the peak anew on a CUDA device. The CPU's peak is the process's and stays.
///
/// # Errors
/// When there is no such device.
pub fn reset_peak(device: Device) -> Result<(), Error> {
    match device_numbers(device) {
        (0, _) => Ok(()),
        (_, index) => Ok(bridge::reset_cuda_peak(index)?),
    }
}

fn process_memory() -> Result<MemoryFigures, Error> {
    let status = read("/proc/self/status")?;
    let machine = read("/proc/meminfo")?;
    let used = kibibytes(&status, "VmRSS:")?;
    Ok(MemoryFigures {
        used,
        peak: kibibytes(&status, "VmHWM:")?,
        reserved: used,
        free: kibibytes(&machine, "MemAvailable:")?,
        total: kibibytes(&machine, "MemTotal:")?,
    })
}

fn read(path: &str) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| Error::Libtorch(format!("cannot read {path}: {error}")))
}

/// The bytes in a line such as `VmRSS:      1234 kB`.
fn kibibytes(text: &str, label: &str) -> Result<u64, Error> {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| Error::Libtorch(format!("no memory figure `{label}` in /proc")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    fn the_figures_of_the_cpu_are_consistent_and_see_a_large_tensor() {
        let before = memory(Device::Cpu).expect("Linux");
        let large = Tensor::ones([32 << 20], (Kind::Float, Device::Cpu));
        let after = memory(Device::Cpu).expect("Linux");
        assert_eq!(large.numel(), 32 << 20);
        assert!(after.used >= before.used + (100 << 20), "{before:?} {after:?}");
        assert!(after.peak >= after.used && after.total > after.used);
    }

    #[test]
    fn a_cuda_device_that_is_not_there_is_an_error() {
        crate::load_cuda();
        if !tch::Cuda::is_available() {
            assert!(memory(Device::Cuda(0)).is_err());
        }
    }
}
