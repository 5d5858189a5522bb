//! pix2pix in the training loop: saving a run and going on from it, bit for bit.

use super::Pix2Pix;
use crate::engine::adversarial::{Adversarial, Update};
use crate::engine::error::Error;
use crate::engine::state::{self, Saved};
use counterstain_model::weights;
use tch::{Device, Tensor};

const GENERATOR: &str = "generator/";
const DISCRIMINATOR: &str = "discriminator/";
const GENERATOR_ADAM: &str = "generator_adam/";
const DISCRIMINATOR_ADAM: &str = "discriminator_adam/";

impl Adversarial for Pix2Pix {
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
        let outcome = self.optimise(input, target, learning_rate, dropout_seed)?;
        Ok(Update {
            terms: outcome.losses.named().to_vec(),
            discriminator: outcome.losses.real + outcome.losses.fake,
            painted: outcome.painted,
        })
    }

    fn save(&self) -> Result<Vec<u8>, Error> {
        let parts = [
            (GENERATOR, weights::export(&self.generator_store)),
            (DISCRIMINATOR, weights::export(&self.discriminator_store)),
            (GENERATOR_ADAM, self.generator_adam.state()),
            (DISCRIMINATOR_ADAM, self.discriminator_adam.state()),
        ];
        state::save(parts, self.step)
    }

    fn restore(&mut self, bytes: &[u8], step: u64) -> Result<(), Error> {
        let saved = Saved::read(bytes)?;
        saved.network(GENERATOR, &self.generator_store)?;
        saved.network(DISCRIMINATOR, &self.discriminator_store)?;
        saved.optimiser(GENERATOR_ADAM, &mut self.generator_adam)?;
        saved.optimiser(DISCRIMINATOR_ADAM, &mut self.discriminator_adam)?;
        self.step = step;
        Ok(())
    }

    fn weights(&self) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
        Ok((state::save_weights(&self.generator_store, self.step)?, None))
    }

    fn start_from(&mut self, bytes: &[u8], _reverse: Option<&[u8]>) -> Result<(), Error> {
        state::load_weights(&self.generator_store, bytes)
    }
}
