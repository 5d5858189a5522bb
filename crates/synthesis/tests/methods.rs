//! cycleGAN, SHIFT and the options that they share with pix2pix, as a worker runs them.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod support;

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_artifact::dataset::{Dataset, Layer, Reader};
use counterstain_artifact::{
    ArtifactKind, Digest, GeneratorBody, GeneratorNetwork, REVERSE_WEIGHTS, layer_from_parts,
};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode};
use serde_json::{Value, json};
use std::time::Duration;
use support::{SIDE, World, training};

const KIND: JobKind = JobKind::TrainGenerator;

/// `base` with other values.
fn with(mut base: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

fn cyclegan(dataset: &Digest) -> Value {
    let more = json!({
        "method": "cyclegan", "epochs": 2, "blocks": 1, "pool_size": 2, "crop": 16, "batch_size": 2,
    });
    with(training(dataset, "types"), &more)
}

fn body(world: &World, generator: &Digest) -> GeneratorBody {
    let manifest = world.runtime.block_on(world.store.manifest(generator)).unwrap();
    manifest.body_of(ArtifactKind::Generator).unwrap()
}

/// Paints a dataset of one shard.
fn paint(world: &World, generator: &Digest, dataset: &Digest, more: &Value) -> Layer {
    let spec = json!({
        "generator": generator.to_string(), "dataset": dataset.to_string(), "layer": "painted",
    });
    let digest = world.run(world.task(JobKind::GenerateLayer, &with(spec, more))).0.unwrap();
    let part = world.runtime.block_on(world.store.manifest(&digest)).unwrap();
    let layer = layer_from_parts("painted", &[part]).unwrap();
    let digest = world.runtime.block_on(world.store.put_manifest(&layer)).unwrap();
    let layer = world.runtime.block_on(Layer::open(&world.store, &digest)).unwrap();
    let dataset = world.runtime.block_on(Dataset::open(&world.store, dataset)).unwrap();
    layer.check_pairs(&dataset).unwrap();
    layer
}

fn image(world: &World, layer: &Layer, sample: usize, name: &str) -> Tile<u8> {
    let handle = world.runtime.handle().clone();
    let reader = Reader::new(world.store.clone(), world.folder.path(), 1 << 30, handle);
    decode(&reader.read_layer_named(layer, sample, name).unwrap(), &Limits::default()).unwrap()
}

#[test]
fn a_cyclegan_that_is_cut_off_anywhere_ends_in_the_same_artifact() {
    let world = World::new();
    let (tissue, other) = (world.dataset(8), world.dataset(3));
    let unpaired = json!({ "target_dataset": other.to_string(), "target_split": "" });
    let spec = with(cyclegan(&tissue), &unpaired);
    let (straight, recorder) = world.run(world.task(KIND, &spec));
    let straight = straight.unwrap();
    // The larger domain has seven training samples: four steps of two in each of two epochs.
    assert_eq!(recorder.metric("loss_cycle_a").len(), 8);
    assert_eq!(recorder.metric("loss_identity_b").len(), 8);
    // Operators see what it paints; the runs below show other pictures and end in the same artifact.
    let [picture] = recorder.pictures().try_into().unwrap();
    assert_eq!((picture.name.as_str(), picture.panels.len()), ("training", 3));
    let strip = decode(&picture.png, &Limits::default()).unwrap();
    assert_eq!((strip.width, strip.height), (3 * 16 + 2 * 4, 16));

    for cut in [1, 3, 6] {
        let mut task = world.task(KIND, &spec);
        task.checkpoint_interval = Duration::ZERO;
        task.stop_after = Some(cut);
        let (outcome, recorder) = world.run(task);
        assert!(outcome.unwrap_err().is_stop());
        let mut task = world.task(KIND, &spec);
        task.checkpoint = recorder.checkpoints().pop();
        assert_eq!(world.run(task).0.unwrap(), straight, "cut off after step {cut}");
    }

    let manifest = world.runtime.block_on(world.store.manifest(&straight)).unwrap();
    assert_eq!(manifest.input("target_dataset"), Some(other));
    assert!(manifest.object(REVERSE_WEIGHTS).is_some());
    let network =
        GeneratorNetwork::Resnet { blocks: 1, filters: 4, norm: "instance".to_owned(), dropout: false };
    let found = body(&world, &straight);
    assert_eq!((found.method.as_str(), found.network), ("cyclegan", network));
}

#[test]
fn a_cyclegan_paints_the_way_back_beside_its_layer() {
    let world = World::new();
    let dataset = world.dataset(3);
    let generator = world.run(world.task(KIND, &cyclegan(&dataset))).0.unwrap();
    let layer = paint(&world, &generator, &dataset, &json!({ "cycle": true }));
    assert_eq!(layer.body.companions[0].name, "cycle");
    let (painted, back) = (image(&world, &layer, 1, "painted"), image(&world, &layer, 1, "cycle"));
    assert_eq!((painted.width, back.width, back.channels), (SIDE, SIDE, 3));
    assert_ne!(painted, back);
    let alone = paint(&world, &generator, &dataset, &json!({}));
    assert_eq!(image(&world, &alone, 1, "painted"), painted);

    let pix2pix = world.generator(&dataset, "types");
    let spec = json!({
        "generator": pix2pix.to_string(), "dataset": dataset.to_string(), "layer": "painted", "cycle": true,
    });
    let (code, message) = world.refusal(JobKind::GenerateLayer, &spec);
    assert_eq!(code, ErrorCode::InvalidArgument);
    assert!(message.contains("no way back"), "{message}");
}

#[test]
fn the_primary_image_is_painted_from_the_layer() {
    let world = World::new();
    let dataset = world.dataset(3);
    let spec = with(training(&dataset, "grey"), &json!({ "direction": "to-primary" }));
    let generator = world.run(world.task(KIND, &spec)).0.unwrap();
    let found = body(&world, &generator);
    assert_eq!((found.source.as_deref(), found.in_channels, found.out_channels), (Some("grey"), 1, 3));
    assert_eq!(found.layer.name, "he");
    let layer = paint(&world, &generator, &dataset, &json!({}));
    assert_eq!(image(&world, &layer, 0, "painted").channels, 3);
}

#[test]
fn shift_paints_one_channel_in_the_intensities_of_its_layer() {
    let world = World::new();
    let dataset = world.dataset(3);
    // Too few halvings and filters to be SHIFT's, but its channels, intensities, crops and sampling.
    let spec = with(training(&dataset, "types"), &json!({ "preset": "shift", "crop": 16, "epochs": 1 }));
    let (generator, recorder) = world.run(world.task(KIND, &spec));
    assert_eq!(recorder.metric("loss_g_l1").len(), 1);
    let generator = generator.unwrap();
    let found = body(&world, &generator);
    assert_eq!((found.out_channels, found.layer.channels), (1, 1));
    let [low, high] = found.intensity.unwrap()[0];
    assert!(low < high && high < 255, "{low} to {high}");
    let layer = paint(&world, &generator, &dataset, &json!({}));
    let painted = image(&world, &layer, 0, "painted");
    assert_eq!(painted.channels, 1);
    assert!(painted.data.iter().all(|value| (low..=high).contains(value)));
}

#[test]
fn resnets_and_instance_norm_serve_pix2pix_too() {
    let world = World::new();
    let dataset = world.dataset(4);
    let change = json!({ "network": "resnet", "norm": "instance", "blocks": 2, "epochs": 1 });
    let generator = world.run(world.task(KIND, &with(training(&dataset, "types"), &change))).0.unwrap();
    let network =
        GeneratorNetwork::Resnet { blocks: 2, filters: 4, norm: "instance".to_owned(), dropout: true };
    assert_eq!(body(&world, &generator).network, network);
}

#[test]
fn training_starts_from_another_generator_of_the_same_networks() {
    let world = World::new();
    let dataset = world.dataset(4);
    let first = world.generator(&dataset, "types");
    let start = |changes: &Value| {
        let spec = with(training(&dataset, "types"), &json!({ "init": first.to_string() }));
        with(spec, changes)
    };
    let (second, recorder) = world.run(world.task(KIND, &start(&json!({}))));
    let manifest = world.runtime.block_on(world.store.manifest(&second.unwrap())).unwrap();
    assert_eq!(manifest.input("init"), Some(first));
    let afresh = world.run(world.task(KIND, &training(&dataset, "types"))).1;
    assert!(recorder.metric("loss_g_l1")[0].1 < afresh.metric("loss_g_l1")[0].1);

    let (code, message) = world.refusal(KIND, &start(&json!({ "filters": 8 })));
    assert_eq!(code, ErrorCode::InvalidArgument);
    assert!(message.contains("init") && message.contains("filters: 8"), "{message}");
}

#[test]
fn crops_that_do_not_fit_are_refused_with_the_tile() {
    let world = World::new();
    let dataset = world.dataset(3);
    let (code, message) = world.refusal(KIND, &with(training(&dataset, "types"), &json!({ "crop": 64 })));
    assert_eq!(code, ErrorCode::InvalidArgument);
    assert!(message.contains("tile/000") && message.contains("set crop to 32"), "{message}");
}
