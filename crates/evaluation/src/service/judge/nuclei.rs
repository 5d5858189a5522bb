//! Segmented nuclei against the real ones of the same samples.

use counterstain_api::error::ErrorCode;
use counterstain_api::result::ResultDocument;
use counterstain_artifact::{GeneratorNetwork, LayerKind};
use counterstain_tile::Tile;
use counterstain_tile::nuclei::describe;
use counterstain_worker::TaskError;
use rayon::prelude::*;

use super::candidate::Candidate;
use super::{Judge, Scores, info_of, pixels};
use crate::engine::metrics::nuclei::{Overlaps, dice};
use crate::engine::metrics::nucleus_types::{Centre, Counts, Detections};

/// Names of a segmenter's companions.
const INSTANCES: &str = "instances";
const TYPES: &str = "types";
/// Samples that are scored between two looks at the lease.
const BLOCK: usize = 64;
/// Least overlap of a match in panoptic quality.
const MATCH: f64 = 0.5;

/// Figures of one sample; none where neither map has a nucleus.
struct Score {
    dice: Option<f64>,
    aji: Option<f64>,
    detection_quality: Option<f64>,
    segmentation_quality: Option<f64>,
    panoptic_quality: Option<f64>,
    detections: Detections,
}

/// Scores every candidate.
pub fn judge(judge: &Judge<'_>, document: &mut ResultDocument, scores: &mut Scores) -> Result<(), TaskError> {
    if let Some(types) = &judge.spec.reference_types {
        let info = info_of(&judge.dataset, types, "reference_types")?;
        if info.kind != LayerKind::Label {
            let text = format!("reference_types: layer {types:?} does not hold types");
            return Err(TaskError::new(ErrorCode::InvalidArgument, text));
        }
    }
    for candidate in &judge.candidates {
        if candidate.companion(INSTANCES, LayerKind::Instance).is_none() {
            let text = format!(
                "layers: {} has no instances to compare with layer {:?}: segmenters write them; \
                 painted images are compared with images",
                candidate.title(),
                judge.spec.reference
            );
            return Err(TaskError::new(ErrorCode::InvalidArgument, text));
        }
        let of_samples = score_all(judge, candidate)?;
        let column = |figure: &dyn Fn(&Score) -> Option<f64>| of_samples.iter().map(figure).collect();
        let mut figures = judge.figures(Some(candidate));
        figures.mean("nuclei/dice", column(&|score| score.dice))?;
        figures.mean("nuclei/aji", column(&|score| score.aji))?;
        figures.mean("nuclei/dq", column(&|score| score.detection_quality))?;
        figures.mean("nuclei/sq", column(&|score| score.segmentation_quality))?;
        figures.mean("nuclei/pq", column(&|score| score.panoptic_quality))?;
        let count = of_samples.len();
        let pool = |counts: &dyn Fn(&Detections) -> Counts, times: &dyn Fn(usize) -> f64| {
            let mut sum = Counts::default();
            for (sample, score) in of_samples.iter().enumerate() {
                let one = counts(&score.detections);
                sum.right += times(sample) * one.right;
                sum.wrong += times(sample) * one.wrong;
            }
            sum.f1()
        };
        figures.pooled("nuclei/detection_f1", count, |times| pool(&Detections::detection, times))?;
        if judge.spec.reference_types.is_some() && candidate.companion(TYPES, LayerKind::Label).is_some() {
            for (kind, name) in type_names(candidate).iter().enumerate().skip(1) {
                let metric = format!("nuclei/f1_{name}");
                figures.pooled(&metric, count, |times| pool(&|found| found.typing(kind as u32), times))?;
            }
        }
        figures.finish(document, scores);
    }
    document.notes.push(
        "Nuclei: means over tiles, without tiles where neither map has a nucleus; detection and types are pooled over tiles, centres within 12 px are one nucleus."
            .to_owned(),
    );
    Ok(())
}

fn type_names(candidate: &Candidate) -> &[String] {
    match &candidate.body.network {
        GeneratorNetwork::Hovernet { types, .. } => types,
        _ => &[],
    }
}

fn score_all(judge: &Judge<'_>, candidate: &Candidate) -> Result<Vec<Score>, TaskError> {
    let (total, mut all) = (judge.samples.len(), Vec::with_capacity(judge.samples.len()));
    for block in judge.samples.chunks(BLOCK) {
        judge.task.check()?;
        judge.task.progress(&candidate.title(), all.len() as u64, total as u64, "tiles");
        let scored: Vec<Result<_, TaskError>> =
            block.par_iter().map(|&sample| score(judge, candidate, sample)).collect();
        for score in scored {
            all.push(score?);
        }
    }
    judge.task.progress(&candidate.title(), total as u64, total as u64, "tiles");
    Ok(all)
}

fn score(judge: &Judge<'_>, candidate: &Candidate, sample: usize) -> Result<Score, TaskError> {
    let reader = judge.task.reader();
    let truth = pixels::labels_of_dataset(reader, &judge.dataset, &judge.spec.reference, sample)?;
    let found = pixels::labels_of_layer(reader, &candidate.layer, INSTANCES, sample)?;
    let refuse = |text: String| {
        let key = &judge.dataset.samples[sample].key;
        TaskError::new(ErrorCode::FailedPrecondition, format!("sample {key}: {text}"))
    };
    if (truth.width, truth.height) != (found.width, found.height) {
        return Err(refuse(format!(
            "layer {} has {} x {} px, the segmented map {} x {}",
            judge.spec.reference, truth.width, truth.height, found.width, found.height
        )));
    }
    let types = match &judge.spec.reference_types {
        Some(name) if candidate.companion(TYPES, LayerKind::Label).is_some() => Some((
            pixels::labels_of_dataset(reader, &judge.dataset, name, sample)?,
            pixels::labels_of_layer(reader, &candidate.layer, TYPES, sample)?,
        )),
        _ => None,
    };
    let (true_types, found_types) = types.unzip();
    let centres = |map: &Tile<u32>, types: Option<&Tile<u32>>| -> Result<Vec<Centre>, TaskError> {
        let nuclei = describe(map, types).map_err(|error| refuse(error.to_string()))?;
        let centre = |nucleus: &counterstain_tile::nuclei::Nucleus| {
            ([nucleus.centroid.0, nucleus.centroid.1], nucleus.kind.map_or(0, |kind| kind.kind))
        };
        Ok(nuclei.iter().map(centre).collect())
    };
    let detections =
        Detections::of(&centres(&truth, true_types.as_ref())?, &centres(&found, found_types.as_ref())?)?;
    let overlaps = Overlaps::new(&truth.data, &found.data)?;
    // Errors of these mean that neither map has a nucleus.
    let quality = overlaps.panoptic_quality(MATCH).ok();
    Ok(Score {
        dice: dice(&truth.data, &found.data).ok(),
        aji: overlaps.aji().ok(),
        detection_quality: quality.as_ref().map(|quality| quality.detection),
        segmentation_quality: quality.as_ref().map(|quality| quality.segmentation),
        panoptic_quality: quality.as_ref().map(|quality| quality.panoptic),
        detections,
    })
}
