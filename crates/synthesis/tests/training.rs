//! `train_generator` as a worker does it, without a coordinator.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod support;

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_artifact::{
    ArtifactKind, CheckpointBody, Digest, GeneratorBody, GeneratorNetwork, LayerKind, ManifestParts,
    PlacedCheckpoint, get_named, put_artifact,
};
use counterstain_torch::{from_safetensors, to_safetensors};
use serde_json::{Value, json};
use std::time::Duration;
use support::{World, training};

const KIND: JobKind = JobKind::TrainGenerator;

/// `base` with other values.
fn with(mut base: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

#[test]
fn a_run_that_is_cut_off_anywhere_ends_in_the_same_artifact() {
    let world = World::new();
    let dataset = world.dataset(8);
    // Six halvings need 64 px: dropout is covered by the engine's own test.
    let spec = training(&dataset, "types");
    let (straight, recorder) = world.run(world.task(KIND, &spec));
    let straight = straight.unwrap();
    assert!(recorder.checkpoints().is_empty());
    // Seven samples of the train split in batches of three, three epochs.
    assert_eq!(recorder.metric("loss_g_l1").len(), 9);
    let rates: Vec<f64> = recorder.metric("learning_rate").into_iter().map(|(_, rate)| rate).collect();
    assert!(rates[0] == 2e-4 && (rates[8] - 2e-4 / 3.0).abs() < 1e-12, "{rates:?}");

    let mut checkpoint = None;
    let mut last_step = 0;
    for _ in 0..2 {
        let mut task = world.task(KIND, &spec);
        task.checkpoint = checkpoint;
        task.checkpoint_interval = Duration::ZERO;
        task.stop_after = Some(2);
        let (outcome, recorder) = world.run(task);
        assert!(outcome.unwrap_err().is_stop());
        checkpoint = recorder.checkpoints().pop();
        let step = checkpoint.as_ref().unwrap().place.step;
        assert_eq!(step, last_step + 2);
        last_step = step;
    }
    let mut task = world.task(KIND, &spec);
    task.checkpoint = checkpoint;
    let (resumed, recorder) = world.run(task);
    assert_eq!(resumed.unwrap(), straight);
    assert_eq!(recorder.metric("loss_g_l1")[0].0, last_step + 1);
}

#[test]
fn the_artifact_says_what_it_paints() {
    let world = World::new();
    let dataset = world.dataset(4);
    for (layer, channels) in [("types", 3), ("grey", 1)] {
        let digest = world.generator(&dataset, layer);
        let manifest = world.runtime.block_on(world.store.manifest(&digest)).unwrap();
        let body: GeneratorBody = manifest.body_of(ArtifactKind::Generator).unwrap();
        assert_eq!((body.method.as_str(), body.in_channels, body.out_channels), ("pix2pix", 3, channels));
        let unet = GeneratorNetwork::Unet { depth: 3, filters: 4, norm: "batch".to_owned() };
        assert_eq!(body.network, unet);
        assert_eq!(
            (body.layer.name.as_str(), body.layer.kind, body.layer.channels),
            (layer, LayerKind::Image, channels)
        );
        assert_eq!(body.layer.palette.is_some(), layer == "types");
        assert_eq!(manifest.inputs[0].digest, dataset);
    }
}

#[test]
fn fewer_pairs_than_a_batch_make_one_smaller_batch() {
    let world = World::new();
    let dataset = world.dataset(4);
    let spec = with(training(&dataset, "types"), &json!({"batch_size": 64}));
    let (outcome, recorder) = world.run(world.task(KIND, &spec));
    outcome.unwrap();
    assert_eq!(recorder.metric("loss_d_fake").len(), 3);
}

#[test]
fn faults_of_the_spec_are_refused_with_what_would_do() {
    let world = World::new();
    let dataset = world.dataset(5);
    let cases = [
        (json!({"layer": "ihc"}), vec!["no layer \"ihc\"", "he, types, grey"]),
        (json!({"layer": "he"}), vec!["primary image itself"]),
        (json!({"split": "valid"}), vec!["no sample in split \"valid\"", "test, train"]),
        (json!({"depth": 6}), vec!["32x32 px", "depth of 6", "at most 5"]),
        (json!({"discriminator_layers": 5}), vec!["32 x 32 px", "discriminator_layers to 3"]),
    ];
    for (change, texts) in cases {
        let (code, message) = world.refusal(KIND, &with(training(&dataset, "types"), &change));
        assert_eq!(code, ErrorCode::InvalidArgument, "{message}");
        for text in texts {
            assert!(message.contains(text), "{message}");
        }
    }
    let missing = Digest::of(b"nothing");
    assert_eq!(world.refusal(KIND, &training(&missing, "types")).0, ErrorCode::NotFound);
}

#[test]
fn a_pair_of_two_sizes_is_refused_with_its_key() {
    let world = World::new();
    let dataset = world.dataset_with(5, |sample| if sample == 2 { 16 } else { 32 });
    let (code, message) = world.refusal(KIND, &training(&dataset, "types"));
    assert_eq!(code, ErrorCode::InvalidArgument);
    assert!(message.contains("tile/002") && message.contains("types is 16 x 32 px"), "{message}");
}

#[test]
fn a_checkpoint_of_another_spec_or_schema_is_refused() {
    let world = World::new();
    let dataset = world.dataset(5);
    let spec = training(&dataset, "types");
    let mut task = world.task(KIND, &spec);
    task.checkpoint_interval = Duration::ZERO;
    task.stop_after = Some(1);
    let own = world.run(task).1.checkpoints().remove(0);

    let mut other = world.task(KIND, &with(spec.clone(), &json!({"seed": 8})));
    other.checkpoint = Some(own.clone());
    let error = world.run(other).0.unwrap_err();
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
    assert!(error.message.contains("belongs to spec"), "{}", error.message);

    let store = world.store.checkpoint(&own.place);
    let manifest = world.runtime.block_on(store.manifest(&own.digest)).unwrap();
    let body: CheckpointBody = manifest.body_of(ArtifactKind::Checkpoint).unwrap();
    let newer = CheckpointBody { schema: body.schema + 1, ..body };
    let parts = ManifestParts::new(ArtifactKind::Checkpoint, &newer);
    let digest = world.runtime.block_on(put_artifact(&store, parts, Vec::new())).unwrap();
    let mut task = world.task(KIND, &spec);
    task.checkpoint = Some(PlacedCheckpoint { digest, ..own });
    assert_eq!(world.run(task).0.unwrap_err().code, ErrorCode::NewerSchema);
}

#[test]
fn losses_that_are_not_finite_fail_the_job_at_their_step_and_are_never_committed() {
    let world = World::new();
    let dataset = world.dataset(8);
    let spec = training(&dataset, "types");
    let mut task = world.task(KIND, &spec);
    task.checkpoint_interval = Duration::ZERO;
    task.stop_after = Some(2);
    let good = world.run(task).1.checkpoints().remove(1);

    // A run on the brink: finite, but the next forward pass overflows.
    let store = world.store.checkpoint(&good.place);
    let manifest = world.runtime.block_on(store.manifest(&good.digest)).unwrap();
    let state = world.runtime.block_on(get_named(&store, &manifest, "state.safetensors")).unwrap();
    let mut tensors = from_safetensors(&state).unwrap();
    for (name, tensor) in &mut tensors {
        if name == "discriminator/model.8.bias" {
            *tensor = tensor.full_like(3e38);
        }
    }
    let body: CheckpointBody = manifest.body_of(ArtifactKind::Checkpoint).unwrap();
    let parts = ManifestParts::new(ArtifactKind::Checkpoint, &body);
    let objects = vec![("state.safetensors".to_owned(), to_safetensors(&tensors).unwrap().into())];
    let digest = world.runtime.block_on(put_artifact(&store, parts, objects)).unwrap();

    let mut task = world.task(KIND, &spec);
    task.checkpoint = Some(PlacedCheckpoint { digest, ..good });
    task.checkpoint_interval = Duration::ZERO;
    let (outcome, recorder) = world.run(task);
    let error = outcome.unwrap_err();
    assert_eq!(error.code, ErrorCode::NonFinite, "{}", error.message);
    assert!(!error.retryable && !error.is_stop());
    assert!(error.message.contains("loss_") && error.message.contains("step 2"), "{}", error.message);
    assert!(recorder.checkpoints().is_empty());
}
