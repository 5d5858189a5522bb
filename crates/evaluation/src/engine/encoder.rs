//! A frozen encoder: tiles in, representations out.
//!
//! Tiles become numbers on the scale that the encoder was trained on and, where the encoder was trained on another side,
//! are resized to it (bilinear, as the training's views). Evaluation mode throughout:
//! a representation depends on its tile alone, up to the last bits that the size of
//! the batch decides.

use counterstain_model::InceptionV3;
use counterstain_model::init::{Scheme, initialise};
use counterstain_model::resnet::{Depth, ResNet, Variant};
use counterstain_model::weights;
use counterstain_tile::Tile;
use counterstain_tile::resample::bilinear;
use counterstain_torch::{NamedTensors, autocast, channels_last, from_safetensors, to_safetensors};
use tch::nn::{Path, VarStore};
use tch::{Device, Kind, Tensor};

/// The name that training gives the trunk; initial weights are derived from it, so
/// that the random encoder is where training with the same seed starts.
const TRUNK: &str = "primary.encoder";

/// Why an encoder cannot be built or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// Its architecture is not known.
    #[error(
        "the encoder's architecture {0:?} is not known to this program; known are resnet18, resnet34, resnet50 and inception_v3"
    )]
    Architecture(String),
    /// Its input scaling is not known.
    #[error(
        "the encoder's normalisation {0:?} is not known to this program; known are 0-1, -1-1, 0-255 and imagenet"
    )]
    Normalisation(String),
    /// Its weights do not fit or cannot be read.
    #[error(transparent)]
    Model(#[from] counterstain_model::Error),
    /// libtorch.
    #[error(transparent)]
    Torch(#[from] counterstain_torch::Error),
    /// A tile cannot be prepared.
    #[error("a tile of {width} x {height} px cannot be prepared: {reason}")]
    Tile {
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
        /// What is wrong.
        reason: String,
    },
}

impl From<tch::TchError> for EncoderError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}

/// What an encoder is, apart from its weights.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Architecture {
    /// `resnet18`, `resnet34`, `resnet50`, or `inception_v3` (FID's).
    pub name: String,
    /// Side of the square images that it takes, in pixels; 0 takes tiles as they are.
    pub image_size: u32,
    /// How 0..255 becomes input: `0-1` divides by 255, `-1-1` goes on to -1..1, `imagenet` to the mean 0 and deviation
    /// 1 of ImageNet's channels (torchvision), `0-255` leaves it as it is.
    pub normalisation: String,
}

impl Architecture {
    fn scale(&self, tile: &Tile<u8>) -> Result<Tile<f32>, EncoderError> {
        match self.normalisation.as_str() {
            "0-1" => Ok(tile.to_unit()),
            "-1-1" => Ok(tile.to_float().map(|value| value / 127.5 - 1.0)),
            "imagenet" => Ok(standardised(tile.to_unit())),
            "0-255" => Ok(tile.to_float()),
            other => Err(EncoderError::Normalisation(other.to_owned())),
        }
    }

    fn family(&self) -> Result<Family, EncoderError> {
        match self.name.as_str() {
            "resnet18" => Ok(Family::ResNet(Depth::R18)),
            "resnet34" => Ok(Family::ResNet(Depth::R34)),
            "resnet50" => Ok(Family::ResNet(Depth::R50)),
            "inception_v3" => Ok(Family::Inception),
            other => Err(EncoderError::Architecture(other.to_owned())),
        }
    }

    /// Width of a representation: 512 or 2,048.
    ///
    /// # Errors
    /// When the architecture is not known.
    pub fn representation_width(&self) -> Result<usize, EncoderError> {
        Ok(match self.family()? {
            Family::ResNet(depth) => depth.representation_width(),
            Family::Inception => InceptionV3::WIDTH,
        } as usize)
    }

    /// The weights of a randomly initialised encoder as a safetensors file: a function
    /// of architecture and seed.
    ///
    /// # Errors
    /// When the architecture is not known.
    pub fn random_weights(&self, seed: u64) -> Result<Vec<u8>, EncoderError> {
        let store = VarStore::new(Device::Cpu);
        let root = store.root();
        let path = TRUNK.split('.').fold(root, |path, part| &path / part);
        let _network = Network::new(&path, self.family()?);
        initialise(&store, seed, Scheme::Torch);
        Ok(to_safetensors(&weights::export_under(&store, TRUNK))?)
    }

    /// Published weights as an encoder's are stored.
    ///
    /// # Errors
    /// When the architecture is not known; every tensor that is missing, surplus or misshaped.
    pub fn converted(&self, tensors: &NamedTensors) -> Result<Vec<u8>, EncoderError> {
        let store = VarStore::new(Device::Cpu);
        let _network = Network::new(&store.root(), self.family()?);
        weights::load(&store, tensors)?;
        Ok(to_safetensors(&weights::export(&store))?)
    }
}

/// Brings values in 0..1 to ImageNet's statistics.
fn standardised(mut tile: Tile<f32>) -> Tile<f32> {
    const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
    let (pixels, _) = tile.data.as_chunks_mut::<3>();
    for pixel in pixels {
        for (value, (mean, deviation)) in pixel.iter_mut().zip(MEAN.into_iter().zip(DEVIATION)) {
            *value = (*value - mean) / deviation;
        }
    }
    tile
}

/// The networks by how they are built.
#[derive(Debug, Clone, Copy)]
enum Family {
    ResNet(Depth),
    Inception,
}

#[derive(Debug)]
enum Network {
    ResNet(ResNet),
    Inception(InceptionV3),
}

impl Network {
    fn new(path: &Path, family: Family) -> Self {
        match family {
            Family::ResNet(depth) => Self::ResNet(ResNet::new(path, depth, Variant::Torchvision)),
            Family::Inception => Self::Inception(InceptionV3::new(path)),
        }
    }

    fn forward(&self, images: &Tensor) -> Tensor {
        match self {
            Self::ResNet(network) => network.forward_t(images, false),
            Self::Inception(network) => network.forward(images),
        }
    }
}

/// An image as the encoder sees it: `[3, height, width]` on the encoder's scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Input {
    /// Scales and, where needed, resizes a tile with three channels.
    ///
    /// # Errors
    /// When the tile is empty or has other channels.
    pub fn new(tile: &Tile<u8>, architecture: &Architecture) -> Result<Self, EncoderError> {
        let refuse = |reason: String| EncoderError::Tile { width: tile.width, height: tile.height, reason };
        if tile.is_empty() || tile.channels != 3 {
            return Err(refuse(format!("it has {} channels; an RGB image is needed", tile.channels)));
        }
        let scaled = architecture.scale(tile)?;
        let side = architecture.image_size as usize;
        let scaled = if side == 0 || (side == tile.width && side == tile.height) {
            scaled
        } else {
            bilinear(&scaled, side, side).map_err(|error| refuse(error.to_string()))?
        };
        let mut values = Vec::with_capacity(scaled.data.len());
        for channel in 0..3 {
            values.extend(scaled.data.iter().skip(channel).step_by(3));
        }
        Ok(Self { width: scaled.width, height: scaled.height, values })
    }

    fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }
}

/// A frozen encoder on a device.
#[derive(Debug)]
pub struct Encoder {
    architecture: Architecture,
    network: Network,
    device: Device,
    dtype: Option<Kind>,
    // Owns the network's variables.
    _store: VarStore,
}

impl Encoder {
    /// Builds the encoder from the bytes of its safetensors file. `dtype` is the
    /// autocast dtype; `None` computes in f32.
    ///
    /// # Errors
    /// When the architecture is not known, or the weights do not fit it.
    pub fn new(
        architecture: Architecture,
        weights_file: &[u8],
        device: Device,
        dtype: Option<Kind>,
    ) -> Result<Self, EncoderError> {
        let mut store = VarStore::new(device);
        let network = Network::new(&store.root(), architecture.family()?);
        weights::load(&store, &from_safetensors(weights_file)?)?;
        store.freeze();
        Ok(Self { architecture, network, device, dtype, _store: store })
    }

    /// What it is.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Representations of the images, row-major `[N, width]`, in f32. Neighbours of
    /// different sizes are computed apart, in order.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn represent(&self, images: &[Input]) -> Result<Vec<f32>, EncoderError> {
        let mut rows = Vec::new();
        for group in images.chunk_by(|a, b| a.size() == b.size()) {
            rows.extend(self.represent_equal(group)?);
        }
        Ok(rows)
    }

    fn represent_equal(&self, images: &[Input]) -> Result<Vec<f32>, EncoderError> {
        let Some(first) = images.first() else { return Ok(Vec::new()) };
        let mut values = Vec::with_capacity(images.len() * first.values.len());
        images.iter().for_each(|image| values.extend_from_slice(&image.values));
        let shape = [images.len() as i64, 3, first.height as i64, first.width as i64];
        let batch = Tensor::from_slice(&values).f_reshape(shape)?.f_to_device(self.device)?;
        let out = tch::no_grad(|| {
            autocast(self.device, self.dtype, || self.network.forward(&channels_last(&batch)))
        });
        let out = out.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?.f_reshape([-1])?;
        Ok(Vec::<f32>::try_from(out)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resnet18(image_size: u32) -> Architecture {
        Architecture { name: "resnet18".to_owned(), image_size, normalisation: "0-1".to_owned() }
    }

    fn tile(side: usize, shift: u8) -> Tile<u8> {
        let data = (0..side * side * 3).map(|i| (i as u8).wrapping_mul(7).wrapping_add(shift)).collect();
        Tile::new(side, side, 3, data).unwrap()
    }

    #[test]
    fn a_random_encoder_depends_on_its_seed_alone() {
        let architecture = resnet18(0);
        let weights = architecture.random_weights(3).unwrap();
        assert_eq!(weights, architecture.random_weights(3).unwrap());
        assert_ne!(weights, architecture.random_weights(4).unwrap());
        let encoder = Encoder::new(architecture.clone(), &weights, Device::Cpu, None).unwrap();
        let images: Vec<Input> =
            (0..3).map(|i| Input::new(&tile(32, i * 40), &architecture).unwrap()).collect();
        let rows = encoder.represent(&images).unwrap();
        assert_eq!(rows.len(), 3 * architecture.representation_width().unwrap());
        assert!(rows.iter().all(|value| value.is_finite()));
        assert_ne!(rows[..512], rows[512..1024]);
        let alone = encoder.represent(&images[1..2]).unwrap();
        assert!(alone.iter().zip(&rows[512..1024]).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn bfloat16_gives_nearly_the_same_representation() {
        let architecture = resnet18(0);
        let weights = architecture.random_weights(3).unwrap();
        let images = [Input::new(&tile(32, 0), &architecture).unwrap()];
        let represent = |dtype| {
            let encoder = Encoder::new(architecture.clone(), &weights, Device::Cpu, dtype).unwrap();
            encoder.represent(&images).unwrap()
        };
        let (full, half) = (represent(None), represent(Some(Kind::BFloat16)));
        let norm =
            |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
        let error = norm(&mut full.iter().zip(&half).map(|(a, b)| a - b)) / norm(&mut full.iter().copied());
        assert!(error > 0.0 && error < 0.05, "{error}");
    }

    #[test]
    fn tiles_of_other_sizes_are_resized_or_grouped() {
        let resized = Input::new(&tile(40, 0), &resnet18(32)).unwrap();
        assert_eq!((resized.size(), resized.values.len()), ((32, 32), 3 * 32 * 32));
        let architecture = resnet18(0);
        let encoder =
            Encoder::new(architecture.clone(), &architecture.random_weights(1).unwrap(), Device::Cpu, None)
                .unwrap();
        let mixed = [tile(32, 0), tile(40, 0)].map(|tile| Input::new(&tile, &architecture).unwrap());
        assert_eq!(encoder.represent(&mixed).unwrap().len(), 1024);
        assert!(encoder.represent(&[]).unwrap().is_empty());
    }

    #[test]
    fn tiles_come_on_the_scale_that_the_encoder_was_trained_on() {
        let input = |normalisation: &str| {
            let architecture = Architecture { normalisation: normalisation.to_owned(), ..resnet18(0) };
            Input::new(&Tile::new(1, 1, 3, vec![0, 51, 255]).unwrap(), &architecture).unwrap().values
        };
        let close = |found: Vec<f32>, expected: [f32; 3]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        };
        close(input("0-1"), [0.0, 0.2, 1.0]);
        close(input("-1-1"), [-1.0, -0.6, 1.0]);
        // torchvision: (x - mean) / std, as `transforms.Normalize` documents.
        close(input("imagenet"), [-2.117_904, -1.142_857, 2.64]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let unknown = Architecture { name: "vit".to_owned(), ..resnet18(0) };
        assert!(unknown.random_weights(0).unwrap_err().to_string().contains("\"vit\""));
        let other = Architecture { normalisation: "caffe".to_owned(), ..resnet18(0) };
        assert!(Input::new(&tile(8, 0), &other).unwrap_err().to_string().contains("\"caffe\""));
        let unscaled = Architecture { normalisation: "0-255".to_owned(), ..resnet18(0) };
        assert_eq!(Input::new(&Tile::filled(1, 1, 3, 200), &unscaled).unwrap().values, [200.0; 3]);
        let deeper = Architecture { name: "resnet50".to_owned(), ..resnet18(0) };
        let weights = resnet18(0).random_weights(0).unwrap();
        assert!(Encoder::new(deeper, &weights, Device::Cpu, None).is_err());
        assert!(Encoder::new(resnet18(0), b"not weights", Device::Cpu, None).is_err());
        assert!(Input::new(&Tile::filled(4, 4, 1, 0), &resnet18(0)).is_err());
        assert!(Input::new(&Tile::filled(0, 4, 3, 0), &resnet18(8)).is_err());
    }
}
