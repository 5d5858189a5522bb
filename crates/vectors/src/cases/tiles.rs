//! Conversions between the tiles of the product and the tensors of the files.

use anyhow::{Context as _, ensure};
use counterstain_tile::Tile;
use tch::{Kind, Tensor};

fn shape_of(tensor: &Tensor) -> anyhow::Result<(usize, usize, usize)> {
    let size = tensor.size();
    let channels = match size.len() {
        2 => 1,
        3 => size[2],
        _ => anyhow::bail!("an image has shape [H, W] or [H, W, C], not {size:?}"),
    };
    ensure!(size.iter().all(|&side| side >= 0), "a size is negative");
    Ok((size[1] as usize, size[0] as usize, channels as usize))
}

/// `[H, W, C]` or `[H, W]` as a float tile.
pub fn float_tile(tensor: &Tensor) -> anyhow::Result<Tile<f32>> {
    let (width, height, channels) = shape_of(tensor)?;
    let data = Vec::<f32>::try_from(tensor.f_to_kind(Kind::Float)?.f_contiguous()?.f_reshape([-1])?)?;
    Ok(Tile::new(width, height, channels, data)?)
}

/// `[H, W, C]` or `[H, W]` of bytes as a tile.
pub fn byte_tile(tensor: &Tensor) -> anyhow::Result<Tile<u8>> {
    ensure!(tensor.kind() == Kind::Uint8, "the image does not hold bytes");
    let (width, height, channels) = shape_of(tensor)?;
    let data = Vec::<u8>::try_from(tensor.f_contiguous()?.f_reshape([-1])?)?;
    Ok(Tile::new(width, height, channels, data)?)
}

/// `[H, W]` of labels as a tile.
pub fn label_tile(tensor: &Tensor) -> anyhow::Result<Tile<u32>> {
    let (width, height, channels) = shape_of(tensor)?;
    let labels = super::helpers::integers(tensor)?;
    let data = labels.into_iter().map(u32::try_from).collect::<Result<Vec<_>, _>>();
    Ok(Tile::new(width, height, channels, data.context("a label is negative or too large")?)?)
}

/// `[H, W, C]`.
pub fn tensor<T: tch::kind::Element + Copy>(tile: &Tile<T>) -> anyhow::Result<Tensor> {
    let shape = [tile.height as i64, tile.width as i64, tile.channels as i64];
    Ok(Tensor::from_slice(&tile.data).f_reshape(shape)?)
}
