//! A trained HoVer-Net in use: images of any size, window by window.
//!
//! Reference: `models/hovernet/run_desc.py` (`infer_step`) and `infer/tile.py` of vqdang/hover_net.

use crate::engine::error::Error;
use crate::engine::images::ImageBatch;
use crate::engine::loss::at_least_f32;
use crate::engine::state::load_weights;
use counterstain_model::{HoVerNet, HoVerNetConfig};
use counterstain_tile::Tile;
use counterstain_tile::nuclei::patching::Patching;
use counterstain_torch::{autocast, channels_last};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

/// A network with loaded weights.
#[derive(Debug)]
pub struct Segmenting {
    config: HoVerNetConfig,
    device: Device,
    dtype: Option<Kind>,
    network: HoVerNet,
    // Owns the variables that `network` shares.
    _store: VarStore,
}

/// The maps of an image, each of its size.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictedMaps {
    /// Probability that a pixel belongs to a nucleus.
    pub foreground: Tile<f32>,
    /// Horizontal distance to the nucleus' centre, -1..1.
    pub horizontal: Tile<f32>,
    /// Vertical distance to the nucleus' centre, -1..1.
    pub vertical: Tile<f32>,
    /// The likeliest type of each pixel.
    pub types: Option<Tile<u32>>,
}

/// The windows of some images, cut on any thread.
#[derive(Debug)]
pub struct Windows {
    batches: Vec<ImageBatch>,
    /// Size of each image with its windows, in order.
    images: Vec<(usize, usize, Patching)>,
}

impl Windows {
    /// Cuts RGB images into windows, in batches of exactly `batch_size` but the last.
    ///
    /// # Errors
    /// For an image without pixels, or with other than three channels.
    pub fn cut(config: &HoVerNetConfig, images: &[Tile<u8>], batch_size: usize) -> Result<Self, Error> {
        let (side, output) = sides(config)?;
        let mut windows = Self { batches: Vec::new(), images: Vec::new() };
        for image in images {
            let unfit = |error: counterstain_tile::Error| Error::Unfit(error.to_string());
            let patching = Patching::plan(image.width, image.height, side, output).map_err(unfit)?;
            let padded = patching.pad(image).map_err(unfit)?;
            for patch in &patching.patches {
                if windows.batches.last().is_none_or(|batch| batch.len() == batch_size.max(1)) {
                    windows.batches.push(ImageBatch::new(side, side, 3));
                }
                let window = padded.crop(patch.x, patch.y, side, side).map_err(unfit)?;
                if let Some(batch) = windows.batches.last_mut() {
                    batch.push(&window, false, false)?;
                }
            }
            windows.images.push((image.width, image.height, patching));
        }
        Ok(windows)
    }
}

/// Sides of a window and of its maps.
fn sides(config: &HoVerNetConfig) -> Result<(usize, usize), Error> {
    let side = config.input_side();
    Ok((side as usize, config.output_side(side)? as usize))
}

impl Segmenting {
    /// Builds the network and loads safetensors weights with the authors' names.
    ///
    /// # Errors
    /// When the weights do not fit the shape: every missing, surplus or misshaped name is given.
    pub fn new(
        config: HoVerNetConfig,
        weights: &[u8],
        device: Device,
        dtype: Option<Kind>,
    ) -> Result<Self, Error> {
        let mut store = VarStore::new(device);
        let network = HoVerNet::new(&store.root(), config)?;
        load_weights(&store, weights)?;
        store.freeze();
        Ok(Self { config, device, dtype, network, _store: store })
    }

    /// What it takes, for threads that prepare images.
    pub fn config(&self) -> HoVerNetConfig {
        self.config
    }

    /// The maps of the images that the windows were cut from, in order.
    ///
    /// # Errors
    /// [`Error::NonFiniteImage`] when a map is not finite; libtorch's otherwise.
    pub fn predict(&self, windows: &Windows) -> Result<Vec<PredictedMaps>, Error> {
        let (_, side) = sides(&self.config)?;
        let mut all: Vec<PredictedMaps> =
            windows.images.iter().map(|(width, height, _)| self.blank(*width, *height)).collect();
        let mut places = windows.images.iter().enumerate().flat_map(|(image, (_, _, patching))| {
            patching.patches.iter().map(move |patch| (image, patch.x, patch.y))
        });
        for batch in &windows.batches {
            let planes = self.planes(&batch.to_bytes_tensor(self.device)?)?;
            for window in 0..batch.len() {
                let Some((image, x, y)) = places.next() else { break };
                let pixels = window * side * side..(window + 1) * side * side;
                let maps = &mut all[image];
                paste(&mut maps.foreground, &planes.foreground[pixels.clone()], side, (x, y));
                paste(&mut maps.horizontal, &planes.horizontal[pixels.clone()], side, (x, y));
                paste(&mut maps.vertical, &planes.vertical[pixels.clone()], side, (x, y));
                if let (Some(types), Some(values)) = (&mut maps.types, &planes.types) {
                    paste(types, &values[pixels], side, (x, y));
                }
            }
        }
        Ok(all)
    }

    fn blank(&self, width: usize, height: usize) -> PredictedMaps {
        let map = || Tile::filled(width, height, 1, 0.0);
        let types = self.config.types.map(|_| Tile::filled(width, height, 1, 0));
        PredictedMaps { foreground: map(), horizontal: map(), vertical: map(), types }
    }

    fn planes(&self, images: &Tensor) -> Result<Planes, Error> {
        no_grad(|| {
            let images = channels_last(images);
            let maps = autocast(self.device, self.dtype, || self.network.forward_t(&images, false));
            let nuclei = at_least_f32(&maps.nuclei).softmax(1, Kind::Float);
            let distances = at_least_f32(&maps.distances);
            if !bool::try_from(nuclei.isfinite().all())? || !bool::try_from(distances.isfinite().all())? {
                return Err(Error::NonFiniteImage);
            }
            let types = maps.types.map(|types| values(&types.argmax(1, false).to_kind(Kind::Int)));
            Ok(Planes {
                foreground: values(&nuclei.select(1, 1))?,
                horizontal: values(&distances.select(1, 0))?,
                vertical: values(&distances.select(1, 1))?,
                types: types
                    .transpose()?
                    .map(|types: Vec<i32>| types.into_iter().map(|kind| kind.unsigned_abs()).collect()),
            })
        })
    }
}

/// The maps of a batch of windows, window after window, row by row.
struct Planes {
    foreground: Vec<f32>,
    horizontal: Vec<f32>,
    vertical: Vec<f32>,
    types: Option<Vec<u32>>,
}

fn values<T: tch::kind::Element + Copy + Default>(tensor: &Tensor) -> Result<Vec<T>, Error> {
    let tensor = tensor.contiguous().to_device(Device::Cpu).view([-1]);
    let mut values = vec![T::default(); tensor.numel()];
    let length = values.len();
    tensor.f_copy_data(&mut values, length)?;
    Ok(values)
}

/// Copies what of a window's map lies inside the image's.
fn paste<T: Copy>(map: &mut Tile<T>, window: &[T], side: usize, (left, top): (usize, usize)) {
    let width = side.min(map.width.saturating_sub(left));
    for (y, row) in window.chunks_exact(side).enumerate().take(map.height.saturating_sub(top)) {
        let start = (top + y) * map.width + left;
        map.data[start..start + width].copy_from_slice(&row[..width]);
    }
}
