//! The online calls: paint one tile, paint tiles as they come, and say what the worker is doing.

mod network;
mod stream;

use super::generator;
use counterstain_api::proto::synthesis::v1::synthesis_service_server::{
    SynthesisService, SynthesisServiceServer,
};
use counterstain_api::proto::synthesis::v1::{
    GetStatusRequest, GetStatusResponse, SynthesizeRequest, SynthesizeResponse, SynthesizeTilesRequest,
};
use counterstain_compute::Desk;
use counterstain_worker::{OnlineContext, StatusHandle};
use network::Network;
use tch::Device;
use tokio::runtime::Handle;
use tonic::{Request, Response, Status, Streaming};

/// The service.
#[derive(Debug)]
pub struct Online {
    desk: Desk<Vec<u8>>,
    status: StatusHandle,
}

impl Online {
    /// Starts the painting thread, which ends with the service. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(context: OnlineContext, device: Device, threads: usize) -> std::io::Result<Self> {
        let OnlineContext { store, status } = context;
        let handle = Handle::current();
        let load = move |digest: &counterstain_artifact::Digest| {
            Network::load(&handle.block_on(generator::fetch(&store, digest))?, device)
        };
        Ok(Self { desk: Desk::start(threads, load, Network::paint)?, status })
    }

    /// As a tonic service that takes tiles of the allowed size.
    pub fn into_server(self) -> SynthesisServiceServer<Self> {
        SynthesisServiceServer::new(self)
            .max_decoding_message_size(Desk::<Vec<u8>>::MAX_MESSAGE)
            .max_encoding_message_size(usize::MAX)
    }
}

#[tonic::async_trait]
impl SynthesisService for Online {
    async fn synthesize(
        &self,
        request: Request<SynthesizeRequest>,
    ) -> Result<Response<SynthesizeResponse>, Status> {
        let SynthesizeRequest { generator, image } = request.into_inner();
        let image = self.desk.ask("generator", &generator, image).await?;
        Ok(Response::new(SynthesizeResponse { image }))
    }

    type SynthesizeTilesStream = stream::Answers;

    async fn synthesize_tiles(
        &self,
        request: Request<Streaming<SynthesizeTilesRequest>>,
    ) -> Result<Response<Self::SynthesizeTilesStream>, Status> {
        Ok(Response::new(stream::answers(self.desk.clone(), request.into_inner())))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse { run: Some(self.status.get()) }))
    }
}
