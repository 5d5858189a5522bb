//! The image pool: discriminators see some older paintings, so that they do not forget
//! (Shrivastava et al. 2017; `ImagePool` of the published code).

use counterstain_tile::random::Stream;
use tch::Tensor;

/// A bounded set of earlier paintings.
///
/// Until it is full every image is stored and returned. Then, for each image, half of
/// the time a stored one is returned in its place and replaced by it. What is drawn
/// follows from (seed, pool's name, step), so only the images are state.
#[derive(Debug)]
pub struct ImagePool {
    capacity: usize,
    seed: u64,
    name: &'static str,
    images: Vec<Tensor>,
}

impl ImagePool {
    /// An empty pool; a capacity of 0 returns every image as it is.
    pub fn new(capacity: usize, seed: u64, name: &'static str) -> Self {
        Self { capacity, seed, name, images: Vec::new() }
    }

    /// The images in the pool, oldest slot first, each `[1, C, H, W]`.
    pub fn images(&self) -> &[Tensor] {
        &self.images
    }

    /// Puts saved images back.
    pub fn restore(&mut self, images: Vec<Tensor>) {
        self.images = images;
    }

    /// Exchanges a batch `[N, C, H, W]` for one of the same shape. Gradients end here.
    pub fn exchange(&mut self, batch: &Tensor, step: u64) -> Tensor {
        if self.capacity == 0 {
            return batch.detach();
        }
        let mut random = Stream::new(self.seed, self.name, &[step]);
        let mut returned = Vec::new();
        for image in batch.detach().split(1, 0) {
            if self.images.len() < self.capacity {
                self.images.push(image.copy());
                returned.push(image);
            } else if random.chance(0.5) {
                let slot = random.below(self.capacity as u64) as usize;
                returned.push(std::mem::replace(&mut self.images[slot], image.copy()));
            } else {
                returned.push(image);
            }
        }
        Tensor::cat(&returned, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn image(value: f64) -> Tensor {
        Tensor::full([1, 1, 2, 2], value, (Kind::Float, Device::Cpu))
    }

    fn values(batch: &Tensor) -> Vec<f64> {
        batch.split(1, 0).iter().map(|image| image.mean(Kind::Double).double_value(&[])).collect()
    }

    #[test]
    fn a_pool_of_nothing_returns_what_it_is_given() {
        let mut pool = ImagePool::new(0, 0, "pool");
        assert_eq!(values(&pool.exchange(&image(3.0), 0)), [3.0]);
        assert!(pool.images().is_empty());
    }

    #[test]
    fn a_full_pool_returns_old_and_new_images_and_stays_full() {
        let mut pool = ImagePool::new(4, 1, "pool");
        let drawn: Vec<f64> =
            (0..200).flat_map(|step| values(&pool.exchange(&image(step as f64), step))).collect();
        assert_eq!(&drawn[..4], [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(pool.images().len(), 4);
        let fresh = drawn.iter().enumerate().filter(|(step, value)| **value == *step as f64).count();
        assert!((70..140).contains(&fresh), "{fresh} of 200 were fresh");
    }

    #[test]
    fn a_restored_pool_goes_on_alike() {
        let run = |pool: &mut ImagePool, steps: std::ops::Range<u64>| -> Vec<f64> {
            steps.flat_map(|step| values(&pool.exchange(&image(step as f64), step))).collect()
        };
        let mut straight = ImagePool::new(3, 5, "pool");
        run(&mut straight, 0..10);
        let mut resumed = ImagePool::new(3, 5, "pool");
        resumed.restore(straight.images().iter().map(Tensor::copy).collect());
        assert_eq!(run(&mut straight, 10..30), run(&mut resumed, 10..30));
    }
}
