//! HoVer-Net: trained, cut off, started from weights, and applied, as a worker does it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod support;

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_artifact::dataset::{DatasetDescription, DatasetWriter, Layer, Reader};
use counterstain_artifact::shard::{SampleEntry, SampleMeta, ShardLimits};
use counterstain_artifact::{
    ArtifactKind, Digest, GeneratorBody, GeneratorNetwork, LayerInfo, LayerKind, layer_from_parts,
};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode, decode_labels};
use counterstain_tile::encode::{encode_labels_png, encode_png};
use counterstain_tile::random::Stream;
use serde_json::{Value, json};
use std::time::Duration;
use support::World;

const KIND: JobKind = JobKind::TrainSegmenter;

/// Dark discs on pink, their numbers (with gaps), and their types: 1 for round, 2 for the bluer ones.
fn tile(seed: u64, side: usize, discs: usize) -> [Tile<u32>; 2] {
    let mut random = Stream::new(seed, "discs", &[]);
    let mut instances = Tile::filled(side, side, 1, 0_u32);
    let mut types = instances.clone();
    for disc in 0..discs {
        let (x, y, radius) =
            (random.below(side as u64) as i64, random.below(side as u64) as i64, 9 + random.below(6) as i64);
        for row in (y - radius).max(0)..(y + radius).min(side as i64) {
            for column in (x - radius).max(0)..(x + radius).min(side as i64) {
                if (row - y).pow(2) + (column - x).pow(2) < radius * radius {
                    instances.pixel_mut(column as usize, row as usize)[0] = 3 * disc as u32 + 2;
                    types.pixel_mut(column as usize, row as usize)[0] = 1 + disc as u32 % 2;
                }
            }
        }
    }
    [instances, types]
}

fn picture(types: &Tile<u32>) -> Tile<u8> {
    let colours = [[230, 180, 210], [90, 30, 60], [50, 30, 130]];
    let data = types.data.iter().flat_map(|&kind| colours[kind as usize]).collect();
    Tile::new(types.width, types.height, 3, data).unwrap()
}

struct Sample {
    image: Tile<u8>,
    instances: Tile<u32>,
    types: Tile<u32>,
}

fn samples(count: u64, side: usize, discs: usize) -> Vec<Sample> {
    let sample = |seed| {
        let [instances, types] = tile(seed, side, discs);
        Sample { image: picture(&types), instances, types }
    };
    (0..count).map(sample).collect()
}

fn dataset(world: &World, samples: &[Sample]) -> Digest {
    let limits = ShardLimits { samples: 2, ..ShardLimits::default() };
    let mut writer = DatasetWriter::new(&world.store, world.folder.path()).with_limits(limits);
    for (number, sample) in samples.iter().enumerate() {
        let file = |layer: &str, bytes: Vec<u8>| (layer.to_owned(), "png".to_owned(), Bytes::from(bytes));
        let files = vec![
            file("he", encode_png(&sample.image).unwrap()),
            file("instances", encode_labels_png(&sample.instances).unwrap()),
            file("types", encode_labels_png(&sample.types).unwrap()),
        ];
        let entry = SampleEntry { key: format!("tile/{number}"), files, meta: Some(SampleMeta::default()) };
        world.runtime.block_on(writer.add(entry)).unwrap();
    }
    let layer = |name: &str, kind, channels| LayerInfo {
        name: name.to_owned(),
        kind,
        channels,
        media_type: "image/png".to_owned(),
        extension: "png".to_owned(),
        palette: None,
        width: None,
        height: None,
        microns_per_pixel: Some(0.25),
    };
    let description = DatasetDescription {
        name: "discs".to_owned(),
        layers: vec![
            layer("he", LayerKind::Image, 3),
            layer("instances", LayerKind::Instance, 1),
            layer("types", LayerKind::Label, 1),
        ],
        primary: "he".to_owned(),
        microns_per_pixel: Some(0.25),
        skipped: Vec::new(),
        source: Value::Null,
    };
    world.runtime.block_on(writer.finish(description)).unwrap()
}

fn training(dataset: &Digest, more: Value) -> Value {
    let mut spec = json!({
        "dataset": dataset.to_string(), "types": "types", "split": "", "width": 0.125, "dtype": "f32",
        "decoder_epochs": 1, "epochs": 1, "decoder_batch_size": 1, "batch_size": 1, "seed": 4,
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn body(world: &World, generator: &Digest) -> GeneratorBody {
    let manifest = world.runtime.block_on(world.store.manifest(generator)).unwrap();
    assert_eq!(manifest.job_kind.as_deref(), Some("train_segmenter"));
    manifest.body_of(ArtifactKind::Generator).unwrap()
}

fn generation(generator: &Digest, dataset: &Digest, more: Value) -> Value {
    let mut spec = json!({
        "generator": generator.to_string(), "dataset": dataset.to_string(), "layer": "nuclei", "batch_size": 3,
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn segment(world: &World, spec: &Value, parts: u32) -> Layer {
    let part = |part: u32| {
        let mut task = world.task(JobKind::GenerateLayer, spec);
        task.part = (part, parts);
        let digest = world.run(task).0.unwrap();
        world.runtime.block_on(world.store.manifest(&digest)).unwrap()
    };
    // Another order than that of the shards changes nothing.
    let mut manifests: Vec<_> = (0..parts).rev().map(part).collect();
    manifests.reverse();
    let layer = layer_from_parts("nuclei", &manifests).unwrap();
    let digest = world.runtime.block_on(world.store.put_manifest(&layer)).unwrap();
    world.runtime.block_on(Layer::open(&world.store, &digest)).unwrap()
}

fn bytes(world: &World, layer: &Layer, sample: usize, name: &str) -> Bytes {
    let handle = world.runtime.handle().clone();
    let reader = Reader::new(world.store.clone(), world.folder.path(), 1 << 30, handle);
    reader.read_layer_named(layer, sample, name).unwrap()
}

fn labels(world: &World, layer: &Layer, sample: usize, name: &str) -> Tile<u32> {
    decode_labels(&bytes(world, layer, sample, name), &Limits::default()).unwrap()
}

#[test]
fn a_run_that_is_cut_off_in_either_phase_or_between_them_ends_in_the_same_artifact() {
    let world = World::new();
    let tiles = dataset(&world, &samples(2, 260, 30));
    let spec = training(&tiles, json!({}));
    let (straight, recorder) = world.run(world.task(KIND, &spec));
    let straight = straight.unwrap();
    assert_eq!(recorder.metric("loss_np_dice").len(), 4);
    assert_eq!(recorder.metric("loss_tp_cross_entropy").len(), 4);
    // Operators see what it predicts; the runs below show other pictures and end in the same artifact.
    let [picture] = recorder.pictures().try_into().unwrap();
    assert_eq!(picture.panels, ["input", "nuclei", "real nuclei", "distances", "real distances"]);
    let strip = decode(&picture.png, &Limits::default()).unwrap();
    assert_eq!((strip.height, strip.channels), (164, 3));

    for cut in [1, 2, 3] {
        let mut task = world.task(KIND, &spec);
        task.checkpoint_interval = Duration::ZERO;
        task.stop_after = Some(cut);
        let (outcome, recorder) = world.run(task);
        assert!(outcome.unwrap_err().is_stop());
        let mut task = world.task(KIND, &spec);
        task.checkpoint = recorder.checkpoints().pop();
        assert!(task.checkpoint.is_some());
        assert_eq!(world.run(task).0.unwrap(), straight, "cut off after {cut}");
    }
}

#[test]
fn a_segmenter_learns_to_find_nuclei_and_writes_them_in_every_form() {
    let world = World::new();
    let tiles = samples(4, 260, 24);
    let digest = dataset(&world, &tiles);
    let more = json!({
        "decoder_epochs": 0, "epochs": 14, "batch_size": 2, "patches": 2, "learning_rate": 5e-2, "decay_after": 12,
        "augmentation": "flips",
    });
    let (generator, recorder) = world.run(world.task(KIND, &training(&digest, more)));
    let generator = generator.unwrap();
    let losses = recorder.metric("loss_np_dice");
    assert!(losses.last().unwrap().1 < 0.6 * losses[0].1, "{losses:?}");
    let described = body(&world, &generator);
    let names = ["background", "other", "inflammatory"].map(str::to_owned).to_vec();
    let network = GeneratorNetwork::Hovernet { mode: "fast".to_owned(), width: 0.125, types: names };
    assert_eq!((described.method.as_str(), described.network), ("hovernet", network));

    // Smaller than the network's output, and other sizes than it learned from.
    let mut others = samples(3, 300, 30);
    others[1] = samples(1, 120, 6).remove(0);
    let target = dataset(&world, &others);
    let layer = segment(&world, &generation(&generator, &target, json!({})), 2);
    let companions: Vec<_> =
        layer.body.companions.iter().map(|info| (info.name.as_str(), info.kind)).collect();
    assert_eq!(
        companions,
        [("instances", LayerKind::Instance), ("types", LayerKind::Label), ("only", LayerKind::Image)]
    );
    let (mut found, mut right) = (0, 0);
    for (number, sample) in others.iter().enumerate() {
        let instances = labels(&world, &layer, number, "instances");
        let types = labels(&world, &layer, number, "types");
        let painted = decode(&bytes(&world, &layer, number, "nuclei"), &Limits::default()).unwrap();
        let only = decode(&bytes(&world, &layer, number, "only"), &Limits::default()).unwrap();
        assert_eq!((instances.width, instances.height), (sample.image.width, sample.image.height));
        for (place, &nucleus) in instances.data.iter().enumerate() {
            let pixel = |tile: &Tile<u8>| tile.data[3 * place..3 * place + 3].to_vec();
            if nucleus == 0 {
                assert_eq!((pixel(&painted), pixel(&only)), (vec![0; 3], vec![0; 3]));
            } else {
                assert_eq!(pixel(&only), pixel(&sample.image));
                let colour = counterstain_tile::palette::NUCLEUS_TYPES.color(types.data[place]);
                assert_eq!(pixel(&painted), colour);
            }
            found += usize::from(nucleus > 0);
            right += usize::from(nucleus > 0 && sample.instances.data[place] > 0);
        }
    }
    // So few steps learn where nuclei are, but not yet to separate all of them.
    assert!(found > 1000 && right as f64 > 0.8 * found as f64, "{right} of {found} pixels");
    assert_eq!(layer.body.tables.len(), 2);

    // The other picture as the main one; the rest is the same.
    let turned = segment(&world, &generation(&generator, &target, json!({ "nuclei": "only" })), 2);
    assert_eq!(bytes(&world, &turned, 0, "nuclei"), bytes(&world, &layer, 0, "only"));
    assert_eq!(bytes(&world, &turned, 0, "painted"), bytes(&world, &layer, 0, "nuclei"));
    assert_eq!(turned.body.tables, layer.body.tables);
    // Batches of another size give the same nuclei up to rounding; of the same size, the same bytes.
    let again = segment(&world, &generation(&generator, &target, json!({})), 2);
    assert_eq!(again.digest, layer.digest);

    // Started from these weights, a network without types keeps all but the type branch.
    let start = json!({ "types": null, "init": generator.to_string() });
    let mut spec = training(&digest, start);
    spec.as_object_mut().unwrap().remove("types");
    let (untyped, recorder) = world.run(world.task(KIND, &spec));
    assert!(recorder.metric("loss_np_dice")[0].1 < 0.6 * losses[0].1, "it goes on from what was learned");
    let untyped = body(&world, &untyped.unwrap());
    assert!(matches!(untyped.network, GeneratorNetwork::Hovernet { types, .. } if types.is_empty()));
}

#[test]
fn tiles_that_nothing_can_be_learned_from_are_refused_by_name() {
    let world = World::new();
    let refused = |samples: &[Sample], more: Value, text: &str, code: ErrorCode| {
        let digest = dataset(&world, samples);
        let (found, message) = world.refusal(KIND, &training(&digest, more));
        assert!(message.contains(text), "{message}");
        assert_eq!(found, code);
    };
    use ErrorCode::{FailedPrecondition, InvalidArgument};
    refused(
        &samples(1, 200, 9),
        json!({}),
        "200 x 200 px, mode fast learns from patches of 256",
        InvalidArgument,
    );
    let original = json!({ "mode": "original" });
    refused(&samples(1, 260, 9), original, "mode original learns from patches of 270", InvalidArgument);
    refused(&samples(2, 260, 0), json!({}), "nothing can be learned from empty masks", FailedPrecondition);
    let mut small = samples(2, 260, 9);
    small[1].instances = Tile::filled(260, 128, 1, 1);
    refused(&small, json!({}), "sample tile/1: layer instances has 260 x 128 px", InvalidArgument);
    let swapped = json!({ "instances": "types" });
    refused(&samples(1, 260, 9), swapped, "instances: layer \"types\"", InvalidArgument);
}

#[test]
fn a_start_from_another_architecture_is_refused_with_both_names() {
    let world = World::new();
    let tiles = dataset(&world, &samples(1, 260, 12));
    let brief = json!({ "decoder_epochs": 1, "epochs": 0 });
    let small = world.run(world.task(KIND, &training(&tiles, brief.clone()))).0.unwrap();
    let mut wide = training(&tiles, brief);
    wide["width"] = json!(0.25);
    wide["init"] = json!(small.to_string());
    let (code, text) = world.refusal(KIND, &wide);
    assert_eq!(code, ErrorCode::InvalidArgument);
    assert!(text.contains("width 0.125") && text.contains("width 0.25"), "{text}");
    let painter = world.generator(&world.dataset(3), "types");
    wide["init"] = json!(painter.to_string());
    let (_, text) = world.refusal(KIND, &wide);
    assert!(text.contains("init: the generator paints images"), "{text}");

    let clash = generation(&small, &tiles, json!({ "layer": "instances" }));
    let (_, text) = world.refusal(JobKind::GenerateLayer, &clash);
    assert!(text.contains("written beside it"), "{text}");
    let cycle = generation(&small, &tiles, json!({ "cycle": true }));
    let (_, text) = world.refusal(JobKind::GenerateLayer, &cycle);
    assert!(text.contains("no way back"), "{text}");
}
