//! `06_official_pipeline`: the preset `faithful` on recorded draws against the authors' code.

use anyhow::{bail, ensure};
use counterstain_tile::augment::{Augmentation, Draws, JitterDraw, apply_draws};
use counterstain_tile::resample::{Flips, Window};
use serde::Deserialize;

use super::tiles::{float_tile, tensor};
use crate::Case;

#[derive(Deserialize)]
struct Params {
    flip_lr: u8,
    flip_ud: u8,
    crop_top_left_h_w: [usize; 4],
    apply_background_rotate_solarize: [u8; 3],
    angle: f32,
    solarize_level: f32,
    jitter: [f32; 4],
    out: [usize; 2],
}

/// Compares one view.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let params: Params = case.params_as()?;
    let name = case.name();
    let image = float_tile(&case.input(&format!("{name}/im"))?)?;
    let [top, left, height, width] = params.crop_top_left_h_w;
    let [background, rotates, solarizes] = params.apply_background_rotate_solarize.map(|flag| flag != 0);
    let [brightness, contrast, saturation, hue] = params.jitter;
    let draws = Draws {
        flips: Flips { left_right: params.flip_lr != 0, up_down: params.flip_ud != 0 },
        window: Window { left, top, width, height },
        background,
        angle: rotates.then_some(params.angle),
        // The authors' level 0..10 stands for a threshold of 0..1.
        solarize: solarizes.then_some(params.solarize_level / 10.0),
        jitter: Some(JitterDraw { brightness, contrast, saturation, hue }),
    };
    let noise_name = format!("{name}/bg_noise");
    ensure!(case.has(&noise_name) == background, "case {name} needs {noise_name} exactly when it is used");
    let noise = if background { Some(float_tile(&case.input(&noise_name)?)?) } else { None };
    let [out_height, out_width] = params.out;
    let maximum = Augmentation::faithful().maximum;
    let view = apply_draws(&image, &draws, (out_width, out_height), 1.0, maximum, noise.as_ref())?;
    let [output] = case.expected()[..] else { bail!("case {name} must have one output") };
    case.compare(output, &tensor(&view)?)
}
