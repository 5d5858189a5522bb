//! From a pipeline file to a submitted pipeline: imports, references, idempotency key.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use counterstain_api::Digest;
use counterstain_api::error::{ApiError, ErrorCode, Violation};
use counterstain_api::pipeline::{PipelineFile, parse};
use counterstain_api::proto::job::v1::{JobRequest, Pipeline, SubmitPipelineRequest};
use counterstain_api::spec;
use counterstain_artifact::Store;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::import::run_import;
use super::jobs::job_table;
use super::open_store;
use crate::client::{Client, patiently};
use crate::failure::{fail, refused};
use crate::import::{Import, read_section};
use crate::json as to_json;
use crate::options::{Common, PipelineChoice, SubmitOptions};
use crate::output::{print_json, say, write_out};

/// A pipeline file that was read and checked, imports and all.
#[derive(Debug)]
pub struct Prepared {
    /// Name for people.
    pub name: String,
    /// Imports in file order.
    pub imports: Vec<(String, Import)>,
    /// Jobs; references to imports still stand.
    pub jobs: Vec<JobRequest>,
    /// Every job is to run anew.
    fresh: bool,
}

/// Reads the pipeline file.
///
/// # Errors
/// `not_found` when it cannot be read; `invalid_argument` with every fault found.
pub fn prepare(choice: &PipelineChoice) -> Result<Prepared> {
    let shown = choice.pipeline.display();
    let text = std::fs::read_to_string(&choice.pipeline)
        .map_err(|error| fail(ErrorCode::NotFound, format!("cannot read the pipeline {shown}: {error}")))?;
    let sets = choice
        .sets
        .iter()
        .map(|set| {
            let pair = set.split_once('=').filter(|(key, _)| !key.is_empty());
            let (key, value) = pair.ok_or_else(|| {
                fail(ErrorCode::InvalidArgument, format!("--set {set}: expected KEY=VALUE"))
            })?;
            Ok((key.trim().to_owned(), value.to_owned()))
        })
        .collect::<Result<Vec<_>>>()?;
    let invalid = |violations: Vec<Violation>| {
        let count =
            if violations.len() == 1 { "a fault".to_owned() } else { format!("{} faults", violations.len()) };
        ApiError::invalid(format!("the pipeline {shown} has {count}"), violations)
            .help("docs/pipelines.md lists every key")
    };
    let PipelineFile { name, imports, mut jobs } = parse(&text, &sets).map_err(invalid)?;
    let mut violations = Vec::new();
    let mut described = Vec::new();
    for (import_name, section) in &imports {
        match read_section(import_name, section) {
            Ok(import) => described.push((import_name.clone(), import)),
            Err(faults) => violations.extend(faults),
        }
    }
    violations.extend(cycle(&jobs));
    if !violations.is_empty() {
        return Err(invalid(violations).into());
    }
    jobs.iter_mut().for_each(|job| job.fresh |= choice.fresh);
    Ok(Prepared { name, imports: described, jobs, fresh: choice.fresh })
}

/// A fault for the jobs that wait for each other, before any import is done.
fn cycle(jobs: &[JobRequest]) -> Option<Violation> {
    let mut waiting: BTreeMap<&str, Vec<String>> = jobs
        .iter()
        .map(|job| {
            let inputs = job.spec.as_ref().map(spec::inputs).unwrap_or_default();
            let referenced =
                inputs.iter().filter_map(|input| input.value.strip_prefix('@').map(str::to_owned));
            (job.name.as_str(), referenced.chain(job.after.iter().cloned()).collect())
        })
        .collect();
    loop {
        let names: Vec<String> = waiting.keys().map(|name| (*name).to_owned()).collect();
        let before = waiting.len();
        waiting.retain(|_, needs| needs.iter().any(|need| names.contains(need)));
        if waiting.is_empty() {
            return None;
        }
        if waiting.len() == before {
            let names: Vec<&str> = waiting.keys().copied().collect();
            return Some(Violation::new(
                "jobs",
                format!("wait for each other in a cycle: {}", names.join(", ")),
            ));
        }
    }
}

impl Prepared {
    /// Does the imports and puts their digests into the jobs.
    ///
    /// # Errors
    /// Those of an import.
    pub async fn do_imports(
        &mut self,
        common: &Common,
        store: &Store,
        interrupted: &CancellationToken,
    ) -> Result<()> {
        let mut digests: BTreeMap<String, Digest> = BTreeMap::new();
        for (name, import) in &self.imports {
            let imported = run_import(common, name, import, store, interrupted).await;
            let imported = imported.with_context(|| format!("the import {name} failed"))?;
            digests.insert(name.clone(), imported.digest);
        }
        for job in &mut self.jobs {
            if let Some(job_spec) = &mut job.spec {
                spec::substitute(job_spec, |input| {
                    let name = input.value.strip_prefix('@')?;
                    digests.get(name).map(Digest::to_string)
                });
            }
        }
        Ok(())
    }

    /// The key of this submission: the same jobs on the same data have the same, so the same command
    /// goes on where it was.
    pub fn idempotency_key(&self) -> String {
        if self.fresh {
            return format!("run-{}", uuid::Uuid::now_v7());
        }
        let jobs: Vec<Value> = self
            .jobs
            .iter()
            .map(|job| {
                let resolved = job.spec.as_ref().and_then(|job_spec| spec::resolve(job_spec).ok());
                let (kind, content) = resolved.map_or(("", Value::Null), |resolved| {
                    (spec::kind_name(spec::kind(&resolved)), spec::canonical_json(&resolved))
                });
                json!({ "name": job.name, "kind": kind, "spec": content, "after": job.after, "fresh": job.fresh })
            })
            .collect();
        let bytes = spec::canonical_bytes(&json!({ "name": self.name, "jobs": jobs }));
        format!("run-{}", Digest::of(&bytes).hex())
    }

    /// Submits the jobs; a submission that is known already is returned as it stands.
    ///
    /// # Errors
    /// The coordinator's refusal, with every fault.
    pub async fn submit(&self, client: &Client) -> Result<(Pipeline, bool)> {
        let request = SubmitPipelineRequest {
            idempotency_key: self.idempotency_key(),
            name: self.name.clone(),
            jobs: self.jobs.clone(),
        };
        let answer = patiently(|| {
            let (mut jobs, request) = (client.jobs.clone(), request.clone());
            async move { jobs.submit_pipeline(request).await }
        });
        let submitted = answer.await.map_err(refused)?;
        let pipeline = submitted
            .pipeline
            .ok_or_else(|| fail(ErrorCode::Internal, "the coordinator's answer is empty"))?;
        Ok((pipeline, submitted.existed))
    }
}

/// Does the imports and submits, without waiting.
pub async fn submit_command(common: &Common, options: SubmitOptions) -> Result<()> {
    let mut prepared = prepare(&options.choice)?;
    let client = Client::connect(common).await?;
    let interrupted = counterstain_service::shutdown::token()?;
    prepared.do_imports(common, &open_store(common)?, &interrupted).await?;
    let (pipeline, existed) = prepared.submit(&client).await?;
    if common.json {
        let jobs: Vec<Value> = pipeline.jobs.iter().map(to_json::job).collect();
        print_json(
            &json!({ "pipeline": { "id": pipeline.id, "name": pipeline.name, "existed": existed, "jobs": jobs } }),
        );
        return Ok(());
    }
    say!("pipeline {} {}", pipeline.id, if existed { "was submitted before" } else { "submitted" });
    write_out(&job_table(&pipeline.jobs));
    Ok(())
}
