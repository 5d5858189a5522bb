//! The loop: batches in, an encoder out.

use bytes::Bytes;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::training::v1::{
    Encoder, Loss, Method, Optimizer as SpecOptimizer, TrainEncoderSpec,
};
use counterstain_api::spec;
use counterstain_artifact::{ArtifactKind, Digest, EncoderBody, ManifestParts, WEIGHTS, put_artifact};
use counterstain_compute::{Pace, autocast_dtype};
use counterstain_torch::optim::schedule::warmup_cosine;
use counterstain_torch::optim::{AdamWConfig, KerasAdamConfig, LarsConfig, Optimizer, OptimizerConfig};
use counterstain_torch::{autocast, to_safetensors};
use counterstain_worker::prefetch::prefetch;
use counterstain_worker::{Task, TaskError};
use tch::{Device, Kind, Tensor};

use super::checkpoint;
use super::data::{Batch, Data, ViewBatch};
use super::diagnostics::{effective_rank, embedding_deviation};
use super::mix::RealPairs;
use super::networks::Networks;
use super::objective::Objective;
use super::plan::Plan;
use crate::engine::step::descend;

/// Batches made ahead of the step that needs them.
const AHEAD: usize = 3;
/// A run reports the metrics of at most about this many steps, evenly spread.
const REPORTED_STEPS: u64 = 2_000;
/// Steps between reports of the effective rank, which costs an eigendecomposition.
const RANK_EVERY: u64 = 20;

/// Trains an encoder; gives the digest of the `encoder` artifact.
///
/// # Errors
/// Data that do not fit the spec, a loss that is not finite, or what the store and the coordinator refuse.
pub fn run(task: &Task, spec: &TrainEncoderSpec, device: Device) -> Result<Digest, TaskError> {
    let data = Data::open(task, spec)?;
    let real = RealPairs::open(task, spec, &data)?;
    let real_count = real.as_ref().map_or(0, |real| real.count);
    let plan = Plan::new(spec, data.len(), real_count)?;
    let channels: Vec<u32> = data.privileged_channels().collect();
    let networks = Networks::new(spec, &channels, data.dataset.body.classes.len(), device)?;
    let mut optimizer = optimizer(spec).build(networks.trainable());
    let step = checkpoint::restore(task, &networks, optimizer.as_mut())?;
    if let Some(real) = &real {
        task.info(&format!(
            "{} of each batch's {} samples are of {} real pairs",
            real.count,
            spec.batch_size(),
            real.data.len()
        ));
    }
    task.info(&format!(
        "{} samples, {} views of {} px each, {} steps of {} epochs{}",
        plan.samples,
        super::plan::primary_views(spec.method()) + data.privileged.len(),
        data.side,
        plan.total_steps(),
        plan.epochs,
        if step > 0 { format!(", going on from step {step}") } else { String::new() }
    ));
    let mut training = Training {
        task,
        data: &data,
        objective: Objective::new(spec),
        networks,
        optimizer,
        dtype: autocast_dtype(spec.dtype()),
        device,
        warmup: (spec.warmup() * plan.total_steps() as f64).round() as u64,
        peak: spec.learning_rate(),
        pace: Pace::new(plan.total_steps(), REPORTED_STEPS),
        plan: plan.clone(),
    };
    task.progress("training", step, plan.total_steps(), "steps");
    let mut order = (u64::MAX, Vec::new());
    let load = |step: u64| {
        let epoch = plan.epoch(step);
        if order.0 != epoch {
            order = (epoch, plan.order(epoch));
        }
        let mut batch = data.batch(epoch, plan.batch(step, &order.1))?;
        if let Some(real) = &real {
            real.add_to(&mut batch, step)?;
        }
        Ok(batch)
    };
    prefetch(step..plan.total_steps(), AHEAD, load, |step, batch| {
        training.step(step, batch)?;
        let done = step + 1;
        task.progress("training", done, plan.total_steps(), "steps");
        if task.checkpoint_due() && done < plan.total_steps() {
            let optimizer = training.optimizer.as_ref();
            checkpoint::save(task, &training.networks, optimizer, done, plan.epoch(done))?;
        }
        task.check()
    })?;
    finish(task, spec, &data, real.as_ref(), &training.networks)
}

struct Training<'a> {
    task: &'a Task,
    data: &'a Data,
    objective: Objective,
    networks: Networks,
    optimizer: Box<dyn Optimizer>,
    dtype: Option<Kind>,
    device: Device,
    warmup: u64,
    peak: f64,
    pace: Pace,
    plan: Plan,
}

impl Training<'_> {
    /// One update: step `step`, from 0.
    fn step(&mut self, step: u64, batch: Batch) -> Result<(), TaskError> {
        let views: Vec<Tensor> =
            batch.views.iter().map(|view| to_tensor(view, self.data.side, self.device)).collect();
        let samples = views.first().map_or(0, |view| view.size()[0] as usize);
        let labels = Tensor::from_slice(&batch.labels).to_device(self.device);
        let outputs = autocast(self.device, self.dtype, || self.networks.forward(&views));
        let computed = self.objective.compute(&outputs, &labels)?;
        let learning_rate = warmup_cosine(step, self.plan.total_steps(), self.warmup, self.peak);
        self.check_finite(step, &computed.named)?;
        descend(&computed.total, self.optimizer.as_mut(), learning_rate)
            .map_err(|error| TaskError::new(ErrorCode::Internal, format!("step {}: {error}", step + 1)))?;
        let done = step + 1;
        self.pace.add(samples);
        if self.pace.reports(done) {
            self.report(done, &computed.named, &outputs[0], learning_rate);
        }
        Ok(())
    }

    /// # Errors
    /// A term is NaN or infinite: the run fails at this step, and its last checkpoint stays good.
    fn check_finite(&self, step: u64, terms: &[(&'static str, Tensor)]) -> Result<(), TaskError> {
        for (name, value) in terms {
            let value = value.double_value(&[]);
            if !value.is_finite() {
                let message = format!(
                    "{name} became {value} at step {} (epoch {}); the last checkpoint is from before it. \
                     Try a lower learning_rate, or dtype f32",
                    step + 1,
                    self.plan.epoch(step) + 1
                );
                return Err(TaskError::new(ErrorCode::NonFinite, message));
            }
        }
        Ok(())
    }

    fn report(&mut self, step: u64, terms: &[(&'static str, Tensor)], output: &Tensor, learning_rate: f64) {
        for (name, value) in terms {
            self.task.metric(step, name, value.double_value(&[]));
        }
        self.task.metric(step, "learning_rate", learning_rate);
        self.task.metric(step, "samples_per_second", self.pace.samples_per_second());
        let output = output.detach();
        self.task.metric(step, "embedding_deviation", embedding_deviation(&output));
        if step.is_multiple_of(RANK_EVERY) || step == self.plan.total_steps() {
            self.task.metric(step, "effective_rank", effective_rank(&output));
        }
    }
}

/// `[N, C, S, S]` on the device, channels-last in memory: tiles are interleaved already.
fn to_tensor(view: &ViewBatch, side: usize, device: Device) -> Tensor {
    let count = view.data.len() / (side * side * view.channels).max(1);
    let shape = [count as i64, side as i64, side as i64, view.channels as i64];
    Tensor::from_slice(&view.data).view(shape).to_device(device).permute([0, 3, 1, 2])
}

fn optimizer(spec: &TrainEncoderSpec) -> OptimizerConfig {
    let clip_norm = Some(spec.clip_norm()).filter(|norm| *norm > 0.0);
    match spec.optimizer() {
        SpecOptimizer::Adam | SpecOptimizer::Unspecified => {
            OptimizerConfig::KerasAdam(KerasAdamConfig { clip_norm, ..KerasAdamConfig::default() })
        }
        SpecOptimizer::Adamw => OptimizerConfig::AdamW(AdamWConfig {
            weight_decay: spec.weight_decay(),
            ..AdamWConfig::default()
        }),
        SpecOptimizer::Lars => {
            OptimizerConfig::Lars(LarsConfig { weight_decay: spec.weight_decay(), ..LarsConfig::default() })
        }
    }
}

fn finish(
    task: &Task,
    spec: &TrainEncoderSpec,
    data: &Data,
    real: Option<&RealPairs>,
    networks: &Networks,
) -> Result<Digest, TaskError> {
    let body = EncoderBody {
        architecture: match spec.encoder() {
            Encoder::Resnet18 => "resnet18",
            Encoder::Resnet50 | Encoder::Unspecified => "resnet50",
        }
        .to_owned(),
        representation_width: networks.representation_width() as u32,
        image_size: data.side as u32,
        normalisation: data.normalisation().to_owned(),
        method: match spec.method() {
            Method::Trident => "trident",
            Method::Siamese => "siamese",
            Method::Unprivileged => "unprivileged",
            Method::Supervised | Method::Unspecified => "supervised",
        }
        .to_owned(),
        loss: match spec.loss() {
            Loss::Vicreg | Loss::Unspecified => "vicreg",
            Loss::Infonce => "infonce",
            Loss::CrossEntropy => "cross-entropy",
        }
        .to_owned(),
        privileged: data.privileged.iter().map(|privileged| privileged.info.name.clone()).collect(),
    };
    let mut parts = ManifestParts::new(ArtifactKind::Encoder, &body).input("dataset", data.dataset.digest);
    for privileged in &data.privileged {
        if let Some(layer) = &privileged.layer {
            parts = parts.input(format!("layer/{}", privileged.info.name), layer.digest);
        }
    }
    if let Some(real) = real {
        parts = parts.input("real_dataset", real.data.dataset.digest);
    }
    let parts = parts.job(spec::canonical_json(task.spec()), task.profile().clone());
    let weights = to_safetensors(&networks.encoder_weights())
        .map_err(|error| TaskError::new(ErrorCode::Internal, error.to_string()))?;
    Ok(task.block_on(put_artifact(task.store(), parts, vec![(WEIGHTS.to_owned(), Bytes::from(weights))]))?)
}
