//! Measures training steps per second: `pace SIDE BATCH FILTERS DEPTH bf16|f32 [THREADS]`.

use counterstain_model::{Norm, UNetConfig};
use counterstain_synthesis::engine::generator::GeneratorConfig;
use counterstain_synthesis::engine::loss::GanMode;
use counterstain_synthesis::engine::pix2pix::{Pix2Pix, Pix2PixConfig};
use counterstain_torch::DeviceChoice;
use std::time::Instant;
use tch::{Kind, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: i64| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let (side, batch, filters, depth) = (number(0, 64)?, number(1, 8)?, number(2, 32)?, number(3, 5)?);
    let dtype = arguments.get(4).is_none_or(|text| text == "bf16").then_some(Kind::BFloat16);
    let device = DeviceChoice::Auto.resolve()?;
    counterstain_torch::set_threads(number(5, 2)? as usize);
    counterstain_torch::deterministic(true);
    let config = Pix2PixConfig {
        generator: GeneratorConfig::Unet(UNetConfig {
            in_channels: 3,
            out_channels: 3,
            depth: depth as usize,
            filters,
            norm: Norm::Batch,
            dropout: true,
        }),
        discriminator_filters: filters as u32,
        discriminator_layers: 3,
        gan_mode: GanMode::Vanilla,
        lambda_l1: 100.0,
        beta1: 0.5,
        dtype,
        seed: 0,
    };
    let mut model = Pix2Pix::new(config, device)?;
    let image = Tensor::linspace(-1.0, 1.0, batch * 3 * side * side, (Kind::Float, device));
    let image = image.view([batch, 3, side, side]);
    for step in 0..3 {
        model.optimise(&image, &image, 2e-4, step)?;
    }
    let start = Instant::now();
    let mut steps = 0;
    while start.elapsed().as_secs_f64() < 8.0 {
        model.optimise(&image, &image, 2e-4, steps)?;
        steps += 1;
    }
    let seconds = start.elapsed().as_secs_f64() / steps as f64;
    println!("{device:?} {dtype:?}: {:.1} ms a step, {:.1} samples/s", seconds * 1e3, batch as f64 / seconds);
    Ok(())
}
