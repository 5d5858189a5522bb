//! One pass over the images to paint, before training: their intensities, and which of them are background.

use super::source::Source;
use counterstain_tile::Tile;
use counterstain_worker::{Task, TaskError};
use rayon::prelude::*;

/// Share of the pixels above the threshold from which a tile has signal.
const SIGNAL_SHARE: f64 = 0.01;
/// Tiles that are read at once.
const CHUNK: usize = 64;

/// What the images have in common.
#[derive(Debug)]
pub struct Survey {
    /// Pixels of each stored intensity, for each channel.
    pub histograms: Vec<[u64; 256]>,
    /// For each position, whether less than 1 % of its luminance lies above Otsu's threshold for all images.
    pub is_background: Vec<bool>,
}

/// Looks at every image of a source.
///
/// # Errors
/// Those of reading, and the task's word to stop.
pub fn survey(task: &Task, source: &Source<'_>) -> Result<Survey, TaskError> {
    let mut histograms: Vec<[u64; 256]> = Vec::new();
    let mut of_images: Vec<[u32; 256]> = Vec::with_capacity(source.len());
    for first in (0..source.len()).step_by(CHUNK) {
        task.check()?;
        task.progress("looking at intensities", first as u64, source.len() as u64, "tiles");
        let positions = first..(first + CHUNK).min(source.len());
        let looks: Vec<Result<_, TaskError>> = positions
            .into_par_iter()
            .map(|position| {
                let image = source.read(position)?;
                Ok((by_channel(&image), luminances(&image)))
            })
            .collect();
        for look in looks {
            let (channels, luminance) = look?;
            histograms.resize(channels.len().max(histograms.len()), [0; 256]);
            for (sum, channel) in histograms.iter_mut().zip(&channels) {
                sum.iter_mut().zip(channel).for_each(|(sum, count)| *sum += u64::from(*count));
            }
            of_images.push(luminance);
        }
    }
    let mut all = [0_u64; 256];
    for image in &of_images {
        all.iter_mut().zip(image).for_each(|(sum, count)| *sum += u64::from(*count));
    }
    let threshold = otsu(&all);
    let is_background = |image: &[u32; 256]| {
        let pixels: u32 = image.iter().sum();
        let above: u32 = image[threshold + 1..].iter().sum();
        f64::from(above) < SIGNAL_SHARE * f64::from(pixels)
    };
    Ok(Survey { histograms, is_background: of_images.iter().map(is_background).collect() })
}

fn by_channel(image: &Tile<u8>) -> Vec<[u32; 256]> {
    let mut histograms = vec![[0; 256]; image.channels];
    for pixel in image.data.chunks_exact(image.channels.max(1)) {
        for (histogram, &value) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(value)] += 1;
        }
    }
    histograms
}

fn luminances(image: &Tile<u8>) -> [u32; 256] {
    let mut histogram = [0; 256];
    if let Ok(grey) = image.as_luminance() {
        grey.data.iter().for_each(|&value| histogram[usize::from(value)] += 1);
    }
    histogram
}

/// Otsu's threshold (1979): the largest intensity of the lower class when the variance between the two classes is
/// greatest; 255 for images of one intensity.
fn otsu(histogram: &[u64; 256]) -> usize {
    let total: f64 = histogram.iter().map(|&count| count as f64).sum();
    let sum: f64 = histogram.iter().enumerate().map(|(value, &count)| value as f64 * count as f64).sum();
    let (mut below, mut sum_below) = (0.0, 0.0);
    let mut best = (0.0, 255);
    for (value, &count) in histogram.iter().enumerate() {
        below += count as f64;
        sum_below += value as f64 * count as f64;
        let above = total - below;
        if below == 0.0 || above == 0.0 {
            continue;
        }
        let difference = sum_below / below - (sum - sum_below) / above;
        let between = below * above * difference * difference;
        if between > best.0 {
            best = (between, value);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_lies_between_two_heaps() {
        let mut histogram = [0; 256];
        histogram[10..20].fill(1000);
        histogram[200..210].fill(50);
        assert_eq!(otsu(&histogram), 19);
        let mut constant = [0; 256];
        constant[7] = 9;
        assert_eq!((otsu(&constant), otsu(&[0; 256])), (255, 255));
    }

    #[test]
    fn channels_are_counted_apart() {
        let image = Tile::new(2, 1, 2, vec![1, 2, 1, 3]).unwrap();
        let counts = by_channel(&image);
        assert_eq!((counts[0][1], counts[1][2], counts[1][3], counts.len()), (2, 1, 1, 2));
    }
}
