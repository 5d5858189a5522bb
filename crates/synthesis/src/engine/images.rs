//! Between tiles (8 bits, interleaved) and the networks' tensors (NCHW, -1 to 1).
//!
//! The tensors lie channels-last in memory, as convolutions like it best; no copy is
//! needed for that, since tiles are interleaved already.

use super::error::Error;
use counterstain_tile::Tile;
use tch::{Device, Kind, Tensor};

/// Tiles of one size, collected on any thread and turned into a tensor at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageBatch {
    width: usize,
    height: usize,
    channels: usize,
    data: Vec<u8>,
}

impl ImageBatch {
    /// An empty batch for tiles of this size.
    pub fn new(width: usize, height: usize, channels: usize) -> Self {
        Self { width, height, channels, data: Vec::new() }
    }

    /// Width, height and channels of each tile.
    pub fn size(&self) -> (usize, usize, usize) {
        (self.width, self.height, self.channels)
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.data.len() / (self.width * self.height * self.channels).max(1)
    }

    /// True without tiles.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Appends a tile, mirrored as asked.
    ///
    /// # Errors
    /// When its size or channels differ from the batch's.
    pub fn push(&mut self, tile: &Tile<u8>, horizontal: bool, vertical: bool) -> Result<(), Error> {
        if (tile.width, tile.height, tile.channels) != (self.width, self.height, self.channels) {
            return Err(Error::Unfit(format!(
                "an image of {} x {} px with {} channel(s) cannot join images of {} x {} px with {}: \
                 all must be alike",
                tile.width, tile.height, tile.channels, self.width, self.height, self.channels
            )));
        }
        self.data.reserve(tile.data.len());
        for y in 0..tile.height {
            let row = tile.row(if vertical { tile.height - 1 - y } else { y });
            if horizontal {
                row.rchunks_exact(self.channels).for_each(|pixel| self.data.extend_from_slice(pixel));
            } else {
                self.data.extend_from_slice(row);
            }
        }
        Ok(())
    }

    /// `[N, C, H, W]` f32 on `device`: 0 becomes -1 and 255 becomes 1.
    ///
    /// # Errors
    /// libtorch's, when memory is short.
    pub fn to_tensor(&self, device: Device) -> Result<Tensor, Error> {
        Ok(self.to_bytes_tensor(device)?.f_div_scalar(127.5)?.f_sub_scalar(1.0)?)
    }

    /// `[N, C, H, W]` f32 on `device`, in 0..255 as stored.
    ///
    /// # Errors
    /// libtorch's, when memory is short.
    pub fn to_bytes_tensor(&self, device: Device) -> Result<Tensor, Error> {
        let sides = [self.len(), self.height, self.width, self.channels].map(|side| side as i64);
        let bytes = Tensor::f_from_data_size(&self.data, &sides, Kind::Uint8)?.f_to_device(device)?;
        // Only the order of the axes changes: in memory this is channels-last.
        Ok(bytes.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?)
    }
}

/// The tiles of an `[N, C, H, W]` tensor in -1 to 1, rounded to 8 bits.
///
/// # Errors
/// [`Error::NonFiniteImage`] when a value is not finite; libtorch's otherwise.
pub fn to_tiles(images: &Tensor) -> Result<Vec<Tile<u8>>, Error> {
    let (count, channels, height, width) = images.size4()?;
    let images = images.detach().to_kind(Kind::Float);
    if !bool::try_from(images.isfinite().all())? {
        return Err(Error::NonFiniteImage);
    }
    let bytes = ((images + 1.0) * 127.5).round().clamp(0.0, 255.0).to_kind(Kind::Uint8);
    let bytes = bytes.permute([0, 2, 3, 1]).contiguous().to_device(Device::Cpu).view([-1]);
    let mut data = vec![0_u8; bytes.numel()];
    let length = data.len();
    bytes.f_copy_data(&mut data, length)?;
    let [width, height, channels] = [width, height, channels].map(|side| side as usize);
    let size = width * height * channels;
    let tile = |index: usize| Tile {
        width,
        height,
        channels,
        data: data[index * size..(index + 1) * size].to_vec(),
    };
    Ok((0..count as usize).map(tile).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(width: usize, height: usize, channels: usize) -> Tile<u8> {
        let data = (0..width * height * channels).map(|value| value as u8).collect();
        Tile::new(width, height, channels, data).unwrap()
    }

    #[test]
    fn every_byte_survives_the_way_there_and_back() {
        for channels in [1, 2, 3, 5] {
            let tile = counting(16, 16, channels);
            let mut batch = ImageBatch::new(16, 16, channels);
            batch.push(&tile, false, false).unwrap();
            batch.push(&tile, true, true).unwrap();
            let tensor = batch.to_tensor(Device::Cpu).unwrap();
            assert_eq!(tensor.size(), [2, channels as i64, 16, 16]);
            let tiles = to_tiles(&tensor).unwrap();
            assert_eq!(tiles[0], tile);
            assert_eq!(tiles[1].pixel(0, 0), tile.pixel(15, 15));
        }
    }

    #[test]
    fn the_range_is_minus_one_to_one() {
        let mut batch = ImageBatch::new(2, 1, 1);
        batch.push(&Tile::new(2, 1, 1, vec![0, 255]).unwrap(), false, false).unwrap();
        let values = Vec::<f32>::try_from(batch.to_tensor(Device::Cpu).unwrap().view([-1])).unwrap();
        assert_eq!(values, [-1.0, 1.0]);
    }

    #[test]
    fn mirrors_keep_pixels_together() {
        let tile = counting(2, 2, 3);
        let mut batch = ImageBatch::new(2, 2, 3);
        batch.push(&tile, true, false).unwrap();
        assert_eq!(batch.data, [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]);
    }

    #[test]
    fn an_image_of_another_size_is_refused() {
        let mut batch = ImageBatch::new(2, 2, 3);
        let text = batch.push(&counting(2, 3, 3), false, false).unwrap_err().to_string();
        assert!(text.contains("2 x 3 px") && batch.is_empty(), "{text}");
    }

    #[test]
    fn values_that_are_not_finite_are_never_painted() {
        let tensor = Tensor::full([1, 1, 2, 2], f64::NAN, (Kind::Float, Device::Cpu));
        assert!(to_tiles(&tensor).is_err());
    }
}
