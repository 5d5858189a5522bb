//! How well a segmentation of nuclei matches the truth: Dice, aggregated Jaccard,
//! panoptic quality, pairing of centres.
//!
//! Definitions, including the small constants, are those of HoVer-Net's evaluation
//! code (Graham et al. 2019; Kumar et al. 2017 for AJI, Kirillov et al. 2019 for PQ).
//! Label maps are row-major with 0 as background; ids need not be contiguous. Only
//! pairs that overlap are kept, so the cost is one pass over the pixels.

use std::collections::BTreeMap;

use crate::engine::assignment;
use crate::engine::error::{Error, Result, invalid, same_length, undefined};

/// Added to the union where AJI compares overlaps.
const AJI_EPSILON: f64 = 1e-6;
/// Added to the number of matches in the segmentation quality.
const QUALITY_EPSILON: f64 = 1e-6;

/// Which instances of two label maps overlap, and by how much.
#[derive(Debug, Clone)]
pub struct Overlaps {
    true_ids: Vec<u32>,
    predicted_ids: Vec<u32>,
    true_areas: Vec<u64>,
    predicted_areas: Vec<u64>,
    /// (true, predicted) positions and the common pixels, in that order.
    pairs: Vec<(usize, usize, u64)>,
}

fn ids(map: &[u32]) -> (Vec<u32>, Vec<u64>) {
    let mut areas = BTreeMap::new();
    map.iter().filter(|&&id| id != 0).for_each(|&id| *areas.entry(id).or_insert(0_u64) += 1);
    areas.into_iter().unzip()
}

impl Overlaps {
    /// Counts the pixels that each true and each predicted instance share.
    ///
    /// # Errors
    /// When the maps differ in size.
    pub fn new(truth: &[u32], predicted: &[u32]) -> Result<Self> {
        same_length("the predicted map", truth.len(), predicted.len())?;
        let (true_ids, true_areas) = ids(truth);
        let (predicted_ids, predicted_areas) = ids(predicted);
        let mut common = BTreeMap::new();
        for (&t, &p) in truth.iter().zip(predicted) {
            if t != 0 && p != 0 {
                *common.entry((t, p)).or_insert(0_u64) += 1;
            }
        }
        let position = |ids: &[u32], id: u32| ids.partition_point(|&other| other < id);
        let pairs = common
            .into_iter()
            .map(|((t, p), pixels)| (position(&true_ids, t), position(&predicted_ids, p), pixels))
            .collect();
        Ok(Self { true_ids, predicted_ids, true_areas, predicted_areas, pairs })
    }

    fn union(&self, (t, p, common): (usize, usize, u64)) -> u64 {
        self.true_areas[t] + self.predicted_areas[p] - common
    }

    /// Dice of overlapping instances: `2 Σ common / Σ (areas of both)` over all pairs
    /// that share a pixel.
    ///
    /// # Errors
    /// When no instances overlap.
    pub fn ensemble_dice(&self) -> Result<f64> {
        let (mut common, mut areas) = (0, 0);
        for &(t, p, pixels) in &self.pairs {
            common += pixels;
            areas += self.true_areas[t] + self.predicted_areas[p];
        }
        if areas == 0 {
            return Err(undefined("ensemble Dice", "no instances overlap"));
        }
        Ok(2.0 * common as f64 / areas as f64)
    }

    /// Common pixels over union of the chosen pairs, with every instance that is in no
    /// pair added to the union.
    fn aggregate(&self, chosen: &[(usize, usize, u64)]) -> Result<f64> {
        let (mut common, mut union) = (0, 0);
        let mut true_paired = vec![false; self.true_ids.len()];
        let mut predicted_paired = vec![false; self.predicted_ids.len()];
        for &pair in chosen {
            common += pair.2;
            union += self.union(pair);
            true_paired[pair.0] = true;
            predicted_paired[pair.1] = true;
        }
        let alone = |areas: &[u64], paired: &[bool]| -> u64 {
            areas.iter().zip(paired).filter(|(_, paired)| !**paired).map(|(area, _)| area).sum()
        };
        union += alone(&self.true_areas, &true_paired) + alone(&self.predicted_areas, &predicted_paired);
        if union == 0 {
            return Err(undefined("the aggregated Jaccard index", "neither map has an instance"));
        }
        Ok(common as f64 / union as f64)
    }

    /// Aggregated Jaccard index: each true instance takes the prediction of highest
    /// overlap, even one that another has taken.
    ///
    /// # Errors
    /// When neither map has an instance.
    pub fn aji(&self) -> Result<f64> {
        let mut best: BTreeMap<usize, ((usize, usize, u64), f64)> = BTreeMap::new();
        for &pair in &self.pairs {
            let overlap = pair.2 as f64 / (self.union(pair) as f64 + AJI_EPSILON);
            let entry = best.entry(pair.0).or_insert((pair, overlap));
            // Pairs come by rising prediction, so the first of equal ones stays.
            if overlap > entry.1 {
                *entry = (pair, overlap);
            }
        }
        let chosen: Vec<_> = best.into_values().map(|(pair, _)| pair).collect();
        self.aggregate(&chosen)
    }

    /// AJI+: as AJI, with each prediction used once (the assignment of highest total
    /// overlap).
    ///
    /// # Errors
    /// When neither map has an instance.
    pub fn aji_plus(&self) -> Result<f64> {
        self.aggregate(&self.assign(AJI_EPSILON))
    }

    /// The overlapping pairs of the assignment of highest total overlap.
    fn assign(&self, epsilon: f64) -> Vec<(usize, usize, u64)> {
        let (rows, columns) = (self.true_ids.len(), self.predicted_ids.len());
        let mut cost = vec![0.0; rows * columns];
        for &pair in &self.pairs {
            cost[pair.0 * columns + pair.1] = -(pair.2 as f64 / (self.union(pair) as f64 + epsilon));
        }
        let assigned = assignment::minimise(&cost, rows, columns);
        self.pairs.iter().copied().filter(|pair| assigned[pair.0] == Some(pair.1)).collect()
    }

    /// Panoptic quality with matches of IoU above `threshold` (0..1). From 0.5 up, a
    /// match is unique by itself; below, the assignment of highest total IoU decides.
    ///
    /// # Errors
    /// When the threshold is outside 0..1, or neither map has an instance.
    pub fn panoptic_quality(&self, threshold: f64) -> Result<PanopticQuality> {
        if !(0.0..1.0).contains(&threshold) {
            return Err(invalid("IoU threshold", format!("{threshold} is outside 0..1")));
        }
        let candidates = if threshold >= 0.5 { self.pairs.clone() } else { self.assign(0.0) };
        let matches: Vec<(usize, usize, f64)> = candidates
            .into_iter()
            .map(|pair| (pair.0, pair.1, pair.2 as f64 / self.union(pair) as f64))
            .filter(|&(_, _, iou)| iou > threshold)
            .collect();
        let hits = matches.len() as f64;
        let unmatched_true: Vec<u32> = unmatched(&self.true_ids, matches.iter().map(|pair| pair.0));
        let unmatched_predicted: Vec<u32> = unmatched(&self.predicted_ids, matches.iter().map(|pair| pair.1));
        let weight = hits + 0.5 * (unmatched_true.len() + unmatched_predicted.len()) as f64;
        if weight == 0.0 {
            return Err(undefined("panoptic quality", "neither map has an instance"));
        }
        let detection = hits / weight;
        let segmentation = matches.iter().map(|pair| pair.2).sum::<f64>() / (hits + QUALITY_EPSILON);
        Ok(PanopticQuality {
            detection,
            segmentation,
            panoptic: detection * segmentation,
            pairs: matches.iter().map(|&(t, p, _)| (self.true_ids[t], self.predicted_ids[p])).collect(),
            unmatched_true,
            unmatched_predicted,
        })
    }
}

fn unmatched(ids: &[u32], matched: impl Iterator<Item = usize>) -> Vec<u32> {
    let mut taken = vec![false; ids.len()];
    matched.for_each(|position| taken[position] = true);
    ids.iter().zip(taken).filter(|(_, taken)| !taken).map(|(&id, _)| id).collect()
}

/// Detection, segmentation and their product.
#[derive(Debug, Clone, PartialEq)]
pub struct PanopticQuality {
    /// F1 of the matches, 0..1.
    pub detection: f64,
    /// Mean IoU of the matches, 0..1.
    pub segmentation: f64,
    /// Product of both.
    pub panoptic: f64,
    /// Matched (true, predicted) ids, by rising true id.
    pub pairs: Vec<(u32, u32)>,
    /// True ids without a match, rising.
    pub unmatched_true: Vec<u32>,
    /// Predicted ids without a match, rising.
    pub unmatched_predicted: Vec<u32>,
}

/// Dice of foreground against background, `2·common / (areas of both)`, 0..1.
///
/// # Errors
/// When the maps differ in size or both are empty.
pub fn dice(truth: &[u32], predicted: &[u32]) -> Result<f64> {
    same_length("the predicted map", truth.len(), predicted.len())?;
    let (mut common, mut areas) = (0_u64, 0_u64);
    for (&t, &p) in truth.iter().zip(predicted) {
        common += u64::from(t != 0 && p != 0);
        areas += u64::from(t != 0) + u64::from(p != 0);
    }
    if areas == 0 {
        return Err(undefined("Dice", "both maps are all background"));
    }
    Ok(2.0 * common as f64 / areas as f64)
}

/// Renames instances to 1, 2, … by rising id, or by falling area (equal areas by
/// rising id).
#[must_use]
pub fn relabel(map: &[u32], by_area: bool) -> Vec<u32> {
    let (ids, areas) = ids(map);
    let mut order: Vec<usize> = (0..ids.len()).collect();
    if by_area {
        order.sort_by_key(|&position| std::cmp::Reverse(areas[position]));
    }
    let names: BTreeMap<u32, u32> =
        order.into_iter().zip(1..).map(|(position, name)| (ids[position], name)).collect();
    map.iter().map(|id| names.get(id).copied().unwrap_or(0)).collect()
}

/// Centres of two sets paired one to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    /// (first, second) positions, by rising first.
    pub pairs: Vec<(usize, usize)>,
    /// Positions of the first set without a partner.
    pub alone_first: Vec<usize>,
    /// Positions of the second set without a partner.
    pub alone_second: Vec<usize>,
}

/// Pairs points so that the summed distance is lowest, then drops pairs farther apart
/// than `radius` (in the unit of the points).
///
/// # Errors
/// When a coordinate is not finite.
pub fn pair_centres(first: &[[f64; 2]], second: &[[f64; 2]], radius: f64) -> Result<Pairing> {
    for (what, points) in [("the first points", first), ("the second points", second)] {
        if let Some(index) = points.iter().position(|point| !point.iter().all(|value| value.is_finite())) {
            return Err(Error::NotFinite { what, index });
        }
    }
    let cost: Vec<f64> =
        first.iter().flat_map(|a| second.iter().map(move |b| (a[0] - b[0]).hypot(a[1] - b[1]))).collect();
    let pairs: Vec<(usize, usize)> = assignment::minimise(&cost, first.len(), second.len())
        .into_iter()
        .enumerate()
        .filter_map(|(a, b)| b.map(|b| (a, b)))
        .filter(|&(a, b)| cost[a * second.len() + b] <= radius)
        .collect();
    let alone = |count: usize, taken: Vec<usize>| (0..count).filter(|index| !taken.contains(index)).collect();
    Ok(Pairing {
        alone_first: alone(first.len(), pairs.iter().map(|pair| pair.0).collect()),
        alone_second: alone(second.len(), pairs.iter().map(|pair| pair.1).collect()),
        pairs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn empty_maps_have_no_figure_and_missing_predictions_score_zero() {
        let empty = Overlaps::new(&[0; 9], &[0; 9]).unwrap();
        assert!(
            empty.aji().is_err() && empty.panoptic_quality(0.5).is_err() && empty.ensemble_dice().is_err()
        );
        assert!(dice(&[], &[]).is_err());
        let missed = Overlaps::new(&[7; 4], &[0; 4]).unwrap();
        assert_eq!(missed.aji().unwrap(), 0.0);
        assert_eq!(missed.aji_plus().unwrap(), 0.0);
        assert_eq!(missed.panoptic_quality(0.5).unwrap().panoptic, 0.0);
        assert!(Overlaps::new(&[1], &[1, 1]).is_err());
    }

    #[test]
    fn relabelling_keeps_the_instances() {
        let map = [0, 9, 9, 4, 0, 70, 70];
        assert_eq!(relabel(&map, false), vec![0, 2, 2, 1, 0, 3, 3]);
        assert_eq!(relabel(&map, true), vec![0, 1, 1, 3, 0, 2, 2]);
        assert_eq!(relabel(&[0, 0], true), vec![0, 0]);
    }

    #[test]
    fn far_points_stay_alone() {
        let pairing = pair_centres(&[[0.0, 0.0], [9.0, 9.0]], &[[0.5, 0.0]], 1.0).unwrap();
        assert_eq!(pairing, Pairing { pairs: vec![(0, 0)], alone_first: vec![1], alone_second: vec![] });
        assert!(pair_centres(&[], &[], 1.0).unwrap().pairs.is_empty());
        assert!(pair_centres(&[[f64::NAN, 0.0]], &[], 1.0).is_err());
    }

    proptest! {
        #[test]
        fn a_map_matches_itself_and_figures_stay_in_range(
            truth in prop::collection::vec(0_u32..5, 64), other in prop::collection::vec(0_u32..5, 64)
        ) {
            prop_assume!(truth.iter().any(|&id| id > 0));
            let same = Overlaps::new(&truth, &truth).unwrap();
            prop_assert_eq!(same.aji().unwrap(), 1.0);
            prop_assert_eq!(same.panoptic_quality(0.5).unwrap().detection, 1.0);
            prop_assert_eq!(dice(&truth, &truth).unwrap(), 1.0);
            let overlaps = Overlaps::new(&truth, &other).unwrap();
            let aji = overlaps.aji().unwrap();
            prop_assert!((0.0..=1.0).contains(&aji));
            for threshold in [0.0, 0.3, 0.5] {
                let quality = overlaps.panoptic_quality(threshold).unwrap();
                prop_assert!((0.0..=1.0).contains(&quality.panoptic));
                prop_assert_eq!(quality.pairs.len() + quality.unmatched_true.len(), ids(&truth).0.len());
            }
        }
    }
}
