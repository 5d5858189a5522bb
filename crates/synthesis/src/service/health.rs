//! Notices a generator that fails without a NaN, and does what the spec's policy says.

use crate::engine::Error;
use crate::engine::adversarial::Update;
use crate::engine::watch::{CONTRAST_EVERY, Watch};
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::synthesis::v1::FailurePolicy;
use counterstain_worker::{Task, TaskError};
use tch::{Kind, Tensor};

/// Watches a run. It forgets what it counted when the run is resumed, so a failure may be noticed later then.
#[derive(Debug)]
pub struct Health {
    watch: Watch,
    policy: FailurePolicy,
}

impl Health {
    /// At the start of a run.
    pub fn new(policy: FailurePolicy) -> Self {
        Self { watch: Watch::default(), policy }
    }

    /// Looks at an update.
    ///
    /// # Errors
    /// `FailedPrecondition` when the generator fails and the policy is to stop.
    pub fn look(
        &mut self,
        task: &Task,
        step: u64,
        update: &Update,
        target: &Tensor,
    ) -> Result<(), TaskError> {
        let won = self.watch.discriminator(step, update.discriminator);
        let flat = if step.is_multiple_of(CONTRAST_EVERY) {
            self.watch.contrast(step, contrast(&update.painted)?, contrast(target)?)
        } else {
            None
        };
        for finding in won.into_iter().chain(flat) {
            if self.policy == FailurePolicy::Stop {
                let text = format!("{finding} (on_failure is stop)");
                return Err(TaskError::new(ErrorCode::FailedPrecondition, text));
            }
            task.warn(&finding);
        }
        Ok(())
    }
}

/// Mean standard deviation within the channels of the images.
fn contrast(images: &Tensor) -> Result<f64, Error> {
    let flat = images.f_flatten(2, 3)?;
    Ok(f64::try_from(flat.std_dim(2, false, false).mean(Kind::Double))?)
}
