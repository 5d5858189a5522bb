//! `06_stain`: stain separation and normalisation against scikit-image and torchstain.

use anyhow::{Context as _, bail};
use counterstain_tile::stain::{hed, macenko, reinhard};
use tch::Tensor;

use super::tiles::{byte_tile, tensor};
use crate::Case;

/// Compares one case.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    match case.name() {
        "macenko_fit" => macenko_fit(case),
        "macenko_default" => macenko_default(case),
        "reinhard" => reinhard_fit(case),
        name => match name.strip_prefix("hed_") {
            Some(image) => separation(case, image),
            None => bail!("no implementation of case {name}"),
        },
    }
}

fn matrix<const ROWS: usize, const COLUMNS: usize>(rows: &[[f64; COLUMNS]; ROWS]) -> anyhow::Result<Tensor> {
    Ok(Tensor::from_slice(rows.as_flattened()).f_reshape([ROWS as i64, COLUMNS as i64])?)
}

fn separation(case: &mut Case, image: &str) -> anyhow::Result<()> {
    let tile = byte_tile(&case.input(image)?)?;
    let scale: [f64; 3] = serde_json::from_value(case.param("scale")?.clone()).context("scale")?;
    let mut stains = hed::rgb_to_hed(&tile)?;
    case.compare("hed_from_rgb", &matrix(&hed::hed_from_rgb())?)?;
    case.compare("rgb_from_hed", &matrix(&hed::RGB_FROM_HED)?)?;
    case.compare(&format!("{image}/hed"), &tensor(&stains)?)?;
    for pixel in stains.data.chunks_exact_mut(3) {
        for (amount, factor) in pixel.iter_mut().zip(scale) {
            *amount *= factor;
        }
    }
    case.compare(&format!("{image}/hed2rgb_scaled"), &tensor(&hed::hed_to_rgb(&stains)?)?)
}

fn parameters(case: &Case) -> anyhow::Result<macenko::Parameters> {
    Ok(macenko::Parameters {
        transmitted: case.number("Io")?,
        alpha: case.number("alpha")?,
        beta: case.number("beta")?,
    })
}

fn macenko_fit(case: &mut Case) -> anyhow::Result<()> {
    let parameters = parameters(case)?;
    let target = macenko::estimate(&byte_tile(&case.input("target")?)?, &parameters)?;
    let source = byte_tile(&case.input("source")?)?;
    let own = macenko::estimate(&source, &parameters)?;
    let normalized = macenko::normalize(&source, &target, &parameters)?;
    case.compare("macenko/HERef", &matrix(&target.vectors)?)?;
    case.compare("macenko/maxCRef", &Tensor::from_slice(&target.strongest))?;
    case.compare("macenko/HE_source", &matrix(&own.vectors)?)?;
    case.compare("macenko/maxC_source", &Tensor::from_slice(&own.strongest))?;
    compare_bytes(case, "macenko/norm", &normalized.image)?;
    compare_bytes(case, "macenko/H", &normalized.hematoxylin)?;
    compare_bytes(case, "macenko/E", &normalized.eosin)
}

fn macenko_default(case: &mut Case) -> anyhow::Result<()> {
    let parameters = parameters(case)?;
    let source = byte_tile(&case.input("source")?)?;
    let target = macenko::Stains::REFERENCE;
    case.compare("macenko/default_HERef", &matrix(&target.vectors)?)?;
    case.compare("macenko/default_maxCRef", &Tensor::from_slice(&target.strongest))?;
    compare_bytes(case, "macenko/norm_default_ref", &macenko::normalize(&source, &target, &parameters)?.image)
}

fn reinhard_fit(case: &mut Case) -> anyhow::Result<()> {
    let target = reinhard::fit(&byte_tile(&case.input("target")?)?)?;
    let source = byte_tile(&case.input("source")?)?;
    case.compare("reinhard/target_means", &Tensor::from_slice(&target.means))?;
    case.compare("reinhard/target_stds", &Tensor::from_slice(&target.deviations))?;
    compare_bytes(case, "reinhard/norm", &reinhard::normalize(&source, &target)?)
}

/// Bytes that were computed in double precision.
fn compare_bytes(case: &mut Case, name: &str, tile: &counterstain_tile::Tile<u8>) -> anyhow::Result<()> {
    case.compare_computed_in(name, &tensor(tile)?, crate::ComputedIn::F64)
}
