//! The page: sections in reading order.

use std::collections::BTreeSet;

use counterstain_api::result::{Confusion, Row};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::{Line, legend, lines};
use super::gallery::gallery;
use super::style::STYLE;
use super::words::floor_of;
use super::{JobReport, ReportData, figures, tables, words};
use crate::output::duration;

/// The whole page as HTML text.
pub fn render(data: &ReportData) -> String {
    let document = &data.document;
    let tasks = tasks(&document.rows);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="Counterstain";
                title { (document.pipeline) " – Counterstain report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (header(data, &tasks))
                    (results(data, &tasks))
                    (galleries(data))
                    (confusions(data))
                    (training(data))
                    (provenance(data))
                    footer {
                        p {
                            "Rendered by Counterstain " (env!("CARGO_PKG_VERSION")) ". The figures are those of result.json, which holds "
                            "no times; times and curves are the coordinator's. For research; not for diagnosis."
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// Tasks in document order.
fn tasks(rows: &[Row]) -> Vec<String> {
    let mut tasks: Vec<String> = Vec::new();
    for row in rows {
        if !tasks.contains(&row.task) {
            tasks.push(row.task.clone());
        }
    }
    tasks
}

fn header(data: &ReportData, tasks: &[String]) -> Markup {
    let rows: Vec<&Row> = data.document.rows.iter().collect();
    let subjects = tables::subjects(&rows);
    let is_encoder = |row: &&&Row| floor_of(&row.method).is_none() && !words::judges_generators(&row.metric);
    let encoders = subjects.iter().filter(is_encoder).count();
    let generators: BTreeSet<_> = rows
        .iter()
        .filter(|row| words::judges_generators(&row.metric))
        .filter_map(|row| row.artifact)
        .collect();
    let samples = rows.iter().map(|row| row.n).max().unwrap_or_default();
    let seeds = seeds(&rows);
    let spent: f64 = data.jobs.iter().filter(|job| !job.reused).filter_map(|job| job.seconds).sum();
    let profiles: Vec<String> = data
        .profiles
        .iter()
        .map(|profile| format!("{}, {} threads", profile.device_class, profile.threads))
        .collect();
    let mut profiles = profiles;
    profiles.sort();
    profiles.dedup();
    html! {
        header {
            h1 { (data.document.pipeline) }
            p class="lead" {
                @if encoders > 0 {
                    "What do representations of H&E tiles gain when their encoder learnt beside a second, privileged image that only exists "
                    "in training? Encoders trained with and without it, probed on the same held-out tiles, beside floors that any encoder must beat."
                } @else {
                    "How near do painted privileged images come to real ones, on samples that their generators did not learn from?"
                }
            }
            dl class="facts" {
                (fact(if tasks.len() == 1 { "Task" } else { "Tasks" }, &tasks.join(", ")))
                @if encoders > 0 { (fact("Encoders compared", &encoders.to_string())) }
                @if !generators.is_empty() { (fact("Painted layers judged", &generators.len().to_string())) }
                (fact("Test tiles", &samples.to_string()))
                (fact(if seeds.contains(',') { "Seeds" } else { "Seed" }, &seeds))
                (fact("Computing time", &duration(spent)))
                (fact("Computed on", &profiles.join("; ")))
            }
            nav aria-label="Sections" {
                ul {
                    li { a href="#results" { "Results" } }
                    @if !data.galleries.is_empty() { li { a href="#images" { "Images" } } }
                    @if !data.document.confusions.is_empty() { li { a href="#confusions" { "Confusion matrices" } } }
                    @if has_curves(data) { li { a href="#training" { "Training" } } }
                    li { a href="#provenance" { "Provenance" } }
                }
            }
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { @if value.is_empty() { "–" } @else { (value) } } } }
}

fn seeds(rows: &[&Row]) -> String {
    let mut seeds: Vec<u64> =
        rows.iter().filter(|row| floor_of(&row.method).is_none()).map(|row| row.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn results(data: &ReportData, tasks: &[String]) -> Markup {
    let floors = tables::floors(&data.document.rows);
    html! {
        section id="results" {
            h2 { "Results" }
            @if data.document.rows.is_empty() {
                p { "This pipeline has no evaluation, so there are no figures." }
            } @else {
                p {
                    @if judges_encoders(data) {
                        "Encoders are frozen; a probe or k-means is fitted on the train split and scored once on the test split. "
                    }
                    @if judges_generators(data) {
                        "Generators are judged by what they painted for samples that they did not learn from; of distances, L1 "
                        "and cycle L1 less is better. "
                    }
                    @if !floors.is_empty() {
                        "The floors, " (floors.join(" and ")) ", are no methods but what a method must clear: a figure near them is no finding. "
                    }
                    "A figure is underlined only where its interval lies clear above all others in its column. "
                    "Intervals come from resampling the test tiles (patients, slides or source images, where known): they say "
                    "nothing about other seeds of the training."
                }
            }
            @for task in tasks {
                @let rows: Vec<&Row> = data.document.rows.iter().filter(|row| row.task == *task).collect();
                @if tasks.len() > 1 { h3 { (task) } }
                (verdict(&rows))
                @for block in tables::blocks(&rows) {
                    (tables::results(&block))
                    (interval_panels(&block))
                }
            }
            @if !data.document.notes.is_empty() {
                h3 { "How the figures were made" }
                ul { @for note in &data.document.notes { li { (with_code(note)) } } }
            }
        }
    }
}

fn judges_encoders(data: &ReportData) -> bool {
    data.document.rows.iter().any(|row| !words::judges_generators(&row.metric))
}

fn judges_generators(data: &ReportData) -> bool {
    data.document.rows.iter().any(|row| words::judges_generators(&row.metric))
}

/// What the figures allow to be said, in sentences.
fn verdict(rows: &[&Row]) -> Markup {
    let sentences = super::verdict::sentences(rows);
    html! {
        @if !sentences.is_empty() {
            div class="note verdict" { @for sentence in sentences { p { (sentence) } } }
        }
    }
}

fn interval_panels(rows: &[&Row]) -> Markup {
    let with_seed = tables::has_several_seeds(rows);
    let subjects = tables::subjects(rows);
    html! {
        div class="grid" style="margin-top:2rem" {
            @for metric in tables::metrics(rows) {
                @let of_metric: Vec<&Row> = subjects
                    .iter()
                    .filter_map(|subject| {
                        rows.iter().copied().find(|row| row.metric == metric && words::is_same_subject(row, subject))
                    })
                    .collect();
                (figures::intervals(&metric, &of_metric, with_seed))
            }
        }
        p class="soft" {
            "Dots are " (if tables::subject_heading(rows) == "Encoder" { "encoders" } else { "generators" }) ", open diamonds "
            "floors, bars 95 % intervals; the dashed line is the better floor. Axes do not start at zero."
        }
    }
}

fn galleries(data: &ReportData) -> Markup {
    html! {
        @if !data.galleries.is_empty() {
            section id="images" {
                h2 { "Images" }
                @for shown in &data.galleries { (gallery(shown)) }
            }
        }
    }
}

fn confusions(data: &ReportData) -> Markup {
    html! {
        @if !data.document.confusions.is_empty() {
            section id="confusions" {
                h2 { "Confusion matrices" }
                p { "Counts of test tiles, and each cell's share of its true class." }
                div class="small" { @for matrix in by_classifier(&data.document.confusions) { (tables::confusion(matrix, is_ambiguous(data, matrix))) } }
            }
        }
    }
}

/// Matrices of one classifier together, classifiers in document order.
fn by_classifier(matrices: &[Confusion]) -> Vec<&Confusion> {
    let first = |matrix: &Confusion| matrices.iter().position(|other| other.classifier == matrix.classifier);
    let mut sorted: Vec<&Confusion> = matrices.iter().collect();
    sorted.sort_by_key(|matrix| first(matrix));
    sorted
}

/// Whether another matrix would have the same caption.
fn is_ambiguous(data: &ReportData, matrix: &Confusion) -> bool {
    let caption =
        |matrix: &Confusion| (matrix.method.clone(), matrix.loss.clone(), matrix.classifier.clone());
    data.document.confusions.iter().filter(|other| caption(other) == caption(matrix)).count() > 1
}

fn has_curves(data: &ReportData) -> bool {
    data.jobs.iter().any(has_curve)
}

/// Whether a job has a metric of at least two points.
fn has_curve(job: &JobReport) -> bool {
    job.metrics.iter().any(|series| series.points.len() > 1)
}

fn training(data: &ReportData) -> Markup {
    let kinds =
        [("train_segmenter", "Segmenters"), ("train_generator", "Generators"), ("train_encoder", "Encoders")];
    html! {
        @if has_curves(data) {
            section id="training" {
                h2 { "Training" }
                @for (kind, title) in kinds {
                    @let jobs: Vec<&JobReport> = data.jobs.iter().filter(|job| job.kind == kind && has_curve(job)).collect();
                    @if !jobs.is_empty() { (curves(title, &jobs)) }
                }
                p class="soft" { "Long curves are drawn as means over equal runs of steps. Losses of different methods are not on one scale." }
            }
        }
    }
}

fn curves(title: &str, jobs: &[&JobReport]) -> Markup {
    let mut names: Vec<&str> = Vec::new();
    for series in jobs.iter().flat_map(|job| &job.metrics) {
        if series.points.len() > 1 && !names.contains(&series.name.as_str()) {
            names.push(&series.name);
        }
    }
    // What is minimised comes first.
    names.sort_by_key(|name| {
        (!matches!(*name, "loss" | "loss/total"), !name.contains("loss"), (*name).to_owned())
    });
    let labels: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
    html! {
        h3 { (title) }
        (legend(&labels))
        div class="grid3" style="margin-top:.9rem" {
            @for name in names {
                @let drawn: Vec<Line<'_>> = jobs
                    .iter()
                    .enumerate()
                    .filter_map(|(style, job)| {
                        let series = job.metrics.iter().find(|series| series.name == name)?;
                        Some(Line { label: &job.name, series, style })
                    })
                    .collect();
                (lines(&curve_title(name), &drawn, name.contains("loss")))
            }
        }
    }
}

/// A metric of training as people read it.
fn curve_title(name: &str) -> String {
    match name {
        "loss_g_l1" => "generator: L1, weighted".to_owned(),
        "loss_g_gan" => "generator: adversarial".to_owned(),
        "loss_d_real" => "discriminator: on real images".to_owned(),
        "loss_d_fake" => "discriminator: on synthetic images".to_owned(),
        other => other.replace(['_', '/'], " "),
    }
}

/// Text in which backticks mark code.
fn with_code(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn provenance(data: &ReportData) -> Markup {
    html! {
        section id="provenance" {
            h2 { "Provenance" }
            p {
                "Every artifact is named by the SHA-256 of what it is and what it was made from: the same spec, data and compute "
                "profile give the same name anywhere. " code { "counterstain show DIGEST" } " tells more."
            }
            h3 { "Lineage" }
            (tables::lineage(&data.lineage))
            h3 { "Jobs" }
            (tables::jobs(&data.jobs))
            @if !data.profiles.is_empty() {
                h3 { "Compute profiles" }
                ul {
                    @for profile in &data.profiles {
                        li { (profile.device_class) ", " (profile.threads) " threads, libtorch " (profile.libtorch) ", algorithm revision " (profile.revision) }
                    }
                }
            }
            h3 { "Specs" }
            @for job in &data.jobs {
                details {
                    summary { (job.name) " (" (job.kind.replace('_', " ")) ")" }
                    pre { (format!("{:#}", job.spec)) }
                }
            }
        }
    }
}
