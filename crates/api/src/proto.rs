//! Code generated from `proto/`, in modules named like the packages.

/// The compiled descriptors of all protos, with comments: for reflection and for spec rules.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! packages {
    ($($area:ident),*) => {$(
        #[doc = concat!("Package `counterstain.", stringify!($area), "`.")]
        pub mod $area {
            /// Version 1.
            #[allow(clippy::all, clippy::pedantic, missing_docs)]
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/counterstain.", stringify!($area), ".v1.rs"));
            }
        }
    )*};
}

packages!(artifact, common, evaluation, job, spec, synthesis, training);
