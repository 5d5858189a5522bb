//! Tables of the report: results, confusion matrices, jobs, lineage.

use std::collections::BTreeMap;

use counterstain_api::result::{Confusion, Row};
use maud::{Markup, html};

use super::words::{
    classifier_label, classifier_of, figure, floor_of, is_clearly_best, is_same_subject, judges_generators,
    measure_label, method_label, row_label,
};
use super::{JobReport, LineageEntry};
use crate::output::{duration, short};

/// The result table of one task: a line per encoder or floor, a column per metric.
pub fn results(rows: &[&Row]) -> Markup {
    let subjects = subjects(rows);
    let metrics = metrics(rows);
    let classifiers = classifiers(&metrics);
    let with_seed = has_several_seeds(rows);
    let of_metric =
        |metric: &str| rows.iter().copied().filter(|row| row.metric == metric).collect::<Vec<_>>();
    html! {
        div class="scroll" {
            table class="results" {
                caption { "Point estimate on the test split, with its 95 % bootstrap interval below." }
                thead {
                    tr {
                        th scope="col" rowspan="2" { (subject_heading(rows)) }
                        @for (classifier, count) in &classifiers {
                            th scope="colgroup" class="group" colspan=(count) { (classifier_label(classifier)) }
                        }
                        th scope="col" rowspan="2" class="number" { "n" }
                    }
                    tr { @for metric in &metrics { th scope="col" class="number" { (measure_label(metric)) } } }
                }
                tbody {
                    @for subject in &subjects {
                        @let is_floor = floor_of(&subject.method).is_some();
                        tr class=[is_floor.then_some("floor")] {
                            th scope="row" {
                                (row_label(&subject.method, &subject.privileged, &subject.loss))
                                @if with_seed && !is_floor { span class="soft" { " seed " (subject.seed) } }
                                @if is_floor { span class="tag" { "floor" } }
                            }
                            @for metric in &metrics {
                                @let found = rows.iter().copied().find(|row| row.metric == *metric && is_same_subject(row, subject));
                                td class="number" {
                                    @if let Some(row) = found {
                                        @if is_clearly_best(row, &of_metric(metric)) { span class="best" { (figure(row.value)) } }
                                        @else { (figure(row.value)) }
                                        @if let (Some(low), Some(high)) = (row.ci_low, row.ci_high) {
                                            span class="interval" { (figure(low)) " – " (figure(high)) }
                                        }
                                    } @else { "–" }
                                }
                            }
                            td class="number" { (subject.n) }
                        }
                    }
                }
            }
        }
    }
}

/// What the lines of a table are.
pub fn subject_heading(rows: &[&Row]) -> &'static str {
    if rows.iter().any(|row| judges_generators(&row.metric)) { "Generator" } else { "Encoder" }
}

/// The rows of one task in tables: classifiers that are about the same subjects share one.
pub fn blocks<'a>(rows: &[&'a Row]) -> Vec<Vec<&'a Row>> {
    let mut blocks: Vec<Vec<&Row>> = Vec::new();
    for (classifier, _) in classifiers(&metrics(rows)) {
        let own: Vec<&Row> =
            rows.iter().copied().filter(|row| classifier_of(&row.metric) == classifier).collect();
        let is_like = |block: &&mut Vec<&Row>| {
            let (one, other) = (subjects(block), subjects(&own));
            one.len() == other.len() && one.iter().all(|row| other.iter().any(|it| is_same_subject(row, it)))
        };
        match blocks.iter_mut().find(is_like) {
            Some(block) => block.extend(own),
            None => blocks.push(own),
        }
    }
    blocks
}

/// One row for each encoder or floor, encoders first, in document order.
pub fn subjects<'a>(rows: &[&'a Row]) -> Vec<&'a Row> {
    let mut subjects: Vec<&Row> = Vec::new();
    for row in rows {
        if !subjects.iter().any(|known| is_same_subject(known, row)) {
            subjects.push(row);
        }
    }
    subjects.sort_by_key(|row| floor_of(&row.method).is_some());
    subjects
}

/// Metrics in document order, those of one classifier together.
pub fn metrics(rows: &[&Row]) -> Vec<String> {
    let mut metrics: Vec<String> = Vec::new();
    for row in rows {
        if !metrics.contains(&row.metric) {
            metrics.push(row.metric.clone());
        }
    }
    let mut order: Vec<String> = Vec::new();
    for metric in &metrics {
        let classifier = classifier_of(metric).to_owned();
        if !order.contains(&classifier) {
            order.push(classifier);
        }
    }
    metrics.sort_by_key(|metric| order.iter().position(|classifier| classifier == classifier_of(metric)));
    metrics
}

/// Classifiers of grouped metrics with the number of their columns.
fn classifiers(metrics: &[String]) -> Vec<(String, usize)> {
    let mut classifiers: Vec<(String, usize)> = Vec::new();
    for metric in metrics {
        match classifiers.last_mut() {
            Some((classifier, count)) if classifier == classifier_of(metric) => *count += 1,
            _ => classifiers.push((classifier_of(metric).to_owned(), 1)),
        }
    }
    classifiers
}

/// Whether encoders of more than one seed are compared, so that rows must say theirs.
pub fn has_several_seeds(rows: &[&Row]) -> bool {
    let mut seeds: Vec<u64> =
        rows.iter().filter(|row| floor_of(&row.method).is_none()).map(|row| row.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds.len() > 1
}

/// A confusion matrix; cells are shaded by their share of the true class. With `names_encoder` its caption
/// names the encoder, where several would have the same caption.
pub fn confusion(matrix: &Confusion, names_encoder: bool) -> Markup {
    let classifier = if matrix.classifier == "kmeans" { "k-means" } else { matrix.classifier.as_str() };
    html! {
        figure {
            h4 style="margin:.2rem 0 .3rem;font-size:.95rem" {
                (row_label(&matrix.method, "", &matrix.loss)) " – " (classifier)
                @if floor_of(&matrix.method).is_some() { span class="tag" { "floor" } }
                @if let (true, Some(encoder)) = (names_encoder, &matrix.encoder) { " " span class="digest soft" { (encoder.short()) } }
            }
            div class="scroll" {
                table class="confusion" style="width:auto" {
                    thead {
                        tr {
                            th scope="col" { "true ↓ predicted →" }
                            @for class in &matrix.classes { th scope="col" { (class) } }
                        }
                    }
                    tbody {
                        @for (truth, counts) in matrix.counts.iter().enumerate() {
                            @let total = counts.iter().sum::<u64>().max(1);
                            tr {
                                th scope="row" { (matrix.classes.get(truth).map_or("", String::as_str)) }
                                @for (prediction, count) in counts.iter().enumerate() {
                                    @let share = *count as f64 / total as f64;
                                    td class=[(truth == prediction).then_some("diagonal")]
                                        style=(format!("background:rgba(var(--cell),{:.2})", share * 0.35)) {
                                        (count) span class="share" { (format!("{:.0} %", share * 100.0)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if !matrix.chosen.is_empty() {
                figcaption {
                    "chosen on the train split: "
                    (matrix.chosen.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", "))
                }
            }
        }
    }
}

/// Jobs with their times.
pub fn jobs(jobs: &[JobReport]) -> Markup {
    html! {
        div class="scroll" {
            table class="jobs" {
                caption { "Times are the coordinator's, UTC. A reused job had been done before with the same spec, data and compute profile." }
                thead {
                    tr {
                        th scope="col" { "Job" } th scope="col" { "Kind" } th scope="col" { "State" }
                        th scope="col" { "Started" } th scope="col" class="number" { "Took" }
                        th scope="col" class="number" { "Failed attempts" } th scope="col" class="number" { "Lost leases" }
                        th scope="col" { "Output" }
                    }
                }
                tbody {
                    @for job in jobs {
                        tr {
                            th scope="row" { (job.name) }
                            td { (job.kind.replace('_', " ")) }
                            td { (job.state) @if job.reused { ", reused" } }
                            td { (job.started) }
                            td class="number" { (job.seconds.filter(|_| !job.reused).map_or_else(|| "–".to_owned(), duration)) }
                            td class="number" { (job.failed_attempts) }
                            td class="number" { (job.lost_leases) }
                            td class="digest" { (short(&job.output)) }
                        }
                    }
                }
            }
        }
    }
}

/// The lineage as trees, from each artifact that nothing else was made from. An artifact that occurs again
/// is not unfolded again.
pub fn lineage(entries: &[LineageEntry]) -> Markup {
    let by_digest: BTreeMap<&str, &LineageEntry> =
        entries.iter().map(|entry| (entry.digest.as_str(), entry)).collect();
    let is_input =
        |digest: &str| entries.iter().any(|entry| entry.inputs.iter().any(|(_, input)| input == digest));
    let mut shown = Vec::new();
    html! {
        ul class="tree" {
            @for entry in entries.iter().filter(|entry| !is_input(&entry.digest)) {
                (branch(entry, "", &by_digest, &mut shown))
            }
        }
    }
}

fn branch(
    entry: &LineageEntry,
    role: &str,
    all: &BTreeMap<&str, &LineageEntry>,
    shown: &mut Vec<String>,
) -> Markup {
    let is_repeated = shown.contains(&entry.digest);
    shown.push(entry.digest.clone());
    let children: Vec<(&str, &LineageEntry)> = entry
        .inputs
        .iter()
        .filter(|_| !is_repeated)
        .filter_map(|(role, digest)| Some((role.as_str(), *all.get(digest.as_str())?)))
        .collect();
    html! {
        li {
            span class="kind" { (entry.kind) } " " (entry.summary) " "
            span class="digest soft" title=(entry.digest) { (short(&entry.digest)) }
            @if !role.is_empty() && role != entry.kind { span class="soft" { " as " (role) } }
            @if is_repeated && !entry.inputs.is_empty() { span class="soft" { " (see above)" } }
            @if !children.is_empty() {
                ul { @for (role, child) in children { (branch(child, role, all, shown)) } }
            }
        }
    }
}

/// Method names of the floors that a document holds, for a sentence.
pub fn floors(rows: &[Row]) -> Vec<String> {
    let mut floors: Vec<String> = Vec::new();
    for row in rows.iter().filter(|row| floor_of(&row.method).is_some()) {
        let label = method_label(&row.method).to_lowercase();
        if !floors.contains(&label) {
            floors.push(label);
        }
    }
    floors
}
