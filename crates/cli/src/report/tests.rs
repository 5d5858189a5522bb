//! The page holds what it must, and nothing from elsewhere.

use counterstain_api::Digest;
use counterstain_api::result::{Confusion, ResultDocument, Row};
use counterstain_tile::Tile;

use super::*;

pub(crate) fn row(method: &str, metric: &str, value: f64) -> Row {
    let is_floor = floor_of(method).is_some();
    Row {
        loss: if is_floor { String::new() } else { "vicreg".into() },
        method: method.into(),
        privileged: if matches!(method, "trident" | "siamese") { "nuclei".into() } else { String::new() },
        generator: None,
        encoder: (!is_floor).then(|| Digest::of(method.as_bytes())),
        train_dataset: None,
        eval_dataset: Digest::of(b"tiles"),
        task: "tumour".into(),
        metric: metric.into(),
        value,
        ci_low: Some(value - 0.02),
        ci_high: Some(value + 0.02),
        n: 300,
        seed: 3,
        artifact: None,
    }
}

fn sample() -> ReportData {
    let mut rows = Vec::new();
    let methods = [
        ("trident", 0.86),
        ("siamese", 0.81),
        ("unprivileged", 0.80),
        ("random", 0.68),
        ("colour-statistics", 0.77),
    ];
    for (method, value) in methods {
        for (metric, shift) in [("probe/accuracy", 0.0), ("probe/auc", 0.05), ("kmeans/accuracy", -0.1)] {
            rows.push(row(method, metric, value + shift));
        }
    }
    let confusion = Confusion {
        method: "trident".into(),
        loss: "vicreg".into(),
        encoder: None,
        classifier: "probe".into(),
        classes: vec!["0 <normal>".into(), "1".into()],
        counts: vec![vec![130, 20], vec![22, 128]],
        chosen: [("l2".to_owned(), 0.01)].into(),
    };
    let picture = || Picture::new(&Tile::filled(4, 4, 3, 200), "a tile").ok();
    let metrics = vec![Series {
        name: "loss".into(),
        points: (0..50).map(|step| (step, 30.0 / (1.0 + step as f64))).collect(),
    }];
    ReportData {
        document: ResultDocument {
            schema: 1,
            pipeline: "pcam".into(),
            rows,
            confusions: vec![confusion],
            notes: vec!["a note".into()],
        },
        jobs: vec![JobReport {
            name: "trident".into(),
            kind: "train_encoder".into(),
            state: "succeeded".into(),
            seconds: Some(61.0),
            metrics,
            ..JobReport::default()
        }],
        lineage: vec![
            LineageEntry {
                digest: "sha256:aaaaaaaaaaaaaaaa".into(),
                kind: "result".into(),
                summary: "15 rows".into(),
                inputs: vec![("dataset".into(), "sha256:bbbbbbbbbbbbbbbb".into())],
            },
            LineageEntry {
                digest: "sha256:bbbbbbbbbbbbbbbb".into(),
                kind: "dataset".into(),
                summary: "tiles".into(),
                inputs: Vec::new(),
            },
        ],
        galleries: vec![Gallery {
            title: "Synthetic nuclei".into(),
            caption: "caption".into(),
            columns: vec!["H&E".into(), "synthetic".into(), "real".into()],
            colours: vec![("spindle".into(), [0, 255, 255])],
            rows: vec![GalleryRow { caption: "tumour".into(), pictures: vec![picture(), picture(), None] }],
        }],
        profiles: vec![Profile {
            device_class: "cpu/avx512".into(),
            threads: 2,
            libtorch: "2.13.0".into(),
            revision: 1,
        }],
    }
}

#[test]
fn the_page_is_self_contained_and_escapes_what_it_shows() {
    let page = render(&sample());
    for from_elsewhere in ["http://", "https://", "<script", "@import", "url("] {
        assert!(!page.contains(from_elsewhere), "{from_elsewhere}");
    }
    assert!(page.contains("0 &lt;normal&gt;"));
    assert!(page.contains("data:image/png;base64,"));
}

#[test]
fn floors_are_marked_and_listed_after_the_encoders() {
    let page = render(&sample());
    let position = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(position("TriDeNT + nuclei, VICReg") < position("Random encoder"));
    assert!(page.contains("<tr class=\"floor\">"));
}

#[test]
fn a_figure_is_singled_out_only_when_intervals_separate() {
    let mut data = sample();
    assert!(render(&data).contains("class=\"best\""));
    for row in &mut data.document.rows {
        row.ci_low = Some(0.1);
        row.ci_high = Some(0.99);
    }
    assert!(!render(&data).contains("class=\"best\""));
}

#[test]
fn an_empty_result_still_makes_a_page() {
    let page = render(&ReportData::default());
    assert!(page.contains("there are no figures"));
}
