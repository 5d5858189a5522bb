//! The images of one layer of a dataset's split, read by position.

use crate::engine::Error;
use counterstain_api::error::ErrorCode;
use counterstain_artifact::dataset::{Dataset, Reader};
use counterstain_artifact::{LayerInfo, LayerKind};
use counterstain_tile::Tile;
use counterstain_tile::decode::{Limits, decode, decode_labels};
use counterstain_tile::palette::{Palette, paint_types};
use counterstain_worker::TaskError;
use counterstain_worker::images::palette_of;

/// Which channels networks see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// Those of the stored image.
    Stored,
    /// Three: grey is repeated.
    Rgb,
    /// One: the luminance.
    One,
}

/// The images to learn from, of one layer. Label layers are painted in their palette.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    reader: &'a Reader,
    dataset: &'a Dataset,
    layer: LayerInfo,
    palette: Option<Palette>,
    channels: Channels,
    samples: Vec<usize>,
}

impl<'a> Source<'a> {
    /// Looks up the layer and the split (empty: all samples).
    ///
    /// # Errors
    /// When the dataset has no such layer or no sample in the split; the message lists what it has.
    pub fn open(
        reader: &'a Reader,
        dataset: &'a Dataset,
        layer: &str,
        split: &str,
        channels: Channels,
    ) -> Result<Self, TaskError> {
        let name = &dataset.body.name;
        let invalid = |message: String| TaskError::new(ErrorCode::InvalidArgument, message);
        let layer = dataset.layer(layer).ok_or_else(|| {
            let others: Vec<_> = dataset.body.layers.iter().map(|info| info.name.as_str()).collect();
            invalid(format!("dataset {name} has no layer {layer:?}; it has {}", others.join(", ")))
        })?;
        let samples =
            if split.is_empty() { (0..dataset.len()).collect() } else { dataset.samples_of_split(split) };
        if samples.is_empty() {
            let splits = &dataset.body.splits;
            let known = if splits.is_empty() {
                "its samples have no split: set split to \"\" for all".to_owned()
            } else {
                format!("it has {}; \"\" takes all", splits.keys().cloned().collect::<Vec<_>>().join(", "))
            };
            return Err(invalid(format!("dataset {name} has no sample in split {split:?}: {known}")));
        }
        let palette = palette_of(layer);
        Ok(Self { reader, dataset, palette, layer: layer.clone(), channels, samples })
    }

    /// What is known of the layer.
    pub fn info(&self) -> &LayerInfo {
        &self.layer
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Name of the layer.
    pub fn layer(&self) -> &str {
        &self.layer.name
    }

    /// Key of the sample at a position.
    pub fn key(&self, position: usize) -> &str {
        &self.dataset.samples[self.samples[position]].key
    }

    /// Reads and decodes the image at a position.
    ///
    /// # Errors
    /// The store's, or when the image is damaged; both name the key.
    pub fn read(&self, position: usize) -> Result<Tile<u8>, TaskError> {
        let image = match &self.palette {
            Some(palette) => paint_types(&self.labels(position)?, palette),
            None => {
                let bytes = self.bytes(position)?;
                decode(&bytes, &Limits::default()).map_err(|source| self.damaged(position, source))?
            }
        };
        let image = match self.channels {
            Channels::Stored => Ok(image),
            Channels::Rgb => image.as_rgb(),
            Channels::One => image.as_luminance(),
        };
        image.map_err(|source| self.damaged(position, source))
    }

    /// Labels of the first image that the palette paints in its colour for the unknown.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn unlisted_labels(&self) -> Result<Vec<u32>, TaskError> {
        match &self.palette {
            Some(palette) if self.layer.kind == LayerKind::Label => Ok(palette.unlisted(&self.labels(0)?)),
            _ => Ok(Vec::new()),
        }
    }

    /// What images painted after this layer's mean: an image layer, also where the layer holds labels.
    pub fn painted_layer(&self, channels: usize) -> LayerInfo {
        LayerInfo {
            kind: LayerKind::Image,
            channels: channels as u32,
            media_type: "image/png".to_owned(),
            extension: "png".to_owned(),
            palette: self.palette.as_ref().map(colours),
            width: None,
            height: None,
            ..self.layer.clone()
        }
    }

    /// Reads and decodes the labels at a position, of a layer of labels or instances.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn labels(&self, position: usize) -> Result<Tile<u32>, TaskError> {
        decode_labels(&self.bytes(position)?, &Limits::default())
            .map_err(|source| self.damaged(position, source))
    }

    fn bytes(&self, position: usize) -> Result<bytes::Bytes, TaskError> {
        Ok(self.reader.read(self.dataset, self.samples[position], &self.layer.name)?)
    }

    fn damaged(&self, position: usize, source: counterstain_tile::Error) -> TaskError {
        Error::Image { what: format!("sample {} ({})", self.key(position), self.layer.name), source }.into()
    }
}

/// A palette as a layer records it: the colour of label 0, 1, 2 ...
fn colours(palette: &Palette) -> Vec<[u8; 3]> {
    let count = palette.entries.iter().map(|entry| entry.label + 1).max().unwrap_or(0);
    (0..count).map(|label| palette.color(label)).collect()
}
