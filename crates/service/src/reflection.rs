//! Reflection of every service, so that `buf curl` and its kin work without the protos.

use counterstain_api::DESCRIPTOR_SET;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

/// The reflection service over all protos of the project.
pub fn service() -> ServerReflectionServer<impl ServerReflection> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptor sets were compiled with this program")
}
