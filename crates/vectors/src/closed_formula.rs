//! The closed formula that gives weights and large inputs without storing them.
//!
//! An FNV-1a hash of the name, mixed with the set's constant, seeds a SplitMix64
//! sequence; element `i` of a tensor depends on (set, name, i) alone. The top 24
//! bits of each word make a number in [0, 1) that f32 represents exactly.

use tch::{Kind, Tensor};

/// How a framework lays out weights: it decides which part of a name says what
/// the tensor is, and which dimension counts the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `layer.0.weight`, outputs first.
    Torch,
    /// `block/kernel:0`, outputs last.
    Keras,
}

/// 64-bit FNV-1a of the UTF-8 bytes of `text`.
#[must_use]
pub fn fnv1a64(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Calls `value` with the first `count` numbers in [0, 1) of the sequence of `name`
/// under `set_constant`.
///
/// One plain loop with the mixing inline: networks have tens of millions of
/// weights, and unoptimised builds run this too.
#[inline]
fn fill(set_constant: u64, name: &str, count: usize, value: impl Fn(f64) -> f32) -> Vec<f32> {
    const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut values = Vec::with_capacity(count);
    let mut state = fnv1a64(name) ^ set_constant;
    while values.len() < count {
        state = state.wrapping_add(GAMMA);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        values.push(value((z >> 40) as f64 / TWO_TO_24));
    }
    values
}

const TWO_TO_24: f64 = 16_777_216.0;

fn element_count(shape: &[i64]) -> usize {
    shape.iter().product::<i64>().max(0) as usize
}

/// `gold_tensor`: the initial value of a network's variable.
///
/// `name` is the full hashed name (prefix included), `shape` the variable's. The
/// result is f32, except for `num_batches_tracked`, which is an int64 zero.
pub fn weight(set_constant: u64, layout: Layout, name: &str, shape: &[i64]) -> Tensor {
    let component = match layout {
        Layout::Torch => name.rsplit('.').next().unwrap_or(name),
        Layout::Keras => {
            let last = name.rsplit('/').next().unwrap_or(name);
            last.strip_suffix(":0").unwrap_or(last)
        }
    };
    if component == "num_batches_tracked" {
        return Tensor::zeros(shape, (Kind::Int64, tch::Device::Cpu));
    }
    if component == "unpool_mat" {
        return Tensor::ones(shape, (Kind::Float, tch::Device::Cpu));
    }
    let count = element_count(shape);
    let fan_axis = match layout {
        Layout::Torch => shape.first(),
        Layout::Keras => shape.last(),
    };
    let fan = count as f64 / fan_axis.copied().unwrap_or(1).max(1) as f64;
    let values = match component {
        "running_mean" | "moving_mean" => fill(set_constant, name, count, |u| ((u - 0.5) * 0.4) as f32),
        "running_var" | "moving_variance" => fill(set_constant, name, count, |u| (0.5 + u) as f32),
        "bias" | "beta" => fill(set_constant, name, count, |u| ((u - 0.5) * 0.2) as f32),
        _ if shape.len() <= 1 => fill(set_constant, name, count, |u| (0.75 + 0.5 * u) as f32),
        _ => {
            let limit = (6.0 / fan).sqrt();
            fill(set_constant, name, count, |u| ((2.0 * u - 1.0) * limit) as f32)
        }
    };
    Tensor::from_slice(&values).view(shape)
}

/// `gold_input`: f32 numbers uniform in [`lo`, `hi`), floored where asked.
pub fn input(set_constant: u64, name: &str, shape: &[i64], lo: f64, hi: f64, floor: bool) -> Tensor {
    let values = fill(set_constant, name, element_count(shape), |u| {
        let value = lo + (hi - lo) * u;
        (if floor { value.floor() } else { value }) as f32
    });
    Tensor::from_slice(&values).view(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: u64 = 0x0123_4567_89AB_CDEF;
    const HELD: u64 = 0x5DEE_CE66_D1CE_4E5B;

    #[test]
    fn hash_and_first_words_are_the_documented_ones() {
        assert_eq!(fnv1a64("conv1.weight"), 0x69a2_9a2c_ee47_d254);
        let words = |set| fill(set, "conv1.weight", 3, |u| (u * TWO_TO_24) as f32);
        assert_eq!(words(OPEN), [8_351_086.0, 13_711_550.0, 10_969_202.0]);
        assert_eq!(words(HELD), [13_894_681.0, 16_421_027.0, 3_332_390.0]);
    }

    #[test]
    fn first_weights_are_the_documented_ones() {
        let first = |set: u64| -> Vec<f32> {
            let tensor = weight(set, Layout::Torch, "conv1.weight", &[64, 3, 7, 7]);
            Vec::<f32>::try_from(tensor.view(-1).narrow(0, 0, 4)).expect("f32 values")
        };
        // The documentation prints eight decimals.
        let near = |set: u64, documented: [f32; 4]| {
            first(set).iter().zip(documented).all(|(value, expected)| (value - expected).abs() <= 5.1e-9)
        };
        assert!(near(OPEN, [-0.000_903_68, 0.128_197_27, 0.062_150_8, 0.063_506_42]));
        assert!(near(HELD, [0.132_607_79, 0.193_452_09, -0.121_773_52, -0.108_666_98]));
    }

    #[test]
    fn keras_kernels_take_their_fan_from_the_last_dimension() {
        let shape = [7, 7, 3, 64];
        let keras = weight(OPEN, Layout::Keras, "conv1_conv/kernel:0", &shape);
        let limit = (6.0f64 / (7.0 * 7.0 * 3.0)).sqrt();
        let largest = keras.abs().max().double_value(&[]);
        assert!(largest <= limit && largest > 0.95 * limit);
    }
}
