//! `counterstain-evaluation import-weights`: published weights become an encoder of the store.
//!
//! The network is read off the names and shapes of the tensors, and then every tensor but a classifier's must fit it.

use crate::engine::encoder::Architecture;
use counterstain_api::error::ApiError;
use counterstain_artifact::{ArtifactKind, Digest, EncoderBody, ManifestParts, WEIGHTS};
use counterstain_compute::published::{self, read, unfit};
use counterstain_torch::NamedTensors;
use std::path::PathBuf;
use std::process::ExitCode;

/// Method of imported encoders in result rows.
pub const PUBLISHED: &str = "published";
/// Names that are told when nothing is recognised.
const SHOWN: usize = 5;
/// Classes of the network that FID is defined by; torchvision's, which pools otherwise, has 1,000.
const FID_CLASSES: i64 = 1008;
/// Side of the images that FID is defined by.
const FID_SIDE: u32 = 299;

/// Imports published weights as an encoder.
#[derive(Debug, clap::Parser)]
#[command(name = "counterstain-evaluation import-weights")]
pub struct ImportWeights {
    /// Weights: .pth (torch, never executed) or .safetensors
    pub file: PathBuf,
    /// Object store: a folder, or s3://BUCKET/PREFIX
    #[arg(long, env = "COUNTERSTAIN_STORE")]
    pub store: String,
    /// Scale of a ResNet's input: imagenet, 0-1, -1-1 or 0-255 [default: imagenet]
    #[arg(long, value_parser = ["imagenet", "0-1", "-1-1", "0-255"], allow_hyphen_values = true)]
    pub normalisation: Option<String>,
    /// Side that a ResNet's images are resized to; 0 takes tiles as they are [default: 0]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=4096))]
    pub image_size: Option<u32>,
}

/// The whole program: prints the encoder's digest.
pub fn main(options: &ImportWeights) -> ExitCode {
    published::finish(import(options))
}

/// Imports the weights; gives the encoder's digest.
///
/// # Errors
/// A file that cannot be read, holds no network that this program knows, or does not fit it: every name that is
/// missing, surplus or misshaped. Those of the store.
pub fn import(options: &ImportWeights) -> Result<Digest, ApiError> {
    let mut tensors = read(&options.file)?;
    let refuse = |reason: &dyn std::fmt::Display| unfit(&options.file, reason);
    let architecture = recognise(&tensors, options).map_err(|reason| refuse(&reason))?;
    tensors.retain(|(name, _)| !name.starts_with("fc."));
    let weights = architecture.converted(&tensors).map_err(|error| refuse(&error))?;
    let body = EncoderBody {
        representation_width: architecture.representation_width().map_err(|error| refuse(&error))? as u32,
        architecture: architecture.name,
        image_size: architecture.image_size,
        normalisation: architecture.normalisation,
        method: PUBLISHED.to_owned(),
        loss: String::new(),
        privileged: Vec::new(),
    };
    let parts = ManifestParts::new(ArtifactKind::Encoder, &body);
    published::put(&options.store, parts, vec![(WEIGHTS.to_owned(), weights.into())])
}

/// The encoder that has these tensors. Whether all of them fit shows when they are loaded.
///
/// # Errors
/// When the names are no known encoder's, as a sentence.
fn recognise(tensors: &NamedTensors, options: &ImportWeights) -> Result<Architecture, String> {
    let shape = |name: &str| tensors.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor.size());
    if shape("Mixed_7c.branch_pool.conv.weight").is_some() {
        if options.normalisation.is_some() || options.image_size.is_some() {
            return Err(
                "Inception takes images of 299 px in -1..1: leave out --normalisation and --image-size"
                    .into(),
            );
        }
        let classes = shape("fc.bias").and_then(|shape| shape.first().copied());
        if classes.is_some_and(|classes| classes != FID_CLASSES) {
            return Err(format!(
                "is an Inception of {} classes; FID is defined by the one of {FID_CLASSES} (pt_inception-2015-12-05)",
                classes.unwrap_or_default()
            ));
        }
        let (name, normalisation) = ("inception_v3".to_owned(), "-1-1".to_owned());
        return Ok(Architecture { name, image_size: FID_SIDE, normalisation });
    }
    let name = match (shape("layer1.0.conv3.weight"), shape("layer1.2.conv1.weight")) {
        _ if shape("layer4.0.conv1.weight").is_none() => {
            let names: Vec<&str> = tensors.iter().take(SHOWN).map(|(name, _)| name.as_str()).collect();
            return Err(format!(
                "holds no known encoder: neither FID's Inception nor a ResNet of torchvision; its first tensors are {}",
                names.join(", ")
            ));
        }
        (Some(_), _) => "resnet50",
        (None, Some(_)) => "resnet34",
        (None, None) => "resnet18",
    };
    Ok(Architecture {
        name: name.to_owned(),
        image_size: options.image_size.unwrap_or(0),
        normalisation: options.normalisation.clone().unwrap_or_else(|| "imagenet".to_owned()),
    })
}
