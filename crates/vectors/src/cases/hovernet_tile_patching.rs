//! `04_hovernet_tile_patching`: padding and windows against the authors' `infer/tile.py`.

use counterstain_tile::nuclei::patching::Patching;
use tch::Tensor;

use super::tiles::{byte_tile, tensor};
use crate::Case;

/// Channels of the images that the reference pads.
const CHANNELS: i64 = 3;

/// Compares one case.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    let name = case.name();
    let whole = |key: &str| anyhow::Ok(usize::try_from(case.integer(key)?)?);
    let plan = Patching::plan(whole("w")?, whole("h")?, whole("win")?, whole("mask")?)?;
    let image = format!("{name}/im");
    if case.has(&image) {
        let padded = plan.pad(&byte_tile(&case.input(&image)?)?)?;
        case.compare(&format!("{name}/padded"), &tensor(&padded)?)?;
    }
    let shape = [plan.padded_height as i64, plan.padded_width as i64, CHANNELS];
    case.compare(&format!("{name}/padded_shape"), &Tensor::from_slice(&shape))?;
    let rows: Vec<i64> = plan
        .patches
        .iter()
        .flat_map(|patch| [patch.y, patch.x, patch.row, patch.column].map(|value| value as i64))
        .collect();
    case.compare(&format!("{name}/patch_info"), &Tensor::from_slice(&rows).f_reshape([-1, 4])?)?;
    let corner = [plan.top as i64, plan.left as i64];
    case.compare(&format!("{name}/src_top_corner"), &Tensor::from_slice(&corner))
}
