//! Whole artifacts: named byte objects and the manifest over them.

use bytes::Bytes;
use counterstain_api::{Digest, Profile};
use serde::Serialize;
use serde_json::Value;

use crate::manifest::{ArtifactKind, Manifest, NamedInput, NamedObject, SCHEMA};
use crate::{Error, Store, body};

/// A manifest without its objects.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestParts {
    /// What it is.
    pub kind: ArtifactKind,
    /// What it was made from: part played and digest.
    pub inputs: Vec<NamedInput>,
    /// Kind of the job, where it is not the usual one for this kind of artifact.
    pub job_kind: Option<String>,
    /// Canonical spec of the job.
    pub spec: Option<Value>,
    /// Compute profile.
    pub profile: Option<Profile>,
    /// One of the `…Body` types, as JSON.
    pub body: Value,
}

impl ManifestParts {
    /// Parts with only kind and body.
    pub fn new(kind: ArtifactKind, body: &impl Serialize) -> Self {
        Self {
            kind,
            inputs: Vec::new(),
            job_kind: None,
            spec: None,
            profile: None,
            body: body::to_value(body),
        }
    }

    /// Adds an input.
    pub fn input(mut self, name: impl Into<String>, digest: Digest) -> Self {
        self.inputs.push(NamedInput { name: name.into(), digest });
        self
    }

    /// Sets canonical spec and profile of the job.
    pub fn job(mut self, spec: Value, profile: Profile) -> Self {
        self.spec = Some(spec);
        self.profile = Some(profile);
        self
    }

    /// Sets the kind of the job, by its name in pipeline files.
    pub fn job_kind(mut self, name: &str) -> Self {
        self.job_kind = (self.kind.job_kind() != Some(name)).then(|| name.to_owned());
        self
    }

    /// The manifest over `objects`.
    pub fn manifest(self, objects: Vec<NamedObject>) -> Manifest {
        let Self { kind, inputs, job_kind, spec, profile, body } = self;
        Manifest { kind, schema: SCHEMA, objects, inputs, job_kind, spec, profile, body }
    }
}

/// Writes `objects` and, when all are durable, the manifest over them. Gives the artifact's digest.
///
/// # Errors
/// Those of the store, and `Invalid` for two objects or inputs of one name.
pub async fn put_artifact(
    store: &Store,
    parts: ManifestParts,
    objects: Vec<(String, Bytes)>,
) -> Result<Digest, Error> {
    let mut named = Vec::with_capacity(objects.len());
    for (name, bytes) in objects {
        let object = store.put_object(bytes).await?;
        named.push(NamedObject { name, size: object.size, digest: object.digest });
    }
    store.put_manifest(&parts.manifest(named)).await
}

/// Reads an artifact's object by name, verified.
///
/// # Errors
/// `Mismatch` when the artifact has none of that name, and those of the store.
pub async fn get_named(store: &Store, manifest: &Manifest, name: &str) -> Result<Bytes, Error> {
    let object = manifest.object(name).ok_or_else(|| {
        let names: Vec<&str> = manifest.objects.iter().take(8).map(|object| object.name.as_str()).collect();
        let what = format!("{} {:?}", manifest.kind, manifest.digest());
        Error::mismatch(what, format!("has no object {name:?}; it has {names:?}"))
    })?;
    store.get_object(&object.digest).await
}
