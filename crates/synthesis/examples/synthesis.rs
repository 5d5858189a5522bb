//! Times a part of `generate_layer` (decode, paint, encode), and the same work in PyTorch and Pillow.
//!
//! `cargo run --release -p counterstain-synthesis --example synthesis`
//!
//! The Python is `$COUNTERSTAIN_BENCH_PYTHON`, else `python3`; it needs numpy, torch and pillow. Both sides use
//! the same tiles, weights, batch size and two threads; the painted pixels are compared.

use bytes::Bytes;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::spec;
use counterstain_artifact::dataset::{Dataset, DatasetDescription, DatasetWriter, Layer, Reader};
use counterstain_artifact::shard::{SampleEntry, SampleMeta};
use counterstain_artifact::{
    ArtifactKind, Digest, GeneratorBody, GeneratorNetwork, LayerInfo, ManifestParts, Store, WEIGHTS,
    layer_from_parts, put_artifact,
};
use counterstain_model::init::{Scheme, initialise};
use counterstain_model::{Norm, UNetConfig, UNetGenerator};
use counterstain_synthesis::engine::state::save_weights;
use counterstain_synthesis::service::SynthesisEngine;
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode};
use counterstain_tile::encode::encode_png;
use counterstain_tile::random::Stream;
use counterstain_worker::Engine as _;
use counterstain_worker::testing::TestTask;
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use tch::{Device, nn::VarStore};

const REFERENCE: &str = include_str!("synthesis_reference.py");
const REPEATS: usize = 5;
const BATCH: usize = 16;

/// Side of a tile, filters and depth of the U-Net, tiles.
const CASES: [(usize, u32, u32, usize); 3] = [(64, 16, 5, 512), (128, 64, 7, 64), (256, 64, 8, 32)];

fn main() -> Result<(), Box<dyn Error>> {
    println!("  px  filters  depth   counterstain    pytorch, pillow   largest difference");
    for (side, filters, depth, tiles) in CASES {
        let bench = Bench::new(side, filters, depth, tiles)?;
        let (own, layer) = bench.paint()?;
        let ours = format!("{side:4} {filters:8} {depth:6} {:8.1} tiles/s", tiles as f64 / own);
        match bench.reference(&layer) {
            Ok((seconds, difference)) => println!(
                "{ours} {:8.1} tiles/s ({:.2} times as long) {difference:3} of 255",
                tiles as f64 / seconds,
                seconds / own
            ),
            Err(error) => println!("{ours}   reference skipped: {error}"),
        }
    }
    Ok(())
}

struct Bench {
    side: usize,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    store: Store,
    dataset: Digest,
    generator: Digest,
    depth: u32,
}

impl Bench {
    fn new(side: usize, filters: u32, depth: u32, tiles: usize) -> Result<Self, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let folder = tempfile::tempdir()?;
        let store = Store::open("memory:")?;
        let mut writer = DatasetWriter::new(&store, folder.path());
        for number in 0..tiles {
            let bytes = encode_png(&tissue(side, number as u64)?)?;
            std::fs::write(folder.path().join(format!("{number:05}.png")), &bytes)?;
            let files = vec![("he".to_owned(), "png".to_owned(), Bytes::from(bytes))];
            let entry = SampleEntry { key: format!("{number:05}"), files, meta: Some(SampleMeta::default()) };
            runtime.block_on(writer.add(entry))?;
        }
        let description = DatasetDescription {
            name: "bench".to_owned(),
            layers: vec![LayerInfo::png("he", 3)],
            primary: "he".to_owned(),
            microns_per_pixel: None,
            skipped: Vec::new(),
            source: Value::Null,
        };
        let dataset = runtime.block_on(writer.finish(description))?;

        let unet = UNetConfig {
            in_channels: 3,
            out_channels: 3,
            depth: depth as usize,
            filters: i64::from(filters),
            norm: Norm::Batch,
            dropout: false,
        };
        let variables = VarStore::new(Device::Cpu);
        UNetGenerator::new(&variables.root(), unet)?;
        initialise(&variables, 1, Scheme::Gan);
        let weights = Bytes::from(save_weights(&variables, 0)?);
        std::fs::write(folder.path().join(WEIGHTS), &weights)?;
        let body = GeneratorBody {
            method: "pix2pix".to_owned(),
            network: GeneratorNetwork::Unet { depth, filters, norm: "batch".to_owned() },
            in_channels: 3,
            out_channels: 3,
            source: None,
            intensity: None,
            layer: LayerInfo::png("ihc", 3),
        };
        let parts = ManifestParts::new(ArtifactKind::Generator, &body);
        let generator = runtime.block_on(put_artifact(&store, parts, vec![(WEIGHTS.to_owned(), weights)]))?;
        Ok(Self { side, folder, runtime, store, dataset, generator, depth })
    }

    /// Median seconds of a part, and the layer.
    fn paint(&self) -> Result<(f64, Layer), Box<dyn Error>> {
        let spec = json!({
            "generator": self.generator.to_string(), "dataset": self.dataset.to_string(), "layer": "ihc",
            "batch_size": BATCH,
        });
        let spec = spec::from_json(JobKind::GenerateLayer, &spec).and_then(|spec| spec::resolve(&spec));
        let spec = spec.map_err(|violations| format!("{violations:?}"))?;
        let mut seconds = Vec::new();
        let mut part = None;
        for _ in 0..=REPEATS {
            let mut task = TestTask::new(spec.clone(), self.store.clone());
            task.threads = 2;
            let (task, _) = task.build(self.folder.path(), self.runtime.handle().clone());
            let started = Instant::now();
            part = Some(SynthesisEngine::new(Device::Cpu).run(&task)?);
            seconds.push(started.elapsed().as_secs_f64());
        }
        let part = self.runtime.block_on(self.store.manifest(&part.ok_or("no part was painted")?))?;
        let manifest = layer_from_parts("ihc", &[part])?;
        let digest = self.runtime.block_on(self.store.put_manifest(&manifest))?;
        // The first run warms up.
        Ok((median(&mut seconds[1..]), self.runtime.block_on(Layer::open(&self.store, &digest))?))
    }

    /// Median seconds of the reference, and the largest difference of its pixels.
    fn reference(&self, layer: &Layer) -> Result<(f64, u8), Box<dyn Error>> {
        let python = std::env::var("COUNTERSTAIN_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let numbers = [BATCH, self.depth as usize, REPEATS].map(|number| number.to_string());
        let output =
            Command::new(&python).args(["-c", REFERENCE]).arg(self.folder.path()).args(numbers).output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(text.lines().last().unwrap_or("it failed").into());
        }
        let seconds: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
        let dataset = self.runtime.block_on(Dataset::open(&self.store, &self.dataset))?;
        layer.check_pairs(&dataset)?;
        let reader =
            Reader::new(self.store.clone(), self.folder.path(), 1 << 30, self.runtime.handle().clone());
        let mut difference = 0;
        for sample in 0..layer.len() {
            let ours = decode(&reader.read_layer(layer, sample)?, &Limits::default())?;
            let theirs = reference_tile(self.folder.path(), sample)?;
            if (theirs.width, theirs.height) != (self.side, self.side) {
                return Err("its images have another size".into());
            }
            let apart = ours.data.iter().zip(&theirs.data).map(|(a, b)| a.abs_diff(*b)).max();
            difference = difference.max(apart.unwrap_or(0));
        }
        Ok((seconds, difference))
    }
}

fn reference_tile(folder: &Path, sample: usize) -> Result<Tile<u8>, Box<dyn Error>> {
    let bytes = std::fs::read(folder.join(format!("painted-{sample:05}.png")))?;
    Ok(decode(&bytes, &Limits::default())?)
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// A tile with the noise and blobs that make its PNG about as large as a real one's.
fn tissue(side: usize, number: u64) -> Result<Tile<u8>, counterstain_tile::Error> {
    let mut random = Stream::new(number, "bench tissue", &[]);
    let mut tile = Tile::filled(side, side, 3, 0_u8);
    let waves: Vec<f32> = (0..4).map(|_| random.uniform(0.05, 0.4)).collect();
    for y in 0..side {
        for x in 0..side {
            let (u, v) = (x as f32, y as f32);
            let stain = (u * waves[0] + v * waves[1]).sin() * (u * waves[2] - v * waves[3]).cos();
            let colour = [190.0 + 40.0 * stain, 130.0 + 60.0 * stain, 180.0 + 25.0 * stain];
            for (value, colour) in tile.pixel_mut(x, y).iter_mut().zip(colour) {
                *value = (colour + 6.0 * random.normal()).clamp(0.0, 255.0) as u8;
            }
        }
    }
    Tile::new(side, side, 3, tile.data)
}
