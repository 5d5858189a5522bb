//! Reads a network's shape off the names and shapes of its tensors, as the published checkpoints have them
//! (junyanz/pytorch-CycleGAN-and-pix2pix, vqdang/hover_net).

use crate::engine::generator::GeneratorConfig;
use counterstain_model::hovernet::Mode;
use counterstain_model::{HoVerNetConfig, Norm, ResNetGeneratorConfig, UNetConfig};
use counterstain_torch::NamedTensors;

/// Names that are told when nothing is recognised.
const SHOWN: usize = 5;

/// What the tensors are of.
#[derive(Debug, Clone, PartialEq)]
pub enum Recognised {
    /// A U-Net or residual generator.
    Painter(GeneratorConfig),
    /// A HoVer-Net.
    Segmenter(HoVerNetConfig),
}

/// The network that has these tensors. Whether all of them fit shows when they are loaded.
///
/// # Errors
/// When the names are no known generator's, as a sentence.
pub fn recognise(tensors: &NamedTensors) -> Result<Recognised, String> {
    let shape = |name: &str| tensors.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor.size());
    if let Some(first) = shape("conv0./.weight") {
        return Ok(Recognised::Segmenter(HoVerNetConfig {
            mode: match shape("decoder.np.u3.conva.weight").as_deref() {
                Some([.., 5]) => Mode::Original,
                _ => Mode::Fast,
            },
            types: shape("decoder.tp.u0.conv.weight").map(|shape| shape[0]),
            width: first[0] as f64 / 64.0,
        }));
    }
    let has = |end: &str| tensors.iter().any(|(name, _)| name.ends_with(end));
    let norm = if has("running_mean") { Norm::Batch } else { Norm::Instance };
    if let (Some([filters, in_channels, 4, 4]), Some([_, out_channels, 4, 4])) =
        (shape("model.model.0.weight").as_deref(), shape("model.model.3.weight").as_deref())
    {
        // Each level halves with one convolution of 4 x 4 and doubles with another.
        let levels = tensors.iter().filter(|(_, tensor)| matches!(tensor.size()[..], [_, _, 4, 4])).count();
        return Ok(Recognised::Painter(GeneratorConfig::Unet(UNetConfig {
            in_channels: *in_channels,
            out_channels: *out_channels,
            depth: levels / 2,
            filters: *filters,
            norm,
            dropout: false,
        })));
    }
    if let Some([filters, in_channels, 7, 7]) = shape("model.1.weight").as_deref() {
        let is_last = |(name, tensor): &&(String, tch::Tensor)| {
            name != "model.1.weight" && matches!(tensor.size()[..], [_, _, 7, 7])
        };
        let last = tensors.iter().find(is_last).map(|(_, tensor)| tensor.size()[0]);
        return Ok(Recognised::Painter(GeneratorConfig::Resnet(ResNetGeneratorConfig {
            in_channels: *in_channels,
            out_channels: last.ok_or("the last convolution of 7 x 7 is missing")?,
            blocks: tensors.iter().filter(|(name, _)| name.ends_with("conv_block.1.weight")).count(),
            filters: *filters,
            norm,
            // Dropout has no weights, but moves the second convolution on by one.
            dropout: tensors.iter().any(|(name, tensor)| {
                name.ends_with("conv_block.6.weight") && matches!(tensor.size()[..], [_, _, 3, 3])
            }),
        })));
    }
    let names: Vec<&str> = tensors.iter().take(SHOWN).map(|(name, _)| name.as_str()).collect();
    Err(format!(
        "is no generator that this program knows (U-Net of pix2pix, ResNet of cycleGAN, HoVer-Net); of its {} \
         tensors the first are {}",
        tensors.len(),
        names.join(", ")
    ))
}
