//! From a submission to the jobs that are stored: everything is resolved and checked here, and every fault
//! found is reported with its field path, as in a pipeline file: `jobs.NAME.epochs`.

use std::collections::{BTreeSet, HashMap};

use counterstain_api::error::{ApiError, Violation};
use counterstain_api::proto::job::v1::{JobRequest, JobSpec, SubmitPipelineRequest};
use counterstain_api::{Digest, spec};
use prost::Message as _;
use uuid::Uuid;

use super::graph;
use super::inputs::Inputs;
use super::principal::Principal;
use crate::limits;
use crate::machine::Job;
use crate::scheduler::{self, Scheduler, output_kind, same_submission};
use crate::storage::{NewJob, NewPipeline};

/// Adds a pipeline, unless it was submitted before with the same key. Gives its id and whether it existed.
///
/// # Errors
/// Every fault of the submission, or the key was used for something else.
pub(super) async fn submit(
    scheduler: &Scheduler,
    principal: &Principal,
    request: SubmitPipelineRequest,
) -> scheduler::Result<(Uuid, bool)> {
    let SubmitPipelineRequest { idempotency_key: key, name, jobs } = request;
    let content = content(&name, &jobs);
    // Before anything is checked, so that a repetition succeeds whatever has happened since.
    if let Some(known) = scheduler.submission(&principal.name, &key).await? {
        return same_submission(&known, &content, &key).map(|id| (id, true));
    }
    let mut violations = Vec::new();
    check_head(&key, &name, &jobs, &mut violations);
    let jobs = plan(scheduler, jobs, &mut violations).await?;
    if !violations.is_empty() {
        violations.sort();
        violations.dedup();
        let message = match violations.len() {
            1 => "the pipeline has a fault".to_owned(),
            count => format!("the pipeline has {count} faults"),
        };
        return Err(ApiError::invalid(message, violations).help("docs/pipelines.md describes every key"));
    }
    let pipeline = NewPipeline {
        id: Uuid::now_v7(),
        name,
        principal: principal.name.clone(),
        idempotency_key: key,
        content,
        created_at: scheduler.clock().now(),
    };
    scheduler.submit(pipeline, jobs).await
}

/// Digest of what is submitted; the key is not part of it.
fn content(name: &str, jobs: &[JobRequest]) -> Digest {
    let content =
        SubmitPipelineRequest { idempotency_key: String::new(), name: name.to_owned(), jobs: jobs.to_vec() };
    Digest::of(&content.encode_to_vec())
}

fn check_head(key: &str, name: &str, jobs: &[JobRequest], violations: &mut Vec<Violation>) {
    let printable = key.chars().all(|character| !character.is_control());
    if key.is_empty() || key.chars().count() > limits::IDEMPOTENCY_KEY || !printable {
        let wanted = format!("must be 1 to {} printable characters", limits::IDEMPOTENCY_KEY);
        violations.push(Violation::new("idempotency_key", wanted));
    }
    if !spec::is_name(name) {
        violations.push(Violation::new("name", name_rule(name)));
    }
    if jobs.is_empty() || jobs.len() > limits::JOBS_PER_PIPELINE {
        let wanted = format!("must be 1 to {} jobs, not {}", limits::JOBS_PER_PIPELINE, jobs.len());
        violations.push(Violation::new("jobs", wanted));
    }
}

fn name_rule(name: &str) -> String {
    let name: String = name.chars().take(limits::LABEL).collect();
    format!("must be 1 to 63 characters of a-z, 0-9, '-' and '_', starting with a letter, not {name:?}")
}

/// A job on its way from request to row.
struct Draft {
    /// How its fields are called in violations.
    path: String,
    name: String,
    spec: JobSpec,
    /// Names of jobs that must succeed first, as requested.
    after: Vec<String>,
    /// Positions of the jobs that it needs.
    needs: BTreeSet<usize>,
    fresh: bool,
}

/// The jobs in topological order; nothing when there are violations.
async fn plan(
    scheduler: &Scheduler,
    requests: Vec<JobRequest>,
    violations: &mut Vec<Violation>,
) -> scheduler::Result<Vec<NewJob>> {
    if requests.len() > limits::JOBS_PER_PIPELINE {
        return Ok(Vec::new());
    }
    let mut positions: HashMap<String, usize> = HashMap::new();
    for (position, request) in requests.iter().enumerate() {
        let field = format!("jobs[{position}].name");
        if !spec::is_name(&request.name) {
            violations.push(Violation::new(field, name_rule(&request.name)));
        } else if let Some(first) = positions.get(&request.name) {
            let what = format!("is {:?}, as is that of jobs[{first}]; names are unique", request.name);
            violations.push(Violation::new(field, what));
        } else {
            positions.insert(request.name.clone(), position);
        }
    }
    let mut inputs = Inputs::new(scheduler);
    let mut drafts = Vec::with_capacity(requests.len());
    for (position, request) in requests.into_iter().enumerate() {
        let path = match positions.get(&request.name) {
            Some(first) if *first == position => format!("jobs.{}", request.name),
            _ => format!("jobs[{position}]"),
        };
        drafts.push(draft(request, path, &mut inputs, violations).await?);
    }
    let kinds: Vec<_> = drafts.iter().map(|draft| output_kind(spec::kind(&draft.spec))).collect();
    for (position, draft) in drafts.iter_mut().enumerate() {
        for (index, name) in draft.after.iter().enumerate() {
            let field = format!("{}.after[{index}]", draft.path);
            let name = name.strip_prefix('@').unwrap_or(name);
            draft.needs.extend(reference(name, position, &positions, &field, violations));
        }
        for input in spec::inputs(&draft.spec) {
            let Some(name) = input.value.strip_prefix('@') else { continue };
            let field = format!("{}.{}", draft.path, input.path);
            let Some(needed) = reference(name, position, &positions, &field, violations) else { continue };
            draft.needs.insert(needed);
            if let Some(kind) = kinds[needed].filter(|kind| kind.as_str() != input.artifact_kind) {
                let what = format!("needs a {}, but job {name} makes a {kind}", input.artifact_kind);
                violations.push(Violation::new(field, what));
            }
        }
    }
    let needs: Vec<BTreeSet<usize>> = drafts.iter().map(|draft| draft.needs.clone()).collect();
    let name_of = |position: &usize| drafts[*position].name.as_str();
    for cycle in graph::cycles(&needs) {
        let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(name_of).collect();
        let what = format!("wait for each other in a cycle: {}", names.join(" → "));
        violations.push(Violation::new("jobs", what));
    }
    if !violations.is_empty() {
        return Ok(Vec::new());
    }
    Ok(rows(&drafts, &graph::order(&needs)))
}

async fn draft(
    request: JobRequest,
    path: String,
    inputs: &mut Inputs<'_>,
    violations: &mut Vec<Violation>,
) -> scheduler::Result<Draft> {
    let JobRequest { name, spec, after, fresh } = request;
    let mut spec = spec.unwrap_or_default();
    inputs.expand_names(&mut spec).await?;
    let mut draft = Draft { path, name, spec, after, needs: BTreeSet::new(), fresh };
    match spec::resolve(&draft.spec) {
        Ok(resolved) => {
            draft.spec = resolved;
            inputs.check(&draft.spec, &draft.path, violations).await?;
        }
        Err(faults) => violations.extend(
            faults
                .into_iter()
                .map(|fault| Violation::new(format!("{}.{}", draft.path, fault.field), fault.description)),
        ),
    }
    Ok(draft)
}

/// The position of the job that a reference names.
fn reference(
    name: &str,
    from: usize,
    positions: &HashMap<String, usize>,
    field: &str,
    violations: &mut Vec<Violation>,
) -> Option<usize> {
    let Some(position) = positions.get(name) else {
        let hint = spec::suggestion(name, positions.keys().map(String::as_str));
        violations.push(Violation::new(field, format!("names the job {name:?}, which does not exist{hint}")));
        return None;
    };
    if *position == from {
        violations.push(Violation::new(field, "names the job itself"));
        return None;
    }
    Some(*position)
}

fn rows(drafts: &[Draft], order: &[usize]) -> Vec<NewJob> {
    let mut ids: HashMap<usize, Uuid> = HashMap::new();
    let mut rows = Vec::with_capacity(drafts.len());
    for position in order {
        let draft = &drafts[*position];
        let id = Uuid::now_v7();
        ids.insert(*position, id);
        let kind = spec::kind(&draft.spec);
        let assembled = kind == counterstain_api::proto::job::v1::JobKind::GenerateLayer;
        let needs = draft.needs.iter().filter_map(|needed| ids.get(needed).copied()).collect();
        rows.push(NewJob {
            id,
            name: draft.name.clone(),
            kind,
            spec: draft.spec.clone(),
            after: draft.needs.iter().map(|needed| drafts[*needed].name.clone()).collect(),
            job: Job::new(needs, assembled, draft.fresh),
        });
    }
    rows
}
