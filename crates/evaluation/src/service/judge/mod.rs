//! `evaluate_generator`: how good painted layers are, on samples that their generators did not learn from.
//!
//! Paired images are compared tile by tile, nuclei nucleus by nucleus, and distributions in the feature space of
//! encoders. Beside generators of images stands `primary`: the primary image as if it had been painted.

mod candidate;
mod distances;
mod figures;
mod images;
mod nuclei;
mod pixels;

use std::collections::BTreeMap;

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::evaluation::v1::EvaluateGeneratorSpec;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::result::{self, ResultDocument, SAMPLE_SCORES, SampleScore, SampleScores};
use counterstain_api::spec;
use counterstain_artifact::dataset::Dataset;
use counterstain_artifact::{
    ArtifactKind, Digest, LayerInfo, LayerKind, ManifestParts, RESULT, ResultBody, put_artifact,
};
use counterstain_compute::digest;
use counterstain_worker::{Task, TaskError};
use tch::Device;

use candidate::Candidate;
use figures::Figures;

const KIND: JobKind = JobKind::EvaluateGenerator;

/// Figures of single samples, by position of the candidate and of the sample.
type Scores = BTreeMap<(usize, usize), BTreeMap<String, f64>>;

/// Does an `evaluate_generator` job; gives the digest of the `result` artifact.
pub fn run(task: &Task, spec: &EvaluateGeneratorSpec, device: Device) -> Result<Digest, TaskError> {
    let judge = Judge::open(task, spec, device)?;
    let mut document = ResultDocument { schema: result::SCHEMA, ..ResultDocument::default() };
    let mut scores = Scores::new();
    document.notes = judge.notes();
    let reference = judge.reference_info()?;
    match (&judge.unpaired, reference.kind) {
        (None, LayerKind::Instance) => nuclei::judge(&judge, &mut document, &mut scores)?,
        (None, _) => images::judge(&judge, &mut document, &mut scores)?,
        (Some(_), LayerKind::Instance) => {
            let text = format!(
                "reference_dataset: layer {:?} holds instances, and only images can be compared unpaired",
                spec.reference
            );
            return Err(TaskError::new(ErrorCode::InvalidArgument, text));
        }
        (Some(_), _) => {}
    }
    images::cycles(&judge, &mut document, &mut scores)?;
    if reference.kind != LayerKind::Instance {
        distances::judge(&judge, &mut document)?;
    }
    if document.rows.is_empty() {
        let text =
            "nothing was scored: unpaired images need encoders, or layers that were generated with cycle";
        return Err(TaskError::new(ErrorCode::FailedPrecondition, text));
    }
    judge.write(&document, scores)
}

/// What a job judges.
pub struct Judge<'a> {
    task: &'a Task,
    spec: &'a EvaluateGeneratorSpec,
    device: Device,
    dataset: Dataset,
    /// The dataset of the real images, where it is another one.
    unpaired: Option<Dataset>,
    candidates: Vec<Candidate>,
    /// The samples that are scored, in dataset order.
    samples: Vec<usize>,
    groups: Option<Vec<usize>>,
}

impl<'a> Judge<'a> {
    fn open(task: &'a Task, spec: &'a EvaluateGeneratorSpec, device: Device) -> Result<Self, TaskError> {
        let open = |text: &str, field: &str| -> Result<Dataset, TaskError> {
            Ok(task.block_on(Dataset::open(task.store(), &digest(text, field)?))?)
        };
        let dataset = open(&spec.dataset, "dataset")?;
        let unpaired = match spec.reference_dataset.as_str() {
            "" => None,
            other => Some(open(other, "reference_dataset")?),
        };
        let samples = samples_of(&dataset, spec.split(), "split")?;
        let group = |&sample: &usize| dataset.samples[sample].group.as_deref().map(str::to_owned);
        let groups = crate::engine::split::group_ids(&samples.iter().map(group).collect::<Vec<_>>());
        let mut candidates: Vec<Candidate> = Vec::new();
        for (position, text) in spec.layers.iter().enumerate() {
            let digest = digest(text, &format!("layers[{position}]"))?;
            if candidates.iter().all(|known| known.layer.digest != digest) {
                candidates.push(Candidate::open(task, &dataset, &digest)?);
            }
        }
        Ok(Self { task, spec, device, dataset, unpaired, candidates, samples, groups })
    }

    /// The real layer.
    fn reference_info(&self) -> Result<LayerInfo, TaskError> {
        info_of(self.unpaired.as_ref().unwrap_or(&self.dataset), &self.spec.reference, "reference")
    }

    /// The figures of one candidate, or of the floor.
    fn figures<'b>(&'b self, candidate: Option<&'b Candidate>) -> Figures<'b> {
        Figures::new(self, candidate)
    }

    /// What a reader must know to judge the rows.
    fn notes(&self) -> Vec<String> {
        let split = match self.spec.split() {
            "" => "all samples".to_owned(),
            name => format!("split {name}"),
        };
        let mut notes = vec![format!(
            "Scored: {} samples ({split}) of dataset {}.",
            self.samples.len(),
            self.dataset.body.name
        )];
        for candidate in &self.candidates {
            if candidate.learned_from(&self.dataset, self.spec.split()) {
                notes.push(format!(
                    "{} learned from samples that are scored here: its figures say how well it remembers, not how well it paints.",
                    candidate.title()
                ));
            }
        }
        let units = self.groups.as_ref().map(|groups| groups.iter().max().map_or(0, |most| most + 1));
        notes.push(match (self.spec.bootstrap(), units) {
            (0, _) => "No intervals were asked for.".to_owned(),
            (_, Some(1)) => "There are no intervals: all samples that are judged are of one group (patient, source image).".to_owned(),
            (rounds, Some(groups)) => {
                format!("Intervals: 95 % percentile bootstrap, {rounds} resamples of the {groups} groups.")
            }
            (rounds, None) => format!(
                "Intervals: 95 % percentile bootstrap, {rounds} resamples of samples: no groups are known, so they are too narrow if tiles come from few patients."
            ),
        });
        if self.spec.bootstrap() > 0 && units.is_some_and(|groups| (2..10).contains(&groups)) {
            notes.push("There are fewer than ten groups: the intervals say little.".to_owned());
        }
        notes
    }

    fn write(&self, document: &ResultDocument, scores: Scores) -> Result<Digest, TaskError> {
        let body = ResultBody { rows: document.rows.len() as u64 };
        let mut parts = ManifestParts::new(ArtifactKind::Result, &body)
            .job_kind(spec::kind_name(KIND))
            .input("dataset", self.dataset.digest);
        if let Some(unpaired) = &self.unpaired {
            parts = parts.input("reference_dataset", unpaired.digest);
        }
        for (position, candidate) in self.candidates.iter().enumerate() {
            parts = parts.input(format!("layer/{position}"), candidate.layer.digest);
        }
        for (position, encoder) in self.spec.encoders.iter().enumerate() {
            parts = parts.input(format!("encoder/{position}"), digest(encoder, "encoders")?);
        }
        let samples = scores.into_iter().map(|((candidate, sample), scores)| SampleScore {
            layer: self.candidates[candidate].layer.digest,
            sample: sample as u64,
            key: self.dataset.samples[sample].key.clone(),
            scores,
        });
        let scores = SampleScores { schema: result::SCHEMA, samples: samples.collect() };
        let parts = parts.job(spec::canonical_json(self.task.spec()), self.task.profile().clone());
        let objects = vec![
            (RESULT.to_owned(), Bytes::from(spec::canonical_bytes(document))),
            (SAMPLE_SCORES.to_owned(), Bytes::from(spec::canonical_bytes(&scores))),
        ];
        Ok(self.task.block_on(put_artifact(self.task.store(), parts, objects))?)
    }
}

/// The samples of a split (empty: all).
fn samples_of(dataset: &Dataset, split: &str, field: &str) -> Result<Vec<usize>, TaskError> {
    let samples =
        if split.is_empty() { (0..dataset.len()).collect() } else { dataset.samples_of_split(split) };
    if samples.is_empty() {
        let known: Vec<&str> = dataset.body.splits.keys().map(String::as_str).collect();
        let text = format!(
            "{field}: dataset {} has no sample in split {split:?}; its splits are {known:?}, \"\" takes all",
            dataset.body.name
        );
        return Err(TaskError::new(ErrorCode::FailedPrecondition, text));
    }
    Ok(samples)
}

/// A layer of a dataset by name.
fn info_of(dataset: &Dataset, name: &str, field: &str) -> Result<LayerInfo, TaskError> {
    dataset.layer(name).cloned().ok_or_else(|| {
        let known: Vec<&str> = dataset.body.layers.iter().map(|layer| layer.name.as_str()).collect();
        let text = format!(
            "{field}: dataset {} has no layer {name:?}; it has {}",
            dataset.body.name,
            known.join(", ")
        );
        TaskError::new(ErrorCode::InvalidArgument, text)
    })
}
