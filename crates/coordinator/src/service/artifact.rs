//! `ArtifactService`: manifests, lineage and tags. The bytes are the object store's.

use std::collections::{HashSet, VecDeque};

use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::artifact::v1 as wire;
use counterstain_api::proto::artifact::v1::artifact_service_server::ArtifactService;
use counterstain_artifact::ArtifactKind;
use tonic::{Request, Response, Status};

use super::convert::{self, fault, not_found, page_size};
use super::principal::{Role, anyone, require};
use crate::limits;
use crate::scheduler::Scheduler;
use crate::storage::{Artifact, Tag};

const PREFIX: &str = "sha256:";

/// The service over a scheduler.
pub(super) struct Artifacts {
    scheduler: Scheduler,
}

type Answer<T> = Result<Response<T>, Status>;

impl Artifacts {
    pub fn new(scheduler: Scheduler) -> Self {
        Self { scheduler }
    }

    /// A known artifact, or one of the store that becomes known by this.
    async fn get(&self, field: &str, name: &str) -> Result<Artifact, ApiError> {
        let digest = find_digest(&self.scheduler, field, name).await?;
        match self.scheduler.storage().artifact(&digest).await? {
            Some(known) => Ok(known),
            None => self.scheduler.index(digest, None).await,
        }
    }
}

/// The digest that a digest, a unique prefix of one, or a tag names.
pub(super) async fn find_digest(scheduler: &Scheduler, field: &str, name: &str) -> Result<Digest, ApiError> {
    if let Ok(digest) = name.parse() {
        return Ok(digest);
    }
    let storage = scheduler.storage();
    if is_tag(name)
        && let Some(digest) = storage.tag(name).await?
    {
        return Ok(digest);
    }
    let digits = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase();
    if digits.len() < limits::DIGEST_PREFIX || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        if is_tag(name) {
            return Err(not_found("tag or artifact", name));
        }
        let wanted = format!(
            "must be a digest, a unique prefix of at least {} digits, or a tag, not {:?}",
            limits::DIGEST_PREFIX,
            convert::clipped(name)
        );
        return Err(fault(field, wanted));
    }
    match storage.artifacts_by_prefix(&format!("{PREFIX}{digits}"), 2).await?.as_slice() {
        [] => Err(not_found("artifact", name)),
        [only] => Ok(*only),
        _ => {
            Err(fault(field, format!("begins the digests of several artifacts: {digits:?}; give more of it")))
        }
    }
}

/// 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, starting with a letter.
fn is_tag(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    text.len() <= 63
        && text.chars().next().is_some_and(|first| first.is_ascii_lowercase())
        && text.chars().all(allowed)
}

#[tonic::async_trait]
impl ArtifactService for Artifacts {
    async fn register_artifact(
        &self,
        request: Request<wire::RegisterArtifactRequest>,
    ) -> Answer<wire::RegisterArtifactResponse> {
        anyone(&request)?;
        let digest = convert::digest("digest", &request.into_inner().digest)?;
        let known = self.scheduler.index(digest, None).await?;
        let artifact = Some(convert::artifact(known));
        Ok(Response::new(wire::RegisterArtifactResponse { artifact }))
    }

    async fn get_artifact(
        &self,
        request: Request<wire::GetArtifactRequest>,
    ) -> Answer<wire::GetArtifactResponse> {
        anyone(&request)?;
        let known = self.get("name", &request.into_inner().name).await?;
        Ok(Response::new(wire::GetArtifactResponse { artifact: Some(convert::artifact(known)) }))
    }

    async fn list_artifacts(
        &self,
        request: Request<wire::ListArtifactsRequest>,
    ) -> Answer<wire::ListArtifactsResponse> {
        require(&request, Role::Operator)?;
        let wire::ListArtifactsRequest { kind, page_size: asked, page_token } = request.into_inner();
        let size = page_size(asked)?;
        let kinds: Vec<&str> = if kind.is_empty() {
            let on_the_way = [ArtifactKind::Checkpoint, ArtifactKind::LayerPart];
            ArtifactKind::ALL
                .into_iter()
                .filter(|kind| !on_the_way.contains(kind))
                .map(ArtifactKind::as_str)
                .collect()
        } else {
            let kind = kind.parse::<ArtifactKind>().map_err(|error| fault("kind", error.to_string()))?;
            if kind == ArtifactKind::Checkpoint {
                let what = "checkpoints come and go and are not listed; a job names the latest of each part";
                return Err(fault("kind", what).into());
            }
            vec![kind.as_str()]
        };
        let before = match page_token.as_str() {
            "" => None,
            token => Some(token.parse().map_err(|_| fault("page_token", "is not a token of this list"))?),
        };
        let storage = self.scheduler.storage();
        let mut artifacts = storage.list_artifacts(&kinds, before, size + 1).await.map_err(ApiError::from)?;
        let mut next_page_token = String::new();
        if artifacts.len() > size as usize {
            artifacts.truncate(size as usize);
            next_page_token = artifacts.last().map(|last| last.cursor.to_string()).unwrap_or_default();
        }
        let artifacts = artifacts.into_iter().map(convert::artifact).collect();
        Ok(Response::new(wire::ListArtifactsResponse { artifacts, next_page_token }))
    }

    async fn get_lineage(
        &self,
        request: Request<wire::GetLineageRequest>,
    ) -> Answer<wire::GetLineageResponse> {
        require(&request, Role::Operator)?;
        let first = self.get("name", &request.into_inner().name).await?;
        let mut seen = HashSet::from([first.digest]);
        let mut queue: VecDeque<Digest> = first.inputs.iter().copied().collect();
        let mut artifacts = vec![first];
        while let Some(digest) = queue.pop_front() {
            if !seen.insert(digest) {
                continue;
            }
            let known = self.scheduler.storage().artifact(&digest).await.map_err(ApiError::from)?;
            // What is not known was not in the store when its product was indexed.
            if let Some(known) = known {
                queue.extend(&known.inputs);
                artifacts.push(known);
            }
        }
        let artifacts = artifacts.into_iter().map(convert::artifact).collect();
        Ok(Response::new(wire::GetLineageResponse { artifacts }))
    }

    async fn find_artifact(
        &self,
        request: Request<wire::FindArtifactRequest>,
    ) -> Answer<wire::FindArtifactResponse> {
        anyone(&request)?;
        let key = request.into_inner().key;
        convert::digest("key", &key)?;
        let artifact = match self.scheduler.existing(&key).await? {
            Some(digest) => self.scheduler.storage().artifact(&digest).await.map_err(ApiError::from)?,
            None => None,
        };
        let artifact = artifact.map(convert::artifact);
        Ok(Response::new(wire::FindArtifactResponse { artifact }))
    }

    async fn set_tag(&self, request: Request<wire::SetTagRequest>) -> Answer<wire::SetTagResponse> {
        require(&request, Role::Operator)?;
        let wire::SetTagRequest { tag, artifact } = request.into_inner();
        if !is_tag(&tag) {
            let wanted = "must be 1 to 63 characters of a-z, 0-9, '-', '_' and '.', starting with a letter";
            return Err(fault("tag", wanted).into());
        }
        let digest = self.get("artifact", &artifact).await?.digest;
        self.scheduler.set_tag(Tag { tag, digest, at: self.scheduler.clock().now() }).await?;
        let known = self.scheduler.storage().artifact(&digest).await.map_err(ApiError::from)?;
        Ok(Response::new(wire::SetTagResponse { artifact: known.map(convert::artifact) }))
    }

    async fn delete_tag(&self, request: Request<wire::DeleteTagRequest>) -> Answer<wire::DeleteTagResponse> {
        require(&request, Role::Operator)?;
        let tag = request.into_inner().tag;
        if !self.scheduler.delete_tag(tag.clone()).await? {
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format!("there is no tag {:?}", convert::clipped(&tag)),
            )
            .into());
        }
        Ok(Response::new(wire::DeleteTagResponse {}))
    }
}
