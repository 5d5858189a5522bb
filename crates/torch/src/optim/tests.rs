use proptest::prelude::*;
use tch::{Device, Kind};

use super::*;
use crate::named::{from_safetensors, to_safetensors};

fn every_kind() -> Vec<OptimizerConfig> {
    vec![
        OptimizerConfig::Adam(AdamConfig { weight_decay: 0.01, ..AdamConfig::default() }),
        OptimizerConfig::AdamW(AdamWConfig::default()),
        OptimizerConfig::KerasAdam(KerasAdamConfig::default()),
        OptimizerConfig::Lars(LarsConfig::default()),
        OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, weight_decay: 1e-4, nesterov: true }),
    ]
}

/// Deterministic numbers in [-1, 1).
fn numbers(shape: &[i64], salt: u64, device: Device) -> Tensor {
    let count: i64 = shape.iter().product();
    let value = |i: i64| {
        let mixed = (i as u64 + 1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(salt.wrapping_mul(0xD1B5_4A32_D192_ED03));
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / 8_388_608.0 - 1.0
    };
    let values: Vec<f32> = (0..count).map(value).collect();
    Tensor::from_slice(&values).view(shape).to_device(device)
}

fn parameters(device: Device) -> NamedTensors {
    let shapes: [(&str, &[i64]); 3] = [("a.weight", &[5, 4]), ("a.bias", &[5]), ("b.weight", &[2, 2, 3, 3])];
    let named = shapes.iter().enumerate().map(|(at, (name, shape))| {
        ((*name).to_owned(), numbers(shape, at as u64, device).set_requires_grad(true))
    });
    named.collect()
}

fn set_gradients(parameters: &NamedTensors, step: u64) {
    for (at, (_, parameter)) in parameters.iter().enumerate() {
        let target = numbers(&parameter.size(), 1000 * (step + 1) + at as u64, parameter.device());
        let mut gradient = parameter.grad();
        if gradient.defined() {
            let _ = tch::no_grad(|| gradient.zero_());
        }
        (parameter * &target).sum(parameter.kind()).backward();
    }
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1);
    Vec::<f32>::try_from(flat).expect("f32 values").into_iter().map(f32::to_bits).collect()
}

fn run(optimizer: &mut dyn Optimizer, parameters: &NamedTensors, steps: std::ops::Range<u64>) {
    for step in steps {
        set_gradients(parameters, step);
        optimizer.step(0.01);
    }
}

#[test]
fn a_restored_optimiser_goes_on_with_the_same_bits() {
    for config in every_kind() {
        let undisturbed = parameters(Device::Cpu);
        let mut optimizer = config.build(copies(&undisturbed));
        run(optimizer.as_mut(), &undisturbed, 0..8);

        let first = parameters(Device::Cpu);
        let mut optimizer = config.build(copies(&first));
        run(optimizer.as_mut(), &first, 0..3);
        let saved = to_safetensors(&optimizer.state()).expect("a serialisable state");
        let second: NamedTensors = first
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.detach().copy().set_requires_grad(true)))
            .collect();
        let mut resumed = config.build(copies(&second));
        resumed.load_state(&from_safetensors(&saved).expect("a state")).expect("a fitting state");
        run(resumed.as_mut(), &second, 3..8);
        for ((name, expected), (_, found)) in undisturbed.iter().zip(&second) {
            assert_eq!(bits(expected), bits(found), "{name} of {config:?}");
        }
        let (left, right) = (to_safetensors(&optimizer.state()), to_safetensors(&resumed.state()));
        assert_ne!(left.expect("a state"), right.expect("a state"), "five more steps must show");
    }
}

/// Handles to the same tensors.
fn copies(parameters: &NamedTensors) -> NamedTensors {
    parameters.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}

#[test]
fn a_state_moves_between_devices_with_the_same_bits() {
    let _ = crate::load_cuda();
    if !tch::Cuda::is_available() {
        println!("skipped: there is no CUDA device");
        return;
    }
    let device = Device::Cuda(0);
    for config in every_kind() {
        let on_cpu = parameters(Device::Cpu);
        let mut optimizer = config.build(copies(&on_cpu));
        run(optimizer.as_mut(), &on_cpu, 0..3);
        let state = optimizer.state();
        let mut there = config.build(copies(&parameters(device)));
        there.load_state(&state).expect("a state from the CPU");
        let mut back = config.build(copies(&parameters(Device::Cpu)));
        back.load_state(&there.state()).expect("a state from the device");
        assert_eq!(
            to_safetensors(&state).expect("bytes"),
            to_safetensors(&back.state()).expect("bytes"),
            "{config:?}"
        );
        let on_device = parameters(device);
        let mut optimizer = config.build(copies(&on_device));
        run(optimizer.as_mut(), &on_device, 0..2);
    }
}

#[test]
fn a_state_that_does_not_fit_changes_nothing_and_is_named() {
    for config in every_kind() {
        let tensors = parameters(Device::Cpu);
        let mut optimizer = config.build(copies(&tensors));
        run(optimizer.as_mut(), &tensors, 0..2);
        let before = to_safetensors(&optimizer.state()).expect("bytes");
        let state = optimizer.state();
        let mut missing = copies(&state);
        drop(missing.remove(0));
        let mut surplus = copies(&state);
        surplus.push(("m/ghost".to_owned(), numbers(&[1], 0, Device::Cpu)));
        let mut misshapen = copies(&state);
        misshapen[0].1 = numbers(&[7], 0, Device::Cpu);
        let mut twice = copies(&state);
        twice.push((state[0].0.clone(), state[0].1.shallow_clone()));
        for faulty in [missing, surplus, misshapen, twice] {
            let error = optimizer.load_state(&faulty).expect_err("a state that does not fit");
            assert!(matches!(error, Error::State(_)), "{error}");
        }
        assert_eq!(before, to_safetensors(&optimizer.state()).expect("bytes"));
    }
}

#[test]
fn a_parameter_without_gradient_is_left_alone() {
    for config in every_kind() {
        let tensors = parameters(Device::Cpu);
        let mut optimizer = config.build(copies(&tensors));
        (&tensors[0].1 * 1.5).sum(Kind::Float).backward();
        let before = bits(&tensors[1].1);
        optimizer.step(0.1);
        assert_eq!(before, bits(&tensors[1].1));
        assert_ne!(bits(&numbers(&[5, 4], 0, Device::Cpu)), bits(&tensors[0].1));
    }
}

#[test]
fn keras_adam_clips_each_variable_by_its_own_norm() {
    let tensors = parameters(Device::Cpu);
    let mut optimizer = KerasAdam::new(copies(&tensors), KerasAdamConfig::default());
    (&tensors[0].1 * 100.0).sum(Kind::Float).backward();
    (&tensors[1].1 * 0.01).sum(Kind::Float).backward();
    optimizer.step(0.0);
    let norm = |at: usize| tensors[at].1.grad().norm().double_value(&[]);
    assert!((norm(0) - 1.0).abs() < 1e-6);
    assert!((norm(1) - 0.01 * 5f64.sqrt()).abs() < 1e-8, "a small gradient keeps its size");
    optimizer.zero_grad();
    assert_eq!(norm(0), 0.0);
}

#[test]
fn memory_layouts_may_differ_between_a_parameter_its_gradient_and_its_state() {
    let update = |relay: [fn(&Tensor) -> Tensor; 2]| {
        let weight = |salt| numbers(&[4, 3, 2, 2], salt, Device::Cpu);
        let (parameter, gradient) = (relay[0](&weight(1)), relay[1](&weight(2)));
        let (mean, square, step) = (weight(3), weight(4).abs(), Tensor::from(3f32));
        let tensors = ffi::AdamTensors {
            parameters: vec![&parameter],
            gradients: vec![&gradient],
            means: vec![&mean],
            squares: vec![&square],
            steps: vec![&step],
        };
        let numbers = ffi::AdamNumbers {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            weight_decay: 0.0,
            epsilon: 1e-8,
            decoupled: false,
        };
        ffi::fused_adam(&tensors, numbers).expect("an update");
        [bits(&parameter), bits(&mean), bits(&square)]
    };
    let plain: fn(&Tensor) -> Tensor = Tensor::copy;
    let last: fn(&Tensor) -> Tensor = |tensor| crate::channels_last(tensor);
    let expected = update([plain, plain]);
    for layouts in [[last, plain], [plain, last], [last, last]] {
        assert_eq!(expected, update(layouts));
    }
}

proptest! {
    /// With no decay, the step of SGD is the gradient times the rate.
    #[test]
    fn plain_descent_follows_the_gradient(rate in 1e-4f64..1.0, slope in -3.0f64..3.0) {
        let parameter = numbers(&[4], 7, Device::Cpu).set_requires_grad(true);
        let before = parameter.detach().copy();
        (&parameter * slope).sum(Kind::Float).backward();
        let mut optimizer = Sgd::new(vec![("p".to_owned(), parameter.shallow_clone())], SgdConfig::default());
        optimizer.step(rate);
        let expected = before - rate * slope;
        prop_assert!(f64::try_from((parameter.detach() - expected).abs().max()).expect("a number") < 1e-6);
    }

    /// Adam's first step has the size of the learning rate, whatever the gradient.
    #[test]
    fn the_first_step_of_adam_has_the_size_of_the_rate(rate in 1e-4f64..1e-1, slope in prop_oneof![-1e3f64..-1e-3, 1e-3f64..1e3]) {
        let parameter = Tensor::zeros([3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        (&parameter * slope).sum(Kind::Float).backward();
        let mut optimizer = Adam::new(vec![("p".to_owned(), parameter.shallow_clone())], AdamConfig::default());
        optimizer.step(rate);
        let moved = parameter.detach().abs().mean(Kind::Float).double_value(&[]);
        prop_assert!((moved / rate - 1.0).abs() < 1e-3);
    }
}
