//! cycleGAN in the training loop: saving a run, its pools included, and going on from it, bit for bit.

use super::{CycleGan, ImagePool};
use crate::engine::adversarial::{Adversarial, Update};
use crate::engine::error::Error;
use crate::engine::state::{self, Saved};
use counterstain_model::weights;
use counterstain_torch::named::NamedTensors;
use tch::{Device, Tensor};

const GENERATORS: [&str; 2] = ["generator_a/", "generator_b/"];
const DISCRIMINATORS: [&str; 2] = ["discriminator_a/", "discriminator_b/"];
const GENERATOR_ADAM: &str = "generator_adam/";
const DISCRIMINATOR_ADAM: &str = "discriminator_adam/";
const POOLS: [&str; 2] = ["pool_b/", "pool_a/"];

impl Adversarial for CycleGan {
    fn step(&self) -> u64 {
        self.step
    }

    fn device(&self) -> Device {
        self.device
    }

    fn update(
        &mut self,
        input: &Tensor,
        target: &Tensor,
        learning_rate: f64,
        dropout_seed: u64,
    ) -> Result<Update, Error> {
        let (losses, images) = self.optimise(input, target, learning_rate, dropout_seed)?;
        let [of_target, of_input] = losses.discriminator;
        Ok(Update {
            terms: losses.named().to_vec(),
            // The published terms are means of real and painted.
            discriminator: 2.0 * of_target.min(of_input),
            painted: images.fake_b,
        })
    }

    fn save(&self) -> Result<Vec<u8>, Error> {
        let parts = [
            (GENERATORS[0], weights::export(&self.generators[0].store)),
            (GENERATORS[1], weights::export(&self.generators[1].store)),
            (DISCRIMINATORS[0], weights::export(&self.discriminators[0].store)),
            (DISCRIMINATORS[1], weights::export(&self.discriminators[1].store)),
            (GENERATOR_ADAM, self.generator_adam.state()),
            (DISCRIMINATOR_ADAM, self.discriminator_adam.state()),
            (POOLS[0], numbered(&self.pools[0])),
            (POOLS[1], numbered(&self.pools[1])),
        ];
        state::save(parts, self.step)
    }

    fn restore(&mut self, bytes: &[u8], step: u64) -> Result<(), Error> {
        let saved = Saved::read(bytes)?;
        for one in 0..2 {
            saved.network(GENERATORS[one], &self.generators[one].store)?;
            saved.network(DISCRIMINATORS[one], &self.discriminators[one].store)?;
            let mut images = saved.part(POOLS[one]);
            images.sort_by(|a, b| a.0.cmp(&b.0));
            if images.len() > self.config.pool_size {
                let (found, size) = (images.len(), self.config.pool_size);
                return Err(Error::Checkpoint(format!("a pool of {size} images has {found} in it")));
            }
            let images = images.into_iter().map(|(_, image)| image.to_device(self.device)).collect();
            self.pools[one].restore(images);
        }
        saved.optimiser(GENERATOR_ADAM, &mut self.generator_adam)?;
        saved.optimiser(DISCRIMINATOR_ADAM, &mut self.discriminator_adam)?;
        self.step = step;
        Ok(())
    }

    fn weights(&self) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
        let [forward, reverse] = &self.generators;
        let reverse = state::save_weights(&reverse.store, self.step)?;
        Ok((state::save_weights(&forward.store, self.step)?, Some(reverse)))
    }

    fn start_from(&mut self, bytes: &[u8], reverse: Option<&[u8]>) -> Result<(), Error> {
        state::load_weights(&self.generators[0].store, bytes)?;
        match reverse {
            Some(bytes) => state::load_weights(&self.generators[1].store, bytes),
            None => Ok(()),
        }
    }
}

/// A pool's images under names that sort in the order of its slots.
fn numbered(pool: &ImagePool) -> NamedTensors {
    let images = pool.images().iter().enumerate();
    images.map(|(slot, image)| (format!("{slot:08}"), image.shallow_clone())).collect()
}
