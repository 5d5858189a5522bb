//! Painted images against the real ones of the same samples: PSNR, SSIM, MS-SSIM and L1; and the cycle error.

use counterstain_api::result::ResultDocument;
use counterstain_artifact::{LayerInfo, LayerKind};
use counterstain_tile::Tile;
use counterstain_worker::TaskError;
use rayon::prelude::*;

use super::candidate::Candidate;
use super::{Judge, Scores, info_of, pixels};
use crate::engine::metrics::image_quality::{
    SsimVariant, mean_absolute_error, mean_squared_error, multi_scale_ssim, ssim,
};

/// Samples that are decoded between two looks at the lease.
const BLOCK: usize = 64;
/// Name of the companion that holds the way back.
const CYCLE: &str = "cycle";
/// Equal images have no finite PSNR; they count as this many decibels.
const LARGEST_PSNR: f64 = 100.0;
/// The least side of an image whose five scales all hold a window.
const MULTI_SCALE_SIDE: usize = 176;
/// Side of SSIM's window.
const WINDOW: usize = 11;

/// Scores every candidate, and the primary image beside them.
pub fn judge(judge: &Judge<'_>, document: &mut ResultDocument, scores: &mut Scores) -> Result<(), TaskError> {
    let reference = judge.reference_info()?;
    let primary = info_of(&judge.dataset, &judge.dataset.body.primary, "dataset")?;
    let reader = judge.task.reader();
    let mut small = false;
    for candidate in judge.candidates.iter().map(Some).chain([None]) {
        let pair = |sample: usize| {
            let painted = layer_image(judge, candidate, &primary, sample)?;
            Ok((painted, pixels::of_dataset(reader, &judge.dataset, &reference, sample)?))
        };
        let (mut psnr, mut similarity, mut multi_scale, mut l1) = (vec![], vec![], vec![], vec![]);
        compare(judge, title(candidate), pair, |painted, real| {
            let least = painted.width.min(painted.height);
            small |= least < MULTI_SCALE_SIDE;
            let (painted, real) = (pixels::tensor(painted), pixels::tensor(real));
            let error = mean_squared_error(&painted, &real)?;
            psnr.push(Some((-10.0 * error.log10()).min(LARGEST_PSNR)));
            l1.push(Some(mean_absolute_error(&painted, &real)?));
            let gaussian = SsimVariant::GaussianReflected;
            let one = |value: crate::engine::Result<tch::Tensor>| {
                Ok::<_, TaskError>(Some(f64::try_from(value?).map_err(crate::engine::Error::from)?))
            };
            similarity.push(if least >= WINDOW { one(ssim(&painted, &real, 1.0, gaussian))? } else { None });
            multi_scale.push(if least >= MULTI_SCALE_SIDE {
                one(multi_scale_ssim(&painted, &real, 1.0))?
            } else {
                None
            });
            Ok(())
        })?;
        let mut figures = judge.figures(candidate);
        figures.mean("image/psnr", psnr)?;
        figures.mean("image/ssim", similarity)?;
        figures.mean("image/ms_ssim", multi_scale)?;
        figures.mean("image/l1", l1)?;
        figures.finish(document, scores);
    }
    if small {
        document.notes.push(format!(
            "image/ms_ssim needs tiles of {MULTI_SCALE_SIDE} px at least: smaller ones are left out of it."
        ));
    }
    document.notes.push(
        "Floor: `primary` is the primary image as if it had been painted. A generator that scores no better has painted nothing."
            .to_owned(),
    );
    Ok(())
}

/// The error of the way there and back, of every candidate that was generated with it.
pub fn cycles(
    judge: &Judge<'_>,
    document: &mut ResultDocument,
    scores: &mut Scores,
) -> Result<(), TaskError> {
    let reader = judge.task.reader();
    for candidate in &judge.candidates {
        let Some(back) = candidate.companion(CYCLE, LayerKind::Image) else { continue };
        let name = candidate.body.source.as_deref().unwrap_or(&judge.dataset.body.primary);
        let source = info_of(&judge.dataset, name, "layers")?;
        let pair = |sample: usize| {
            let back = pixels::of_layer(reader, &candidate.layer, back, sample)?;
            Ok((back, pixels::of_dataset(reader, &judge.dataset, &source, sample)?))
        };
        let mut errors = vec![];
        compare(judge, "cycle".to_owned(), pair, |back, source| {
            errors.push(Some(mean_absolute_error(&pixels::tensor(back), &pixels::tensor(source))?));
            Ok(())
        })?;
        let mut figures = judge.figures(Some(candidate));
        figures.mean("image/cycle_l1", errors)?;
        figures.finish(document, scores);
    }
    Ok(())
}

fn title(candidate: Option<&Candidate>) -> String {
    candidate.map_or_else(|| "primary".to_owned(), Candidate::title)
}

/// Reads pairs of images in blocks and hands them over in the order of the samples.
fn compare(
    judge: &Judge<'_>,
    phase: String,
    pair: impl Fn(usize) -> Result<(Tile<u8>, Tile<u8>), TaskError> + Sync,
    mut score: impl FnMut(&Tile<u8>, &Tile<u8>) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    let total = judge.samples.len() as u64;
    let mut done = 0;
    for block in judge.samples.chunks(BLOCK) {
        judge.task.check()?;
        judge.task.progress(&phase, done, total, "tiles");
        let read = |&sample: &usize| {
            let (first, second) = pair(sample)?;
            pixels::alike(first, second, &format!("sample {}", judge.dataset.samples[sample].key))
        };
        let pairs: Vec<Result<_, TaskError>> = block.par_iter().map(read).collect();
        // Tensors stay on this thread, whose thread count decides last bits.
        for pair in pairs {
            let (first, second) = pair?;
            score(&first, &second)?;
            done += 1;
        }
    }
    judge.task.progress(&phase, total, total, "tiles");
    Ok(())
}

/// A candidate's image of a sample; the primary one for the floor.
pub fn layer_image(
    judge: &Judge<'_>,
    candidate: Option<&Candidate>,
    primary: &LayerInfo,
    sample: usize,
) -> Result<Tile<u8>, TaskError> {
    let reader = judge.task.reader();
    match candidate {
        Some(candidate) => pixels::of_layer(reader, &candidate.layer, &candidate.layer.body.layer, sample),
        None => pixels::of_dataset(reader, &judge.dataset, primary, sample),
    }
}
