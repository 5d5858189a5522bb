//! `counterstain-synthesis import-weights`: published weights become a generator of the store.
//!
//! Invariants: nothing is unpickled that could run code; the network is read off the names and shapes of the
//! tensors, and then every tensor must fit it; what is stored loads as a trained generator's weights do.

mod recognise;

use crate::engine::Error;
use crate::engine::state::save_weights;
use crate::service::described;
use bytes::Bytes;
use counterstain_api::error::ApiError;
use counterstain_artifact::{
    ArtifactKind, Digest, GeneratorBody, GeneratorNetwork, LayerInfo, ManifestParts, REVERSE_WEIGHTS, WEIGHTS,
};
use counterstain_compute::published::{self, read, unfit};
use counterstain_model::hovernet::Mode;
use counterstain_model::{HoVerNet, HoVerNetConfig, weights};
use counterstain_tile::palette::{MASK, NUCLEUS_TYPES, PANNUKE_TYPES, Palette};
use counterstain_torch::NamedTensors;
use recognise::{Recognised, recognise};
use std::path::PathBuf;
use std::process::ExitCode;
use tch::Device;
use tch::nn::VarStore;

/// Imports published weights as a generator.
#[derive(Debug, clap::Parser)]
#[command(name = "counterstain-synthesis import-weights")]
pub struct ImportWeights {
    /// Weights: .pth, .tar (torch, never executed) or .safetensors
    pub file: PathBuf,
    /// Object store: a folder, or s3://BUCKET/PREFIX
    #[arg(long, env = "COUNTERSTAIN_STORE")]
    pub store: String,
    /// Weights of the other direction of a cycleGAN
    #[arg(long, value_name = "FILE")]
    pub reverse: Option<PathBuf>,
    /// Name of the layer that it paints
    #[arg(long, default_value = "nuclei")]
    pub layer: String,
    /// Names of a segmenter's types from 0, the background [default: PanNuke's for six, CoNSeP's for five]
    #[arg(long, value_delimiter = ',')]
    pub types: Vec<String>,
}

/// The whole program: prints the generator's digest.
pub fn main(options: &ImportWeights) -> ExitCode {
    published::finish(import(options))
}

/// Imports the weights; gives the generator's digest.
///
/// # Errors
/// A file that cannot be read, holds no network that this program knows, or does not fit it: every name that is
/// missing, surplus or misshaped. Those of the store.
pub fn import(options: &ImportWeights) -> Result<Digest, ApiError> {
    let found = read(&options.file)?;
    let network = recognise(&found).map_err(|reason| unfit(&options.file, &reason))?;
    let forward = Bytes::from(converted(&network, &found).map_err(|error| unfit(&options.file, &error))?);
    let mut objects = vec![(WEIGHTS.to_owned(), forward)];
    let Described { method, network: description, palette } = describe(&network, options)?;
    let (in_channels, out_channels) = match &network {
        Recognised::Painter(config) => (config.in_channels(), config.out_channels()),
        Recognised::Segmenter(_) => (3, 3),
    };
    if let Some(file) = &options.reverse {
        let tensors = read(file)?;
        let reverse = recognise(&tensors).map_err(|reason| unfit(file, &reason))?;
        let (Recognised::Painter(config), Recognised::Painter(back)) = (&network, &reverse) else {
            return Err(unfit(file, &"--reverse: only generators of images have two directions"));
        };
        if *back != config.reversed() || !matches!(description, GeneratorNetwork::Resnet { .. }) {
            return Err(unfit(file, &format!("--reverse: is {back:?}, and the way there is {config:?}")));
        }
        let bytes = converted(&reverse, &tensors).map_err(|error| unfit(file, &error))?;
        objects.push((REVERSE_WEIGHTS.to_owned(), bytes.into()));
    }
    let body = GeneratorBody {
        method: method.to_owned(),
        network: description,
        in_channels: in_channels as u32,
        out_channels: out_channels as u32,
        source: None,
        intensity: None,
        layer: LayerInfo {
            palette: palette.map(|palette| palette.entries.iter().map(|entry| entry.rgb).collect()),
            ..LayerInfo::png(options.layer.clone(), out_channels as u32)
        },
    };
    published::put(&options.store, ManifestParts::new(ArtifactKind::Generator, &body), objects)
}

/// The tensors in a network of that shape, as its weights are stored.
fn converted(network: &Recognised, tensors: &NamedTensors) -> Result<Vec<u8>, Error> {
    let store = VarStore::new(Device::Cpu);
    match network {
        Recognised::Painter(config) => {
            config.build(&store.root())?;
        }
        Recognised::Segmenter(config) => {
            HoVerNet::new(&store.root(), *config)?;
        }
    }
    weights::load(&store, tensors)?;
    save_weights(&store, 0)
}

/// A network as the store describes it.
struct Described {
    method: &'static str,
    network: GeneratorNetwork,
    palette: Option<Palette>,
}

fn describe(network: &Recognised, options: &ImportWeights) -> Result<Described, ApiError> {
    match network {
        Recognised::Painter(config) => {
            if !options.types.is_empty() {
                return Err(unfit(&options.file, &"--types: the weights are no segmenter's"));
            }
            let network = described(config);
            let method =
                if matches!(network, GeneratorNetwork::Resnet { .. }) { "cyclegan" } else { "pix2pix" };
            Ok(Described { method, network, palette: None })
        }
        Recognised::Segmenter(config) => {
            let (types, palette) = types(config, options)?;
            let mode = match config.mode {
                Mode::Fast => "fast",
                Mode::Original => "original",
            };
            let network = GeneratorNetwork::Hovernet { mode: mode.to_owned(), width: config.width, types };
            Ok(Described { method: "hovernet", network, palette: Some(palette) })
        }
    }
}

/// Names of a segmenter's types, and their colours.
fn types(config: &HoVerNetConfig, options: &ImportWeights) -> Result<(Vec<String>, Palette), ApiError> {
    let given = &options.types;
    let Some(count) = config.types.map(|count| count as usize) else {
        if given.is_empty() {
            return Ok((Vec::new(), MASK));
        }
        return Err(unfit(&options.file, &"--types: the segmenter has no types"));
    };
    if !given.is_empty() && given.len() != count {
        let text =
            format!("--types: names {} types, the segmenter has {count} with the background", given.len());
        return Err(unfit(&options.file, &text));
    }
    let palette = if count == PANNUKE_TYPES.entries.len() { PANNUKE_TYPES } else { NUCLEUS_TYPES };
    if count > palette.entries.len() {
        let text =
            format!("has {count} types, for which there are no colours; at most {}", palette.entries.len());
        return Err(unfit(&options.file, &text));
    }
    let names = match given.is_empty() {
        true => palette.entries.iter().take(count).map(|entry| entry.name.to_string()).collect(),
        false => given.clone(),
    };
    let entries = palette.entries.iter().take(count).cloned().collect();
    Ok((names, Palette { entries, ..palette }))
}
