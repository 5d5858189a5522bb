//! `JobService`: what operators and dashboards see of jobs.

use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::job::v1 as wire;
use counterstain_api::proto::job::v1::job_service_server::JobService;
use counterstain_api::spec;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::{self, fault, not_found, page_size};
use super::principal::{Role, require};
use super::{explain, stream, submission};
use crate::limits;
use crate::machine::JobId;
use crate::scheduler::Scheduler;
use crate::storage::{JobFilter, JobView};

/// The service over a scheduler.
pub(super) struct Jobs {
    scheduler: Scheduler,
}

type Answer<T> = Result<Response<T>, Status>;

impl Jobs {
    pub fn new(scheduler: Scheduler) -> Self {
        Self { scheduler }
    }

    async fn view(&self, id: JobId) -> Result<JobView, ApiError> {
        let view = self.scheduler.storage().jobs(&[id]).await?.pop();
        view.ok_or_else(|| not_found("job", &id.to_string()))
    }

    async fn pipeline(&self, id: Uuid) -> Result<wire::Pipeline, ApiError> {
        let id = id.to_string();
        let storage = self.scheduler.storage();
        let pipeline = storage.pipeline(&id).await?.ok_or_else(|| not_found("pipeline", &id))?;
        let jobs = storage.jobs(&storage.pipeline_jobs(&id).await?).await?;
        Ok(convert::pipeline(&pipeline, &jobs))
    }

    /// The job with this id or unique prefix.
    async fn find(&self, field: &str, text: &str) -> Result<JobId, ApiError> {
        if let Ok(id) = text.parse::<Uuid>() {
            return Ok(id);
        }
        let prefix = text.to_ascii_lowercase();
        let plausible = prefix.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if prefix.len() < limits::JOB_PREFIX || !plausible {
            let wanted = format!(
                "must be a job's id, or a unique prefix of at least {} characters, not {:?}",
                limits::JOB_PREFIX,
                convert::clipped(text)
            );
            return Err(fault(field, wanted));
        }
        match self.scheduler.storage().jobs_by_prefix(&prefix, 2).await?.as_slice() {
            [] => Err(not_found("job", text)),
            [only] => Ok(*only),
            _ => Err(fault(field, format!("begins the ids of several jobs: {prefix:?}; give more of it"))),
        }
    }

    async fn find_existing(&self, field: &str, text: &str) -> Result<JobView, ApiError> {
        self.view(self.find(field, text).await?).await
    }
}

#[tonic::async_trait]
impl JobService for Jobs {
    async fn submit_pipeline(
        &self,
        request: Request<wire::SubmitPipelineRequest>,
    ) -> Answer<wire::SubmitPipelineResponse> {
        let principal = require(&request, Role::Operator)?;
        let (id, existed) = submission::submit(&self.scheduler, &principal, request.into_inner()).await?;
        let pipeline = Some(self.pipeline(id).await?);
        Ok(Response::new(wire::SubmitPipelineResponse { pipeline, existed }))
    }

    async fn submit_job(&self, request: Request<wire::SubmitJobRequest>) -> Answer<wire::SubmitJobResponse> {
        let principal = require(&request, Role::Operator)?;
        let wire::SubmitJobRequest { idempotency_key, job } = request.into_inner();
        let job = job.ok_or_else(|| fault("job", "is required"))?;
        let pipeline =
            wire::SubmitPipelineRequest { idempotency_key, name: job.name.clone(), jobs: vec![job] };
        let (id, existed) = submission::submit(&self.scheduler, &principal, pipeline).await?;
        let job = self.pipeline(id).await?.jobs.pop();
        Ok(Response::new(wire::SubmitJobResponse { job, existed }))
    }

    async fn get_pipeline(
        &self,
        request: Request<wire::GetPipelineRequest>,
    ) -> Answer<wire::GetPipelineResponse> {
        require(&request, Role::Operator)?;
        let id = convert::id("id", &request.into_inner().id)?;
        let pipeline = Some(self.pipeline(id).await?);
        Ok(Response::new(wire::GetPipelineResponse { pipeline }))
    }

    async fn get_job(&self, request: Request<wire::GetJobRequest>) -> Answer<wire::GetJobResponse> {
        require(&request, Role::Operator)?;
        let view = self.find_existing("id", &request.into_inner().id).await?;
        Ok(Response::new(wire::GetJobResponse { job: Some(convert::job(&view)) }))
    }

    async fn list_jobs(&self, request: Request<wire::ListJobsRequest>) -> Answer<wire::ListJobsResponse> {
        require(&request, Role::Operator)?;
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        // One more than asked for, to know whether there is another page.
        let mut filter = JobFilter { limit: size + 1, ..JobFilter::default() };
        for state in request.states() {
            let known = convert::state_from(state);
            filter.state(known.ok_or_else(|| fault("states", "must be states of jobs"))?);
        }
        for kind in request.kinds() {
            if kind == wire::JobKind::Unspecified {
                return Err(fault("kinds", "must be kinds of jobs").into());
            }
            filter.kinds.insert(spec::kind_name(kind));
        }
        if !request.pipeline_id.is_empty() {
            filter.pipeline = Some(convert::id("pipeline_id", &request.pipeline_id)?);
        }
        if !request.page_token.is_empty() {
            filter.before = Some(convert::id("page_token", &request.page_token)?);
        }
        let storage = self.scheduler.storage();
        let mut ids = storage.list_jobs(&filter).await.map_err(ApiError::from)?;
        let mut next_page_token = String::new();
        if ids.len() > size as usize {
            ids.truncate(size as usize);
            next_page_token = ids.last().map(Uuid::to_string).unwrap_or_default();
        }
        let views = storage.jobs(&ids).await.map_err(ApiError::from)?;
        let jobs = views.iter().map(convert::job_in_list).collect();
        Ok(Response::new(wire::ListJobsResponse { jobs, next_page_token }))
    }

    type WatchJobsStream = ReceiverStream<Result<wire::WatchJobsResponse, Status>>;

    async fn watch_jobs(&self, request: Request<wire::WatchJobsRequest>) -> Answer<Self::WatchJobsStream> {
        require(&request, Role::Operator)?;
        let wire::WatchJobsRequest { pipeline_id, job_id, cursor } = request.into_inner();
        let jobs = match (pipeline_id.as_str(), job_id.as_str()) {
            ("", "") => return Err(fault("pipeline_id", "is required, or a job_id").into()),
            ("", job) => vec![self.find_existing("job_id", job).await?.stored.id],
            (pipeline, "") => {
                let id = convert::id("pipeline_id", pipeline)?;
                let known = self.scheduler.storage().pipeline_jobs(&id.to_string()).await;
                let jobs = known.map_err(ApiError::from)?;
                if jobs.is_empty() {
                    return Err(not_found("pipeline", pipeline).into());
                }
                jobs
            }
            _ => return Err(fault("job_id", "must be empty when a pipeline_id is given").into()),
        };
        let cursor = stream::parse_cursor(&cursor)?;
        Ok(Response::new(stream::watch(self.scheduler.clone(), jobs, cursor)))
    }

    type StreamLogsStream = ReceiverStream<Result<wire::StreamLogsResponse, Status>>;

    async fn stream_logs(&self, request: Request<wire::StreamLogsRequest>) -> Answer<Self::StreamLogsStream> {
        require(&request, Role::Operator)?;
        let wire::StreamLogsRequest { job_id, follow, cursor } = request.into_inner();
        let job = self.find_existing("job_id", &job_id).await?.stored.id;
        let cursor = stream::parse_cursor(&cursor)?.unwrap_or_default();
        Ok(Response::new(stream::logs(self.scheduler.clone(), job, cursor, follow)))
    }

    async fn list_metrics(
        &self,
        request: Request<wire::ListMetricsRequest>,
    ) -> Answer<wire::ListMetricsResponse> {
        require(&request, Role::Operator)?;
        let wire::ListMetricsRequest { job_id, names } = request.into_inner();
        let job = self.find_existing("job_id", &job_id).await?.stored.id;
        let all = self.scheduler.storage().metrics(job, &names, 0, u64::MAX).await;
        let metrics = stream::thin(all.map_err(ApiError::from)?, limits::METRICS_PER_ANSWER);
        Ok(Response::new(wire::ListMetricsResponse { metrics }))
    }

    async fn list_pictures(
        &self,
        request: Request<wire::ListPicturesRequest>,
    ) -> Answer<wire::ListPicturesResponse> {
        require(&request, Role::Operator)?;
        let job = self.find_existing("job_id", &request.into_inner().job_id).await?.stored.id;
        let pictures = self.scheduler.storage().pictures(job).await.map_err(ApiError::from)?;
        Ok(Response::new(wire::ListPicturesResponse { pictures }))
    }

    async fn cancel_job(&self, request: Request<wire::CancelJobRequest>) -> Answer<wire::CancelJobResponse> {
        let principal = require(&request, Role::Operator)?;
        let wire::CancelJobRequest { id, reason } = request.into_inner();
        let id = self.find("id", &id).await?;
        tracing::info!(job = %id, by = principal.name, "cancel");
        self.scheduler.cancel(id, limits::clip(&reason)).await?;
        let job = Some(convert::job(&self.view(id).await?));
        Ok(Response::new(wire::CancelJobResponse { job }))
    }

    async fn retry_job(&self, request: Request<wire::RetryJobRequest>) -> Answer<wire::RetryJobResponse> {
        let principal = require(&request, Role::Operator)?;
        let wire::RetryJobRequest { id, fresh } = request.into_inner();
        let id = self.find("id", &id).await?;
        tracing::info!(job = %id, by = principal.name, fresh, "retry");
        self.scheduler.retry(id, fresh).await?;
        let job = Some(convert::job(&self.view(id).await?));
        Ok(Response::new(wire::RetryJobResponse { job }))
    }

    async fn explain_job(
        &self,
        request: Request<wire::ExplainJobRequest>,
    ) -> Answer<wire::ExplainJobResponse> {
        require(&request, Role::Operator)?;
        let view = self.find_existing("id", &request.into_inner().id).await?;
        let reasons = explain::explain(&self.scheduler, &view.stored).await?;
        let state = convert::state(view.stored.job.state).into();
        Ok(Response::new(wire::ExplainJobResponse { state, reasons }))
    }

    async fn list_workers(
        &self,
        request: Request<wire::ListWorkersRequest>,
    ) -> Answer<wire::ListWorkersResponse> {
        require(&request, Role::Operator)?;
        let since = self.scheduler.clock().now().saturating_sub(limits::WORKERS_SEEN_WITHIN);
        let workers = self.scheduler.storage().workers(since).await.map_err(ApiError::from)?;
        let workers = workers.into_iter().map(convert::worker).collect();
        Ok(Response::new(wire::ListWorkersResponse { workers }))
    }
}

/// A stream was asked to go on from a place that it never was at.
pub(super) fn bad_cursor(text: &str) -> ApiError {
    let message = format!("{:?} is not a cursor of this stream", convert::clipped(text));
    ApiError::new(ErrorCode::InvalidArgument, message).help("leave the cursor out to start anew")
}
