//! Tiles with their instance and type maps, checked before training.

use crate::engine::Error;
use crate::service::source::{Channels, Source};
use counterstain_api::error::ErrorCode;
use counterstain_artifact::LayerKind;
use counterstain_artifact::dataset::Dataset;
use counterstain_tile::augment::Annotated;
use counterstain_worker::{Task, TaskError};
use rayon::prelude::*;

/// Tiles that are read at once in the first look.
const CHUNK: usize = 64;

/// The annotated tiles of a dataset's split.
#[derive(Debug)]
pub struct Annotations<'a> {
    image: Source<'a>,
    instances: Source<'a>,
    types: Option<Source<'a>>,
}

/// What a look at all tiles found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Tiles without any nucleus.
    pub empty: usize,
    /// The largest type number.
    pub largest_type: u32,
}

impl<'a> Annotations<'a> {
    /// Looks up the layers and the split.
    ///
    /// # Errors
    /// When a layer is missing or of another kind, or the split has no sample.
    pub fn open(
        task: &'a Task,
        dataset: &'a Dataset,
        instances: &str,
        types: Option<&str>,
        split: &str,
    ) -> Result<Self, TaskError> {
        let open = |name: &str, channels| Source::open(task.reader(), dataset, name, split, channels);
        let image = open(&dataset.body.primary, Channels::Rgb)?;
        let labels = |field: &str, name: &str, kind: LayerKind, wanted: &str| {
            let source = open(name, Channels::Stored)?;
            if source.info().kind == kind {
                return Ok(source);
            }
            let text = format!(
                "{field}: layer {name:?} of dataset {} holds {}, not {wanted}; import it with the right kind",
                dataset.body.name,
                match source.info().kind {
                    LayerKind::Image => "images",
                    LayerKind::Label => "types",
                    LayerKind::Instance => "instances",
                }
            );
            Err(TaskError::new(ErrorCode::InvalidArgument, text))
        };
        let instances = labels("instances", instances, LayerKind::Instance, "instance numbers")?;
        let types = types.map(|name| labels("types", name, LayerKind::Label, "type numbers")).transpose()?;
        Ok(Self { image, instances, types })
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.image.len()
    }

    /// The layer of types.
    pub fn types(&self) -> Option<&Source<'a>> {
        self.types.as_ref()
    }

    /// Reads a tile.
    ///
    /// # Errors
    /// The store's, and for a damaged image or maps of another size than the image; all name the key.
    pub fn read(&self, position: usize) -> Result<Annotated, TaskError> {
        let image = self.image.read(position)?;
        let map = |source: &Source<'_>| {
            let map = source.labels(position)?;
            if (map.width, map.height) == (image.width, image.height) {
                return Ok(map);
            }
            let text = format!(
                "sample {}: layer {} has {} x {} px, the image has {} x {}: a map must have its image's size",
                source.key(position),
                source.layer(),
                map.width,
                map.height,
                image.width,
                image.height
            );
            Err(TaskError::from(Error::Unfit(text)))
        };
        let instances = map(&self.instances)?;
        let types = self.types.as_ref().map(map).transpose()?;
        Ok(Annotated { instances, types, image })
    }

    /// Name of a tile, for messages.
    pub fn key(&self, position: usize) -> &str {
        self.image.key(position)
    }

    /// Looks at every tile, so that a fault in the last one does not end a run that has learned for hours.
    ///
    /// # Errors
    /// As [`Annotations::read`]; for a tile smaller than `side`; when no tile has a nucleus.
    pub fn look(&self, task: &Task, side: usize, mode: &str) -> Result<Found, TaskError> {
        let mut found = Found { empty: 0, largest_type: 0 };
        for first in (0..self.len()).step_by(CHUNK) {
            task.check()?;
            task.progress("checking annotations", first as u64, self.len() as u64, "tiles");
            let look = |position: usize| -> Result<(bool, u32), TaskError> {
                let tile = self.read(position)?;
                let (width, height) = (tile.image.width, tile.image.height);
                if width.min(height) < side {
                    return Err(Error::Unfit(format!(
                        "sample {}: the tile has {width} x {height} px, mode {mode} learns from patches of \
                         {side} x {side}: import larger tiles",
                        self.key(position)
                    ))
                    .into());
                }
                let largest = tile.types.and_then(|types| types.data.into_iter().max()).unwrap_or(0);
                Ok((tile.instances.data.iter().all(|&number| number == 0), largest))
            };
            let looks: Vec<_> = (first..(first + CHUNK).min(self.len())).into_par_iter().map(look).collect();
            for look in looks {
                let (empty, largest) = look?;
                found.empty += usize::from(empty);
                found.largest_type = found.largest_type.max(largest);
            }
        }
        if found.empty == self.len() {
            let text = format!(
                "layer {}: none of its {} map(s) has a nucleus: nothing can be learned from empty masks",
                self.instances.layer(),
                self.len()
            );
            return Err(TaskError::new(ErrorCode::FailedPrecondition, text));
        }
        Ok(found)
    }
}
