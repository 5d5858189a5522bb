//! The `--device` choice and what it resolves to.

use crate::cuda::{CudaLibrary, load_cuda};
use crate::error::Error;
use crate::ffi::bridge;
use crate::settings::cpu_capability;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use tch::Device;

/// What an operator asks for: `auto`, `cpu`, `cuda` (the first device) or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device where there is one, otherwise the CPU.
    #[default]
    Auto,
    Cpu,
    Cuda(usize),
}

impl DeviceChoice {
    /// The device to compute on. Loads libtorch_cuda unless the CPU is asked for.
    ///
    /// # Errors
    /// When CUDA is asked for and cannot be had; the message says what was found.
    pub fn resolve(self) -> Result<Device, Error> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => Ok(choose_automatically(load_cuda())),
            Self::Cuda(index) => require_cuda(index, load_cuda()),
        }
    }
}

fn choose_automatically(library: &CudaLibrary) -> Device {
    match library {
        CudaLibrary::Loaded { devices } if *devices > 0 => Device::Cuda(0),
        CudaLibrary::Broken(reason) => {
            tracing::warn!(reason, "libtorch_cuda could not be loaded; computing on the CPU");
            Device::Cpu
        }
        _ => Device::Cpu,
    }
}

fn require_cuda(index: usize, library: &CudaLibrary) -> Result<Device, Error> {
    match library {
        CudaLibrary::Loaded { devices } if index < *devices => Ok(Device::Cuda(index)),
        CudaLibrary::Loaded { devices } if *devices > 0 => {
            Err(Error::NoSuchCudaDevice { asked: index, count: *devices })
        }
        other => Err(Error::NoCuda { asked: format!("cuda:{index}"), found: other.to_string() }),
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let index = text.strip_prefix("cuda:").and_then(|digits| digits.parse().ok());
                index.map(Self::Cuda).ok_or_else(|| Error::UnknownDevice(text.to_owned()))
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

/// The device class of a compute profile: what kind of hardware decides the last
/// bit. `cpu/avx512` or `cuda/sm_90`, for example.
pub fn device_class(device: Device) -> String {
    match device {
        Device::Cpu => format!("cpu/{}", cpu_capability()),
        Device::Cuda(index) => {
            let index = i32::try_from(index).unwrap_or(i32::MAX);
            match bridge::cuda_compute_capability(index) {
                Ok(capability) => format!("cuda/sm_{capability}"),
                Err(_) => "cuda/unknown".to_owned(),
            }
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn names_are_read_and_written() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(name.parse::<DeviceChoice>().expect("a device").to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().ok(), Some(DeviceChoice::Cuda(0)));
        for name in ["", "gpu", "cuda:", "cuda:-1", "CPU", "cuda:x"] {
            let error = name.parse::<DeviceChoice>().expect_err("no device").to_string();
            assert!(error.contains("auto, cpu, cuda or cuda:N"), "{error}");
        }
    }

    #[test]
    fn asking_for_cuda_where_there_is_none_says_what_was_found() {
        let absent = CudaLibrary::Absent(PathBuf::from("/lib/libtorch_cuda.so"));
        let error = require_cuda(1, &absent).expect_err("no CUDA").to_string();
        assert!(error.contains("cuda:1") && error.contains("/lib/libtorch_cuda.so"), "{error}");
        let error = require_cuda(0, &CudaLibrary::Loaded { devices: 0 }).expect_err("no GPU");
        assert!(error.to_string().contains("finds no GPU"), "{error}");
        let error = require_cuda(4, &CudaLibrary::Loaded { devices: 2 }).expect_err("only two");
        assert!(error.to_string().contains("has 2 CUDA device(s)"), "{error}");
    }

    #[test]
    fn auto_takes_a_gpu_only_where_there_is_one() {
        assert_eq!(choose_automatically(&CudaLibrary::Loaded { devices: 1 }), Device::Cuda(0));
        assert_eq!(choose_automatically(&CudaLibrary::Loaded { devices: 0 }), Device::Cpu);
        assert_eq!(choose_automatically(&CudaLibrary::Broken("cut".into())), Device::Cpu);
    }

    #[test]
    fn this_machine_resolves_every_choice_or_explains() {
        assert_eq!(DeviceChoice::Cpu.resolve().ok(), Some(Device::Cpu));
        let automatic = DeviceChoice::Auto.resolve().expect("auto always finds one");
        assert_eq!(automatic != Device::Cpu, tch::Cuda::is_available());
        match DeviceChoice::Cuda(0).resolve() {
            Ok(device) => assert!(device_class(device).starts_with("cuda/sm_")),
            Err(error) => assert!(error.to_string().contains("--device cpu"), "{error}"),
        }
        assert!(device_class(Device::Cpu).starts_with("cpu/"));
    }
}
