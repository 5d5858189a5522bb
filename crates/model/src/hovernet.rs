//! HoVer-Net: nuclei segmentation and typing (Graham et al., "HoVer-Net:
//! Simultaneous segmentation and classification of nuclei in multi-tissue histology
//! images", 2019), with names and arithmetic of the authors' `vqdang/hover_net`
//! (`conv0./.weight`, `d0.units.0.conv1/bn.weight`, …).
//!
//! Images are RGB in 0..255; all maps come out smaller than the image, since the
//! decoder convolves without padding.

use crate::error::Error;
use crate::layers::{BatchNorm, BatchNormConfig, Convolution, ConvolutionConfig, relu};
use serde::{Deserialize, Serialize};
use tch::nn::Path;
use tch::{Tensor, no_grad};

/// Which of the two published networks it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// 3×3 decoder, padded first convolution: 256 px give maps of 164 px.
    Fast,
    /// 5×5 decoder: 270 px give maps of 80 px.
    Original,
}

/// Shape of a HoVer-Net.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HoVerNetConfig {
    pub mode: Mode,
    /// Nucleus types, background included; `None` for a network that does not type.
    pub types: Option<i64>,
    /// Share of the published network's channels in every layer, rounded to eighths; 1 is the published network.
    pub width: f64,
}

impl HoVerNetConfig {
    /// The published network.
    pub fn published(mode: Mode, types: Option<i64>) -> Self {
        Self { mode, types, width: 1.0 }
    }

    /// Side of the images of training, as published, in pixels.
    pub fn input_side(&self) -> i64 {
        match self.mode {
            Mode::Fast => 256,
            Mode::Original => 270,
        }
    }

    /// Channels that a dense unit adds: 32 at width 1. All other counts are multiples of it, and its four
    /// groups need a multiple of 4.
    fn growth(&self) -> i64 {
        4 * ((8.0 * self.width).round() as i64).max(1)
    }

    /// Side of the maps for an image of this side.
    ///
    /// # Errors
    /// When an image of this side cannot go through; the message says which can.
    pub fn output_side(&self, side: i64) -> Result<i64, Error> {
        let (border, lost, rule) = match self.mode {
            Mode::Fast => (0, 92, "sides have to be multiples of 8 from 96 px on"),
            Mode::Original => (6, 184, "sides have to be 6 px more than a multiple of 8, from 198 px on"),
        };
        let inner = side - border;
        if inner % 8 == 0 && inner > lost {
            return Ok(inner - lost);
        }
        let rule = rule.to_owned();
        Err(Error::ImageSize { network: NETWORK, width: side, height: side, rule })
    }
}

const NETWORK: &str = "hover-net";
const NORM: BatchNormConfig = BatchNormConfig::TORCH;

/// The maps for N images, before softmax.
#[derive(Debug)]
pub struct Maps {
    /// Type logits `[N, types, h, w]`, for a network that types.
    pub types: Option<Tensor>,
    /// Background and nucleus logits `[N, 2, h, w]`.
    pub nuclei: Tensor,
    /// Horizontal and vertical distance to the nucleus' centre `[N, 2, h, w]`, in −1..1.
    pub distances: Tensor,
}

fn convolution(path: Path, inputs: i64, outputs: i64, kernel: i64, stride: i64) -> Convolution {
    let config = ConvolutionConfig { stride, ..Default::default() };
    Convolution::new(&path, inputs, outputs, kernel, config)
}

/// Pads with zeros as TensorFlow's `same` does, for a square kernel.
fn pad_same(images: &Tensor, kernel: i64, stride: i64) -> Tensor {
    let remainder = images.size()[2] % stride;
    let wanted = if remainder == 0 { kernel - stride } else { kernel - remainder };
    let total = wanted.max(0);
    let (start, end) = (total / 2, total - total / 2);
    images.constant_pad_nd([start, end, start, end])
}

/// Cuts `border` pixels in all from each of the two spatial dimensions.
fn crop(images: &Tensor, border: i64) -> Tensor {
    let size = images.size();
    let start = border / 2;
    images.narrow(2, start, size[2] - border).narrow(3, start, size[3] - border)
}

fn double(images: &Tensor) -> Tensor {
    let size = images.size();
    images.upsample_nearest2d([size[2] * 2, size[3] * 2], None, None)
}

/// One unit of a residual block; the first has no batch norm in front.
#[derive(Debug)]
struct ResidualUnit {
    before: Option<BatchNorm>,
    first: (Convolution, BatchNorm),
    second: (Convolution, BatchNorm),
    third: Convolution,
    stride: i64,
}

impl ResidualUnit {
    fn new(path: &Path, inputs: i64, width: i64, stride: i64, is_first: bool) -> Self {
        Self {
            before: (!is_first).then(|| BatchNorm::new(&(path / "preact/bn"), inputs, NORM)),
            first: (
                convolution(path / "conv1", inputs, width, 1, 1),
                BatchNorm::new(&(path / "conv1/bn"), width, NORM),
            ),
            second: (
                convolution(path / "conv2", width, width, 3, stride),
                BatchNorm::new(&(path / "conv2/bn"), width, NORM),
            ),
            third: convolution(path / "conv3", width, width * 4, 1, 1),
            stride,
        }
    }

    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let mut values = match &self.before {
            Some(norm) => relu(norm.forward_t(images, train)),
            None => images.shallow_clone(),
        };
        values = relu(self.first.1.forward_t(&self.first.0.forward(&values), train));
        values = self.second.0.forward(&pad_same(&values, 3, self.stride));
        values = relu(self.second.1.forward_t(&values, train));
        self.third.forward(&values)
    }
}

/// Pre-activated bottlenecks of `width` filters, four times as many at their ends.
#[derive(Debug)]
struct ResidualBlock {
    units: Vec<ResidualUnit>,
    shortcut: Convolution,
    after: BatchNorm,
}

impl ResidualBlock {
    fn new(path: &Path, inputs: i64, width: i64, count: usize, stride: i64) -> Self {
        let outputs = width * 4;
        let units = (0..count)
            .map(|position| {
                let is_first = position == 0;
                let (inputs, stride) = if is_first { (inputs, stride) } else { (outputs, 1) };
                ResidualUnit::new(&(path / "units" / position), inputs, width, stride, is_first)
            })
            .collect();
        Self {
            units,
            shortcut: convolution(path / "shortcut", inputs, outputs, 1, stride),
            after: BatchNorm::new(&(path / "blk_bna" / "bn"), outputs, NORM),
        }
    }

    /// With `frozen`, the units learn nothing; shortcut and norm do, as in the reference.
    fn forward_t(&self, images: &Tensor, train: bool, frozen: bool) -> Tensor {
        let mut shortcut = self.shortcut.forward(images);
        let mut values = images.shallow_clone();
        for unit in &self.units {
            let new = if frozen && train {
                no_grad(|| unit.forward_t(&values, train))
            } else {
                unit.forward_t(&values, train)
            };
            values = new + &shortcut;
            shortcut = values.shallow_clone();
        }
        relu(self.after.forward_t(&values, train))
    }
}

/// One unit of a dense block: `4 * growth` filters, then `growth` more channels in four groups.
#[derive(Debug)]
struct DenseUnit {
    before: BatchNorm,
    first: (Convolution, BatchNorm),
    second: Convolution,
}

impl DenseUnit {
    fn new(path: &Path, inputs: i64, growth: i64, kernel: i64) -> Self {
        let groups = ConvolutionConfig { groups: 4, ..Default::default() };
        Self {
            before: BatchNorm::new(&(path / "preact_bna/bn"), inputs, NORM),
            first: (
                convolution(path / "conv1", inputs, 4 * growth, 1, 1),
                BatchNorm::new(&(path / "conv1/bn"), 4 * growth, NORM),
            ),
            second: Convolution::new(&(path / "conv2"), 4 * growth, growth, kernel, groups),
        }
    }

    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let values = relu(self.before.forward_t(images, train));
        let values = relu(self.first.1.forward_t(&self.first.0.forward(&values), train));
        self.second.forward(&values)
    }
}

/// Each unit's channels are put behind those that it saw, cut to its size.
#[derive(Debug)]
struct DenseBlock {
    units: Vec<DenseUnit>,
    after: BatchNorm,
    kernel: i64,
}

impl DenseBlock {
    fn new(path: &Path, inputs: i64, count: i64, growth: i64, kernel: i64) -> Self {
        let units = (0..count)
            .map(|unit| DenseUnit::new(&(path / "units" / unit), inputs + growth * unit, growth, kernel))
            .collect();
        let after = BatchNorm::new(&(path / "blk_bna" / "bn"), inputs + growth * count, NORM);
        Self { units, after, kernel }
    }

    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let mut values = images.shallow_clone();
        for unit in &self.units {
            let new = unit.forward_t(&values, train);
            values = Tensor::cat(&[crop(&values, self.kernel - 1), new], 1);
        }
        relu(self.after.forward_t(&values, train))
    }
}

/// Convolution, dense block, convolution.
#[derive(Debug)]
struct UpBlock {
    first: Convolution,
    dense: DenseBlock,
    last: Convolution,
}

impl UpBlock {
    fn new(path: &Path, inputs: i64, units: i64, growth: i64, kernel: i64) -> Self {
        let width = growth * units;
        let outputs = 2 * width;
        Self {
            first: convolution(path / "conva", inputs, width, kernel, 1),
            dense: DenseBlock::new(&(path / "dense"), width, units, growth, kernel),
            last: convolution(path / "convf", outputs, outputs, 1, 1),
        }
    }

    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        self.last.forward(&self.dense.forward_t(&self.first.forward(images), train))
    }
}

/// One of the decoders: types, nuclei or distances.
#[derive(Debug)]
struct Branch {
    name: &'static str,
    u3: UpBlock,
    u2: UpBlock,
    u1: Convolution,
    norm: BatchNorm,
    last: Convolution,
    kernel: i64,
}

impl Branch {
    fn new(path: &Path, name: &'static str, outputs: i64, growth: i64, kernel: i64) -> Self {
        let path = path / name;
        let last = ConvolutionConfig { bias: true, ..Default::default() };
        Self {
            name,
            u3: UpBlock::new(&(&path / "u3"), 32 * growth, 8, growth, kernel),
            u2: UpBlock::new(&(&path / "u2"), 16 * growth, 4, growth, kernel),
            u1: convolution(&path / "u1" / "conva", 8 * growth, 2 * growth, kernel, 1),
            norm: BatchNorm::new(&(&path / "u0" / "bn"), 2 * growth, NORM),
            last: Convolution::new(&(&path / "u0" / "conv"), 2 * growth, outputs, 1, last),
            kernel,
        }
    }

    fn forward_t(&self, features: &Features, train: bool, observe: Observer) -> Tensor {
        let name = self.name;
        let u3 = self.u3.forward_t(&(double(&features.bottom) + &features.d2), train);
        observe(&format!("{name}.u3"), &u3);
        let u2 = self.u2.forward_t(&(double(&u3) + &features.d1), train);
        observe(&format!("{name}.u2"), &u2);
        let joined = double(&u2) + &features.d0;
        let u1 = self.u1.forward(&pad_same(&joined, self.kernel, 1));
        observe(&format!("{name}.u1"), &u1);
        self.last.forward(&relu(self.norm.forward_t(&u1, train)))
    }
}

/// What the decoders see of the encoder, cropped to their sizes.
struct Features {
    d0: Tensor,
    d1: Tensor,
    d2: Tensor,
    bottom: Tensor,
}

/// Is told each stage's name (`conv0`, `d0`, …, `np.u1`) and output.
type Observer<'a> = &'a mut dyn FnMut(&str, &Tensor);

/// The network.
#[derive(Debug)]
pub struct HoVerNet {
    config: HoVerNetConfig,
    first: (Convolution, BatchNorm),
    blocks: [ResidualBlock; 4],
    bottom: Convolution,
    types: Option<Branch>,
    nuclei: Branch,
    distances: Branch,
    frozen: bool,
}

impl HoVerNet {
    /// Builds the network under `path`. Its weights are zero until they are
    /// initialised or loaded.
    ///
    /// # Errors
    /// When fewer than two types are asked for.
    pub fn new(path: &Path, config: HoVerNetConfig) -> Result<Self, Error> {
        if let Some(types) = config.types.filter(|types| *types < 2) {
            let rule = "there have to be two at least, background included";
            let value = types.to_string();
            return Err(Error::Config { network: NETWORK, field: "types", value, rule });
        }
        let kernel = match config.mode {
            Mode::Fast => 3,
            Mode::Original => 5,
        };
        if !(0.125..=4.0).contains(&config.width) {
            let (value, rule) = (config.width.to_string(), "it has to be 0.125 to 4");
            return Err(Error::Config { network: NETWORK, field: "width", value, rule });
        }
        let growth = config.growth();
        // Filters of the first residual block: 64 at width 1.
        let width = 2 * growth;
        let decoder = path / "decoder";
        // The reference keeps the ones of its upsampling in the checkpoint; nearest
        // neighbour is the same, so that they are kept for the name only.
        let _ = (path / "upsample2x").ones_no_train("unpool_mat", &[2, 2]);
        Ok(Self {
            config,
            first: (
                convolution(path / "conv0" / "/", 3, width, 7, 1),
                BatchNorm::new(&(path / "conv0" / "bn"), width, NORM),
            ),
            blocks: [
                ResidualBlock::new(&(path / "d0"), width, width, 3, 1),
                ResidualBlock::new(&(path / "d1"), 4 * width, 2 * width, 4, 2),
                ResidualBlock::new(&(path / "d2"), 8 * width, 4 * width, 6, 2),
                ResidualBlock::new(&(path / "d3"), 16 * width, 8 * width, 3, 2),
            ],
            bottom: convolution(path / "conv_bot", 32 * width, 16 * width, 1, 1),
            types: config.types.map(|types| Branch::new(&decoder, "tp", types, growth, kernel)),
            nuclei: Branch::new(&decoder, "np", 2, growth, kernel),
            distances: Branch::new(&decoder, "hv", 2, growth, kernel),
            frozen: false,
        })
    }

    pub fn config(&self) -> &HoVerNetConfig {
        &self.config
    }

    /// Keeps the encoder as it is in training: the first phase of the publication.
    pub fn freeze_encoder(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Images `[N, 3, H, W]` in 0..255 to maps; the sides have to be those that
    /// [`HoVerNetConfig::output_side`] accepts.
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Maps {
        self.forward_observed(images, train, &mut |_, _| {})
    }

    /// As [`HoVerNet::forward_t`]; `observe` is told each stage's name and output.
    pub fn forward_observed(
        &self,
        images: &Tensor,
        train: bool,
        observe: &mut dyn FnMut(&str, &Tensor),
    ) -> Maps {
        let features = self.encode(images, train, observe);
        let types = self.types.as_ref().map(|branch| branch.forward_t(&features, train, observe));
        Maps {
            types,
            nuclei: self.nuclei.forward_t(&features, train, observe),
            distances: self.distances.forward_t(&features, train, observe),
        }
    }

    fn encode(&self, images: &Tensor, train: bool, observe: Observer) -> Features {
        let mut values = images / 255.0;
        if self.config.mode == Mode::Fast {
            values = pad_same(&values, 7, 1);
        }
        values = relu(self.first.1.forward_t(&self.first.0.forward(&values), train));
        observe("conv0", &values);
        let [d0, d1, d2, d3] = &self.blocks;
        let d0 = d0.forward_t(&values, train, self.frozen);
        observe("d0", &d0);
        let mut deeper = || {
            let d1 = d1.forward_t(&d0, train, false);
            observe("d1", &d1);
            let d2 = d2.forward_t(&d1, train, false);
            observe("d2", &d2);
            let d3 = d3.forward_t(&d2, train, false);
            observe("d3", &d3);
            (d1, d2, d3)
        };
        let (d1, d2, d3) = if self.frozen && train { no_grad(deeper) } else { deeper() };
        let bottom = self.bottom.forward(&d3);
        observe("conv_bot", &bottom);
        let (outer, inner) = match self.config.mode {
            Mode::Fast => (92, 36),
            Mode::Original => (184, 72),
        };
        Features { d0: crop(&d0, outer), d1: crop(&d1, inner), d2, bottom }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, nn::VarStore};

    #[test]
    fn maps_have_the_promised_side() {
        let config = HoVerNetConfig::published(Mode::Fast, Some(3));
        let expected = config.output_side(96).expect("the smallest that fits");
        let store = VarStore::new(Device::Cpu);
        let network = HoVerNet::new(&store.root(), config).expect("in range");
        let images = Tensor::zeros([1, 3, 96, 96], (Kind::Float, Device::Cpu));
        let maps = no_grad(|| network.forward_t(&images, false));
        assert_eq!(maps.nuclei.size(), [1, 2, expected, expected]);
        assert_eq!(maps.distances.size(), [1, 2, expected, expected]);
        assert_eq!(maps.types.map(|map| map.size()), Some(vec![1, 3, expected, expected]));
    }

    #[test]
    fn a_width_scales_every_layer_and_is_rounded_to_eighths() {
        let parameters = |width: f64| {
            let store = VarStore::new(Device::Cpu);
            let config = HoVerNetConfig { width, ..HoVerNetConfig::published(Mode::Fast, Some(3)) };
            let network = HoVerNet::new(&store.root(), config).expect("in range");
            let images = Tensor::zeros([1, 3, 96, 96], (Kind::Float, Device::Cpu));
            assert_eq!(no_grad(|| network.forward_t(&images, false)).nuclei.size(), [1, 2, 4, 4]);
            store.trainable_variables().iter().map(Tensor::numel).sum::<usize>()
        };
        assert_eq!(parameters(0.26), parameters(0.25));
        assert!(parameters(0.125) < parameters(0.25) / 3);
        let store = VarStore::new(Device::Cpu);
        let config = HoVerNetConfig { width: 0.0, ..HoVerNetConfig::published(Mode::Fast, None) };
        assert!(HoVerNet::new(&store.root(), config).is_err());
    }

    #[test]
    fn published_sides_are_accepted_and_others_refused_with_the_rule() {
        let fast = HoVerNetConfig::published(Mode::Fast, None);
        let original = HoVerNetConfig::published(Mode::Original, None);
        assert_eq!(fast.output_side(256).ok(), Some(164));
        assert_eq!(original.output_side(270).ok(), Some(80));
        for (config, side) in [(fast, 270), (fast, 88), (original, 256), (original, 190)] {
            let error = config.output_side(side).expect_err("it does not fit").to_string();
            assert!(error.contains("multiple"), "{error}");
        }
    }

    #[test]
    fn a_frozen_encoder_gets_no_gradient_beyond_its_first_block() {
        let store = VarStore::new(Device::Cpu);
        let config = HoVerNetConfig::published(Mode::Fast, None);
        let mut network = HoVerNet::new(&store.root(), config).expect("in range");
        network.freeze_encoder(true);
        let images = Tensor::zeros([1, 3, 96, 96], (Kind::Float, Device::Cpu));
        network.forward_t(&images, true).nuclei.sum(Kind::Float).backward();
        let variables = store.variables();
        let has_gradient = |name: &str| variables[name].grad().defined();
        assert!(has_gradient("conv_bot.weight") && has_gradient("d0.shortcut.weight"));
        assert!(!has_gradient("d1.units.0.conv1.weight") && !has_gradient("d0.units.0.conv1.weight"));
    }
}
