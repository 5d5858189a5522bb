//! A coordinator in this process, its clients, and a worker that does no work.

use std::time::Duration;

use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::artifact::v1::artifact_service_client::ArtifactServiceClient;
use counterstain_api::proto::job::v1::job_service_client::JobServiceClient;
use counterstain_api::proto::job::v1::worker_service_client::WorkerServiceClient;
use counterstain_api::proto::job::v1::*;
use counterstain_api::proto::synthesis::v1::{GenerateLayerSpec, TrainGeneratorSpec};
use counterstain_api::proto::training::v1 as training;
use counterstain_api::{Digest, Profile, spec};
use counterstain_artifact::{
    ArtifactKind, CheckpointBody, CheckpointPlace, DatasetBody, LayerInfo, LayerKind, LayerPartBody,
    Manifest, ManifestParts, NamedObject, ShardInfo, Store,
};
use counterstain_coordinator::machine::Policy;
use counterstain_coordinator::scheduler::Scheduler;
use counterstain_coordinator::service;
use counterstain_coordinator::storage::sqlite::SqliteStorage;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Response, Status};

pub const ALL_KINDS: [JobKind; 5] = [
    JobKind::TrainGenerator,
    JobKind::GenerateLayer,
    JobKind::TrainEncoder,
    JobKind::Embed,
    JobKind::Evaluate,
];

/// Patient enough that nothing is lost by accident on a busy machine.
pub fn patient() -> Policy {
    Policy { backoff: 50, max_backoff: 100, ..Policy::default() }
}

/// Leases end after this many milliseconds.
pub fn impatient(lease: u64) -> Policy {
    Policy { lease, ..patient() }
}

/// A running coordinator.
pub struct System {
    pub store: Store,
    pub scheduler: Scheduler,
    pub channel: Channel,
    pub jobs: JobServiceClient<Channel>,
    pub workers: WorkerServiceClient<Channel>,
    pub artifacts: ArtifactServiceClient<Channel>,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<Result<(), ApiError>>,
    folder: TempDir,
    policy: Policy,
}

impl System {
    pub async fn start(policy: Policy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("memory:").unwrap();
        Self::start_in(folder, store, policy).await
    }

    /// On a store of the test's making.
    pub async fn start_on(store: Store, policy: Policy) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), store, policy).await
    }

    async fn start_in(folder: TempDir, store: Store, policy: Policy) -> Self {
        let location = format!("sqlite:{}", folder.path().join("c.sqlite").display());
        let storage = std::sync::Arc::new(SqliteStorage::open(&location).await.unwrap());
        let stop = CancellationToken::new();
        let scheduler =
            Scheduler::start(storage.clone(), store.clone(), policy.clone(), stop.clone()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = scheduler.clone();
        let served = tokio::spawn(async move {
            let served = service::serve(serving, listener).await;
            storage.close().await;
            served
        });
        let channel = counterstain_service::connect::eager(&url).await.unwrap();
        Self {
            store,
            scheduler,
            jobs: JobServiceClient::new(channel.clone()),
            workers: WorkerServiceClient::new(channel.clone()),
            artifacts: ArtifactServiceClient::new(channel.clone()),
            channel,
            stop,
            served,
            folder,
            policy,
        }
    }

    /// Stops it cleanly and starts another one on the same database and store.
    pub async fn restart(self) -> Self {
        self.stop.cancel();
        self.served.await.unwrap().unwrap();
        drop(self.scheduler);
        Self::start_in(self.folder, self.store, self.policy).await
    }

    /// Ends within a moment even though clients are connected.
    pub async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.served)
            .await
            .expect("it did not stop")
            .unwrap()
            .unwrap();
    }

    pub async fn put(&self, parts: ManifestParts) -> Digest {
        self.store.put_manifest(&parts.manifest(Vec::new())).await.unwrap()
    }

    /// A dataset with this many shards of 100 samples each, all in `train`, and the layers `he` and `types`.
    pub async fn dataset(&self, name: &str, shards: usize) -> Digest {
        let shards: Vec<ShardInfo> = (0..shards).map(|index| shard(&format!("{name}/{index}"))).collect();
        let samples = 100 * shards.len() as u64;
        let body = DatasetBody {
            name: name.to_owned(),
            layers: vec![layer_info("he"), layer_info("types")],
            primary: "he".to_owned(),
            classes: vec!["a".to_owned(), "b".to_owned()],
            splits: [("train".to_owned(), samples), ("test".to_owned(), samples)].into(),
            samples,
            shards,
            microns_per_pixel: None,
            skipped: Vec::new(),
            source: json!({}),
        };
        self.put(ManifestParts::new(ArtifactKind::Dataset, &body)).await
    }

    pub async fn submit(&self, key: &str, jobs: Vec<JobRequest>) -> Result<SubmitPipelineResponse, ApiError> {
        let request =
            SubmitPipelineRequest { idempotency_key: key.to_owned(), name: "test".to_owned(), jobs };
        answer(self.jobs.clone().submit_pipeline(request).await)
    }

    /// Submits one job that trains a generator, and gives its id.
    pub async fn submit_generator(&self, seed: u64) -> String {
        let dataset = self.dataset("d", 1).await;
        let job = request("generator", train_generator(&dataset.to_string(), seed), false);
        let response =
            self.submit(&format!("seed {seed} {}", uuid::Uuid::now_v7()), vec![job]).await.unwrap();
        response.pipeline.unwrap().jobs[0].id.clone()
    }

    pub async fn job(&self, id: &str) -> Job {
        let response = self.jobs.clone().get_job(GetJobRequest { id: id.to_owned() }).await.unwrap();
        response.into_inner().job.unwrap()
    }

    /// Waits for a job to reach a state.
    pub async fn reaches(&self, id: &str, state: JobState) -> Job {
        for _ in 0..1_000 {
            let job = self.job(id).await;
            if job.state() == state {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("job {id} is {:?}, not {state:?}: {:?}", self.job(id).await.state(), self.explain(id).await);
    }

    pub async fn explain(&self, id: &str) -> Vec<String> {
        let request = ExplainJobRequest { id: id.to_owned() };
        self.jobs.clone().explain_job(request).await.unwrap().into_inner().reasons
    }

    pub async fn worker(&self, name: &str, profile: &Profile) -> Worker {
        self.worker_of(name, profile, &ALL_KINDS).await
    }

    pub async fn worker_of(&self, name: &str, profile: &Profile, kinds: &[JobKind]) -> Worker {
        let request = RegisterRequest {
            name: name.to_owned(),
            kinds: kinds.iter().map(|kind| (*kind).into()).collect(),
            profile: Some(profile.clone().into()),
            address: String::new(),
        };
        let id = self.workers.clone().register(request).await.unwrap().into_inner().worker_id;
        Worker { id, client: self.workers.clone(), store: self.store.clone(), profile: profile.clone() }
    }
}

/// A worker that does no work.
#[derive(Clone)]
pub struct Worker {
    pub id: String,
    client: WorkerServiceClient<Channel>,
    store: Store,
    profile: Profile,
}

/// Where a checkpoint under this lease lies.
pub fn place(lease: &Lease, step: u64) -> CheckpointPlace {
    CheckpointPlace { job: lease.job_id.clone(), part: lease.part, fence: lease.fence, step }
}

impl Worker {
    /// The same worker, talking to a coordinator that was restarted.
    pub fn at(self, system: &System) -> Self {
        Self { client: system.workers.clone(), ..self }
    }

    pub async fn try_lease(&self, wait: Duration) -> Result<Option<Lease>, ApiError> {
        let wait = Some(wait.try_into().unwrap());
        let request = LeaseRequest { worker_id: self.id.clone(), wait };
        Ok(answer(self.client.clone().lease(request).await)?.lease)
    }

    /// A lease, which must come within some seconds.
    pub async fn lease(&self) -> Lease {
        self.try_lease(Duration::from_secs(20)).await.unwrap().expect("no part came up")
    }

    /// No part is free for this worker.
    pub async fn idles(&self) -> bool {
        self.try_lease(Duration::from_millis(100)).await.unwrap().is_none()
    }

    pub fn reference(&self, lease: &Lease) -> Option<LeaseRef> {
        let Lease { job_id, part, fence, .. } = lease.clone();
        Some(LeaseRef { worker_id: self.id.clone(), job_id, part, fence })
    }

    pub async fn beat(
        &self,
        lease: &Lease,
        request: HeartbeatRequest,
    ) -> Result<HeartbeatResponse, ApiError> {
        let request = HeartbeatRequest { lease: self.reference(lease), ..request };
        answer(self.client.clone().heartbeat(request).await)
    }

    pub async fn checkpoint(&self, lease: &Lease, step: u64) -> Result<Digest, ApiError> {
        let body = CheckpointBody {
            job_kind: spec::kind_name(spec::kind(lease.spec.as_ref().unwrap())).to_owned(),
            step,
            epoch: 0,
            spec_digest: Digest::of(b"spec"),
            schema: 1,
        };
        let manifest = ManifestParts::new(ArtifactKind::Checkpoint, &body).manifest(Vec::new());
        let digest = self.store.checkpoint(&place(lease, step)).put_manifest(&manifest).await.unwrap();
        let checkpoint = digest.to_string();
        let request = CommitCheckpointRequest { lease: self.reference(lease), checkpoint, step };
        answer(self.client.clone().commit_checkpoint(request).await).map(|_| digest)
    }

    /// Puts what the leased part would make into the store.
    pub async fn make(&self, lease: &Lease) -> Digest {
        self.store.put_manifest(&self.output(lease)).await.unwrap()
    }

    pub fn output(&self, lease: &Lease) -> Manifest {
        let job = lease.spec.as_ref().unwrap();
        let (kind, body, objects) = match spec::kind(job) {
            JobKind::TrainGenerator => (ArtifactKind::Generator, json!({}), Vec::new()),
            JobKind::TrainEncoder => (ArtifactKind::Encoder, json!({}), Vec::new()),
            JobKind::Embed => (ArtifactKind::Representations, json!({}), Vec::new()),
            JobKind::Evaluate => (ArtifactKind::Result, json!({"rows": 0}), Vec::new()),
            _ => {
                let shard = shard(&format!("painted {}", lease.part));
                let objects = [("tar", shard.tar), ("index", shard.index)]
                    .map(|(name, digest)| NamedObject { name: name.to_owned(), size: 1, digest });
                let dataset =
                    spec::inputs(job).iter().find(|input| input.path == "dataset").unwrap().value.parse();
                let body = LayerPartBody {
                    part: lease.part,
                    shard,
                    layer: layer_info("nuclei"),
                    companions: Vec::new(),
                    dataset: dataset.unwrap(),
                    table: None,
                };
                (ArtifactKind::LayerPart, serde_json::to_value(body).unwrap(), objects.to_vec())
            }
        };
        let mut parts = ManifestParts::new(kind, &body).job(spec::canonical_json(job), self.profile.clone());
        for input in spec::inputs(job) {
            parts = parts.input(input.path.clone(), input.value.parse().unwrap());
        }
        parts.manifest(objects)
    }

    pub async fn complete(&self, lease: &Lease, output: &Digest) -> Result<(), ApiError> {
        let request = CompleteRequest { lease: self.reference(lease), output: output.to_string() };
        answer(self.client.clone().complete(request).await).map(drop)
    }

    /// Does a leased part.
    pub async fn finish(&self, lease: &Lease) -> Digest {
        let output = self.make(lease).await;
        self.complete(lease, &output).await.unwrap();
        output
    }

    pub async fn fail(&self, lease: &Lease, code: ErrorCode, retryable: bool) -> Result<(), ApiError> {
        let request = FailRequest {
            lease: self.reference(lease),
            code: code.as_str().to_owned(),
            message: "it broke".to_owned(),
            retryable,
        };
        answer(self.client.clone().fail(request).await).map(drop)
    }

    pub async fn release(&self, lease: &Lease) -> Result<(), ApiError> {
        let request = ReleaseRequest { lease: self.reference(lease) };
        answer(self.client.clone().release(request).await).map(drop)
    }
}

pub fn answer<T>(response: Result<Response<T>, Status>) -> Result<T, ApiError> {
    response.map(Response::into_inner).map_err(|status| ApiError::from_status(&status))
}

pub fn profile(threads: u32) -> Profile {
    Profile { device_class: "cpu/avx2".to_owned(), threads, libtorch: "2.13.0".to_owned(), revision: 1 }
}

fn shard(name: &str) -> ShardInfo {
    let digest = |what: &str| Digest::of(format!("{what} of {name}").as_bytes());
    ShardInfo { tar: digest("tar"), index: digest("index"), samples: 100 }
}

pub fn layer_info(name: &str) -> LayerInfo {
    LayerInfo {
        name: name.to_owned(),
        kind: LayerKind::Image,
        channels: 3,
        media_type: "image/png".to_owned(),
        extension: "png".to_owned(),
        palette: None,
        width: Some(64),
        height: Some(64),
        microns_per_pixel: None,
    }
}

pub fn request(name: &str, kind: job_spec::Kind, fresh: bool) -> JobRequest {
    JobRequest { name: name.to_owned(), spec: Some(JobSpec { kind: Some(kind) }), after: Vec::new(), fresh }
}

pub fn train_generator(dataset: &str, seed: u64) -> job_spec::Kind {
    job_spec::Kind::TrainGenerator(TrainGeneratorSpec {
        dataset: dataset.to_owned(),
        layer: "types".to_owned(),
        seed: Some(seed),
        ..TrainGeneratorSpec::default()
    })
}

pub fn generate_layer(generator: &str, dataset: &str) -> job_spec::Kind {
    job_spec::Kind::GenerateLayer(GenerateLayerSpec {
        generator: generator.to_owned(),
        dataset: dataset.to_owned(),
        layer: "nuclei".to_owned(),
        ..GenerateLayerSpec::default()
    })
}

pub fn train_encoder(dataset: &str, layer: &str) -> job_spec::Kind {
    let layer = training::PrivilegedLayer { artifact: layer.to_owned(), ..Default::default() };
    job_spec::Kind::TrainEncoder(training::TrainEncoderSpec {
        preset: Some(training::Preset::Small.into()),
        dataset: dataset.to_owned(),
        privileged: vec![layer],
        method: training::Method::Trident.into(),
        loss: training::Loss::Vicreg.into(),
        ..training::TrainEncoderSpec::default()
    })
}

pub fn evaluate(dataset: &str, encoders: &[&str]) -> job_spec::Kind {
    job_spec::Kind::Evaluate(counterstain_api::proto::evaluation::v1::EvaluateSpec {
        encoders: encoders.iter().map(|encoder| (*encoder).to_owned()).collect(),
        dataset: dataset.to_owned(),
        ..Default::default()
    })
}
