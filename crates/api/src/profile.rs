//! The compute profile: what decides the last bit of a result, besides spec and inputs.

use serde::{Deserialize, Serialize};

use crate::proto::job::v1::ComputeProfile;

/// The compute profile as manifests hold it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// `cpu/avx512`, `cuda/sm_90` ...
    pub device_class: String,
    /// Threads of one worker.
    pub threads: u32,
    /// Version of libtorch.
    pub libtorch: String,
    /// Revision of the service's algorithms.
    pub revision: u32,
}

impl std::fmt::Display for Profile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { device_class, threads, libtorch, revision } = self;
        write!(formatter, "{device_class}, {threads} threads, libtorch {libtorch}, revision {revision}")
    }
}

impl From<ComputeProfile> for Profile {
    fn from(profile: ComputeProfile) -> Self {
        let ComputeProfile { device_class, threads, libtorch, revision } = profile;
        Self { device_class, threads, libtorch, revision }
    }
}

impl From<Profile> for ComputeProfile {
    fn from(profile: Profile) -> Self {
        let Profile { device_class, threads, libtorch, revision } = profile;
        Self { device_class, threads, libtorch, revision }
    }
}
