//! The artifact contract: manifests, tags and lists.

use counterstain_api::Digest;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::artifact::v1::*;

use crate::support::{System, answer, patient, profile};

#[tokio::test]
async fn an_artifact_is_found_by_digest_prefix_tag_and_key() {
    let system = System::start(patient()).await;
    system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    let lease = worker.lease().await;
    let output = worker.finish(&lease).await.to_string();
    let mut artifacts = system.artifacts.clone();
    let tag = SetTagRequest { tag: "best.v1".to_owned(), artifact: output.clone() };
    let tagged = answer(artifacts.set_tag(tag).await).unwrap().artifact.unwrap();
    assert_eq!(tagged.tags, ["best.v1"]);
    assert_eq!((tagged.kind.as_str(), tagged.job_id), ("generator", lease.job_id));
    for name in [&output, &output[..15], &output[7..15], "best.v1"] {
        let found = answer(artifacts.get_artifact(GetArtifactRequest { name: name.to_owned() }).await);
        assert_eq!(found.unwrap().artifact.unwrap().digest, output, "{name}");
    }
    let manifest: serde_json::Value = serde_json::from_str(&tagged.manifest).unwrap();
    assert_eq!(manifest["kind"], "generator");
    let found = answer(artifacts.find_artifact(FindArtifactRequest { key: tagged.key }).await).unwrap();
    assert_eq!(found.artifact.unwrap().digest, output);
    let key = Digest::of(b"another key").to_string();
    let absent = answer(artifacts.find_artifact(FindArtifactRequest { key }).await).unwrap();
    assert!(absent.artifact.is_none());

    let delete = DeleteTagRequest { tag: "best.v1".to_owned() };
    answer(artifacts.delete_tag(delete.clone()).await).unwrap();
    assert_eq!(answer(artifacts.delete_tag(delete).await).unwrap_err().code, ErrorCode::NotFound);
    for (name, code) in [
        ("best.v1", ErrorCode::NotFound),
        ("abc", ErrorCode::NotFound),
        ("!", ErrorCode::InvalidArgument),
        ("0123456789", ErrorCode::NotFound),
    ] {
        let refused = answer(artifacts.get_artifact(GetArtifactRequest { name: name.to_owned() }).await);
        assert_eq!(refused.unwrap_err().code, code, "{name}");
    }
    let bad = SetTagRequest { tag: "Bad Tag".to_owned(), artifact: output };
    assert_eq!(answer(artifacts.set_tag(bad).await).unwrap_err().violations[0].field, "tag");
    system.stop().await;
}

#[tokio::test]
async fn artifacts_are_listed_in_pages_without_what_lies_on_the_way() {
    let system = System::start(patient()).await;
    system.submit_generator(1).await;
    let worker = system.worker("w", &profile(2)).await;
    let lease = worker.lease().await;
    worker.checkpoint(&lease, 1).await.unwrap();
    worker.finish(&lease).await;
    let mut artifacts = system.artifacts.clone();
    for n in 0..3 {
        let digest = system.dataset(&format!("more {n}"), 1).await.to_string();
        answer(artifacts.register_artifact(RegisterArtifactRequest { digest }).await).unwrap();
    }
    let mut kinds = Vec::new();
    let mut request = ListArtifactsRequest { page_size: 2, ..Default::default() };
    loop {
        let page = answer(artifacts.list_artifacts(request.clone()).await).unwrap();
        kinds.extend(page.artifacts.into_iter().map(|artifact| artifact.kind));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(kinds, ["dataset", "dataset", "dataset", "generator", "dataset"]);
    for kind in ["checkpoint", "picture"] {
        let request = ListArtifactsRequest { kind: kind.to_owned(), ..Default::default() };
        let refused = answer(artifacts.list_artifacts(request).await).unwrap_err();
        assert_eq!(
            (refused.code, refused.violations[0].field.as_str()),
            (ErrorCode::InvalidArgument, "kind")
        );
    }
    system.stop().await;
}

#[tokio::test]
async fn what_is_not_in_the_store_cannot_be_registered() {
    let system = System::start(patient()).await;
    let digest = Digest::of(b"nothing").to_string();
    let refused =
        answer(system.artifacts.clone().register_artifact(RegisterArtifactRequest { digest }).await);
    assert_eq!(refused.unwrap_err().code, ErrorCode::NotFound);
    system.stop().await;
}
