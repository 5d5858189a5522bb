//! `05_nuclei_metrics`: Dice, AJI, AJI+, PQ, relabelling and pairing of centres
//! against HoVer-Net's evaluation code.

use counterstain_evaluation::engine::metrics::nuclei::{
    Overlaps, PanopticQuality, dice, pair_centres, relabel,
};
use tch::{Kind, Tensor};

use super::helpers::{from_indices, indices, numbers};
use crate::Case;

/// Compares one case; the cases of one form are told apart by what they name.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    if case.has("remap/in") {
        remap(case)
    } else if case.has("pair/A") {
        pair(case)
    } else {
        segmentation(case)
    }
}

fn label_map(tensor: &Tensor) -> anyhow::Result<Vec<u32>> {
    Ok(indices(tensor)?.into_iter().map(|id| id as u32).collect())
}

fn triple(quality: &PanopticQuality) -> Tensor {
    Tensor::from_slice(&[quality.detection, quality.segmentation, quality.panoptic])
}

fn pairs(values: impl Iterator<Item = (i64, i64)>) -> Tensor {
    let flat: Vec<i64> = values.flat_map(|(a, b)| [a, b]).collect();
    Tensor::from_slice(&flat).reshape([-1, 2])
}

fn segmentation(case: &mut Case) -> anyhow::Result<()> {
    let name = case.name();
    let truth = label_map(&case.input(&format!("{name}/true"))?)?;
    let predicted = label_map(&case.input(&format!("{name}/pred"))?)?;
    let thresholds: Vec<f64> = serde_json::from_value(case.param("match_iou")?.clone())?;
    let [strict, loose] = thresholds[..] else {
        anyhow::bail!("two thresholds are expected, found {thresholds:?}")
    };
    let overlaps = Overlaps::new(&truth, &predicted)?;
    let quality = overlaps.panoptic_quality(strict)?;
    case.compare_number(&format!("{name}/aji"), overlaps.aji()?)?;
    case.compare_number(&format!("{name}/aji_plus"), overlaps.aji_plus()?)?;
    case.compare(&format!("{name}/dq_sq_pq"), &triple(&quality))?;
    let matched = quality.pairs.iter().map(|&(t, p)| (i64::from(t), i64::from(p)));
    case.compare(&format!("{name}/pairs"), &pairs(matched))?;
    let alone = [quality.unmatched_true.len(), quality.unmatched_predicted.len()];
    case.compare(&format!("{name}/n_unpaired_true_pred"), &from_indices(&alone))?;
    case.compare(&format!("{name}/dq_sq_pq_iou03"), &triple(&overlaps.panoptic_quality(loose)?))?;
    case.compare_number(&format!("{name}/dice1"), dice(&truth, &predicted)?)?;
    case.compare_number(&format!("{name}/dice2"), overlaps.ensemble_dice()?)?;
    case.compare_number(&format!("{name}/fast_dice2"), overlaps.ensemble_dice()?)
}

fn remap(case: &mut Case) -> anyhow::Result<()> {
    let input = case.input("remap/in")?;
    let map = label_map(&input)?;
    for (name, by_area) in [("remap/out", false), ("remap/out_by_size", true)] {
        let renamed: Vec<i32> = relabel(&map, by_area).into_iter().map(|id| id as i32).collect();
        case.compare(name, &Tensor::from_slice(&renamed).reshape(input.size()))?;
    }
    Ok(())
}

fn pair(case: &mut Case) -> anyhow::Result<()> {
    let mut points = |name: &str| -> anyhow::Result<Vec<[f64; 2]>> {
        let values = numbers(&case.input(name)?.to_kind(Kind::Double))?;
        Ok(values.chunks(2).map(|point| [point[0], point[1]]).collect())
    };
    let (first, second) = (points("pair/A")?, points("pair/B")?);
    let pairing = pair_centres(&first, &second, case.number("radius")?)?;
    case.compare("pair/pairing", &pairs(pairing.pairs.iter().map(|&(a, b)| (a as i64, b as i64))))?;
    case.compare("pair/unA", &from_indices(&pairing.alone_first))?;
    case.compare("pair/unB", &from_indices(&pairing.alone_second))
}
