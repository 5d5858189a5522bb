//! The artifacts that a submission names: they must exist, be of the right kind, and fit each other.

use std::collections::HashMap;

use counterstain_api::error::{ErrorCode, Violation};
use counterstain_api::proto::job::v1::{JobSpec, job_spec::Kind};
use counterstain_api::{Digest, spec};
use counterstain_artifact::{ArtifactKind, DatasetBody, LayerBody, Manifest};

use super::artifact::find_digest;
use crate::scheduler::{self, Scheduler};

/// Reads manifests of inputs, each once.
pub(super) struct Inputs<'scheduler> {
    scheduler: &'scheduler Scheduler,
    known: HashMap<Digest, Found>,
}

/// What the store has under a digest.
enum Found {
    Manifest(Box<Manifest>),
    /// Why it cannot be used.
    Fault(String),
}

impl<'scheduler> Inputs<'scheduler> {
    pub fn new(scheduler: &'scheduler Scheduler) -> Self {
        Self { scheduler, known: HashMap::new() }
    }

    /// Replaces tags and unique prefixes of digests by the digest. What is neither stays, to be refused.
    pub async fn expand_names(&self, job: &mut JobSpec) -> scheduler::Result<()> {
        let mut replacements = HashMap::new();
        for input in spec::inputs(job) {
            let value = input.value;
            if value.starts_with('@') || value.parse::<Digest>().is_ok() {
                continue;
            }
            match find_digest(self.scheduler, "name", &value).await {
                Ok(digest) => drop(replacements.insert(value, digest.to_string())),
                Err(error) if matches!(error.code, ErrorCode::NotFound | ErrorCode::InvalidArgument) => {}
                Err(error) => return Err(error),
            }
        }
        if !replacements.is_empty() {
            spec::substitute(job, |input| replacements.get(&input.value).cloned());
        }
        Ok(())
    }

    /// Checks the inputs of a resolved spec that are digests.
    pub async fn check(
        &mut self,
        job: &JobSpec,
        path: &str,
        violations: &mut Vec<Violation>,
    ) -> scheduler::Result<()> {
        for input in spec::inputs(job) {
            let Ok(digest) = input.value.parse::<Digest>() else { continue };
            let field = format!("{path}.{}", input.path);
            match self.find(digest).await? {
                Found::Fault(fault) => violations.push(Violation::new(field, fault.clone())),
                Found::Manifest(manifest) if manifest.kind.as_str() != input.artifact_kind => {
                    let wanted = &input.artifact_kind;
                    let what = format!("needs a {wanted}, but {} is a {}", digest.short(), manifest.kind);
                    violations.push(Violation::new(field, what));
                }
                Found::Manifest(_) => {}
            }
        }
        self.check_fit(job, path, violations);
        Ok(())
    }

    /// Reads a manifest; only a store that does not answer is an error.
    async fn find(&mut self, digest: Digest) -> scheduler::Result<&Found> {
        if !self.known.contains_key(&digest) {
            let found = match self.scheduler.store().manifest(&digest).await {
                Ok(manifest) => {
                    // Jobs name it from now on, so it should be found by name, and its lineage too.
                    self.scheduler.index(digest, None).await?;
                    Found::Manifest(Box::new(manifest))
                }
                Err(error) if error.code().retryable() => return Err(error.into()),
                Err(error) => Found::Fault(error.to_string()),
            };
            self.known.insert(digest, found);
        }
        Ok(&self.known[&digest])
    }

    /// Layers and splits that a spec names must be in the dataset, where that is known already.
    fn check_fit(&self, job: &JobSpec, path: &str, violations: &mut Vec<Violation>) {
        match &job.kind {
            Some(Kind::TrainGenerator(spec)) => {
                if let Some((_, dataset)) = self.dataset(&spec.dataset) {
                    violations.extend(no_split(&dataset, spec.split(), &format!("{path}.split")));
                }
                let unpaired = !spec.target_dataset.is_empty();
                let target = if unpaired { &spec.target_dataset } else { &spec.dataset };
                let Some((_, target)) = self.dataset(target) else { return };
                violations.extend(no_layer(&target, &spec.layer, &format!("{path}.layer")));
                if unpaired {
                    let field = format!("{path}.target_split");
                    violations.extend(no_split(&target, spec.target_split(), &field));
                }
            }
            Some(Kind::TrainSegmenter(spec)) => {
                let Some((_, dataset)) = self.dataset(&spec.dataset) else { return };
                violations.extend(no_split(&dataset, spec.split(), &format!("{path}.split")));
                violations.extend(no_layer(&dataset, spec.instances(), &format!("{path}.instances")));
                if let Some(types) = &spec.types {
                    violations.extend(no_layer(&dataset, types, &format!("{path}.types")));
                }
            }
            Some(Kind::TrainEncoder(spec)) => {
                let Some((digest, dataset)) = self.dataset(&spec.dataset) else { return };
                violations.extend(no_split(&dataset, spec.split(), &format!("{path}.split")));
                for (index, layer) in spec.privileged.iter().enumerate() {
                    let field = format!("{path}.privileged[{index}]");
                    if layer.artifact.is_empty() && !layer.name.is_empty() {
                        violations.extend(no_layer(&dataset, &layer.name, &format!("{field}.name")));
                    }
                    violations.extend(self.foreign(&layer.artifact, digest, &format!("{field}.artifact")));
                }
                if let Some((_, real)) = self.dataset(&spec.real_dataset) {
                    let field = format!("{path}.real_split");
                    violations.extend(no_split(&real, spec.real_split(), &field));
                    for (index, layer) in spec.privileged.iter().enumerate() {
                        let field = format!("{path}.privileged[{index}].real");
                        violations.extend(no_layer(&real, &layer.real, &field));
                    }
                }
                let samples = match spec.split() {
                    "" => Some(dataset.samples),
                    split => dataset.splits.get(split).copied(),
                };
                if let Some(samples) = samples.filter(|samples| *samples < u64::from(spec.batch_size())) {
                    let what = format!(
                        "is greater than the {samples} samples to learn from; no step would be taken"
                    );
                    violations.push(Violation::new(format!("{path}.batch_size"), what));
                }
            }
            Some(Kind::Evaluate(spec)) => {
                let Some((_, dataset)) = self.dataset(&spec.dataset) else { return };
                violations.extend(no_split(&dataset, spec.train_split(), &format!("{path}.train_split")));
                violations.extend(no_split(&dataset, spec.test_split(), &format!("{path}.test_split")));
            }
            Some(Kind::EvaluateGenerator(spec)) => {
                let paired = spec.reference_dataset.is_empty();
                if let Some((digest, dataset)) = self.dataset(&spec.dataset) {
                    violations.extend(no_split(&dataset, spec.split(), &format!("{path}.split")));
                    for (index, layer) in spec.layers.iter().enumerate() {
                        let field = format!("{path}.layers[{index}]");
                        violations.extend(self.foreign(layer, digest, &field));
                    }
                    if paired {
                        violations.extend(no_layer(&dataset, &spec.reference, &format!("{path}.reference")));
                        if let Some(types) = &spec.reference_types {
                            let field = format!("{path}.reference_types");
                            violations.extend(no_layer(&dataset, types, &field));
                        }
                    }
                }
                let Some((_, reference)) = self.dataset(&spec.reference_dataset) else { return };
                let field = format!("{path}.reference_split");
                violations.extend(no_split(&reference, spec.reference_split(), &field));
                violations.extend(no_layer(&reference, &spec.reference, &format!("{path}.reference")));
            }
            Some(Kind::GenerateLayer(_) | Kind::Embed(_)) | None => {}
        }
    }

    fn dataset(&self, value: &str) -> Option<(Digest, DatasetBody)> {
        let digest = value.parse().ok()?;
        let Found::Manifest(manifest) = self.known.get(&digest)? else { return None };
        Some((digest, manifest.body_of(ArtifactKind::Dataset).ok()?))
    }

    /// A layer that belongs to another dataset.
    fn foreign(&self, value: &str, dataset: Digest, field: &str) -> Option<Violation> {
        let digest: Digest = value.parse().ok()?;
        let Found::Manifest(manifest) = self.known.get(&digest)? else { return None };
        let layer: LayerBody = manifest.body_of(ArtifactKind::Layer).ok()?;
        let belongs = layer.dataset;
        (belongs != dataset).then(|| {
            Violation::new(field, format!("is a layer of dataset {}, not of this one", belongs.short()))
        })
    }
}

fn no_layer(dataset: &DatasetBody, name: &str, field: &str) -> Option<Violation> {
    let known = || dataset.layers.iter().map(|layer| layer.name.as_str());
    if known().any(|layer| layer == name) {
        return None;
    }
    let names: Vec<&str> = known().collect();
    let hint = spec::suggestion(name, known());
    let what =
        format!("names the layer {name:?}, which the dataset has not: it has {}{hint}", names.join(", "));
    Some(Violation::new(field, what))
}

fn no_split(dataset: &DatasetBody, split: &str, field: &str) -> Option<Violation> {
    if split.is_empty() || dataset.splits.get(split).is_some_and(|samples| *samples > 0) {
        return None;
    }
    let names: Vec<&str> = dataset.splits.keys().map(String::as_str).collect();
    let has = if names.is_empty() { "no splits".to_owned() } else { names.join(", ") };
    let hint = spec::suggestion(split, names.iter().copied());
    Some(Violation::new(
        field,
        format!("names the split {split:?}, which the dataset has not: it has {has}{hint}"),
    ))
}
