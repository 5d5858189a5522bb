//! The online calls: embed one tile, and say what the worker is doing.

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::evaluation::v1::evaluation_service_server::{
    EvaluationService, EvaluationServiceServer,
};
use counterstain_api::proto::evaluation::v1::{
    EmbedRequest, EmbedResponse, GetStatusRequest, GetStatusResponse,
};
use counterstain_artifact::Digest;
use counterstain_compute::Desk;
use counterstain_tile::Tile;
use counterstain_worker::{OnlineContext, StatusHandle, TaskError};
use tch::Device;
use tokio::runtime::Handle;
use tonic::{Request, Response, Status};

use super::encoders;
use crate::engine::encoder::{Encoder, Input};

/// The service.
#[derive(Debug)]
pub struct Online {
    desk: Desk<Vec<f32>>,
    status: StatusHandle,
}

impl Online {
    /// Starts the computing thread, which ends with the service. Call it inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(context: OnlineContext, device: Device, threads: usize) -> std::io::Result<Self> {
        let OnlineContext { store, status } = context;
        let handle = Handle::current();
        let load = move |digest: &Digest| {
            let description = handle.block_on(encoders::describe(&store, digest))?;
            let weights = handle.block_on(encoders::weights(&store, digest))?;
            encoders::build(&description, &weights, device, None)
        };
        Ok(Self { desk: Desk::start(threads, load, represent)?, status })
    }

    /// As a tonic service that takes tiles of the allowed size.
    #[must_use]
    pub fn into_server(self) -> EvaluationServiceServer<Self> {
        EvaluationServiceServer::new(self).max_decoding_message_size(Desk::<Vec<f32>>::MAX_MESSAGE)
    }
}

#[tonic::async_trait]
impl EvaluationService for Online {
    async fn embed(&self, request: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        let EmbedRequest { encoder, image } = request.into_inner();
        let representation = self.desk.ask("encoder", &encoder, image).await?;
        Ok(Response::new(EmbedResponse { representation }))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse { run: Some(self.status.get()) }))
    }
}

fn represent(encoder: &Encoder, tile: &Tile<u8>) -> Result<Vec<f32>, TaskError> {
    let input = Input::new(tile, encoder.architecture())
        .map_err(|error| TaskError::new(ErrorCode::InvalidArgument, format!("image: {error}")))?;
    Ok(encoder.represent(&[input])?)
}
