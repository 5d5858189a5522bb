//! Images side by side, for people.

use crate::error::Error;
use crate::resample::downsample_area;
use crate::tile::Tile;

/// Pixels between two images.
const GAP: usize = 4;

/// The images from left to right on white, as RGB; those with sides longer than `longest` are reduced by a whole
/// factor.
///
/// # Errors
/// For an image without pixels, or with other than one or three channels.
pub fn side_by_side(images: &[&Tile<u8>], longest: usize) -> Result<Tile<u8>, Error> {
    let reduced = |image: &&Tile<u8>| {
        let factor = image.width.max(image.height).div_ceil(longest.max(1)).max(1);
        let image = image.as_rgb()?;
        if factor > 1 { downsample_area(&image, factor) } else { Ok(image) }
    };
    let panels: Vec<Tile<u8>> = images.iter().map(reduced).collect::<Result<_, _>>()?;
    let width = panels.iter().map(|panel| panel.width).sum::<usize>() + GAP * panels.len().saturating_sub(1);
    let height = panels.iter().map(|panel| panel.height).max().unwrap_or(0);
    let mut strip = Tile::filled(width, height, 3, 255_u8);
    let mut left = 0;
    for panel in &panels {
        for row in 0..panel.height {
            let start = (row * width + left) * 3;
            strip.data[start..start + panel.width * 3].copy_from_slice(panel.row(row));
        }
        left += panel.width + GAP;
    }
    Ok(strip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_different_size_and_channels_stand_side_by_side() {
        let (grey, colour) = (Tile::filled(8, 4, 1, 7_u8), Tile::filled(4, 4, 3, 9_u8));
        let strip = side_by_side(&[&grey, &colour], 4).unwrap();
        // The grey image is halved.
        assert_eq!((strip.width, strip.height, strip.channels), (4 + GAP + 4, 4, 3));
        assert_eq!(strip.pixel(0, 0), [7, 7, 7]);
        assert_eq!(strip.pixel(0, 3), [255, 255, 255], "below the smaller one is white");
        assert_eq!(strip.pixel(4, 0), [255, 255, 255], "the gap is white");
        assert_eq!(strip.pixel(4 + GAP, 3), [9, 9, 9]);
    }
}
