//! What a generator learns from: pairs of images, or two domains that are not paired.

use super::source::Source;
use crate::engine::Error;
use crate::engine::images::ImageBatch;
use crate::engine::schedule::Draw;
use counterstain_tile::Tile;
use counterstain_worker::TaskError;
use rayon::prelude::*;

/// The images of one step.
#[derive(Debug)]
pub struct StepBatch {
    /// The images to paint from.
    pub input: ImageBatch,
    /// The images to paint: of the same samples, where these are pairs.
    pub target: ImageBatch,
}

/// Pixels and channels of the images that networks see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Channels.
    pub channels: usize,
}

/// Inputs and targets. Without a crop, all images of each must have the first one's size.
#[derive(Debug)]
pub struct Collection<'a> {
    input: Source<'a>,
    target: Source<'a>,
    paired: bool,
    crop: Option<usize>,
    /// Of the inputs.
    pub input_shape: Shape,
    /// Of the targets.
    pub target_shape: Shape,
}

impl<'a> Collection<'a> {
    /// Reads the first images for their sizes. Pairs are the images of both at the same position.
    ///
    /// # Errors
    /// When these are damaged, smaller than the crop, or a pair of two sizes.
    pub fn open(
        input: Source<'a>,
        target: Source<'a>,
        paired: bool,
        crop: Option<usize>,
    ) -> Result<Self, TaskError> {
        let none = Shape { width: 0, height: 0, channels: 0 };
        let mut collection = Self { input, target, paired, crop, input_shape: none, target_shape: none };
        let (input, target) = if paired {
            collection.pair(0)?
        } else {
            (collection.input.read(0)?, collection.target.read(0)?)
        };
        collection.input_shape = collection.shape(&collection.input, &input)?;
        collection.target_shape = collection.shape(&collection.target, &target)?;
        Ok(collection)
    }

    /// Samples of an epoch: the pairs, or the images of the larger domain.
    pub fn len(&self) -> usize {
        self.input.len().max(self.target.len())
    }

    /// Whether these are pairs.
    pub fn paired(&self) -> bool {
        self.paired
    }

    /// The images to paint.
    pub fn target(&self) -> &Source<'a> {
        &self.target
    }

    /// Reads, decodes, crops and mirrors the images of one step, in order. `draws` are those of the input and, of
    /// unpaired images, those of the target; pairs share the first. Positions beyond the smaller domain start again
    /// at its beginning.
    ///
    /// # Errors
    /// The store's, or when an image is damaged or has a size that does not fit; both name the key.
    pub fn batch(&self, draws: &[Vec<Draw>; 2]) -> Result<StepBatch, TaskError> {
        let [first, second] = draws;
        let images: Vec<Result<_, TaskError>> = if self.paired {
            first.par_iter().map(|draw| self.pair(draw.sample)).collect()
        } else {
            let position = |source: &Source<'_>, draw: &Draw| draw.sample % source.len();
            let read = |(of_input, of_target): (&Draw, &Draw)| {
                let input = self.input.read(position(&self.input, of_input))?;
                Ok((input, self.target.read(position(&self.target, of_target))?))
            };
            first.par_iter().zip(second).map(read).collect()
        };
        let target_draws = if self.paired { first } else { second };
        let mut batch = StepBatch { input: empty(self.input_shape), target: empty(self.target_shape) };
        for ((images, of_input), of_target) in images.into_iter().zip(first).zip(target_draws) {
            let (input, target) = images?;
            self.push(&mut batch.input, &self.input, input, of_input)?;
            self.push(&mut batch.target, &self.target, target, of_target)?;
        }
        Ok(batch)
    }

    fn push(
        &self,
        batch: &mut ImageBatch,
        source: &Source<'_>,
        image: Tile<u8>,
        draw: &Draw,
    ) -> Result<(), TaskError> {
        let position = draw.sample % source.len();
        let named = |error: Error| {
            Error::Unfit(format!("sample {} ({}): {error}", source.key(position), source.layer()))
        };
        let image = match self.crop {
            None => image,
            Some(side) => {
                fits(source, position, &image, side)?;
                let (left, top) = draw.corner(image.width, image.height, side);
                image.crop(left, top, side, side).map_err(|error| named(Error::Unfit(error.to_string())))?
            }
        };
        Ok(batch.push(&image, draw.horizontal, draw.vertical).map_err(named)?)
    }

    fn pair(&self, position: usize) -> Result<(Tile<u8>, Tile<u8>), TaskError> {
        let input = self.input.read(position)?;
        let target = self.target.read(position)?;
        if (input.width, input.height) != (target.width, target.height) {
            return Err(Error::Unfit(format!(
                "sample {}: {} is {} x {} px and {} is {} x {} px; the images of a pair must have one size",
                self.input.key(position),
                self.input.layer(),
                input.width,
                input.height,
                self.target.layer(),
                target.width,
                target.height
            ))
            .into());
        }
        Ok((input, target))
    }

    fn shape(&self, source: &Source<'_>, image: &Tile<u8>) -> Result<Shape, TaskError> {
        let channels = image.channels;
        let Some(side) = self.crop else {
            return Ok(Shape { width: image.width, height: image.height, channels });
        };
        fits(source, 0, image, side)?;
        Ok(Shape { width: side, height: side, channels })
    }
}

fn empty(shape: Shape) -> ImageBatch {
    ImageBatch::new(shape.width, shape.height, shape.channels)
}

fn fits(source: &Source<'_>, position: usize, image: &Tile<u8>, side: usize) -> Result<(), TaskError> {
    let least = image.width.min(image.height);
    if side <= least {
        return Ok(());
    }
    let (key, layer) = (source.key(position), source.layer());
    let text = format!(
        "sample {key} ({layer}) is {} x {} px, smaller than the crop of {side} px: set crop to {least} or less, or to 0 for whole images",
        image.width, image.height
    );
    Err(Error::Unfit(text).into())
}
