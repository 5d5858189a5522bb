//! Checks of a resolved spec that concern more than one field.

use crate::error::Violation;
use crate::proto::evaluation::v1::EvaluateGeneratorSpec;
use crate::proto::job::v1::JobSpec;
use crate::proto::job::v1::job_spec::Kind;
use crate::proto::synthesis::v1::{
    Direction, GeneratorMethod, GeneratorNetwork, Intensity, TargetChannels, TrainGeneratorSpec,
    TrainSegmenterSpec,
};
use crate::proto::training::v1::{Loss, Method, Optimizer, TrainEncoderSpec};

/// Adds every fault found.
pub(super) fn check(spec: &JobSpec, violations: &mut Vec<Violation>) {
    match &spec.kind {
        Some(Kind::TrainEncoder(spec)) => encoder(spec, violations),
        Some(Kind::TrainGenerator(spec)) => generator(spec, violations),
        Some(Kind::TrainSegmenter(spec)) => segmenter(spec, violations),
        Some(Kind::EvaluateGenerator(spec)) => judging(spec, violations),
        _ => {}
    }
}

fn encoder(spec: &TrainEncoderSpec, violations: &mut Vec<Violation>) {
    let mixes = spec.real_share() > 0.0;
    if mixes == spec.real_dataset.is_empty() {
        let wanted = "and `real_dataset` belong together: give both, or neither";
        violations.push(Violation::new("real_share", wanted));
    }
    for (index, layer) in spec.privileged.iter().enumerate() {
        let field = format!("privileged[{index}]");
        if layer.artifact.is_empty() && layer.name.is_empty() {
            let wanted = "must hold `artifact` (a generated layer), `name` (a layer of the dataset) or both (one layer of a generated artifact)";
            violations.push(Violation::new(&field, wanted));
        }
        if mixes == layer.real.is_empty() {
            let wanted = if mixes {
                "is required: the layer of `real_dataset` for this branch"
            } else {
                "needs `real_dataset` and `real_share`"
            };
            violations.push(Violation::new(format!("{field}.real"), wanted));
        }
    }
    let method = spec.method();
    let privileged = !spec.privileged.is_empty();
    match method {
        Method::Trident | Method::Siamese if !privileged => {
            violations
                .push(Violation::new("privileged", "is required: this method learns from privileged layers"));
        }
        Method::Unprivileged | Method::Supervised if privileged => {
            violations
                .push(Violation::new("privileged", "must be empty: this method uses no privileged layer"));
        }
        Method::Unprivileged | Method::Supervised if mixes => {
            violations.push(Violation::new("real_share", "must be 0: this method uses no pairs"));
        }
        _ => {}
    }
    let supervised = method == Method::Supervised;
    if method != Method::Unspecified
        && spec.loss() != Loss::Unspecified
        && supervised != (spec.loss() == Loss::CrossEntropy)
    {
        let wanted = if supervised { "must be cross-entropy" } else { "must be vicreg or infonce" };
        violations.push(Violation::new("loss", format!("{wanted} for this method")));
    }
    if spec.weight_decay() > 0.0 && spec.optimizer() == Optimizer::Adam {
        violations.push(Violation::new("weight_decay", "needs optimizer adamw or lars"));
    }
}

fn generator(spec: &TrainGeneratorSpec, violations: &mut Vec<Violation>) {
    let unpaired = spec.method() == GeneratorMethod::Cyclegan;
    if !unpaired && !spec.target_dataset.is_empty() {
        violations.push(Violation::new("target_dataset", "needs method cyclegan: pix2pix learns from pairs"));
    }
    if unpaired && spec.network() == GeneratorNetwork::Unet {
        violations.push(Violation::new("network", "must be resnet for method cyclegan"));
    }
    if unpaired && spec.intensity() == Intensity::Percentile {
        violations.push(Violation::new("intensity", "must be linear for method cyclegan"));
    }
    if unpaired && spec.target_channels() == TargetChannels::One {
        violations.push(Violation::new("target_channels", "must be stored for method cyclegan"));
    }
    if unpaired && spec.background_share() < 1.0 {
        violations.push(Violation::new("background_share", "must be 1 for method cyclegan"));
    }
    let to_primary = spec.direction() == Direction::ToPrimary;
    if to_primary && (spec.intensity() == Intensity::Percentile || spec.background_share() < 1.0) {
        let wanted = "must be to-privileged with intensity percentile or a background_share below 1";
        violations.push(Violation::new("direction", wanted));
    }
}

fn segmenter(spec: &TrainSegmenterSpec, violations: &mut Vec<Violation>) {
    if spec.decoder_epochs() + spec.epochs() == 0 {
        violations.push(Violation::new("epochs", "and decoder_epochs are both 0: there is nothing to learn"));
    }
}

fn judging(spec: &EvaluateGeneratorSpec, violations: &mut Vec<Violation>) {
    if !spec.reference_dataset.is_empty() && spec.reference_types.is_some() {
        violations.push(Violation::new("reference_types", "needs pairs: leave out reference_dataset"));
    }
    if !spec.reference_dataset.is_empty() && spec.encoders.is_empty() {
        let wanted = "is required with reference_dataset: without pairs, distances in a feature space are what can be computed";
        violations.push(Violation::new("encoders", wanted));
    }
}
