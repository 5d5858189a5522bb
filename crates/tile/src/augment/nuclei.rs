//! Random patches for training a nuclear segmenter: image, instances and types change alike.
//!
//! Source: the authors' training pipeline of HoVer-Net (`vqdang/hover_net`, `dataloader/train_loader.py`
//! and `augs.py`; Graham et al. 2019). An affine map about the patch's centre with the nearest pixel, flips, one
//! of Gaussian blur, median blur and noise, then hue, saturation, brightness and contrast in random order. Where
//! theirs rounds to 8 bits after every operation, this does so once at the end. What lies outside the image is its
//! mirror image; theirs is black, but cuts its patches from the middle of larger ones.

use super::blur::{gaussian_blur, median_blur};
use super::color::{adjust_brightness, adjust_contrast, adjust_hue};
use crate::error::Error;
use crate::nuclei::reflected;
use crate::random::Stream;
use crate::tile::Tile;

/// What happens to patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchAugmentation {
    /// All that the authors do.
    HoverNet,
    /// Position and flips alone.
    Flips,
}

/// An image with its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotated {
    /// RGB.
    pub image: Tile<u8>,
    /// Nucleus numbers, 0 for background.
    pub instances: Tile<u32>,
    /// Type numbers, 0 for background.
    pub types: Option<Tile<u32>>,
}

impl Annotated {
    /// A patch of `side` × `side` px at a random place, of which up to `overhang` px may lie beyond each border of the
    /// image: maps that are smaller than their input by twice that then cover all of the image, with the mirrored
    /// surroundings that the network sees in use. Every draw comes from `stream`.
    ///
    /// # Errors
    /// When the image is smaller than the patch, has other than three channels, or a label map of another size.
    pub fn patch(
        &self,
        side: usize,
        overhang: usize,
        augmentation: PatchAugmentation,
        stream: &mut Stream,
    ) -> Result<Self, Error> {
        self.check(side)?;
        let size = (self.image.width, self.image.height);
        let map = Affine::draw(size, side, overhang, augmentation, stream);
        let mut image = map.sample(&self.image, side);
        if augmentation == PatchAugmentation::HoverNet {
            image = recolour(&image, stream);
        }
        Ok(Self {
            image,
            instances: map.sample(&self.instances, side),
            types: self.types.as_ref().map(|types| map.sample(types, side)),
        })
    }

    fn check(&self, side: usize) -> Result<(), Error> {
        let Self { image, instances, types } = self;
        if image.channels != 3 {
            return Err(Error::WrongChannels { what: "the image", expected: "3", found: image.channels });
        }
        for (what, map) in [("the instance map", Some(instances)), ("the type map", types.as_ref())] {
            let Some(map) = map else { continue };
            if map.channels != 1 {
                return Err(Error::WrongChannels { what, expected: "1", found: map.channels });
            }
            if (map.width, map.height) != (image.width, image.height) {
                return Err(Error::SizesDiffer {
                    what,
                    first_width: map.width,
                    first_height: map.height,
                    second_width: image.width,
                    second_height: image.height,
                });
            }
        }
        if side == 0 || side > image.width || side > image.height {
            let (width, height) = (image.width, image.height);
            return Err(Error::WrongSize { what: "a patch", value: side, width, height });
        }
        Ok(())
    }
}

/// Where the pixels of a patch come from.
struct Affine {
    /// From a place in the patch, relative to its centre, to one in the image, relative to the other centre.
    matrix: [[f64; 2]; 2],
    /// The patch's centre in the image.
    centre: (f64, f64),
    mirror: (bool, bool),
}

impl Affine {
    fn draw(
        (width, height): (usize, usize),
        side: usize,
        overhang: usize,
        augmentation: PatchAugmentation,
        stream: &mut Stream,
    ) -> Self {
        let middle = (side - 1) as f64 / 2.0;
        let mut edge =
            |length: usize| stream.below((length + 2 * overhang - side + 1) as u64) as f64 - overhang as f64;
        let (left, top) = (edge(width), edge(height));
        let mirror = (stream.chance(0.5), stream.chance(0.5));
        let mut centre = (left + middle, top + middle);
        let mut matrix = [[1.0, 0.0], [0.0, 1.0]];
        if augmentation == PatchAugmentation::HoverNet {
            let scale = (stream.uniform_f64(0.8, 1.2), stream.uniform_f64(0.8, 1.2));
            let shift = (stream.uniform_f64(-0.01, 0.01), stream.uniform_f64(-0.01, 0.01));
            let shear = stream.uniform_f64(-5.0, 5.0).to_radians();
            let turn = stream.uniform_f64(-179.0, 179.0).to_radians();
            // The forward map is [[a, -b], [c, d]]; patches are sampled through its inverse.
            let (a, b) = (scale.0 * libm::cos(turn), scale.1 * libm::sin(turn + shear));
            let (c, d) = (scale.0 * libm::sin(turn), scale.1 * libm::cos(turn + shear));
            let determinant = a * d + b * c;
            matrix = [[d / determinant, b / determinant], [-c / determinant, a / determinant]];
            centre = (centre.0 - shift.0 * side as f64, centre.1 - shift.1 * side as f64);
        }
        Self { matrix, centre, mirror }
    }

    /// The nearest pixels; outside the image, those of its mirror image.
    fn sample<T: Copy>(&self, tile: &Tile<T>, side: usize) -> Tile<T> {
        let middle = (side - 1) as f64 / 2.0;
        let along = |position: usize, mirrored: bool| {
            let offset = position as f64 - middle;
            if mirrored { -offset } else { offset }
        };
        let mut data = Vec::with_capacity(side * side * tile.channels);
        for row in 0..side {
            let y = along(row, self.mirror.1);
            for column in 0..side {
                let x = along(column, self.mirror.0);
                let from_x = self.centre.0 + self.matrix[0][0] * x + self.matrix[0][1] * y;
                let from_y = self.centre.1 + self.matrix[1][0] * x + self.matrix[1][1] * y;
                let from_x = reflected(from_x.round() as isize, tile.width);
                let from_y = reflected(from_y.round() as isize, tile.height);
                data.extend_from_slice(tile.pixel(from_x, from_y));
            }
        }
        Tile { width: side, height: side, channels: tile.channels, data }
    }
}

/// Blur or noise, then the four changes of colour in random order.
fn recolour(image: &Tile<u8>, stream: &mut Stream) -> Tile<u8> {
    let mut image = image.to_float();
    match stream.below(3) {
        0 => {
            let size = |stream: &mut Stream| 2 * stream.below(3) as usize + 1;
            let (across, down) = (size(stream), size(stream));
            image = gaussian_blur(&image, across, down);
        }
        1 => image = median_blur(&image, 2 * stream.below(3) as usize + 1),
        _ => add_noise(&mut image, stream),
    }
    clip(&mut image);
    for change in stream.permutation(4) {
        match change {
            // In units of two degrees, as 8-bit hues are counted.
            0 => adjust_hue(&mut image, stream.uniform(-8.0, 8.0) / 180.0),
            1 => blend_with_luma(&mut image, 1.0 + stream.uniform(-0.2, 0.2)),
            2 => adjust_brightness(&mut image, stream.uniform(-26.0, 26.0)),
            _ => adjust_contrast(&mut image, stream.uniform(0.75, 1.25)),
        }
        clip(&mut image);
    }
    image.map(|value| value.round() as u8)
}

/// Normal noise with a deviation of up to 5 % of white, the same for all channels every other time.
fn add_noise(image: &mut Tile<f32>, stream: &mut Stream) {
    let deviation = stream.uniform(0.0, 0.05 * 255.0);
    let per_channel = stream.chance(0.5);
    for pixel in image.data.chunks_exact_mut(image.channels) {
        let shared = if per_channel { 0.0 } else { stream.normal() };
        for value in pixel {
            *value += deviation * if per_channel { stream.normal() } else { shared };
        }
    }
}

/// Moves every pixel away from its luma (ITU-R BT.601) by `factor`.
fn blend_with_luma(image: &mut Tile<f32>, factor: f32) {
    let (pixels, _) = image.data.as_chunks_mut::<3>();
    for pixel in pixels {
        let luma = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
        pixel.iter_mut().for_each(|value| *value = *value * factor + luma * (1.0 - factor));
    }
}

fn clip(image: &mut Tile<f32>) {
    image.data.iter_mut().for_each(|value| *value = value.clamp(0.0, 255.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that tell every pixel's place, in all three maps.
    fn numbered(width: usize, height: usize) -> Annotated {
        let places = (0..width * height).map(|place| place as u32);
        let instances = Tile::new(width, height, 1, places.collect()).unwrap();
        let bytes = instances.data.iter().flat_map(|&place| [place as u8, (place >> 8) as u8, 7]);
        let image = Tile::new(width, height, 3, bytes.collect()).unwrap();
        Annotated { image, types: Some(instances.clone()), instances }
    }

    fn stream(patch: u64) -> Stream {
        Stream::new(3, "patch", &[0, 0, patch])
    }

    #[test]
    fn image_and_labels_stay_together() {
        let whole = numbered(40, 30);
        for patch in 0..20 {
            let patch = whole.patch(16, 0, PatchAugmentation::Flips, &mut stream(patch)).unwrap();
            let places = patch.image.data.chunks_exact(3).map(|p| u32::from(p[0]) + 256 * u32::from(p[1]));
            assert_eq!(places.collect::<Vec<_>>(), patch.instances.data);
            assert_eq!(patch.types.as_ref(), Some(&patch.instances));
            let mut distinct = patch.instances.data.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), 256, "a flip loses no pixel");
        }
    }

    #[test]
    fn an_affine_map_keeps_labels_and_moves_them_with_the_image() {
        // White where there is a nucleus: after any map, bright pixels are the nucleus' pixels.
        let mut whole = numbered(64, 64);
        let square = |x: usize, y: usize| (20..44).contains(&x) && (20..44).contains(&y);
        for y in 0..64 {
            for x in 0..64 {
                whole.instances.pixel_mut(x, y)[0] = if square(x, y) { 9 } else { 0 };
                whole.image.pixel_mut(x, y).fill(if square(x, y) { 255 } else { 0 });
            }
        }
        for patch in 0..20 {
            let patch = whole.patch(48, 0, PatchAugmentation::HoverNet, &mut stream(patch)).unwrap();
            assert!(patch.instances.data.iter().all(|&label| label == 0 || label == 9));
            let pixels = patch.image.data.chunks_exact(3).zip(&patch.instances.data);
            let agree = pixels.filter(|(pixel, label)| (pixel[1] > 127) == (**label == 9)).count();
            assert!(agree as f64 > 0.9 * 48.0 * 48.0, "{agree} of {}", 48 * 48);
            let area = patch.instances.data.iter().filter(|label| **label == 9).count() as f64;
            // Scaled by 0.8 to 1.2 along both axes, and cut off by the patch at most a little.
            assert!(area > 0.5 * 576.0 && area < 1.5 * 576.0, "{area}");
        }
    }

    #[test]
    fn an_overhang_reaches_every_pixel_and_mirrors_what_is_beyond() {
        let whole = numbered(32, 32);
        let mut centres = [false; 32 * 32];
        for patch in 0..10_000 {
            let patch = whole.patch(32, 12, PatchAugmentation::Flips, &mut stream(patch)).unwrap();
            // The middle 8 px are those that maps would cover: of the image itself, side by side.
            let middle = patch.instances.crop(12, 12, 8, 8).unwrap();
            middle.data.iter().for_each(|&place| centres[place as usize] = true);
            let row: Vec<i64> = middle.row(0).iter().map(|&place| i64::from(place)).collect();
            assert!(row.windows(2).all(|pair| (pair[1] - pair[0]).abs() == 1), "{row:?}");
            // Beyond, no neighbours are further apart than in the image.
            let row: Vec<i64> = patch.instances.row(0).iter().map(|&place| i64::from(place % 32)).collect();
            assert!(row.windows(2).all(|pair| (pair[1] - pair[0]).abs() == 1), "{row:?}");
        }
        assert!(centres.iter().all(|seen| *seen));
    }

    #[test]
    fn a_patch_depends_on_its_stream_alone() {
        let whole = numbered(40, 40);
        let draw = |patch| whole.patch(32, 0, PatchAugmentation::HoverNet, &mut stream(patch)).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn images_that_do_not_fit_are_refused() {
        let whole = numbered(40, 30);
        let text = |whole: &Annotated, side| {
            whole.patch(side, 0, PatchAugmentation::Flips, &mut stream(0)).unwrap_err().to_string()
        };
        assert!(text(&whole, 31).contains("31"));
        let other = Annotated { instances: Tile::filled(40, 29, 1, 0), ..whole.clone() };
        assert!(text(&other, 16).contains("the instance map"));
        let grey = Annotated { image: Tile::filled(40, 30, 1, 0), ..whole };
        assert!(text(&grey, 16).contains("the image"));
    }
}
