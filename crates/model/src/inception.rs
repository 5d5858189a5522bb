//! Inception v3 as the Fréchet inception distance uses it (Szegedy et al., "Rethinking the Inception Architecture
//! for Computer Vision", 2015; Heusel et al. 2017), with names and arithmetic of `pytorch-fid`'s conversion of the
//! TensorFlow weights (`pt_inception-2015-12-05`).
//!
//! It differs from torchvision's network of the same name: averages leave the padding out, and the last block takes
//! a maximum where the others take an average. Images are `[N, 3, H, W]` in −1..1, of 75 px a side at least; FID is
//! defined at 299 px.

use crate::layers::{BatchNorm, BatchNormConfig, relu};
use tch::nn::{Init, Path};
use tch::{Kind, Tensor};

const NORM: BatchNormConfig = BatchNormConfig { eps: 1e-3, ..BatchNormConfig::TORCH };

/// Convolution, batch norm, ReLU.
#[derive(Debug)]
struct Unit {
    weight: Tensor,
    norm: BatchNorm,
    stride: i64,
    padding: [i64; 2],
}

impl Unit {
    /// `kernel` is height and width.
    fn new(path: &Path, inputs: i64, outputs: i64, kernel: [i64; 2], stride: i64, padding: [i64; 2]) -> Self {
        let shape = [outputs, inputs, kernel[0], kernel[1]];
        Self {
            weight: (path / "conv").var("weight", &shape, Init::Const(0.0)),
            norm: BatchNorm::new(&(path / "bn"), outputs, NORM),
            stride,
            padding,
        }
    }

    /// A kernel with padding that keeps the size.
    fn same(path: &Path, inputs: i64, outputs: i64, kernel: [i64; 2]) -> Self {
        Self::new(path, inputs, outputs, kernel, 1, kernel.map(|side| side / 2))
    }

    fn forward(&self, images: &Tensor) -> Tensor {
        let [down, across] = self.padding;
        let out =
            images.conv2d(&self.weight, None::<&Tensor>, [self.stride; 2], [down, across], [1_i64, 1], 1);
        relu(self.norm.forward_t(&out, false))
    }
}

/// Units one after another.
#[derive(Debug)]
struct Chain(Vec<Unit>);

impl Chain {
    fn forward(&self, images: &Tensor) -> Tensor {
        self.0.iter().fold(images.shallow_clone(), |values, unit| unit.forward(&values))
    }
}

/// What a branch without a learned beginning takes of its neighbourhood.
#[derive(Debug, Clone, Copy)]
enum Pool {
    /// The mean of 3 × 3 pixels, without those beyond the border.
    Mean,
    /// The maximum of 3 × 3 pixels.
    Max,
    /// The maximum of 3 × 3 pixels at every other one.
    Halving,
}

impl Pool {
    fn forward(self, images: &Tensor) -> Tensor {
        match self {
            Self::Mean => images.avg_pool2d([3_i64, 3], [1_i64, 1], [1_i64, 1], false, false, None::<i64>),
            Self::Max => images.max_pool2d([3_i64, 3], [1_i64, 1], [1_i64, 1], [1_i64, 1], false),
            Self::Halving => halve(images),
        }
    }
}

fn halve(images: &Tensor) -> Tensor {
    images.max_pool2d([3_i64, 3], [2_i64, 2], [0_i64, 0], [1_i64, 1], false)
}

/// A branch of a block.
#[derive(Debug)]
enum Branch {
    Plain(Chain),
    /// A chain whose end is seen by two units, side by side.
    Split(Chain, [Unit; 2]),
    Pooled(Pool, Chain),
}

impl Branch {
    fn forward(&self, images: &Tensor) -> Tensor {
        match self {
            Self::Plain(chain) => chain.forward(images),
            Self::Split(chain, ends) => {
                let values = chain.forward(images);
                Tensor::cat(&ends.each_ref().map(|unit| unit.forward(&values)), 1)
            }
            Self::Pooled(pool, chain) => chain.forward(&pool.forward(images)),
        }
    }
}

/// Branches over the same images, their channels joined.
#[derive(Debug)]
struct Block(Vec<Branch>);

impl Block {
    fn forward(&self, images: &Tensor) -> Tensor {
        let branches: Vec<Tensor> = self.0.iter().map(|branch| branch.forward(images)).collect();
        Tensor::cat(&branches, 1)
    }
}

const ONE: [i64; 2] = [1, 1];
const THREE: [i64; 2] = [3, 3];
const FIVE: [i64; 2] = [5, 5];
const ROW: [i64; 2] = [1, 7];
const COLUMN: [i64; 2] = [7, 1];

/// Units that keep the size, each with its name, channels and kernel.
fn chain(path: &Path, inputs: i64, units: &[(&str, i64, [i64; 2])]) -> Chain {
    let mut inputs = inputs;
    let unit = |&(name, outputs, kernel): &(&str, i64, [i64; 2])| {
        let unit = Unit::same(&(path / name), inputs, outputs, kernel);
        inputs = outputs;
        unit
    };
    Chain(units.iter().map(unit).collect())
}

/// As [`chain`], with a last unit that halves the sides.
fn halving(path: &Path, inputs: i64, units: &[(&str, i64, [i64; 2])], last: (&str, i64)) -> Branch {
    let mut chain = chain(path, inputs, units);
    let inputs = units.last().map_or(inputs, |unit| unit.1);
    chain.0.push(Unit::new(&(path / last.0), inputs, last.1, THREE, 2, [0, 0]));
    Branch::Plain(chain)
}

/// 35 × 35 px at 299: `InceptionA`.
fn block_a(path: &Path, inputs: i64, pooled: i64) -> Block {
    let dbl = [("branch3x3dbl_1", 64, ONE), ("branch3x3dbl_2", 96, THREE), ("branch3x3dbl_3", 96, THREE)];
    Block(vec![
        Branch::Plain(chain(path, inputs, &[("branch1x1", 64, ONE)])),
        Branch::Plain(chain(path, inputs, &[("branch5x5_1", 48, ONE), ("branch5x5_2", 64, FIVE)])),
        Branch::Plain(chain(path, inputs, &dbl)),
        Branch::Pooled(Pool::Mean, chain(path, inputs, &[("branch_pool", pooled, ONE)])),
    ])
}

/// 35 to 17 px: `InceptionB`.
fn block_b(path: &Path, inputs: i64) -> Block {
    let dbl = [("branch3x3dbl_1", 64, ONE), ("branch3x3dbl_2", 96, THREE)];
    Block(vec![
        halving(path, inputs, &[], ("branch3x3", 384)),
        halving(path, inputs, &dbl, ("branch3x3dbl_3", 96)),
        Branch::Pooled(Pool::Halving, Chain(Vec::new())),
    ])
}

/// 17 × 17 px, with `width` channels between the factors of 7 × 7: `InceptionC`.
fn block_c(path: &Path, inputs: i64, width: i64) -> Block {
    let factors = [("branch7x7_1", width, ONE), ("branch7x7_2", width, ROW), ("branch7x7_3", 192, COLUMN)];
    let double = [
        ("branch7x7dbl_1", width, ONE),
        ("branch7x7dbl_2", width, COLUMN),
        ("branch7x7dbl_3", width, ROW),
        ("branch7x7dbl_4", width, COLUMN),
        ("branch7x7dbl_5", 192, ROW),
    ];
    Block(vec![
        Branch::Plain(chain(path, inputs, &[("branch1x1", 192, ONE)])),
        Branch::Plain(chain(path, inputs, &factors)),
        Branch::Plain(chain(path, inputs, &double)),
        Branch::Pooled(Pool::Mean, chain(path, inputs, &[("branch_pool", 192, ONE)])),
    ])
}

/// 17 to 8 px: `InceptionD`.
fn block_d(path: &Path, inputs: i64) -> Block {
    let factors = [("branch7x7x3_1", 192, ONE), ("branch7x7x3_2", 192, ROW), ("branch7x7x3_3", 192, COLUMN)];
    Block(vec![
        halving(path, inputs, &[("branch3x3_1", 192, ONE)], ("branch3x3_2", 320)),
        halving(path, inputs, &factors, ("branch7x7x3_4", 192)),
        Branch::Pooled(Pool::Halving, Chain(Vec::new())),
    ])
}

/// 8 × 8 px: `InceptionE`.
fn block_e(path: &Path, inputs: i64, pool: Pool) -> Block {
    let ends = |names: [&str; 2]| {
        let kernels = [[1, 3], [3, 1]];
        [0, 1].map(|end| Unit::same(&(path / names[end]), 384, 384, kernels[end]))
    };
    Block(vec![
        Branch::Plain(chain(path, inputs, &[("branch1x1", 320, ONE)])),
        Branch::Split(
            chain(path, inputs, &[("branch3x3_1", 384, ONE)]),
            ends(["branch3x3_2a", "branch3x3_2b"]),
        ),
        Branch::Split(
            chain(path, inputs, &[("branch3x3dbl_1", 448, ONE), ("branch3x3dbl_2", 384, THREE)]),
            ends(["branch3x3dbl_3a", "branch3x3dbl_3b"]),
        ),
        Branch::Pooled(pool, chain(path, inputs, &[("branch_pool", 192, ONE)])),
    ])
}

/// The network up to its last average: it is for use, and learns nothing here.
#[derive(Debug)]
pub struct InceptionV3 {
    /// Up to the first maximum, up to the second, and the blocks.
    stem: [Chain; 2],
    blocks: Vec<Block>,
}

impl InceptionV3 {
    /// Width of a representation.
    pub const WIDTH: i64 = 2048;

    /// Builds the network under `path`. Its weights are zero until they are loaded.
    pub fn new(path: &Path) -> Self {
        let first = vec![
            Unit::new(&(path / "Conv2d_1a_3x3"), 3, 32, THREE, 2, [0, 0]),
            Unit::new(&(path / "Conv2d_2a_3x3"), 32, 32, THREE, 1, [0, 0]),
            Unit::same(&(path / "Conv2d_2b_3x3"), 32, 64, THREE),
        ];
        let second = vec![
            Unit::same(&(path / "Conv2d_3b_1x1"), 64, 80, ONE),
            Unit::new(&(path / "Conv2d_4a_3x3"), 80, 192, THREE, 1, [0, 0]),
        ];
        let blocks = vec![
            block_a(&(path / "Mixed_5b"), 192, 32),
            block_a(&(path / "Mixed_5c"), 256, 64),
            block_a(&(path / "Mixed_5d"), 288, 64),
            block_b(&(path / "Mixed_6a"), 288),
            block_c(&(path / "Mixed_6b"), 768, 128),
            block_c(&(path / "Mixed_6c"), 768, 160),
            block_c(&(path / "Mixed_6d"), 768, 160),
            block_c(&(path / "Mixed_6e"), 768, 192),
            block_d(&(path / "Mixed_7a"), 768),
            block_e(&(path / "Mixed_7b"), 1280, Pool::Mean),
            block_e(&(path / "Mixed_7c"), 2048, Pool::Max),
        ];
        Self { stem: [Chain(first), Chain(second)], blocks }
    }

    /// `[N, 3, H, W]` in −1..1 to representations `[N, 2048]`.
    pub fn forward(&self, images: &Tensor) -> Tensor {
        let values =
            self.stem.iter().fold(images.shallow_clone(), |values, chain| halve(&chain.forward(&values)));
        let values = self.blocks.iter().fold(values, |values, block| block.forward(&values));
        values.mean_dim([2_i64, 3].as_slice(), false, None::<Kind>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{Scheme, initialise};
    use tch::nn::VarStore;
    use tch::{Device, no_grad};

    #[test]
    fn an_image_of_any_size_from_75_px_becomes_2048_numbers() {
        let store = VarStore::new(Device::Cpu);
        let network = InceptionV3::new(&store.root());
        initialise(&store, 1, Scheme::Torch);
        // 94 convolutions, each with a batch norm of four tensors.
        assert_eq!(store.variables().len(), 94 * 5);
        for side in [75, 90] {
            let images = Tensor::zeros([1, 3, side, side], (Kind::Float, Device::Cpu));
            assert_eq!(no_grad(|| network.forward(&images)).size(), [1, InceptionV3::WIDTH]);
        }
    }
}
