//! A manifest of every kind.

use std::collections::BTreeMap;

use anyhow::Result;
use counterstain_artifact::{
    ArtifactKind, CheckpointBody, DatasetBody, Digest, EncoderBody, GeneratorBody, GeneratorNetwork,
    LayerBody, LayerInfo, LayerKind, LayerPartBody, Manifest, NamedInput, NamedObject, Profile,
    RepresentationsBody, ResultBody, SCHEMA, ShardInfo,
};
use serde_json::{Value, json, to_value};

use crate::Seed;

/// Manifests with every optional part set.
pub fn manifests() -> Result<Vec<Seed>> {
    let networks = [
        GeneratorNetwork::Unet { depth: 8, filters: 64, norm: "batch".to_owned() },
        GeneratorNetwork::Resnet { blocks: 9, filters: 64, norm: "instance".to_owned(), dropout: true },
        GeneratorNetwork::Hovernet { mode: "fast".to_owned(), width: 0.5, types: vec!["tumour".to_owned()] },
    ];
    let mut bodies: Vec<(ArtifactKind, Value)> = vec![
        (ArtifactKind::Dataset, to_value(dataset())?),
        (ArtifactKind::Layer, to_value(layer())?),
        (ArtifactKind::LayerPart, to_value(part())?),
        (ArtifactKind::Encoder, to_value(encoder())?),
        (ArtifactKind::Representations, to_value(representations())?),
        (ArtifactKind::Result, to_value(ResultBody { rows: 3 })?),
        (ArtifactKind::Checkpoint, to_value(checkpoint())?),
    ];
    for network in networks {
        bodies.push((ArtifactKind::Generator, to_value(generator(network))?));
    }
    let seeds = bodies.into_iter().enumerate();
    Ok(seeds
        .map(|(number, (kind, body))| (format!("{number}-{kind}"), manifest(kind, body).encode()))
        .collect())
}

fn manifest(kind: ArtifactKind, body: Value) -> Manifest {
    Manifest {
        kind,
        schema: SCHEMA,
        objects: vec![NamedObject { name: "weights.safetensors".to_owned(), size: 7, digest: digest() }],
        inputs: vec![NamedInput { name: "layer/nuclei".to_owned(), digest: digest() }],
        job_kind: Some("train_encoder".to_owned()),
        spec: Some(json!({ "seed": "1", "learning_rate": 1e-3 })),
        profile: Some(Profile {
            device_class: "cpu/avx512".to_owned(),
            threads: 2,
            libtorch: "2.13.0".to_owned(),
            revision: 1,
        }),
        body,
    }
}

fn digest() -> Digest {
    Digest::of(b"seed")
}

fn shard() -> ShardInfo {
    ShardInfo { tar: digest(), index: digest(), samples: 2 }
}

fn layer_info() -> LayerInfo {
    LayerInfo {
        name: "nuclei".to_owned(),
        kind: LayerKind::Label,
        channels: 1,
        media_type: "image/png".to_owned(),
        extension: "png".to_owned(),
        palette: Some(vec![[0, 0, 0], [255, 0, 0]]),
        width: Some(96),
        height: Some(96),
        microns_per_pixel: Some(0.25),
    }
}

fn dataset() -> DatasetBody {
    DatasetBody {
        name: "tiles".to_owned(),
        layers: vec![layer_info()],
        primary: "he".to_owned(),
        classes: vec!["normal".to_owned(), "tumour".to_owned()],
        splits: BTreeMap::from([("train".to_owned(), 2)]),
        samples: 2,
        shards: vec![shard()],
        microns_per_pixel: Some(0.25),
        skipped: Vec::new(),
        source: json!({ "layout": "folders" }),
    }
}

fn layer() -> LayerBody {
    LayerBody {
        name: "nuclei".to_owned(),
        dataset: digest(),
        layer: layer_info(),
        companions: vec![layer_info()],
        shards: vec![shard()],
        tables: vec![digest()],
    }
}

fn part() -> LayerPartBody {
    LayerPartBody {
        part: 0,
        shard: shard(),
        layer: layer_info(),
        companions: vec![layer_info()],
        dataset: digest(),
        table: Some(digest()),
    }
}

fn generator(network: GeneratorNetwork) -> GeneratorBody {
    GeneratorBody {
        method: "pix2pix".to_owned(),
        network,
        in_channels: 3,
        out_channels: 3,
        source: Some("he".to_owned()),
        intensity: Some(vec![[0, 200]; 3]),
        layer: layer_info(),
    }
}

fn encoder() -> EncoderBody {
    EncoderBody {
        architecture: "resnet18".to_owned(),
        representation_width: 512,
        image_size: 96,
        normalisation: "0-1".to_owned(),
        method: "trident".to_owned(),
        loss: "vicreg".to_owned(),
        privileged: vec!["nuclei".to_owned()],
    }
}

fn representations() -> RepresentationsBody {
    RepresentationsBody { encoder: Some(digest()), dataset: digest(), width: 512, samples: 2 }
}

fn checkpoint() -> CheckpointBody {
    CheckpointBody {
        job_kind: "train_encoder".to_owned(),
        step: 10,
        epoch: 1,
        spec_digest: digest(),
        schema: 1,
    }
}
