//! `06_tf_image`: single augmentations against `tf.image` and TensorFlow Addons.

use anyhow::{Context as _, bail};
use counterstain_tile::Tile;
use counterstain_tile::augment::{
    JitterDraw, adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, color_drop, color_jitter,
    flip_left_right, flip_up_down, grayscale, rotate, solarize,
};
use counterstain_tile::resample::{Flips, Window, crop_resize};

use super::tiles::{float_tile, tensor};
use crate::Case;

/// White in the files: images are 0..255 throughout.
const MAXIMUM: f32 = 255.0;

/// Compares one operation.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let mut tile = float_tile(&case.input(case.text("input")?)?)?;
    if case.params().contains_key("input_slice") {
        let (width, height) = leading_slice(case.text("input_slice")?)?;
        tile = tile.crop(0, 0, width, height)?;
    }
    let number = |name: &str| anyhow::Ok(case.number(name)? as f32);
    let result = match case.text("op")? {
        "brightness" => changed(tile, adjust_brightness, number("delta")?),
        "contrast" => changed(tile, adjust_contrast, number("factor")?),
        "saturation" => changed(tile, adjust_saturation, number("factor")?),
        "hue" => changed(tile, adjust_hue, number("delta")?),
        "gray" => grayscale(&tile)?,
        "color_drop" => color_drop(&tile)?,
        "flip_lr" => flip_left_right(&tile),
        "flip_ud" => flip_up_down(&tile),
        "rotate" => rotate(&tile, number("angle")?),
        "crop_resize" => {
            let whole = |name: &str| anyhow::Ok(usize::try_from(case.integer(name)?)?);
            let window = Window {
                top: whole("top")?,
                left: whole("left")?,
                height: whole("height")?,
                width: whole("width")?,
            };
            let [out_height, out_width] = sizes(case, "out")?;
            crop_resize(&tile, &window, Flips::default(), out_width, out_height, 1.0)?
        }
        "official_solarize" => {
            solarize(&mut tile, number("threshold")?, MAXIMUM);
            tile
        }
        "official_color_jitter" => {
            let draw = JitterDraw {
                brightness: number("brightness")?,
                contrast: number("contrast")?,
                saturation: number("saturation")?,
                hue: number("hue")?,
            };
            color_jitter(&mut tile, &draw, MAXIMUM);
            tile
        }
        other => bail!("no implementation of operation {other}"),
    };
    let [output] = case.expected()[..] else { bail!("case {} must have one output", case.name()) };
    case.compare(output, &tensor(&result)?)
}

fn changed(mut tile: Tile<f32>, change: fn(&mut Tile<f32>, f32), amount: f32) -> Tile<f32> {
    change(&mut tile, amount);
    tile
}

/// A parameter that is a list of `N` whole numbers.
pub fn sizes<const N: usize>(case: &Case, name: &str) -> anyhow::Result<[usize; N]> {
    let list: Vec<usize> = serde_json::from_value(case.param(name)?.clone())
        .with_context(|| format!("{name} is not a list of sizes"))?;
    list.try_into().map_err(|_| anyhow::anyhow!("{name} must hold {N} sizes"))
}

/// Width and height of a slice written as `im[:HEIGHT,:WIDTH]`.
fn leading_slice(text: &str) -> anyhow::Result<(usize, usize)> {
    let parse = || {
        let (_, inner) = text.split_once("[:")?;
        let (height, width) = inner.strip_suffix(']')?.split_once(",:")?;
        Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
    };
    parse().with_context(|| format!("the slice {text} is not of the form im[:H,:W]"))
}
