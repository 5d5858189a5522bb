//! Initial weights from (seed, parameter name).
//!
//! Every variable has a random stream of its own, so that its initial value does
//! not depend on which other variables exist, on the order they were made in, or
//! on the device: two methods that share an encoder start from the same encoder.
//! Values are drawn in blocks of fixed size, each a stream position, in parallel.

use counterstain_tile::random::Stream;
use rayon::prelude::*;
use tch::nn::VarStore;
use tch::{Tensor, no_grad};

/// How initial values are distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// torchvision's ResNet and HoVer-Net: convolutions Kaiming-normal by fan-out
    /// (He et al. 2015), dense layers and biases U(±1/√fan_in), norms one and zero.
    Torch,
    /// Keras: Glorot-uniform weights (Glorot and Bengio 2010), biases zero, norms one
    /// and zero.
    Keras,
    /// pix2pix and cycleGAN: weights N(0, 0.02), norms N(1, 0.02), biases zero.
    Gan,
}

/// A distribution of one variable's elements.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fill {
    Constant(f64),
    Normal { mean: f64, deviation: f64 },
    Uniform { limit: f64 },
}

/// Elements that one stream position gives.
const BLOCK: usize = 1 << 16;

/// Fills every weight, bias and running statistic of `store`.
///
/// The stream of a variable is named by `seed` and its full name in the store.
/// Variables that are neither (`upsample2x.unpool_mat`) keep their value.
pub fn initialise(store: &VarStore, seed: u64, scheme: Scheme) {
    initialise_under(store, "", seed, scheme);
}

/// As [`initialise`], for the variables whose name starts with `prefix` and a dot;
/// all of them for an empty prefix. The names that the streams are derived from
/// are still the full ones.
pub fn initialise_under(store: &VarStore, prefix: &str, seed: u64, scheme: Scheme) {
    let variables = store.variables();
    for (name, variable) in &variables {
        if !is_under(name, prefix) {
            continue;
        }
        let (owner, field) = name.rsplit_once('.').unwrap_or(("", name));
        let weight_name = if owner.is_empty() { "weight".into() } else { format!("{owner}.weight") };
        let weight_shape = variables.get(&weight_name).map(Tensor::size).unwrap_or_default();
        if let Some(fill) = fill_of(field, &weight_shape, scheme) {
            let values = draw(fill, variable.numel(), seed, name);
            let values = Tensor::from_slice(&values).view(variable.size().as_slice());
            no_grad(|| variable.shallow_clone().copy_(&values));
        }
    }
}

fn is_under(name: &str, prefix: &str) -> bool {
    prefix.is_empty() || name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
}

/// The distribution of the variable `field` of a layer with this weight.
fn fill_of(field: &str, weight_shape: &[i64], scheme: Scheme) -> Option<Fill> {
    let is_norm = weight_shape.len() == 1;
    match (field, scheme) {
        ("running_mean", _) => Some(Fill::Constant(0.0)),
        ("running_var", _) => Some(Fill::Constant(1.0)),
        ("weight", Scheme::Gan) if is_norm => Some(Fill::Normal { mean: 1.0, deviation: 0.02 }),
        ("weight", _) if is_norm => Some(Fill::Constant(1.0)),
        ("weight", _) => Some(weight_fill(weight_shape, scheme)),
        ("bias", Scheme::Torch) if !is_norm && !weight_shape.is_empty() => {
            let (fan_in, _) = fans(weight_shape);
            Some(Fill::Uniform { limit: fan_in.sqrt().recip() })
        }
        ("bias", _) => Some(Fill::Constant(0.0)),
        _ => None,
    }
}

fn weight_fill(shape: &[i64], scheme: Scheme) -> Fill {
    let (fan_in, fan_out) = fans(shape);
    match scheme {
        Scheme::Gan => Fill::Normal { mean: 0.0, deviation: 0.02 },
        Scheme::Keras => Fill::Uniform { limit: (6.0 / (fan_in + fan_out)).sqrt() },
        Scheme::Torch if shape.len() > 2 => Fill::Normal { mean: 0.0, deviation: (2.0 / fan_out).sqrt() },
        Scheme::Torch => Fill::Uniform { limit: fan_in.sqrt().recip() },
    }
}

/// Inputs and outputs that one unit is connected with, for a weight `[out, in, …]`.
fn fans(shape: &[i64]) -> (f64, f64) {
    let outputs = shape.first().copied().unwrap_or(1).max(1) as f64;
    let per_output = shape.iter().skip(1).product::<i64>().max(1) as f64;
    let receptive = shape.iter().skip(2).product::<i64>().max(1) as f64;
    (per_output, outputs * receptive)
}

fn draw(fill: Fill, count: usize, seed: u64, name: &str) -> Vec<f32> {
    if let Fill::Constant(value) = fill {
        return vec![value as f32; count];
    }
    let purpose = format!("initial weight {name}");
    let mut values = vec![0.0_f32; count];
    values.par_chunks_mut(BLOCK).enumerate().for_each(|(position, block)| {
        let mut stream = Stream::new(seed, &purpose, &[position as u64]);
        for value in block {
            *value = match fill {
                Fill::Constant(constant) => constant as f32,
                Fill::Normal { mean, deviation } => (mean + deviation * stream.normal_f64()) as f32,
                Fill::Uniform { limit } => stream.uniform_f64(-limit, limit) as f32,
            };
        }
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{BatchNorm, BatchNormConfig, Convolution, ConvolutionConfig, Dense};
    use tch::{Device, Kind};

    fn network(with_extra: bool) -> VarStore {
        let store = VarStore::new(Device::Cpu);
        let root = store.root();
        if with_extra {
            Dense::new(&(&root / "head"), 8, 8, true);
        }
        let encoder = &root / "encoder";
        let config = ConvolutionConfig { bias: true, ..Default::default() };
        Convolution::new(&(&encoder / "conv1"), 64, 128, 3, config);
        BatchNorm::new(&(&encoder / "bn1"), 128, BatchNormConfig::TORCH);
        Dense::new(&(&encoder / "fc"), 512, 300, true);
        store
    }

    fn value(store: &VarStore, name: &str) -> Tensor {
        store.variables().remove(name).expect("it was built").detach()
    }

    fn deviation(tensor: &Tensor) -> f64 {
        tensor.std(true).double_value(&[])
    }

    #[test]
    fn a_variable_depends_on_seed_and_name_alone() {
        let (plain, extended, other) = (network(false), network(true), network(false));
        initialise(&plain, 5, Scheme::Torch);
        initialise(&extended, 5, Scheme::Torch);
        initialise(&other, 6, Scheme::Torch);
        for name in ["encoder.conv1.weight", "encoder.fc.weight", "encoder.fc.bias"] {
            assert_eq!(value(&plain, name), value(&extended, name), "{name}");
            assert_ne!(value(&plain, name), value(&other, name), "{name}");
        }
    }

    #[test]
    fn the_torch_scheme_has_the_published_spreads() {
        let store = network(false);
        initialise(&store, 1, Scheme::Torch);
        let kaiming = (2.0 / (128.0 * 9.0_f64)).sqrt();
        assert!((deviation(&value(&store, "encoder.conv1.weight")) / kaiming - 1.0).abs() < 0.02);
        let limit = 512.0_f64.sqrt().recip();
        let dense = value(&store, "encoder.fc.weight");
        assert!(dense.abs().max().double_value(&[]) <= limit);
        assert!((deviation(&dense) / (limit / 3.0_f64.sqrt()) - 1.0).abs() < 0.02);
        assert!(value(&store, "encoder.fc.bias").abs().max().double_value(&[]) <= limit);
        assert!(deviation(&value(&store, "encoder.fc.bias")) > 0.0);
        assert_eq!(value(&store, "encoder.bn1.weight"), Tensor::ones([128], (Kind::Float, Device::Cpu)));
    }

    #[test]
    fn the_gan_scheme_spreads_weights_and_norms_by_two_hundredths() {
        let store = network(false);
        initialise(&store, 1, Scheme::Gan);
        assert!((deviation(&value(&store, "encoder.conv1.weight")) / 0.02 - 1.0).abs() < 0.02);
        let norm = value(&store, "encoder.bn1.weight");
        assert!((norm.mean(Kind::Float).double_value(&[]) - 1.0).abs() < 0.01);
        assert!(deviation(&norm) > 0.01);
        assert_eq!(value(&store, "encoder.conv1.bias").abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn a_prefix_limits_what_is_filled() {
        let store = network(true);
        initialise_under(&store, "head", 1, Scheme::Torch);
        assert!(deviation(&value(&store, "head.weight")) > 0.0);
        assert_eq!(deviation(&value(&store, "encoder.fc.weight")), 0.0);
    }

    #[test]
    fn a_network_in_double_precision_on_any_store_gets_the_same_values() {
        let (single, mut double) = (network(false), network(false));
        double.double();
        initialise(&single, 2, Scheme::Keras);
        initialise(&double, 2, Scheme::Keras);
        let name = "encoder.conv1.weight";
        assert_eq!(value(&single, name).to_kind(Kind::Double), value(&double, name));
    }
}
