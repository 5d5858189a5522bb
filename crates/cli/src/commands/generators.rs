//! `generators`: what each generator is worth, from all results that name it.
//!
//! Invariants: a score is the mean over independent results (encoders of several seeds, several judgements), and
//! says over how many; nothing is computed here.

use std::collections::BTreeMap;

use anyhow::Result;
use counterstain_api::Digest;
use counterstain_api::error::ErrorCode;
use counterstain_api::result::Row;
use counterstain_artifact::{ArtifactKind, GeneratorBody, Store};
use serde_json::{Value, json};

use super::open_store;
use super::results::read_document;
use crate::failure::fail;
use crate::options::{Common, GeneratorsOptions};
use crate::output::{print_json, say, table};
use crate::report::{figure, judges_generators, lower_is_better, measure_label, metric_label};

/// Metrics that have columns, where any generator has them.
const COLUMNS: [&str; 9] = [
    "probe/auc",
    "probe/balanced_accuracy",
    "image/psnr",
    "image/ssim",
    "nuclei/dice",
    "nuclei/aji",
    "nuclei/pq",
    "distance/frechet",
    "distance/kernel",
];

/// A generator and its scores.
struct Entry {
    digest: Digest,
    body: GeneratorBody,
    /// All values of each metric and task.
    scores: BTreeMap<(String, String), Vec<Score>>,
}

/// One value, and what it is of.
struct Score {
    value: f64,
    /// The encoder's method; empty when the generator itself was judged.
    method: String,
    seed: u64,
}

impl Entry {
    /// Mean and number of a metric's values, of all tasks.
    fn mean(&self, metric: &str) -> Option<(f64, usize)> {
        let values: Vec<f64> = self
            .scores
            .iter()
            .filter(|((_, known), _)| known == metric)
            .flat_map(|(_, scores)| scores.iter().map(|score| score.value))
            .collect();
        (!values.is_empty()).then(|| (values.iter().sum::<f64>() / values.len() as f64, values.len()))
    }
}

/// Lists the generators, best first.
pub async fn list(common: &Common, options: GeneratorsOptions) -> Result<()> {
    let store = open_store(common)?;
    let mut entries = gather(&store, options.task.as_deref()).await?;
    let known = entries.iter().any(|entry| entry.mean(&options.sort).is_some());
    if !known && !COLUMNS.contains(&options.sort.as_str()) {
        let mut metrics: Vec<&str> =
            entries.iter().flat_map(|entry| entry.scores.keys().map(|(_, metric)| metric.as_str())).collect();
        metrics.sort_unstable();
        metrics.dedup();
        let text = format!(
            "--sort {}: no generator has this metric; there are: {}",
            options.sort,
            metrics.join(", ")
        );
        return Err(fail(ErrorCode::InvalidArgument, text));
    }
    let sign = if lower_is_better(&options.sort) { 1.0 } else { -1.0 };
    let rank = |entry: &Entry| entry.mean(&options.sort).map_or(f64::INFINITY, |(value, _)| sign * value);
    entries.sort_by(|one, other| rank(one).total_cmp(&rank(other)));
    if common.json {
        let listed: Vec<Value> = entries.iter().map(to_json).collect();
        print_json(&json!({ "sorted_by": options.sort, "generators": listed }));
        return Ok(());
    }
    if entries.is_empty() {
        say!("no generators");
        return Ok(());
    }
    let sorted_by = options.sort.as_str();
    let columns: Vec<&str> = std::iter::once(sorted_by)
        .chain(COLUMNS.into_iter().filter(|metric| *metric != sorted_by))
        .filter(|metric| entries.iter().any(|entry| entry.mean(metric).is_some()))
        .collect();
    let titles: Vec<String> = columns.iter().map(|metric| title(metric)).collect();
    let mut headers = vec!["GENERATOR", "METHOD", "PAINTS"];
    headers.extend(titles.iter().map(String::as_str));
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| line(entry, &columns)).collect();
    say!("{}", table(&headers, &rows).trim_end());
    say!(
        "\nMeans; in parentheses over how many encoders (or judgements). Scores of different tasks are not \
         comparable: choose one with --task."
    );
    Ok(())
}

fn title(metric: &str) -> String {
    let text = if judges_generators(metric) { measure_label(metric) } else { metric_label(metric) };
    text.to_uppercase()
}

fn line(entry: &Entry, columns: &[&str]) -> Vec<String> {
    let mut cells = vec![entry.digest.short(), entry.body.method.clone(), entry.body.layer.name.clone()];
    cells.extend(columns.iter().map(|metric| match entry.mean(metric) {
        Some((value, 1)) => figure(value),
        Some((value, count)) => format!("{} ({count})", figure(value)),
        None => "-".to_owned(),
    }));
    cells
}

fn to_json(entry: &Entry) -> Value {
    let scores: Vec<Value> = entry
        .scores
        .iter()
        .flat_map(|((task, metric), scores)| {
            scores.iter().map(move |score| {
                json!({ "task": task, "metric": metric, "value": score.value, "encoder": score.method,
                        "seed": score.seed })
            })
        })
        .collect();
    json!({ "digest": entry.digest, "method": entry.body.method, "layer": entry.body.layer.name, "scores": scores })
}

/// All generators of the store with the scores of all results.
async fn gather(store: &Store, task: Option<&str>) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut results = Vec::new();
    for digest in store.list_manifests().await? {
        let manifest = store.manifest(&digest).await?;
        match manifest.kind {
            ArtifactKind::Generator => {
                let body = manifest.body_of(ArtifactKind::Generator)?;
                entries.push(Entry { digest, body, scores: BTreeMap::new() });
            }
            ArtifactKind::Result => results.push(digest),
            _ => {}
        }
    }
    let mut seen: Vec<Row> = Vec::new();
    for digest in results {
        for row in read_document(store, &digest).await?.rows {
            // A pipeline that is run again with one more encoder repeats the others' rows.
            if task.is_some_and(|task| task != row.task) || seen.contains(&row) {
                continue;
            }
            let judged = judges_generators(&row.metric);
            if let Some(entry) = entries.iter_mut().find(|entry| Some(entry.digest) == row.generator) {
                let method = if judged { String::new() } else { row.method.clone() };
                let score = Score { value: row.value, method, seed: row.seed };
                entry.scores.entry((row.task.clone(), row.metric.clone())).or_default().push(score);
            }
            seen.push(row);
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use counterstain_api::result::{ResultDocument, SCHEMA};
    use counterstain_artifact::{
        GeneratorNetwork, LayerInfo, ManifestParts, RESULT, ResultBody, put_artifact,
    };

    use super::*;

    fn body() -> GeneratorBody {
        GeneratorBody {
            method: "pix2pix".to_owned(),
            network: GeneratorNetwork::Unet { depth: 5, filters: 8, norm: "batch".to_owned() },
            in_channels: 3,
            out_channels: 3,
            source: None,
            intensity: None,
            layer: LayerInfo::png("nuclei", 3),
        }
    }

    fn row(generator: Digest, metric: &str, seed: u64, value: f64) -> Row {
        Row {
            loss: String::new(),
            method: "trident".to_owned(),
            privileged: "nuclei".to_owned(),
            generator: Some(generator),
            encoder: None,
            train_dataset: None,
            eval_dataset: Digest::of(b"tiles"),
            task: "tumour".to_owned(),
            metric: metric.to_owned(),
            value,
            ci_low: None,
            ci_high: None,
            n: 10,
            seed,
            artifact: None,
        }
    }

    async fn put_result(store: &Store, rows: Vec<Row>) {
        let body = ResultBody { rows: rows.len() as u64 };
        let document = ResultDocument { schema: SCHEMA, rows, ..ResultDocument::default() };
        let objects = vec![(RESULT.to_owned(), Bytes::from(serde_json::to_vec(&document).unwrap()))];
        put_artifact(store, ManifestParts::new(ArtifactKind::Result, &body), objects).await.unwrap();
    }

    #[tokio::test]
    async fn scores_are_means_over_seeds_and_a_repeated_row_counts_once() {
        let store = Store::open("memory:").unwrap();
        let parts = ManifestParts::new(ArtifactKind::Generator, &body());
        let generator = put_artifact(&store, parts, Vec::new()).await.unwrap();
        let first = row(generator, "probe/auc", 1, 0.8);
        put_result(&store, vec![first.clone(), row(generator, "image/ssim", 0, 0.5)]).await;
        put_result(&store, vec![first, row(generator, "probe/auc", 2, 0.9)]).await;
        let entries = gather(&store, None).await.unwrap();
        let (mean, count) = entries[0].mean("probe/auc").unwrap();
        assert!((mean - 0.85).abs() < 1e-12 && count == 2);
        assert_eq!(entries[0].mean("image/ssim"), Some((0.5, 1)));
        assert_eq!(line(&entries[0], &["probe/auc", "nuclei/aji"])[3..], ["0.850 (2)", "-"]);
        assert!(gather(&store, Some("other")).await.unwrap()[0].mean("probe/auc").is_none());
    }
}
