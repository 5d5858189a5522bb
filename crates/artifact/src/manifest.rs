//! Manifests: what makes an artifact of some objects. The SHA-256 of a manifest's bytes is the artifact's name.
//!
//! A manifest is RFC 8785 canonical JSON and holds no time, host, attempt, program version or measurement:
//! the same work under the same compute profile gives the same name anywhere.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use counterstain_api::{Digest, Profile, spec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;

/// Newest schema of manifests (and of all bodies) that this program reads, and the one that it writes.
pub const SCHEMA: u32 = 1;

/// What an artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// Samples with their tiles.
    Dataset,
    /// A further image for each sample of a dataset.
    Layer,
    /// One shard of a layer, before all are there.
    LayerPart,
    /// An image-to-image model or a nuclear segmenter.
    Generator,
    /// A trained trunk.
    Encoder,
    /// What an encoder makes of a dataset.
    Representations,
    /// Figures.
    Result,
    /// The state of a job in the middle.
    Checkpoint,
}

impl ArtifactKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Dataset,
        Self::Layer,
        Self::LayerPart,
        Self::Generator,
        Self::Encoder,
        Self::Representations,
        Self::Result,
        Self::Checkpoint,
    ];

    /// Name of the kind of job that usually makes such artifacts as its output, or none for imports and checkpoints.
    pub fn job_kind(self) -> Option<&'static str> {
        match self {
            Self::Layer | Self::LayerPart => Some("generate_layer"),
            Self::Generator => Some("train_generator"),
            Self::Encoder => Some("train_encoder"),
            Self::Representations => Some("embed"),
            Self::Result => Some("evaluate"),
            Self::Dataset | Self::Checkpoint => None,
        }
    }

    /// The name in manifests and calls.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Layer => "layer",
            Self::LayerPart => "layer-part",
            Self::Generator => "generator",
            Self::Encoder => "encoder",
            Self::Representations => "representations",
            Self::Result => "result",
            Self::Checkpoint => "checkpoint",
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for ArtifactKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            Error::invalid(format!("artifact kind {text:?}"), format!("is unknown; expected one of {known}"))
        })
    }
}

/// An object of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedObject {
    /// Name inside the artifact, such as `weights.safetensors` or `shards/00000.tar`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub digest: Digest,
}

/// An artifact that this one was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedInput {
    /// The part it played: `dataset`, `generator`, `layer/nuclei`, `encoder/0` ...
    pub name: String,
    /// Its digest.
    pub digest: Digest,
}

/// A manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What it is.
    pub kind: ArtifactKind,
    /// Schema version, [`SCHEMA`].
    pub schema: u32,
    /// The objects, each name once.
    pub objects: Vec<NamedObject>,
    /// What it was made from, each name once. Lineage is part of the name.
    pub inputs: Vec<NamedInput>,
    /// Name of the kind of job that made it, where that is not the usual one ([`ArtifactKind::job_kind`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_kind: Option<String>,
    /// Canonical spec of the job that made it; none for imports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Value>,
    /// Compute profile under which it was made; none for imports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// What depends on the kind: one of the `…Body` types.
    pub body: Value,
}

impl Manifest {
    /// The bytes whose SHA-256 is the artifact's name: RFC 8785 canonical JSON.
    pub fn encode(&self) -> Vec<u8> {
        spec::canonical_bytes(self)
    }

    /// The artifact's name.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.encode())
    }

    /// Reads a manifest; `what` names it in errors.
    ///
    /// # Errors
    /// `NewerSchema` for one of a newer schema, whatever else it holds; `Mismatch` for anything that is not a manifest.
    pub fn decode(bytes: &[u8], what: &str) -> Result<Self, Error> {
        let fail = |error: serde_json::Error| Error::mismatch(what, format!("is not a manifest: {error}"));
        let head: Head = serde_json::from_slice(bytes).map_err(fail)?;
        if head.schema > SCHEMA {
            return Err(Error::NewerSchema {
                what: format!("{what}, a {}", head.kind),
                found: head.schema,
                supported: SCHEMA,
            });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(fail)?;
        manifest.check().map_err(|reason| Error::mismatch(what, reason))?;
        Ok(manifest)
    }

    /// Whether the parts that all kinds share are sound.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.schema == 0 || self.schema > SCHEMA {
            return Err(format!("has schema {}; expected 1 to {SCHEMA}", self.schema));
        }
        let mut names = BTreeSet::new();
        for name in self.objects.iter().map(|object| &object.name) {
            let is_plain = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
            if !is_plain || name.contains(char::is_control) {
                return Err(format!("has an object with the unusable name {name:?}"));
            }
            if !names.insert(name) {
                return Err(format!("has two objects named {name:?}"));
            }
        }
        let mut inputs = BTreeSet::new();
        match self.inputs.iter().find(|input| !inputs.insert(&input.name)) {
            Some(twice) => Err(format!("has two inputs named {:?}", twice.name)),
            None => Ok(()),
        }
    }

    /// Name of the kind of job that made it; none for imports and checkpoints.
    pub fn job_kind(&self) -> Option<&str> {
        self.job_kind.as_deref().or(self.kind.job_kind())
    }

    /// The artifact key of the job that made it (see `api::spec::artifact_key`); none for imports and checkpoints.
    pub fn key(&self) -> Option<String> {
        Some(spec::artifact_key(self.job_kind()?, self.spec.as_ref()?, self.profile.as_ref()?))
    }

    /// The body as the type of this kind.
    ///
    /// # Errors
    /// `Mismatch`, naming the field, where the body has another form.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_value(self.body.clone()).map_err(|error| {
            Error::mismatch(
                format!("body of {} {:?}", self.kind, self.digest()),
                format!("has another form: {error}"),
            )
        })
    }

    /// The body, where the artifact must be of `kind`.
    ///
    /// # Errors
    /// `Mismatch` for another kind or form.
    pub fn body_of<T: DeserializeOwned>(&self, kind: ArtifactKind) -> Result<T, Error> {
        self.expect_kind(kind)?;
        self.body()
    }

    /// Refuses an artifact of another kind.
    ///
    /// # Errors
    /// `Mismatch` that names both kinds.
    pub fn expect_kind(&self, kind: ArtifactKind) -> Result<(), Error> {
        if self.kind == kind {
            return Ok(());
        }
        Err(Error::mismatch(
            format!("artifact {:?}", self.digest()),
            format!("is a {}; a {kind} is needed here", self.kind),
        ))
    }

    /// The object of this name.
    pub fn object(&self, name: &str) -> Option<&NamedObject> {
        self.objects.iter().find(|object| object.name == name)
    }

    /// The input that played this part.
    pub fn input(&self, name: &str) -> Option<Digest> {
        self.inputs.iter().find(|input| input.name == name).map(|input| input.digest)
    }
}

/// What is read first, so that a newer schema is named as such rather than as an unknown field.
#[derive(Deserialize)]
struct Head {
    kind: String,
    schema: u32,
}
