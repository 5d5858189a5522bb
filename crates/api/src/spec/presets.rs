//! Values for the fields that were left out, where they depend on a preset or on the method.
//!
//! They are filled in before the fields' own defaults, which stay what `paper` and pix2pix say.

use crate::proto::job::v1::JobSpec;
use crate::proto::job::v1::job_spec::Kind;
use crate::proto::synthesis::v1::{
    GanMode, GanNorm, GeneratorMethod, GeneratorNetwork, GeneratorPreset, Intensity, TargetChannels,
    TrainGeneratorSpec,
};
use crate::proto::training::v1::{Augmentation, Encoder, Preset, TrainEncoderSpec};

/// Fills in the preset's and the method's values. The preset itself is not part of a resolved spec.
pub(super) fn expand(spec: &mut JobSpec) {
    match &mut spec.kind {
        Some(Kind::TrainEncoder(encoder)) => expand_encoder(encoder),
        Some(Kind::TrainGenerator(generator)) => expand_generator(generator),
        _ => {}
    }
}

fn expand_encoder(spec: &mut TrainEncoderSpec) {
    if spec.preset() == Preset::Small {
        spec.encoder.get_or_insert(Encoder::Resnet18.into());
        spec.projector_width.get_or_insert(1024);
        spec.batch_size.get_or_insert(64);
        spec.epochs.get_or_insert(10);
        spec.learning_rate.get_or_insert(1e-3);
        spec.image_size.get_or_insert(64);
        spec.augmentation.get_or_insert(Augmentation::Light.into());
    }
    spec.preset = None;
}

fn expand_generator(spec: &mut TrainGeneratorSpec) {
    if spec.preset() == GeneratorPreset::Shift {
        spec.target_channels.get_or_insert(TargetChannels::One.into());
        spec.intensity.get_or_insert(Intensity::Percentile.into());
        spec.background_share.get_or_insert(0.5);
        spec.crop.get_or_insert(256);
        spec.depth.get_or_insert(8);
    }
    if spec.method() == GeneratorMethod::Cyclegan {
        spec.gan_mode.get_or_insert(GanMode::Lsgan.into());
        spec.norm.get_or_insert(GanNorm::Instance.into());
        spec.network.get_or_insert(GeneratorNetwork::Resnet.into());
        spec.dropout.get_or_insert(false);
    }
    spec.preset = None;
}
