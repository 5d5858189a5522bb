//! From an image's maps to what its sample is written as: numbered nuclei, and the pictures of the paper.

use crate::engine::segmenter::PredictedMaps;
use counterstain_tile::nuclei::{Maps, Nucleus, Settings, describe, segment};
use counterstain_tile::palette::{Palette, paint_types};
use counterstain_tile::{Error, Tile};

/// The nuclei of one image.
#[derive(Debug)]
pub struct Segmented {
    /// Numbered from 1 without gaps, in the order of the separation; 0 is background.
    pub instances: Tile<u32>,
    /// Each nucleus' type on its pixels, where the network types.
    pub types: Option<Tile<u32>>,
    /// Those with an outline, by number.
    pub nuclei: Vec<Nucleus>,
}

/// Separates and describes the nuclei of an image, with the published settings.
///
/// # Errors
/// When a map holds a value that is not finite.
pub fn separate(maps: &PredictedMaps) -> Result<Segmented, Error> {
    let found = Maps { foreground: &maps.foreground, horizontal: &maps.horizontal, vertical: &maps.vertical };
    let mut instances = segment(&found, &Settings::default())?;
    renumber(&mut instances);
    let nuclei = describe(&instances, maps.types.as_ref())?;
    let types = maps.types.as_ref().map(|_| {
        let largest = instances.data.iter().copied().max().unwrap_or(0) as usize;
        let mut kinds = vec![0; largest + 1];
        for nucleus in &nuclei {
            kinds[nucleus.id as usize] = nucleus.kind.map_or(0, |kind| kind.kind);
        }
        instances.map(|number| kinds[number as usize])
    });
    Ok(Segmented { instances, types, nuclei })
}

/// Closes the gaps in the numbers, in their order.
fn renumber(instances: &mut Tile<u32>) {
    let largest = instances.data.iter().copied().max().unwrap_or(0) as usize;
    let mut numbers = vec![0_u32; largest + 1];
    instances.data.iter().for_each(|&number| numbers[number as usize] = 1);
    numbers[0] = 0;
    let mut next = 0;
    for number in &mut numbers {
        next += *number;
        *number *= next;
    }
    instances.data.iter_mut().for_each(|number| *number = numbers[*number as usize]);
}

/// Each nucleus in the colour of its type; without types, all in that of type 1.
pub fn in_colours(nuclei: &Segmented, palette: &Palette) -> Tile<u8> {
    match &nuclei.types {
        Some(types) => paint_types(types, palette),
        None => paint_types(&nuclei.instances.map(|number| u32::from(number > 0)), palette),
    }
}

/// The image's pixels inside nuclei, black elsewhere.
pub fn nuclei_only(image: &Tile<u8>, instances: &Tile<u32>) -> Tile<u8> {
    let mut picture = image.clone();
    let pixels = picture.data.chunks_exact_mut(image.channels.max(1));
    for (pixel, _) in pixels.zip(&instances.data).filter(|(_, number)| **number == 0) {
        pixel.fill(0);
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lose_their_gaps_and_keep_their_order() {
        let mut instances = Tile::new(6, 1, 1, vec![0, 7, 3, 3, 9, 0]).unwrap();
        renumber(&mut instances);
        assert_eq!(instances.data, [0, 2, 1, 1, 3, 0]);
        let mut empty = Tile::filled(2, 2, 1, 0);
        renumber(&mut empty);
        assert_eq!(empty.data, [0; 4]);
    }

    #[test]
    fn background_is_black_in_the_picture_of_nuclei() {
        let image = Tile::new(2, 1, 3, vec![9, 8, 7, 6, 5, 4]).unwrap();
        let instances = Tile::new(2, 1, 1, vec![0, 2]).unwrap();
        assert_eq!(nuclei_only(&image, &instances).data, [0, 0, 0, 6, 5, 4]);
    }
}
