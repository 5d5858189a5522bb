//! Gathers what a finished pipeline is worth: results, lineage, metrics and pictures; writes and prints it.

use std::collections::{HashSet, VecDeque};
use std::path::Path;

use anyhow::{Context as _, Result};
use counterstain_api::Digest;
use counterstain_api::proto::job::v1::{Job, JobKind, JobState, ListMetricsRequest};
use counterstain_api::result::{ResultDocument, Row, SCHEMA};
use counterstain_api::spec;
use counterstain_artifact::{ArtifactKind, Manifest, RESULT, Store, get_named};

use super::artifacts::summary;
use super::pictures::collect;
use crate::client::{Client, patiently};
use crate::failure::refused;
use crate::json::state_name;
use crate::output::{print_json, seconds_between, table, time, write_out};
use crate::report::{
    self, JobReport, LineageEntry, ReportData, Series, classifier_label, classifier_of, figure, floor_of,
    is_same_subject, measure_label, row_label,
};

/// Gathers everything that the report of these jobs shows.
///
/// # Errors
/// Those of the store (a result that is damaged or newer) and of the coordinator.
pub async fn gather(client: &Client, store: &Store, pipeline: &str, jobs: &[Job]) -> Result<ReportData> {
    let document = document(store, pipeline, jobs).await?;
    let mut reports = Vec::with_capacity(jobs.len());
    for job in jobs {
        reports.push(job_report(client, job).await?);
    }
    let manifests = lineage(store, jobs).await?;
    let mut profiles: Vec<counterstain_api::Profile> = Vec::new();
    for profile in manifests.iter().filter_map(|(_, manifest)| manifest.profile.clone()) {
        if !profiles.contains(&profile) {
            profiles.push(profile);
        }
    }
    let lineage = manifests
        .iter()
        .map(|(digest, manifest)| {
            let text = serde_json::to_string(manifest).unwrap_or_default();
            LineageEntry {
                digest: digest.to_string(),
                kind: manifest.kind.to_string(),
                summary: summary(&text),
                inputs: manifest
                    .inputs
                    .iter()
                    .map(|input| (input.name.clone(), input.digest.to_string()))
                    .collect(),
            }
        })
        .collect();
    let galleries = collect(store, jobs).await?;
    Ok(ReportData { document, jobs: reports, lineage, galleries, profiles })
}

/// The result documents of all evaluations in one, floors that repeat once.
async fn document(store: &Store, pipeline: &str, jobs: &[Job]) -> Result<ResultDocument> {
    let mut merged =
        ResultDocument { schema: SCHEMA, pipeline: pipeline.to_owned(), ..ResultDocument::default() };
    for job in jobs.iter().filter(|job| is_evaluation(job) && job.state() == JobState::Succeeded) {
        let document = read_document(store, &job.output.parse()?).await?;
        extend_without_repeats(&mut merged.rows, document.rows);
        extend_without_repeats(&mut merged.confusions, document.confusions);
        extend_without_repeats(&mut merged.notes, document.notes);
    }
    Ok(merged)
}

fn is_evaluation(job: &Job) -> bool {
    matches!(job.kind(), JobKind::Evaluate | JobKind::EvaluateGenerator)
}

/// The document of a result artifact.
///
/// # Errors
/// When it is damaged or newer than this program, and the store's.
pub async fn read_document(store: &Store, digest: &Digest) -> Result<ResultDocument> {
    let manifest = store.manifest(digest).await?;
    let bytes = get_named(store, &manifest, RESULT).await?;
    let document: ResultDocument = serde_json::from_slice(&bytes)
        .with_context(|| format!("the result document of {digest} cannot be read"))?;
    anyhow::ensure!(
        document.schema <= SCHEMA,
        "the result document of {digest} has schema {}, this program reads schema {SCHEMA} at most; update it",
        document.schema
    );
    Ok(document)
}

fn extend_without_repeats<T: PartialEq>(all: &mut Vec<T>, more: Vec<T>) {
    for item in more {
        if !all.contains(&item) {
            all.push(item);
        }
    }
}

async fn job_report(client: &Client, job: &Job) -> Result<JobReport> {
    let answer = patiently(|| {
        let mut jobs = client.jobs.clone();
        let request = ListMetricsRequest { job_id: job.id.clone(), names: Vec::new() };
        async move { jobs.list_metrics(request).await }
    });
    let mut metrics: Vec<Series> = Vec::new();
    for metric in answer.await.map_err(refused)?.metrics {
        match metrics.iter_mut().find(|series| series.name == metric.name) {
            Some(series) => series.points.push((metric.step, metric.value)),
            None => metrics.push(Series { name: metric.name, points: vec![(metric.step, metric.value)] }),
        }
    }
    metrics.iter_mut().for_each(|series| series.points.sort_by_key(|(step, _)| *step));
    Ok(JobReport {
        name: job.name.clone(),
        kind: spec::kind_name(job.kind()).to_owned(),
        state: state_name(job.state()),
        spec: job.spec.as_ref().map(spec::to_json).unwrap_or_default(),
        output: job.output.clone(),
        reused: job.reused,
        started: time(job.started_at.as_ref()),
        seconds: seconds_between(job.started_at, job.ended_at),
        failed_attempts: job.failed_attempts,
        lost_leases: job.lost_leases,
        metrics,
    })
}

/// All artifacts that the jobs' outputs were made from, breadth first, results before the rest.
async fn lineage(store: &Store, jobs: &[Job]) -> Result<Vec<(Digest, Manifest)>> {
    let mut roots: Vec<(bool, Digest)> = Vec::new();
    for job in jobs.iter().filter(|job| !job.output.is_empty()) {
        roots.push((!is_evaluation(job), job.output.parse()?));
    }
    roots.sort_by_key(|(is_later, _)| *is_later);
    let mut queue: VecDeque<Digest> = roots.into_iter().map(|(_, digest)| digest).collect();
    let mut seen: HashSet<Digest> = HashSet::new();
    let mut found = Vec::new();
    while let Some(digest) = queue.pop_front() {
        if !seen.insert(digest) {
            continue;
        }
        let manifest = store.manifest(&digest).await?;
        queue.extend(manifest.inputs.iter().map(|input| input.digest));
        found.push((digest, manifest));
    }
    // Representations are how evaluations work inside; they would only lengthen the tree.
    found.retain(|(_, manifest)| {
        !matches!(manifest.kind, ArtifactKind::LayerPart | ArtifactKind::Representations)
    });
    Ok(found)
}

/// Writes result.json and report.html.
///
/// # Errors
/// When the folder cannot be made or a file cannot be written.
pub fn write(data: &ReportData, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let json = format!("{:#}\n", serde_json::to_value(&data.document)?);
    for (name, text) in [("result.json", json), ("report.html", report::render(data))] {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Prints the result table, or the document with `--json`.
pub fn print(data: &ReportData, out: &Path, json: bool) {
    if json {
        print_json(&serde_json::to_value(&data.document).unwrap_or_default());
    } else {
        write_out(&text_tables(&data.document.rows));
    }
    eprintln!("wrote {} and {}", out.join("result.json").display(), out.join("report.html").display());
}

/// A table for each task and classifier: encoders first, floors last and marked.
fn text_tables(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut tasks: Vec<&str> = rows.iter().map(|row| row.task.as_str()).collect();
    tasks.dedup();
    for task in tasks {
        let of_task: Vec<&Row> = rows.iter().filter(|row| row.task == task).collect();
        for block in report::blocks(&of_task) {
            let subjects = report::subjects(&block);
            let heading = report::subject_heading(&block).to_uppercase();
            let metrics = report::metrics(&block);
            for group in metrics.chunk_by(|one, other| classifier_of(one) == classifier_of(other)) {
                let measures: Vec<String> =
                    group.iter().map(|metric| measure_label(metric).to_uppercase()).collect();
                let mut columns = vec![heading.as_str()];
                columns.extend(measures.iter().map(String::as_str));
                columns.push("N");
                let lines: Vec<Vec<String>> =
                    subjects.iter().map(|subject| line(&block, subject, group)).collect();
                let classifier = classifier_label(classifier_of(&group[0])).to_lowercase();
                text.push_str(&format!("\n{task}, {classifier}\n{}", table(&columns, &lines)));
            }
        }
    }
    text
}

/// The cells of one subject.
fn line(rows: &[&Row], subject: &Row, metrics: &[String]) -> Vec<String> {
    let mut cells = vec![subject_label(subject)];
    cells.extend(metrics.iter().map(|metric| {
        let mut found = rows.iter().filter(|row| row.metric == *metric);
        let found = found.find(|row| is_same_subject(row, subject));
        found.map_or_else(|| "-".to_owned(), |row| cell(row))
    }));
    cells.push(subject.n.to_string());
    cells
}

fn subject_label(row: &Row) -> String {
    let label = row_label(&row.method, &row.privileged, &row.loss);
    if floor_of(&row.method).is_some() { format!("{label} (floor)") } else { label }
}

fn cell(row: &Row) -> String {
    match (row.ci_low, row.ci_high) {
        (Some(low), Some(high)) => format!("{} [{}, {}]", figure(row.value), figure(low), figure(high)),
        _ => figure(row.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_marks_floors_and_shows_intervals() {
        let row = |method: &str, value: f64| Row {
            loss: if method == "random" { "" } else { "vicreg" }.into(),
            method: method.into(),
            privileged: String::new(),
            generator: None,
            encoder: None,
            train_dataset: None,
            eval_dataset: Digest::of(b"x"),
            task: "tumour".into(),
            metric: "probe/accuracy".into(),
            value,
            ci_low: Some(value - 0.1),
            ci_high: Some(value + 0.1),
            n: 10,
            seed: 0,
            artifact: None,
        };
        let text = text_tables(&[row("random", 0.6), row("unprivileged", 0.8)]);
        let lines: Vec<&str> = text.trim().lines().collect();
        assert_eq!(lines[0], "tumour, linear probe");
        assert!(lines[1].contains("ACCURACY"), "{text}");
        assert!(
            lines[2].starts_with("Unprivileged, VICReg") && lines[2].contains("0.800 [0.700, 0.900]"),
            "{text}"
        );
        assert!(lines[3].contains("(floor)"), "{text}");
    }
}
