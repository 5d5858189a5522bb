//! A generator of either kind, ready to paint single tiles.

use crate::engine::Error;
use crate::engine::images::ImageBatch;
use crate::engine::painter::{Painter, check_image};
use crate::engine::segmenter::{Segmenting, Windows};
use crate::service::generator::{self, Stored, hovernet_config};
use crate::service::segmenter::{in_colours, separate};
use counterstain_api::error::ErrorCode;
use counterstain_artifact::{GeneratorNetwork, LayerInfo, LayerKind};
use counterstain_tile::Tile;
use counterstain_tile::encode::encode_png;
use counterstain_tile::palette::{MASK, Palette};
use counterstain_worker::TaskError;
use counterstain_worker::images::palette_of;
use tch::Device;

/// Windows of a tile in one pass of a segmenter.
const WINDOWS: usize = 4;

/// A network with loaded weights.
pub enum Network {
    /// Paints images.
    Images(Box<Painter>),
    /// Finds nuclei, which are painted in the colours of their types.
    Nuclei(Box<Segmenting>, Palette),
}

impl Network {
    /// Builds what the store holds.
    ///
    /// # Errors
    /// When the weights do not fit their description.
    pub fn load(stored: &Stored, device: Device) -> Result<Self, TaskError> {
        if !matches!(stored.body.network, GeneratorNetwork::Hovernet { .. }) {
            return Ok(Self::Images(Box::new(generator::build(stored, device, None)?)));
        }
        let config = hovernet_config(&stored.body.network)?;
        let network = Segmenting::new(config, &stored.weights, device, None)?;
        let types = LayerInfo { kind: LayerKind::Label, ..stored.body.layer.clone() };
        Ok(Self::Nuclei(Box::new(network), palette_of(&types).unwrap_or(MASK)))
    }

    /// Paints an RGB tile; gives a PNG of its size.
    ///
    /// # Errors
    /// A tile that the network does not take, or painted values that are not finite.
    pub fn paint(&self, tile: &Tile<u8>) -> Result<Vec<u8>, TaskError> {
        let painted = match self {
            Self::Images(painter) => {
                check_image(&painter.config(), tile)
                    .map_err(|error| TaskError::new(ErrorCode::InvalidArgument, format!("image: {error}")))?;
                let mut batch = ImageBatch::new(tile.width, tile.height, tile.channels);
                batch.push(tile, false, false)?;
                painter.paint(&batch)?.remove(0)
            }
            Self::Nuclei(network, palette) => {
                let windows = Windows::cut(&network.config(), std::slice::from_ref(tile), WINDOWS)?;
                let maps = network.predict(&windows)?.remove(0);
                in_colours(&separate(&maps).map_err(unpaintable)?, palette)
            }
        };
        Ok(encode_png(&painted).map_err(unpaintable)?)
    }
}

fn unpaintable(source: counterstain_tile::Error) -> Error {
    Error::Image { what: "painted image".to_owned(), source }
}
