//! Which stored intensities -1 and 1 stand for.
//!
//! Fluorescence uses a small part of 0 to 255, so a generator that learns in the full
//! range spends its own on darkness; Burlingame et al. 2020 rescale intensities first.

use super::error::Error;
use tch::Tensor;

/// The stored intensities that -1 and 1 stand for, by channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range(Vec<[u8; 2]>);

impl Range {
    /// Of these bounds for each channel: the lower one first.
    ///
    /// # Errors
    /// When a channel's bounds are not in rising order.
    pub fn new(bounds: Vec<[u8; 2]>) -> Result<Self, Error> {
        match bounds.iter().position(|[low, high]| low >= high) {
            None => Ok(Self(bounds)),
            Some(channel) => Err(Error::Unfit(format!(
                "intensities {:?} of channel {channel} leave nothing to paint: use intensity linear",
                bounds[channel]
            ))),
        }
    }

    /// The 1st to 99.9th percentile of each channel's histogram of stored intensities.
    ///
    /// # Errors
    /// When they are equal, because nearly all pixels are.
    pub fn of_percentiles(histograms: &[[u64; 256]]) -> Result<Self, Error> {
        let bounds = |histogram: &[u64; 256]| [percentile(histogram, 0.01), percentile(histogram, 0.999)];
        Self::new(histograms.iter().map(bounds).collect())
    }

    /// The bounds by channel.
    pub fn bounds(&self) -> &[[u8; 2]] {
        &self.0
    }

    /// From the full range (-1 is 0 and 1 is 255) to this one; what lies beyond is clipped. `[N, C, H, W]`.
    pub fn narrow(&self, images: &Tensor) -> Tensor {
        let (scale, shift) = self.affine(images);
        ((images - shift) / scale).clamp(-1.0, 1.0)
    }

    /// Back from this range to the full one. `[N, C, H, W]`.
    pub fn widen(&self, images: &Tensor) -> Tensor {
        let (scale, shift) = self.affine(images);
        images * scale + shift
    }

    /// full = narrow × scale + shift, as `[1, C, 1, 1]` tensors.
    fn affine(&self, like: &Tensor) -> (Tensor, Tensor) {
        let full = |value: u8| f64::from(value) / 127.5 - 1.0;
        let parts = |part: fn(f64, f64) -> f64| {
            let values: Vec<f64> = self.0.iter().map(|[low, high]| part(full(*low), full(*high))).collect();
            Tensor::from_slice(&values).view([1, -1, 1, 1]).to_kind(like.kind()).to_device(like.device())
        };
        (parts(|low, high| (high - low) / 2.0), parts(f64::midpoint))
    }
}

/// The least intensity with at least this share of the pixels at or below it.
fn percentile(histogram: &[u64; 256], share: f64) -> u8 {
    let total: u64 = histogram.iter().sum();
    let wanted = share * total as f64;
    let mut below = 0;
    let reached = histogram.iter().position(|count| {
        below += count;
        below as f64 >= wanted
    });
    reached.map_or(u8::MAX, |intensity| intensity as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn percentiles_become_minus_one_and_one_and_come_back() {
        let mut histogram = [0; 256];
        // Of 1,996 pixels 5 are at 3, one at 250 and the others from 10 to 19.
        histogram[3] = 5;
        histogram[10..20].fill(199);
        histogram[250] = 1;
        let range = Range::of_percentiles(&[histogram]).unwrap();
        assert_eq!(range.bounds(), [[10, 19]]);
        let stored = [3.0, 10.0, 14.5, 19.0, 250.0].map(|value: f64| value / 127.5 - 1.0);
        let images = Tensor::from_slice(&stored).view([1, 1, 1, 5]);
        let narrow = range.narrow(&images);
        let values = Vec::<f64>::try_from(narrow.flatten(0, -1)).unwrap();
        let wanted = [-1.0, -1.0, 0.0, 1.0, 1.0];
        assert!(values.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{values:?}");
        let back = Vec::<f64>::try_from((range.widen(&narrow) + 1.0).flatten(0, -1) * 127.5).unwrap();
        assert!(back.iter().zip([10.0, 10.0, 14.5, 19.0, 19.0]).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn each_channel_has_bounds_of_its_own() {
        let range = Range::new(vec![[0, 255], [0, 51]]).unwrap();
        let images = Tensor::full([2, 2, 1, 1], 0.2 - 1.0, (Kind::Float, Device::Cpu));
        let narrow = range.narrow(&images);
        assert!((narrow.double_value(&[1, 0, 0, 0]) + 0.8).abs() < 1e-6);
        assert!(narrow.double_value(&[1, 1, 0, 0]).abs() < 1e-6);
    }

    #[test]
    fn a_constant_layer_has_no_range() {
        let mut histogram = [0; 256];
        histogram[7] = 100;
        let error = Range::of_percentiles(&[histogram]).unwrap_err().to_string();
        assert!(error.contains("channel 0") && error.contains("linear"), "{error}");
    }
}
