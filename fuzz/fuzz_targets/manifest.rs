//! Manifests and their bodies: an error, or a manifest that keeps its name through its canonical text.
#![no_main]

use counterstain_artifact::{
    ArtifactKind, CheckpointBody, DatasetBody, EncoderBody, GeneratorBody, LayerBody, LayerPartBody,
    Manifest, RepresentationsBody, ResultBody,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = Manifest::decode(bytes, "the manifest") else { return };
    let again = Manifest::decode(&manifest.encode(), "its text").expect("it was sound");
    assert_eq!(again.digest(), manifest.digest());
    let _ = manifest.key();
    let _ = match manifest.kind {
        ArtifactKind::Dataset => manifest.body::<DatasetBody>().map(drop),
        ArtifactKind::Layer => manifest.body::<LayerBody>().map(drop),
        ArtifactKind::LayerPart => manifest.body::<LayerPartBody>().map(drop),
        ArtifactKind::Generator => manifest.body::<GeneratorBody>().map(drop),
        ArtifactKind::Encoder => manifest.body::<EncoderBody>().map(drop),
        ArtifactKind::Representations => manifest.body::<RepresentationsBody>().map(drop),
        ArtifactKind::Result => manifest.body::<ResultBody>().map(drop),
        ArtifactKind::Checkpoint => manifest.body::<CheckpointBody>().map(drop),
    };
});
