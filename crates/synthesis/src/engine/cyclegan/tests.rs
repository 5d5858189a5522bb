//! Tests on tiny networks. Each step seeds libtorch's one generator, so they take turns where they share a process.

use super::*;
use crate::engine::adversarial::Adversarial as _;
use counterstain_model::{Norm, ResNetGeneratorConfig};
use std::sync::{Mutex, MutexGuard};

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // More threads than free cores wait for each other at every small layer.
    counterstain_torch::set_threads(1);
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn config() -> CycleGanConfig {
    CycleGanConfig {
        generator: GeneratorConfig::Resnet(ResNetGeneratorConfig {
            in_channels: 3,
            out_channels: 3,
            blocks: 1,
            filters: 4,
            norm: Norm::Instance,
            dropout: true,
        }),
        discriminator_filters: 4,
        discriminator_layers: 2,
        gan_mode: GanMode::LeastSquares,
        lambda_a: 10.0,
        lambda_b: 10.0,
        lambda_identity: 0.5,
        pool_size: 3,
        beta1: 0.5,
        dtype: Some(Kind::BFloat16),
        seed: 4,
    }
}

fn images(name: &str, step: u64) -> Tensor {
    let mut random = Stream::new(2, name, &[step]);
    let values: Vec<f32> = (0..2 * 3 * 16 * 16).map(|_| random.uniform(-1.0, 1.0)).collect();
    Tensor::from_slice(&values).view([2, 3, 16, 16])
}

fn run(model: &mut CycleGan, steps: std::ops::Range<u64>) -> Vec<CycleLosses> {
    let step = |step| {
        let (a, b) = (images("a", step), images("b", step));
        model.optimise(&a, &b, 2e-4, 70 + step).unwrap().0
    };
    steps.map(step).collect()
}

#[test]
fn a_run_resumed_with_full_pools_gives_the_bytes_of_an_undisturbed_one() {
    let _turn = turn();
    let mut straight = CycleGan::new(config(), Device::Cpu, Kind::Float).unwrap();
    let losses = run(&mut straight, 0..6);
    assert_eq!(straight.pools[0].images().len(), 3);

    let mut first = CycleGan::new(config(), Device::Cpu, Kind::Float).unwrap();
    run(&mut first, 0..3);
    let saved = first.save().unwrap();
    drop(first);
    let mut second = CycleGan::new(config(), Device::Cpu, Kind::Float).unwrap();
    second.restore(&saved, 3).unwrap();
    assert_eq!(run(&mut second, 3..6), losses[3..]);
    assert!(straight.weights().unwrap() == second.weights().unwrap());
    assert!(straight.save().unwrap() == second.save().unwrap());
}

#[test]
fn both_directions_start_from_given_weights() {
    let _turn = turn();
    let mut trained = CycleGan::new(config(), Device::Cpu, Kind::Float).unwrap();
    run(&mut trained, 0..1);
    let (forward, reverse) = trained.weights().unwrap();
    let mut other = CycleGan::new(CycleGanConfig { seed: 9, ..config() }, Device::Cpu, Kind::Float).unwrap();
    other.start_from(&forward, reverse.as_deref()).unwrap();
    assert!(other.weights().unwrap() == (forward, reverse));
}

#[test]
fn domains_of_other_channels_need_no_identity_terms() {
    let _turn = turn();
    let GeneratorConfig::Resnet(resnet) = config().generator else { unreachable!() };
    let generator = GeneratorConfig::Resnet(ResNetGeneratorConfig { out_channels: 1, ..resnet });
    let error = CycleGan::new(CycleGanConfig { generator, ..config() }, Device::Cpu, Kind::Float);
    assert!(error.unwrap_err().to_string().contains("lambda_identity to 0"));
    let free = CycleGanConfig { generator, lambda_identity: 0.0, ..config() };
    let mut model = CycleGan::new(free, Device::Cpu, Kind::Float).unwrap();
    let grey = images("b", 0).narrow(1, 0, 1);
    let (losses, painted) = model.optimise(&images("a", 0), &grey, 2e-4, 0).unwrap();
    assert_eq!((losses.identity, painted.fake_b.size()[1], painted.fake_a.size()[1]), ([0.0; 2], 1, 3));
}

#[test]
fn a_pool_that_is_too_large_for_the_run_is_refused() {
    let _turn = turn();
    let mut model = CycleGan::new(config(), Device::Cpu, Kind::Float).unwrap();
    run(&mut model, 0..2);
    let saved = model.save().unwrap();
    let small = CycleGanConfig { pool_size: 1, ..config() };
    let error = CycleGan::new(small, Device::Cpu, Kind::Float).unwrap().restore(&saved, 2).unwrap_err();
    assert!(error.to_string().contains("a pool of 1 images has 3"), "{error}");
}
