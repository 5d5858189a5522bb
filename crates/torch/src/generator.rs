//! libtorch's own random generators, of which this project uses only dropout's
//! draws. Their state is part of a checkpoint.

use crate::error::Error;
use crate::ffi::{bridge, device_numbers};
use tch::Device;

/// Seeds the CPU's generator and that of every CUDA device.
pub fn manual_seed(seed: u64) {
    bridge::seed_every_generator(seed).expect("seeding takes any number");
}

/// The state of the default generator of `device`: about 5 kB on the CPU, 16 bytes
/// on CUDA.
///
/// # Errors
/// When there is no such device.
pub fn generator_state(device: Device) -> Result<Vec<u8>, Error> {
    let (device_type, index) = device_numbers(device);
    Ok(bridge::generator_state(device_type, index)?)
}

/// Puts a state from [`generator_state`] back.
///
/// # Errors
/// When there is no such device, or the bytes are no state of its generator.
pub fn set_generator_state(device: Device, state: &[u8]) -> Result<(), Error> {
    let (device_type, index) = device_numbers(device);
    Ok(bridge::set_generator_state(device_type, index, state)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    fn draw() -> Vec<f32> {
        let ones = Tensor::ones([64], (Kind::Float, Device::Cpu));
        Vec::try_from(ones.dropout(0.5, true)).expect("f32 values")
    }

    #[test]
    fn dropout_repeats_from_a_saved_state() {
        manual_seed(3);
        draw();
        let state = generator_state(Device::Cpu).expect("the CPU has a generator");
        let first = draw();
        assert_ne!(first, draw());
        set_generator_state(Device::Cpu, &state).expect("its own state");
        assert_eq!(first, draw());
    }

    #[test]
    fn equal_seeds_draw_alike() {
        manual_seed(9);
        let first = draw();
        manual_seed(9);
        assert_eq!(first, draw());
    }

    #[test]
    fn a_state_of_the_wrong_length_is_refused() {
        assert!(matches!(set_generator_state(Device::Cpu, &[1, 2, 3]), Err(Error::Libtorch(_))));
    }
}
