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
        act(task, self.policy, won.into_iter().chain(flat))
    }
}

/// Does what the policy says about findings.
///
/// # Errors
/// `FailedPrecondition` for the first one when the policy is to stop.
pub fn act(
    task: &Task,
    policy: FailurePolicy,
    findings: impl IntoIterator<Item = String>,
) -> Result<(), TaskError> {
    for finding in findings {
        if policy == FailurePolicy::Stop {
            let text = format!("{finding} (on_failure is stop)");
            return Err(TaskError::new(ErrorCode::FailedPrecondition, text));
        }
        task.warn(&finding);
    }
    Ok(())
}

/// Mean standard deviation within the channels of the images.
fn contrast(images: &Tensor) -> Result<f64, Error> {
    let flat = images.f_flatten(2, 3)?;
    Ok(f64::try_from(flat.std_dim(2, false, false).mean(Kind::Double))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterstain_artifact::Store;
    use counterstain_worker::testing::TestTask;
    use tch::Device;

    /// What 12 looks at flat paintings end with.
    fn look_at_flat(policy: FailurePolicy) -> Result<(), TaskError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let task = TestTask::new(Default::default(), Store::open("memory:").unwrap());
        let (task, _) = task.build(folder.path(), runtime.handle().clone());
        let target = Tensor::linspace(-1.0, 1.0, 48, (Kind::Float, Device::Cpu)).view([1, 3, 4, 4]);
        let mut health = Health::new(policy);
        (1..=12).try_for_each(|look| {
            let painted = target.zeros_like();
            let update = Update { terms: Vec::new(), discriminator: 1.4, painted };
            health.look(&task, look * CONTRAST_EVERY, &update, &target)
        })
    }

    #[test]
    fn the_policy_decides_whether_a_failing_generator_ends_the_job() {
        look_at_flat(FailurePolicy::Warn).unwrap();
        let error = look_at_flat(FailurePolicy::Stop).unwrap_err();
        assert_eq!(error.code, ErrorCode::FailedPrecondition);
        assert!(error.message.contains("one flat colour"), "{}", error.message);
        assert!(error.message.contains("on_failure is stop"), "{}", error.message);
    }
}
