//! The online calls: paint one tile, and say what the worker is doing.

use super::generator;
use crate::engine::Error;
use crate::engine::images::ImageBatch;
use crate::engine::painter::{Painter, check_image};
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::synthesis::v1::synthesis_service_server::{
    SynthesisService, SynthesisServiceServer,
};
use counterstain_api::proto::synthesis::v1::{
    GetStatusRequest, GetStatusResponse, SynthesizeRequest, SynthesizeResponse,
};
use counterstain_compute::Desk;
use counterstain_tile::Tile;
use counterstain_tile::encode::encode_png;
use counterstain_worker::{OnlineContext, StatusHandle, TaskError};
use tch::Device;
use tokio::runtime::Handle;
use tonic::{Request, Response, Status};

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
            generator::build(&handle.block_on(generator::fetch(&store, digest))?, device, None)
        };
        Ok(Self { desk: Desk::start(threads, load, paint)?, status })
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

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse { run: Some(self.status.get()) }))
    }
}

fn paint(painter: &Painter, tile: &Tile<u8>) -> Result<Vec<u8>, TaskError> {
    check_image(&painter.config(), tile)
        .map_err(|error| TaskError::new(ErrorCode::InvalidArgument, format!("image: {error}")))?;
    let mut batch = ImageBatch::new(tile.width, tile.height, tile.channels);
    batch.push(tile, false, false)?;
    let painted = painter.paint(&batch)?.remove(0);
    Ok(encode_png(&painted).map_err(|source| Error::Image { what: "painted image".to_owned(), source })?)
}
