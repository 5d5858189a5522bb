//! The pairs of a dataset's primary images and one of its layers, read by position.

use crate::engine::Error;
use crate::engine::images::ImageBatch;
use crate::engine::schedule::Draw;
use counterstain_api::error::ErrorCode;
use counterstain_artifact::dataset::{Dataset, Reader};
use counterstain_artifact::{LayerInfo, LayerKind};
use counterstain_tile::decode::{Limits, decode, decode_labels, decode_rgb};
use counterstain_tile::palette::{Palette, paint_types};
use counterstain_tile::{Tile, palette};
use counterstain_worker::TaskError;
use counterstain_worker::images::palette_of;
use rayon::prelude::*;

/// Two batches whose images belong together.
#[derive(Debug)]
pub struct PairBatch {
    /// The primary images.
    pub condition: ImageBatch,
    /// The privileged images.
    pub target: ImageBatch,
}

/// The pairs to learn from. All images must have the first pair's size.
pub struct Pairs<'a> {
    reader: &'a Reader,
    dataset: &'a Dataset,
    layer: LayerInfo,
    palette: Option<Palette>,
    samples: Vec<usize>,
    /// Width, height, channels of the primary and of the privileged images.
    pub shape: PairShape,
}

/// What all pairs share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairShape {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Channels of the primary images.
    pub condition_channels: usize,
    /// Channels of the privileged images, painted.
    pub target_channels: usize,
}

impl<'a> Pairs<'a> {
    /// Looks up the layer and the split, and reads the first pair for its size.
    ///
    /// # Errors
    /// When the dataset has no such layer or split, or the first pair's sizes differ.
    pub fn open(
        reader: &'a Reader,
        dataset: &'a Dataset,
        layer: &str,
        split: &str,
    ) -> Result<Self, TaskError> {
        let invalid = |message: String| TaskError::new(ErrorCode::InvalidArgument, message);
        let info = dataset.layer(layer).ok_or_else(|| {
            let others = dataset.body.layers.iter().map(|info| info.name.as_str());
            invalid(format!(
                "dataset {} has no layer {layer:?}; it has {}",
                dataset.body.name,
                others.collect::<Vec<_>>().join(", ")
            ))
        })?;
        if layer == dataset.body.primary {
            return Err(invalid(format!(
                "layer {layer:?} is the primary image itself: name a privileged layer"
            )));
        }
        let samples =
            if split.is_empty() { (0..dataset.len()).collect() } else { dataset.samples_of_split(split) };
        if samples.is_empty() {
            let splits = &dataset.body.splits;
            let known = if splits.is_empty() {
                "its samples have no split: set split to \"\" for all".to_owned()
            } else {
                format!("it has {}; \"\" takes all", splits.keys().cloned().collect::<Vec<_>>().join(", "))
            };
            return Err(invalid(format!(
                "dataset {} has no sample in split {split:?}: {known}",
                dataset.body.name
            )));
        }
        let shape = PairShape { width: 0, height: 0, condition_channels: 0, target_channels: 0 };
        let mut pairs =
            Self { reader, dataset, palette: palette_of(info), layer: info.clone(), samples, shape };
        let (condition, target) = pairs.pair(0)?;
        pairs.shape = PairShape {
            width: condition.width,
            height: condition.height,
            condition_channels: condition.channels,
            target_channels: target.channels,
        };
        Ok(pairs)
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// What the painted images mean: an image layer, also where the layer holds labels.
    pub fn painted_layer(&self) -> LayerInfo {
        LayerInfo {
            kind: LayerKind::Image,
            channels: self.shape.target_channels as u32,
            media_type: "image/png".to_owned(),
            extension: "png".to_owned(),
            palette: self.palette.as_ref().map(colours),
            width: None,
            height: None,
            ..self.layer.clone()
        }
    }

    /// Labels of the first pair that the palette paints in its colour for the unknown.
    ///
    /// # Errors
    /// As [`Pairs::batch`].
    pub fn unlisted_labels(&self) -> Result<Vec<u32>, TaskError> {
        match &self.palette {
            Some(palette) if self.layer.kind == LayerKind::Label => Ok(palette.unlisted(&self.labels(0)?)),
            _ => Ok(Vec::new()),
        }
    }

    /// Reads, decodes and mirrors the pairs of one step, in order.
    ///
    /// # Errors
    /// The store's, or when an image is damaged or has another size; both name the key.
    pub fn batch(&self, draws: &[Draw]) -> Result<PairBatch, TaskError> {
        let PairShape { width, height, condition_channels, target_channels } = self.shape;
        let pairs: Vec<_> = draws.par_iter().map(|draw| self.pair(draw.sample)).collect();
        let mut condition = ImageBatch::new(width, height, condition_channels);
        let mut target = ImageBatch::new(width, height, target_channels);
        for (draw, pair) in draws.iter().zip(pairs) {
            let (primary, privileged) = pair?;
            let named = |layer: &str, error: Error| {
                TaskError::from(Error::Unfit(format!("sample {} ({layer}): {error}", self.key(draw.sample))))
            };
            condition
                .push(&primary, draw.horizontal, draw.vertical)
                .map_err(|error| named(&self.dataset.body.primary, error))?;
            target
                .push(&privileged, draw.horizontal, draw.vertical)
                .map_err(|error| named(&self.layer.name, error))?;
        }
        Ok(PairBatch { condition, target })
    }

    fn key(&self, position: usize) -> &str {
        &self.dataset.samples[self.samples[position]].key
    }

    fn pair(&self, position: usize) -> Result<(Tile<u8>, Tile<u8>), TaskError> {
        let primary = self.primary(position)?;
        let privileged = self.privileged(position)?;
        if (primary.width, primary.height) != (privileged.width, privileged.height) {
            return Err(Error::Unfit(format!(
                "sample {}: {} is {} x {} px and {} is {} x {} px; the images of a pair must have one size",
                self.key(position),
                self.dataset.body.primary,
                primary.width,
                primary.height,
                self.layer.name,
                privileged.width,
                privileged.height
            ))
            .into());
        }
        Ok((primary, privileged))
    }

    fn primary(&self, position: usize) -> Result<Tile<u8>, TaskError> {
        let layer = &self.dataset.body.primary;
        let bytes = self.reader.read(self.dataset, self.samples[position], layer)?;
        decode_rgb(&bytes, &Limits::default()).map_err(|source| self.damaged(position, layer, source))
    }

    fn privileged(&self, position: usize) -> Result<Tile<u8>, TaskError> {
        let Some(palette) = &self.palette else {
            let bytes = self.reader.read(self.dataset, self.samples[position], &self.layer.name)?;
            return decode(&bytes, &Limits::default())
                .map_err(|source| self.damaged(position, &self.layer.name, source));
        };
        Ok(paint_types(&self.labels(position)?, palette))
    }

    fn labels(&self, position: usize) -> Result<Tile<u32>, TaskError> {
        let bytes = self.reader.read(self.dataset, self.samples[position], &self.layer.name)?;
        decode_labels(&bytes, &Limits::default())
            .map_err(|source| self.damaged(position, &self.layer.name, source))
    }

    fn damaged(&self, position: usize, layer: &str, source: counterstain_tile::Error) -> TaskError {
        Error::Image { what: format!("sample {} ({layer})", self.key(position)), source }.into()
    }
}

/// A palette as a layer records it: the colour of label 0, 1, 2 ...
fn colours(palette: &palette::Palette) -> Vec<[u8; 3]> {
    let count = palette.entries.iter().map(|entry| entry.label + 1).max().unwrap_or(0);
    (0..count).map(|label| palette.color(label)).collect()
}
