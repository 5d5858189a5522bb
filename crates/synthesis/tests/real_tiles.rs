//! pix2pix on real tiles: H&E to nucleus types, from `COUNTERSTAIN_DATA`.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use counterstain_model::{Norm, UNetConfig};
use counterstain_synthesis::engine::generator::GeneratorConfig;
use counterstain_synthesis::engine::images::ImageBatch;
use counterstain_synthesis::engine::loss::{self, GanMode};
use counterstain_synthesis::engine::pix2pix::{Pix2Pix, Pix2PixConfig};
use counterstain_tile::decode::{Limits, decode_labels, decode_rgb};
use counterstain_tile::palette::{NUCLEUS_TYPES, paint_types};
use counterstain_tile::resample::{downsample_area, majority};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// Pairs of 64 px at 10x, from fields of 256 px at 40x.
fn pairs(folder: &Path, count: usize) -> (Tensor, Tensor) {
    let mut images: Vec<PathBuf> =
        std::fs::read_dir(folder.join("Images")).unwrap().map(|entry| entry.unwrap().path()).collect();
    images.sort();
    let (mut condition, mut target) = (ImageBatch::new(64, 64, 3), ImageBatch::new(64, 64, 3));
    for image in images.iter().step_by(images.len() / count).take(count) {
        let stem = image.file_stem().unwrap().to_str().unwrap();
        let tissue = decode_rgb(&std::fs::read(image).unwrap(), &Limits::default()).unwrap();
        let types = std::fs::read(folder.join("Type").join(format!("{stem}.png"))).unwrap();
        let types = decode_labels(&types, &Limits::default()).unwrap();
        condition.push(&downsample_area(&tissue, 4).unwrap(), false, false).unwrap();
        target.push(&paint_types(&majority(&types, 4).unwrap(), &NUCLEUS_TYPES), false, false).unwrap();
    }
    (condition.to_tensor(Device::Cpu).unwrap(), target.to_tensor(Device::Cpu).unwrap())
}

fn l1(painted: &Tensor, target: &Tensor) -> f64 {
    f64::try_from(loss::l1(painted, target)).unwrap()
}

#[test]
fn a_generator_learns_to_place_nuclei_on_real_tissue() {
    let Some(data) = std::env::var_os("COUNTERSTAIN_DATA") else {
        println!("skipped: COUNTERSTAIN_DATA is not set");
        return;
    };
    let (condition, target) = pairs(&Path::new(&data).join("consep/Train"), 4);
    counterstain_torch::set_threads(1);
    let config = Pix2PixConfig {
        generator: GeneratorConfig::Unet(UNetConfig {
            in_channels: 3,
            out_channels: 3,
            depth: 4,
            filters: 16,
            norm: Norm::Batch,
            dropout: true,
        }),
        discriminator_filters: 16,
        discriminator_layers: 2,
        gan_mode: GanMode::Vanilla,
        lambda_l1: 100.0,
        beta1: 0.5,
        dtype: Some(Kind::BFloat16),
        seed: 1,
    };
    let mut model = Pix2Pix::new(config, Device::Cpu).unwrap();
    let mut painted = None;
    for step in 0..150 {
        painted = Some(model.optimise(&condition, &target, 2e-3, step).unwrap().painted);
    }
    // The best image that does not look at the tissue: each channel's median, which is black.
    let blind = l1(&target.full_like(-1.0), &target);
    let seeing = l1(&painted.unwrap(), &target);
    assert!(seeing < 0.7 * blind, "{seeing} is not much better than {blind}");
}
