//! Tests on a tiny U-Net. Each step seeds libtorch's one generator, so they take turns
//! where they share a process.

use super::*;
use crate::engine::adversarial::Adversarial as _;
use crate::engine::images::ImageBatch;
use crate::engine::painter::{Painter, check_image};
use counterstain_model::{Norm, UNetConfig};
use counterstain_tile::Tile;
use counterstain_tile::random::Stream;
use std::sync::{Mutex, MutexGuard};

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // More threads than free cores wait for each other at every small layer.
    counterstain_torch::set_threads(1);
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn unet(depth: usize) -> UNetConfig {
    UNetConfig { in_channels: 3, out_channels: 3, depth, filters: 4, norm: Norm::Batch, dropout: true }
}

fn config(depth: usize) -> Pix2PixConfig {
    Pix2PixConfig {
        generator: GeneratorConfig::Unet(unet(depth)),
        discriminator_filters: 4,
        discriminator_layers: 2,
        gan_mode: GanMode::Vanilla,
        lambda_l1: 100.0,
        beta1: 0.5,
        dtype: Some(Kind::BFloat16),
        seed: 11,
    }
}

fn with_generator(generator: UNetConfig) -> Pix2PixConfig {
    Pix2PixConfig { generator: GeneratorConfig::Unet(generator), ..config(4) }
}

fn images(name: &str, side: usize, channels: usize, count: u64) -> Tensor {
    let mut batch = ImageBatch::new(side, side, channels);
    for index in 0..count {
        let mut random = Stream::new(1, name, &[index]);
        let (right, bottom) = (random.next_f32(), random.next_f32());
        let data = (0..side * side * channels).map(|place| {
            let (x, y) = (place / channels % side, place / channels / side);
            (128.0 + 90.0 * ((x as f32 * right).sin() * (y as f32 * bottom).cos())) as u8
        });
        batch.push(&Tile::new(side, side, channels, data.collect()).unwrap(), false, false).unwrap();
    }
    batch.to_tensor(Device::Cpu).unwrap()
}

fn run(model: &mut Pix2Pix, side: usize, steps: std::ops::Range<u64>) -> Vec<Losses> {
    steps
        .map(|step| {
            let condition = images("condition", side, 3, 2 + step % 2);
            let target = images("target", side, 3, 2 + step % 2);
            model.optimise(&condition, &target, 2e-4, 100 + step).unwrap().losses
        })
        .collect()
}

#[test]
fn a_resumed_run_gives_the_bytes_of_an_undisturbed_one() {
    let _turn = turn();
    // Six halvings are the fewest with dropout.
    let mut straight = Pix2Pix::new(config(6), Device::Cpu).unwrap();
    let losses = run(&mut straight, 64, 0..5);

    let mut first = Pix2Pix::new(config(6), Device::Cpu).unwrap();
    run(&mut first, 64, 0..2);
    let saved = first.save().unwrap();
    drop(first);
    let other_start = Pix2PixConfig { seed: 99, ..config(6) };
    let mut second = Pix2Pix::new(other_start, Device::Cpu).unwrap();
    second.restore(&saved, 2).unwrap();
    assert_eq!(second.step(), 2);
    let resumed = run(&mut second, 64, 2..5);

    assert_eq!(losses[2..], resumed);
    assert!(straight.save().unwrap() == second.save().unwrap());
    assert!(straight.weights().unwrap() == second.weights().unwrap());
}

#[test]
fn dropout_follows_its_seed() {
    let _turn = turn();
    let painted = |seed| {
        let mut model = Pix2Pix::new(config(6), Device::Cpu).unwrap();
        let condition = images("condition", 64, 3, 2);
        model.optimise(&condition, &condition, 2e-4, seed).unwrap().painted
    };
    assert_eq!(painted(3), painted(3));
    assert_ne!(painted(3), painted(4));
}

#[test]
fn training_on_a_pair_brings_the_painting_near_the_target() {
    let _turn = turn();
    for gan_mode in [GanMode::Vanilla, GanMode::LeastSquares] {
        let mut model = Pix2Pix::new(Pix2PixConfig { gan_mode, ..config(3) }, Device::Cpu).unwrap();
        let condition = images("condition", 16, 3, 2);
        let target = images("target", 16, 3, 2);
        let losses: Vec<f64> =
            (0..60).map(|step| model.optimise(&condition, &target, 5e-3, step).unwrap().losses.l1).collect();
        assert!(losses[59] < 0.5 * losses[0], "from {} to {}", losses[0], losses[59]);
    }
}

#[test]
fn a_nan_ends_the_run_with_the_term_and_the_step_and_is_never_saved() {
    let _turn = turn();
    let mut model = Pix2Pix::new(config(4), Device::Cpu).unwrap();
    let condition = images("condition", 32, 3, 2);
    model.optimise(&condition, &condition, 2e-4, 0).unwrap();
    let damaged = &condition * f64::NAN;
    let error = model.optimise(&condition, &damaged, 2e-4, 1).unwrap_err();
    assert!(matches!(error, Error::NonFiniteLoss { term: "loss_d_real", step: 1, .. }), "{error}");
    assert!(matches!(model.save().unwrap_err(), Error::NonFiniteTensor { .. }));
    assert!(matches!(model.weights().unwrap_err(), Error::NonFiniteTensor { .. }));
}

#[test]
fn a_checkpoint_of_another_shape_is_refused_by_name() {
    let _turn = turn();
    let saved = Pix2Pix::new(config(4), Device::Cpu).unwrap().save().unwrap();
    let mut wider = Pix2Pix::new(with_generator(UNetConfig { filters: 8, ..unet(4) }), Device::Cpu).unwrap();
    let error = wider.restore(&saved, 1).unwrap_err();
    assert!(matches!(&error, Error::Checkpoint(text) if text.contains("model.model.0.weight")), "{error}");
    assert!(matches!(wider.restore(b"not a file", 1), Err(Error::Torch(_))));
}

#[test]
fn any_number_of_channels_is_painted() {
    let _turn = turn();
    for target_channels in [1, 2, 5] {
        let generator = UNetConfig { in_channels: 1, out_channels: target_channels as i64, ..unet(3) };
        let mut model = Pix2Pix::new(with_generator(generator), Device::Cpu).unwrap();
        let outcome = model
            .optimise(&images("condition", 32, 1, 2), &images("target", 32, target_channels, 2), 2e-4, 0)
            .unwrap();
        assert_eq!(outcome.painted.size(), [2, target_channels as i64, 32, 32]);
    }
}

#[test]
fn a_painter_paints_each_tile_alike_whatever_its_batch() {
    let _turn = turn();
    let mut model = Pix2Pix::new(config(4), Device::Cpu).unwrap();
    run(&mut model, 32, 0..3);
    let weights = model.weights().unwrap().0;
    let painter = Painter::new(model.config.generator, None, &weights, Device::Cpu, None).unwrap();
    let tile = |value: u8| Tile::filled(32, 48, 3, value);
    let mut alone = ImageBatch::new(32, 48, 3);
    alone.push(&tile(40), false, false).unwrap();
    let mut together = alone.clone();
    together.push(&tile(200), false, false).unwrap();
    let (alone, together) = (painter.paint(&alone).unwrap(), painter.paint(&together).unwrap());
    assert_eq!((together.len(), together[0].width, together[0].height), (2, 32, 48));
    let apart = alone[0].data.iter().zip(&together[0].data).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(apart <= Some(1));
    assert_ne!(together[0], together[1]);
}

#[test]
fn a_painter_refuses_what_does_not_fit() {
    let _turn = turn();
    let model = Pix2Pix::new(config(4), Device::Cpu).unwrap();
    let weights = model.weights().unwrap().0;
    let deeper = GeneratorConfig::Unet(unet(5));
    let error = Painter::new(deeper, None, &weights, Device::Cpu, None).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
    let painter = Painter::new(model.config.generator, None, &weights, Device::Cpu, None).unwrap();
    let error = check_image(&painter.config(), &Tile::filled(40, 32, 3, 0)).unwrap_err().to_string();
    assert!(error.contains("40x32 px") && error.contains("16"), "{error}");
    assert!(check_image(&painter.config(), &Tile::filled(32, 32, 1, 0)).is_err());
}
