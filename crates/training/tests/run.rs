//! Whole runs on a small dataset in memory: every method, exact resumption, and data that do not fit.

#[allow(clippy::unwrap_used, reason = "helpers of tests panic like tests")]
mod support;

use std::time::{Duration, Instant};

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::spec::v1::Dtype;
use counterstain_api::proto::training::v1::{
    Augmentation, Encoder, Loss, Method, PrivilegedLayer, TrainEncoderSpec,
};
use counterstain_artifact::{ArtifactKind, EncoderBody};
use support::World;

fn spec(world: &World, method: Method, loss: Loss) -> TrainEncoderSpec {
    let privileged = matches!(method, Method::Trident | Method::Siamese);
    TrainEncoderSpec {
        dataset: world.dataset.to_string(),
        method: method.into(),
        loss: loss.into(),
        privileged: if privileged {
            vec![PrivilegedLayer { name: "types".to_owned(), ..Default::default() }]
        } else {
            Vec::new()
        },
        encoder: Some(Encoder::Resnet18.into()),
        projector_width: Some(16),
        projector_depth: Some(2),
        epochs: Some(2),
        batch_size: Some(4),
        image_size: Some(32),
        augmentation: Some(Augmentation::Light.into()),
        dtype: Some(Dtype::F32.into()),
        seed: Some(3),
        ..TrainEncoderSpec::default()
    }
}

#[test]
fn every_method_gives_an_encoder_that_states_what_it_is() {
    let world = World::new(9);
    for (method, loss, privileged) in [
        (Method::Trident, Loss::Vicreg, 1),
        (Method::Siamese, Loss::Infonce, 1),
        (Method::Unprivileged, Loss::Vicreg, 0),
        (Method::Supervised, Loss::CrossEntropy, 0),
    ] {
        let run = world.run(spec(&world, method, loss));
        let digest = run.outcome.unwrap_or_else(|error| panic!("{method:?}: {error}"));
        let body: EncoderBody = world.manifest(&digest).body_of(ArtifactKind::Encoder).unwrap();
        assert_eq!((body.architecture.as_str(), body.representation_width), ("resnet18", 512));
        assert_eq!(body.privileged.len(), privileged);
        let losses = run.recorder.metric("loss");
        assert_eq!(losses.len(), 4, "two epochs of two batches; the ninth sample is left over");
        assert!(losses.iter().all(|(_, value)| value.is_finite()));
    }
}

#[test]
fn a_run_that_was_cut_off_and_resumed_gives_the_same_bits() {
    let world = World::new(9);
    let spec =
        TrainEncoderSpec { dtype: Some(Dtype::Bf16.into()), ..spec(&world, Method::Trident, Loss::Vicreg) };
    let straight = world.run(spec.clone()).outcome.unwrap();
    let cut = world.run_with(spec.clone(), |task| {
        task.checkpoint_interval = Duration::ZERO;
        task.stop_after = Some(3);
    });
    assert!(cut.outcome.unwrap_err().is_stop());
    let checkpoint = cut.recorder.checkpoints().pop();
    assert_eq!(checkpoint.as_ref().map(|checkpoint| checkpoint.place.step), Some(3));
    let resumed = world.run_with(spec.clone(), |task| task.checkpoint = checkpoint.clone());
    assert_eq!(resumed.outcome.unwrap(), straight);

    let other = TrainEncoderSpec { seed: Some(4), ..spec };
    let refused = world.run_with(other, |task| task.checkpoint = checkpoint).outcome.unwrap_err();
    assert!(refused.message.contains("spec"), "{refused}");
}

#[test]
fn real_pairs_fill_their_share_of_every_batch_and_a_mixed_run_resumes_exactly() {
    let world = World::new(9);
    let branch =
        |name: &str| PrivilegedLayer { name: name.to_owned(), real: name.to_owned(), ..Default::default() };
    let mixed = TrainEncoderSpec {
        privileged: vec![branch("types"), branch("he")],
        real_dataset: world.dataset.to_string(),
        real_split: Some("train".to_owned()),
        real_share: Some(0.25),
        ..spec(&world, Method::Trident, Loss::Vicreg)
    };
    let run = world.run(mixed.clone());
    let straight = run.outcome.unwrap();
    // One of four samples is real, so an epoch of nine own ones has three batches.
    assert_eq!(run.recorder.metric("loss").len(), 6);
    let manifest = world.manifest(&straight);
    assert_eq!(manifest.input("real_dataset"), Some(world.dataset));
    let body: EncoderBody = manifest.body_of(ArtifactKind::Encoder).unwrap();
    assert_eq!(body.privileged, ["types", "he"]);

    let stopped = world.run_with(mixed.clone(), |task| {
        task.checkpoint_interval = Duration::ZERO;
        task.stop_after = Some(4);
    });
    assert!(stopped.outcome.unwrap_err().is_stop());
    let last = stopped.recorder.checkpoints().pop();
    let resumed = world.run_with(mixed.clone(), |task| task.checkpoint = last);
    assert_eq!(resumed.outcome.unwrap(), straight);
    let half = TrainEncoderSpec { real_share: Some(0.5), ..mixed.clone() };
    assert_ne!(world.run(half).outcome.unwrap(), straight);

    let refuse = |spec: TrainEncoderSpec, expected: &str| {
        let error = world.run(spec).outcome.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.contains(expected), "{error}");
    };
    let unknown = PrivilegedLayer { real: "ihc".to_owned(), ..branch("types") };
    refuse(TrainEncoderSpec { privileged: vec![unknown], ..mixed.clone() }, "real_dataset: privileged[0]");
    let split = Some("valid".to_owned());
    refuse(TrainEncoderSpec { real_split: split, ..mixed }, "real_dataset: dataset simulated has no");
}

#[test]
fn data_that_do_not_fit_are_refused_with_what_would() {
    let world = World::new(9);
    let fit = spec(&world, Method::Trident, Loss::Vicreg);
    let refuse = |spec: TrainEncoderSpec, expected: &str| {
        let error = world.run(spec).outcome.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.contains(expected), "{error}");
    };
    refuse(TrainEncoderSpec { batch_size: Some(64), ..fit.clone() }, "fewer than one batch");
    refuse(TrainEncoderSpec { split: Some("holdout".to_owned()), ..fit.clone() }, "it has train");
    let missing = PrivilegedLayer { name: "ihc".to_owned(), ..Default::default() };
    refuse(TrainEncoderSpec { privileged: vec![missing], ..fit }, "has no layer \"ihc\"");
}

#[test]
fn a_loss_that_is_not_finite_fails_the_run_at_its_step_and_keeps_the_checkpoint() {
    let world = World::new(9);
    let mut spec = spec(&world, Method::Unprivileged, Loss::Vicreg);
    spec.learning_rate = Some(1e30);
    spec.clip_norm = Some(0.0);
    spec.warmup = Some(0.0);
    let run = world.run_with(spec, |task| task.checkpoint_interval = Duration::ZERO);
    let error = run.outcome.unwrap_err();
    assert_eq!(error.code, ErrorCode::NonFinite);
    assert!(error.message.contains("at step 2") && !error.retryable, "{error}");
    assert_eq!(run.recorder.checkpoints().len(), 1);
}

#[test]
fn a_store_that_is_away_for_thirty_seconds_is_waited_for_and_changes_nothing() {
    let world = World::new(9);
    let spec = spec(&world, Method::Unprivileged, Loss::Vicreg);
    let straight = world.run(spec.clone()).outcome.unwrap();
    let outage = Duration::from_secs(30);
    let started = Instant::now();
    let away = world.run_with(spec, |_| world.backend.go_away(outage));
    assert_eq!(away.outcome.unwrap(), straight);
    assert!(started.elapsed() >= outage);
}
