//! Keras' names and layouts for the weights of its ResNet-50.

use tch::Tensor;

/// The name that `keras.applications.ResNet50` gives to a variable of
/// [`crate::resnet::Variant::Keras`]; `None` for a name that it has not.
pub fn resnet_name(name: &str) -> Option<String> {
    let (layer, field) = name.rsplit_once('.')?;
    let (layer, is_norm) = resnet_layer(layer)?;
    let field = match (field, is_norm) {
        ("weight", false) => "kernel",
        ("bias", false) => "bias",
        ("weight", true) => "gamma",
        ("bias", true) => "beta",
        ("running_mean", true) => "moving_mean",
        ("running_var", true) => "moving_variance",
        _ => return None,
    };
    Some(format!("{layer}/{field}:0"))
}

/// Keras' name of a layer, and whether it is a batch norm.
fn resnet_layer(layer: &str) -> Option<(String, bool)> {
    let parts: Vec<&str> = layer.split('.').collect();
    match parts.as_slice() {
        ["conv1"] => Some(("conv1_conv".to_owned(), false)),
        ["bn1"] => Some(("conv1_bn".to_owned(), true)),
        [level, block, rest @ ..] => {
            let level: usize = level.strip_prefix("layer")?.parse().ok()?;
            let block: usize = block.parse().ok()?;
            let (number, is_norm) = match rest {
                ["downsample", "0"] => ("0", false),
                ["downsample", "1"] => ("0", true),
                [name] => match name.strip_prefix("conv") {
                    Some(number) => (number, false),
                    None => (name.strip_prefix("bn")?, true),
                },
                _ => return None,
            };
            let kind = if is_norm { "bn" } else { "conv" };
            let stage = format!("conv{}_block{}", level + 1, block + 1);
            Some((format!("{stage}_{number}_{kind}"), is_norm))
        }
        _ => None,
    }
}

/// The shape that Keras stores a variable of this shape in: kernels are
/// `[height, width, in, out]`, dense weights `[in, out]`.
pub fn stored_shape(shape: &[i64]) -> Vec<i64> {
    match shape {
        [outputs, inputs, height, width] => vec![*height, *width, *inputs, *outputs],
        [outputs, inputs] => vec![*inputs, *outputs],
        other => other.to_vec(),
    }
}

/// A tensor as Keras stores it, in this project's layout.
pub fn from_stored(tensor: &Tensor) -> Tensor {
    match tensor.dim() {
        4 => tensor.permute([3, 2, 0, 1]).contiguous(),
        2 => tensor.tr().contiguous(),
        _ => tensor.shallow_clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn names_are_kerass() {
        let cases = [
            ("conv1.bias", "conv1_conv/bias:0"),
            ("bn1.running_var", "conv1_bn/moving_variance:0"),
            ("layer1.0.downsample.0.weight", "conv2_block1_0_conv/kernel:0"),
            ("layer4.2.bn3.weight", "conv5_block3_3_bn/gamma:0"),
        ];
        for (own, keras) in cases {
            assert_eq!(resnet_name(own).as_deref(), Some(keras));
        }
        for name in ["fc.weight", "layer1.conv1", "conv1.running_mean", "weight"] {
            assert_eq!(resnet_name(name), None, "{name}");
        }
    }

    #[test]
    fn kernels_change_their_layout() {
        let stored = Tensor::ones(stored_shape(&[8, 3, 5, 7]), (Kind::Float, Device::Cpu));
        assert_eq!(stored.size(), [5, 7, 3, 8]);
        assert_eq!(from_stored(&stored).size(), [8, 3, 5, 7]);
    }
}
