//! Commands about artifacts: through the coordinator, or straight from the store when none is up.

use std::collections::HashSet;

use anyhow::Result;
use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode};
use counterstain_api::proto::artifact::v1::{
    Artifact, DeleteTagRequest, GetLineageRequest, ListArtifactsRequest, RegisterArtifactRequest,
    SetTagRequest,
};
use counterstain_artifact::{ArtifactKind, Manifest, Store};
use serde_json::{Value, json};

use super::{answer, open_store};
use crate::client::Client;
use crate::failure::fail;
use crate::json as to_json;
use crate::options::{ArtifactsOptions, Common, ShowOptions, TagOptions};
use crate::output::{print_json, say, short, size, table, time, write_out};

/// Lists artifacts, newest first.
pub async fn list(common: &Common, options: ArtifactsOptions) -> Result<()> {
    let artifacts = match Client::connect(common).await {
        Ok(client) => listed(client, &options).await?,
        Err(_) if common.coordinator.is_none() => stored(common, &options).await?,
        Err(error) => return Err(error),
    };
    if common.json {
        print_json(&json!({ "artifacts": artifacts.iter().map(to_json::artifact).collect::<Vec<_>>() }));
        return Ok(());
    }
    if artifacts.is_empty() {
        say!("no artifacts");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = artifacts
        .iter()
        .map(|artifact| {
            vec![
                short(&artifact.digest).to_owned(),
                artifact.kind.clone(),
                summary(&artifact.manifest),
                artifact.tags.join(", "),
                time(artifact.created_at.as_ref()),
            ]
        })
        .collect();
    write_out(&table(&["DIGEST", "KIND", "WHAT", "TAGS", "CREATED"], &rows));
    Ok(())
}

async fn listed(mut client: Client, options: &ArtifactsOptions) -> Result<Vec<Artifact>> {
    let mut artifacts = Vec::new();
    let mut page_token = String::new();
    while artifacts.len() < options.limit {
        let page_size = (options.limit - artifacts.len()).min(1000) as u32;
        let request = ListArtifactsRequest { kind: options.kind.clone(), page_size, page_token };
        let page = answer(client.artifacts.list_artifacts(request).await)?;
        artifacts.extend(page.artifacts);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(artifacts)
}

/// What the store itself holds; tags and times are the database's and missing here.
async fn stored(common: &Common, options: &ArtifactsOptions) -> Result<Vec<Artifact>> {
    let wanted = if options.kind.is_empty() { None } else { Some(options.kind.parse::<ArtifactKind>()?) };
    let store = open_store(common)?;
    let mut artifacts = Vec::new();
    for digest in store.list_manifests().await? {
        if artifacts.len() == options.limit {
            break;
        }
        let manifest = store.manifest(&digest).await?;
        let shown = match wanted {
            Some(kind) => manifest.kind == kind,
            None => !matches!(manifest.kind, ArtifactKind::Checkpoint | ArtifactKind::LayerPart),
        };
        if shown {
            artifacts.push(as_artifact(&digest, &manifest)?);
        }
    }
    Ok(artifacts)
}

fn as_artifact(digest: &Digest, manifest: &Manifest) -> Result<Artifact> {
    Ok(Artifact {
        digest: digest.to_string(),
        kind: manifest.kind.to_string(),
        key: manifest.key().unwrap_or_default(),
        manifest: serde_json::to_string(manifest)?,
        tags: Vec::new(),
        job_id: String::new(),
        created_at: None,
    })
}

/// A few words on an artifact from its manifest.
pub fn summary(manifest: &str) -> String {
    let Ok(manifest) = serde_json::from_str::<Value>(manifest) else { return String::new() };
    let body = &manifest["body"];
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let names = |key: &str| {
        let items = body[key].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .filter_map(|item| item.as_str().or(item["name"].as_str()))
            .collect::<Vec<_>>()
            .join(" + ")
    };
    match manifest["kind"].as_str().unwrap_or_default() {
        "dataset" => format!("{}: {} samples, {}", text("name"), body["samples"], names("layers")),
        "layer" => {
            format!("layer {} of {}", text("name"), short(body["dataset"].as_str().unwrap_or_default()))
        }
        "layer-part" => format!("part {} of a layer", body["part"]),
        "generator" => format!("{} → {}", text("method"), body["layer"]["name"].as_str().unwrap_or_default()),
        "encoder" => {
            let privileged = names("privileged");
            let with = if privileged.is_empty() { String::new() } else { format!(" with {privileged}") };
            format!("{} {} {}{with}", text("architecture"), text("method"), text("loss"))
        }
        "representations" => format!("{} × {}", body["samples"], body["width"]),
        "result" => format!("{} rows", body["rows"]),
        "checkpoint" => format!("{} at step {}", text("job_kind"), body["step"]),
        _ => String::new(),
    }
}

/// Shows an artifact and what it was made from.
pub async fn show(common: &Common, options: ShowOptions) -> Result<()> {
    let lineage = lineage(common, &options.artifact).await?;
    let Some(artifact) = lineage.first() else {
        return Err(fail(ErrorCode::NotFound, format!("there is no artifact {}", options.artifact)));
    };
    if common.json {
        let mut document = to_json::artifact(artifact);
        document["lineage"] = lineage.iter().skip(1).map(to_json::artifact).collect();
        print_json(&document);
        return Ok(());
    }
    let manifest: Value = serde_json::from_str(&artifact.manifest)?;
    say!("{}  {}", artifact.kind, artifact.digest);
    say!("  {}", summary(&artifact.manifest));
    if !artifact.tags.is_empty() {
        say!("  tags: {}", artifact.tags.join(", "));
    }
    if !artifact.job_id.is_empty() {
        say!("  made by job {}, {}", artifact.job_id, time(artifact.created_at.as_ref()));
    }
    say!("\nbody\n{:#}", manifest["body"]);
    if let Some(spec) = manifest.get("spec") {
        say!("\nspec\n{spec:#}");
    }
    if let Some(profile) = manifest.get("profile") {
        say!("\nprofile\n{profile:#}");
    }
    let objects: Vec<Vec<String>> = manifest["objects"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|object| {
            vec![
                object["name"].as_str().unwrap_or_default().to_owned(),
                size(object["size"].as_u64().unwrap_or_default()),
                object["digest"].as_str().unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    if !objects.is_empty() {
        say!("\n{}", table(&["OBJECT", "SIZE", "DIGEST"], &objects).trim_end());
    }
    say!("\nlineage");
    print_tree(&lineage, &artifact.digest, "", 0, &mut HashSet::new());
    Ok(())
}

/// An artifact and all that it was made from, the artifact first.
///
/// # Errors
/// `not_found`, or why neither coordinator nor store answer.
pub async fn lineage(common: &Common, name: &str) -> Result<Vec<Artifact>> {
    match Client::connect(common).await {
        Ok(mut client) => lineage_through(&mut client, name).await,
        Err(_) if common.coordinator.is_none() => stored_lineage(&open_store(common)?, name).await,
        Err(error) => Err(error),
    }
}

async fn lineage_through(client: &mut Client, name: &str) -> Result<Vec<Artifact>> {
    let request = GetLineageRequest { name: name.to_owned() };
    match client.artifacts.get_lineage(request.clone()).await {
        Ok(response) => Ok(response.into_inner().artifacts),
        // An import of before the coordinator was up is in the store all the same: make it known.
        Err(status) if status.code() == tonic::Code::NotFound && name.parse::<Digest>().is_ok() => {
            let register = RegisterArtifactRequest { digest: name.to_owned() };
            answer(client.artifacts.register_artifact(register).await)?;
            Ok(answer(client.artifacts.get_lineage(request).await)?.artifacts)
        }
        Err(status) => Err(crate::failure::refused(status)),
    }
}

/// Lineage from manifests alone.
async fn stored_lineage(store: &Store, name: &str) -> Result<Vec<Artifact>> {
    let root = find_stored(store, name).await?;
    let mut queue = std::collections::VecDeque::from([root]);
    let mut seen = std::collections::HashSet::from([root]);
    let mut lineage = Vec::new();
    while let Some(digest) = queue.pop_front() {
        let manifest = store.manifest(&digest).await?;
        for input in &manifest.inputs {
            if seen.insert(input.digest) {
                queue.push_back(input.digest);
            }
        }
        lineage.push(as_artifact(&digest, &manifest)?);
    }
    Ok(lineage)
}

/// The digest that `name` is a unique prefix of.
async fn find_stored(store: &Store, name: &str) -> Result<Digest> {
    if let Ok(digest) = name.parse() {
        return Ok(digest);
    }
    let prefix = if name.starts_with("sha256:") { name.to_owned() } else { format!("sha256:{name}") };
    let all = store.list_manifests().await?;
    let found: Vec<&Digest> = all.iter().filter(|digest| digest.to_string().starts_with(&prefix)).collect();
    match found.as_slice() {
        [one] => Ok(**one),
        [] => Err(ApiError::new(
            ErrorCode::NotFound,
            format!("there is no artifact {name} in {}", store.location()),
        )
        .help("tags are known to the coordinator only; list digests with `counterstain artifacts`")
        .into()),
        several => {
            let list: Vec<String> = several.iter().map(|digest| digest.short()).collect();
            Err(fail(
                ErrorCode::InvalidArgument,
                format!("{name} is the beginning of several digests: {}", list.join(", ")),
            ))
        }
    }
}

/// Prints what `digest` was made from as a tree; what was shown before is not unfolded again.
fn print_tree(lineage: &[Artifact], digest: &str, role: &str, depth: usize, shown: &mut HashSet<String>) {
    let Some(artifact) = lineage.iter().find(|artifact| artifact.digest == digest) else { return };
    let role = if role.is_empty() { String::new() } else { format!("{role}: ") };
    let text = summary(&artifact.manifest);
    let is_new = shown.insert(digest.to_owned());
    say!("{:indent$}{role}{} {}  {text}", "", artifact.kind, short(digest), indent = 2 + depth * 2);
    if !is_new {
        return;
    }
    let manifest = serde_json::from_str::<Value>(&artifact.manifest).unwrap_or_default();
    for input in manifest["inputs"].as_array().into_iter().flatten() {
        let name = input["name"].as_str().unwrap_or_default();
        print_tree(lineage, input["digest"].as_str().unwrap_or_default(), name, depth + 1, shown);
    }
}

/// Points a tag to an artifact, or removes it.
pub async fn tag(common: &Common, options: TagOptions) -> Result<()> {
    let mut client = Client::connect(common).await?;
    let TagOptions { tag, artifact, .. } = options;
    match artifact {
        None => {
            answer(client.artifacts.delete_tag(DeleteTagRequest { tag: tag.clone() }).await)?;
            if !common.json {
                say!("removed {tag}");
            }
        }
        Some(artifact) => {
            let request = SetTagRequest { tag: tag.clone(), artifact };
            let set = answer(client.artifacts.set_tag(request).await)?.artifact.unwrap_or_default();
            if common.json {
                print_json(&to_json::artifact(&set));
            } else {
                say!("{tag} → {}", set.digest);
            }
        }
    }
    Ok(())
}
