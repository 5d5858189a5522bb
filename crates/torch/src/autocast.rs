//! Mixed precision: libtorch's autocast with a device and a dtype.
//!
//! `tch::autocast` covers CUDA only. Autocast is a state of the calling thread;
//! it is put back when the region ends, also by a panic. The outermost region
//! clears the cache of cast weights, since the next optimiser step changes them.

use crate::ffi::{bridge, device_numbers};
use tch::{Device, Kind};

/// Restores the thread's autocast state of one device type when dropped.
struct Region {
    device_type: i32,
    was_enabled: bool,
    previous_dtype: i32,
}

impl Region {
    fn enter(device: Device, dtype: Option<Kind>) -> Result<Self, cxx::Exception> {
        let (device_type, _) = device_numbers(device);
        let region = Self {
            device_type,
            was_enabled: bridge::autocast_enabled(device_type)?,
            previous_dtype: bridge::autocast_dtype(device_type)?,
        };
        let number = dtype.map_or(region.previous_dtype, scalar_type);
        bridge::autocast_set(device_type, dtype.is_some(), number)?;
        bridge::autocast_enter()?;
        Ok(region)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // These calls set thread-local flags; they cannot fail for a device type
        // that `enter` has already been through.
        let _ = bridge::autocast_leave();
        let _ = bridge::autocast_set(self.device_type, self.was_enabled, self.previous_dtype);
    }
}

/// Runs `f` with autocast on `device` in `dtype`: bf16 on the CPU, bf16 or f16 on
/// CUDA. `None` (or `Kind::Float`) computes in the tensors' own dtype, also inside
/// an outer autocast region.
///
/// With f16 the loss needs scaling: see [`crate::scale::LossScale`].
///
/// # Panics
/// For a dtype that is neither of these.
pub fn autocast<R>(device: Device, dtype: Option<Kind>, f: impl FnOnce() -> R) -> R {
    let dtype = match dtype {
        None | Some(Kind::Float) => None,
        Some(lower @ (Kind::BFloat16 | Kind::Half)) => Some(lower),
        Some(other) => panic!("autocast computes in bf16 or f16, not in {other:?}"),
    };
    let _region = Region::enter(device, dtype)
        .expect("the CPU and CUDA have autocast states, whether or not a GPU is there");
    f()
}

/// The dtype of the autocast region that the calling thread is in, if any.
pub fn current_autocast(device: Device) -> Option<Kind> {
    let (device_type, _) = device_numbers(device);
    let enabled = bridge::autocast_enabled(device_type).unwrap_or(false);
    let number = bridge::autocast_dtype(device_type).ok()?;
    [Kind::BFloat16, Kind::Half].into_iter().find(|kind| enabled && scalar_type(*kind) == number)
}

/// libtorch's number (`c10::ScalarType`) of an autocast dtype.
fn scalar_type(kind: Kind) -> i32 {
    if kind == Kind::BFloat16 { 15 } else { 5 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Tensor;

    fn product_kind() -> Kind {
        let a = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        a.matmul(&a).kind()
    }

    #[test]
    fn a_product_on_the_cpu_is_bf16_inside_the_region_only() {
        assert_eq!(product_kind(), Kind::Float);
        assert_eq!(autocast(Device::Cpu, Some(Kind::BFloat16), product_kind), Kind::BFloat16);
        assert_eq!(product_kind(), Kind::Float);
    }

    #[test]
    fn a_convolution_keeps_channels_last_and_gradients_stay_f32() {
        let image = Tensor::ones([2, 3, 8, 8], (Kind::Float, Device::Cpu));
        let image = crate::channels_last(&image);
        let weight = Tensor::ones([4, 3, 3, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let loss = autocast(Device::Cpu, Some(Kind::BFloat16), || {
            let out = image.conv2d(&weight, None::<Tensor>, 1, 1, 1, 1);
            assert_eq!(out.kind(), Kind::BFloat16);
            out.to_kind(Kind::Float).sum(Kind::Float)
        });
        loss.backward();
        assert_eq!(weight.grad().kind(), Kind::Float);
    }

    #[test]
    fn nested_regions_restore_the_outer_one() {
        autocast(Device::Cpu, Some(Kind::BFloat16), || {
            assert_eq!(autocast(Device::Cpu, None, product_kind), Kind::Float);
            assert_eq!(autocast(Device::Cpu, Some(Kind::Half), product_kind), Kind::Half);
            assert_eq!(current_autocast(Device::Cpu), Some(Kind::BFloat16));
            assert_eq!(product_kind(), Kind::BFloat16);
        });
        assert_eq!(current_autocast(Device::Cpu), None);
    }

    #[test]
    fn a_panic_inside_restores_the_state() {
        let outcome = crate::guard(|| -> Result<(), crate::Error> {
            autocast(Device::Cpu, Some(Kind::BFloat16), || panic!("on purpose"))
        });
        assert!(outcome.is_err());
        assert_eq!(product_kind(), Kind::Float);
        assert_eq!(current_autocast(Device::Cpu), None);
    }

    #[test]
    fn weights_changed_between_regions_are_seen() {
        let input = Tensor::ones([1, 2], (Kind::Float, Device::Cpu));
        let mut weight = Tensor::ones([1, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let forward = |weight: &Tensor| {
            autocast(Device::Cpu, Some(Kind::BFloat16), || {
                f64::try_from(input.linear(weight, None::<Tensor>).sum(Kind::Float))
            })
        };
        assert_eq!(forward(&weight).ok(), Some(2.0));
        tch::no_grad(|| {
            let _ = weight.fill_(3.0);
        });
        assert_eq!(forward(&weight).ok(), Some(6.0));
    }
}
