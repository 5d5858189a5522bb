//! `generate_layer` and the online calls, without a coordinator.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod support;

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::proto::synthesis::v1::synthesis_service_server::SynthesisService as _;
use counterstain_api::proto::synthesis::v1::{GetStatusRequest, SynthesizeRequest};
use counterstain_artifact::dataset::{Dataset, Layer, Reader};
use counterstain_artifact::{Digest, LayerKind, layer_from_parts};
use counterstain_synthesis::service::Online;
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode};
use counterstain_tile::encode::encode_png;
use counterstain_worker::{OnlineContext, StatusHandle};
use serde_json::{Value, json};
use support::{SIDE, World, tissue};

const KIND: JobKind = JobKind::GenerateLayer;

fn generation(generator: &Digest, dataset: &Digest) -> Value {
    json!({
        "generator": generator.to_string(),
        "dataset": dataset.to_string(),
        "layer": "nuclei",
        "batch_size": 2,
        "dtype": "f32",
    })
}

fn paint(world: &World, generator: &Digest, dataset: &Digest, parts: u32) -> Digest {
    let part = |part: u32| {
        let mut task = world.task(KIND, &generation(generator, dataset));
        task.part = (part, parts);
        let digest = world.run(task).0.unwrap();
        world.runtime.block_on(world.store.manifest(&digest)).unwrap()
    };
    let manifests: Vec<_> = (0..parts).map(part).collect();
    let layer = layer_from_parts("nuclei", &manifests).unwrap();
    world.runtime.block_on(world.store.put_manifest(&layer)).unwrap()
}

#[test]
fn the_parts_make_a_layer_that_pairs_with_its_dataset() {
    let world = World::new();
    let training_set = world.dataset(4);
    let generator = world.generator(&training_set, "types");
    // Another dataset than the one it learned from, in three shards.
    let dataset_digest = world.dataset(8);
    let layer_digest = paint(&world, &generator, &dataset_digest, 3);
    assert_eq!(paint(&world, &generator, &dataset_digest, 3), layer_digest);

    let layer = world.runtime.block_on(Layer::open(&world.store, &layer_digest)).unwrap();
    let dataset = world.runtime.block_on(Dataset::open(&world.store, &dataset_digest)).unwrap();
    layer.check_pairs(&dataset).unwrap();
    let info = &layer.body.layer;
    assert_eq!((info.name.as_str(), info.kind, info.channels), ("nuclei", LayerKind::Image, 3));
    assert_eq!((info.width, info.palette.is_some()), (Some(SIDE as u32), true));

    let cache = world.folder.path().join("cache");
    let reader = Reader::new(world.store.clone(), &cache, 0, world.runtime.handle().clone());
    let online = online(&world);
    for sample in [0, 7] {
        let painted = reader.read_layer(&layer, sample).unwrap();
        let tile = decode(&painted, &Limits::default()).unwrap();
        assert_eq!((tile.width, tile.height, tile.channels), (SIDE, SIDE, 3));
        // The online call paints what the job paints, but for the rounding of another batch.
        let image = reader.read(&dataset, sample, "he").unwrap().to_vec();
        let single = call(&world, &online, &generator, image).unwrap();
        let single = decode(&single, &Limits::default()).unwrap();
        assert!(tile.data.iter().zip(&single.data).all(|(a, b)| a.abs_diff(*b) <= 1));
    }
}

#[test]
fn parts_that_do_not_match_the_shards_are_refused() {
    let world = World::new();
    let dataset = world.dataset(4);
    let generator = world.generator(&dataset, "grey");
    let (code, message) = world.refusal(KIND, &generation(&generator, &dataset));
    assert_eq!(code, ErrorCode::FailedPrecondition);
    assert!(message.contains("part 0 of 1") && message.contains("2 shard(s)"), "{message}");
    let (code, message) = world.refusal(KIND, &generation(&dataset, &dataset));
    assert_eq!(code, ErrorCode::FailedPrecondition, "{message}");
}

fn online(world: &World) -> Online {
    let _inside = world.runtime.enter();
    let context = OnlineContext { store: world.store.clone(), status: StatusHandle::default() };
    Online::start(context, tch::Device::Cpu, 1).unwrap()
}

fn call(
    world: &World,
    online: &Online,
    generator: &Digest,
    image: Vec<u8>,
) -> Result<Vec<u8>, tonic::Status> {
    let request = SynthesizeRequest { generator: generator.to_string(), image };
    let answer = world.runtime.block_on(online.synthesize(tonic::Request::new(request)))?;
    Ok(answer.into_inner().image)
}

#[test]
fn online_calls_say_what_is_wrong_and_go_on() {
    let world = World::new();
    let dataset = world.dataset(4);
    let generator = world.generator(&dataset, "grey");
    let online = online(&world);
    let good = encode_png(&tissue(3).0).unwrap();
    let odd = encode_png(&Tile::filled(20, 32, 3, 9)).unwrap();
    let huge = encode_png(&Tile::filled(4096, 2048, 1, 9)).unwrap();
    let mut cut = good.clone();
    cut.truncate(good.len() / 2);
    let faults = [
        (generator, odd, tonic::Code::InvalidArgument, "20x32 px"),
        (generator, huge, tonic::Code::InvalidArgument, "4096x2048 px"),
        (generator, cut, tonic::Code::InvalidArgument, "truncated"),
        (generator, Vec::new(), tonic::Code::InvalidArgument, "no bytes"),
        (Digest::of(b"nothing"), good.clone(), tonic::Code::NotFound, "is not in"),
        (dataset, good.clone(), tonic::Code::FailedPrecondition, "dataset"),
    ];
    for (generator, image, code, text) in faults {
        let status = call(&world, &online, &generator, image).unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(text), "{status}");
    }
    let painted = decode(&call(&world, &online, &generator, good).unwrap(), &Limits::default()).unwrap();
    assert_eq!((painted.width, painted.height, painted.channels), (SIDE, SIDE, 1));
    let status = world.runtime.block_on(online.get_status(tonic::Request::new(GetStatusRequest {}))).unwrap();
    assert!(status.into_inner().run.is_some_and(|run| run.job_id.is_empty()));
}
