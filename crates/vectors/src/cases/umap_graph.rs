//! `05_umap_graph`: UMAP's neighbour graph and curve against umap-learn, and the
//! quality of the layout.

use anyhow::{Context as _, bail};
use counterstain_evaluation::engine::knn::{Distance, Neighbours, neighbours};
use counterstain_evaluation::engine::metrics::separation::{silhouette, trustworthiness};
use counterstain_evaluation::engine::umap::{UmapConfig, embed, fit_curve, fuzzy_graph, smooth_distances};
use tch::{Kind, Tensor};

use super::helpers::{from_indices, indices, numbers};
use crate::Case;

/// Compares one case.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    match case.name() {
        "knn" => knn(case),
        "smooth" => smooth(case),
        "graph" => graph(case),
        "embedding_scores" => embedding_scores(case),
        name if case.param("min_dist").is_ok() => {
            let curve = fit_curve(case.number("spread")?, case.number("min_dist")?)?;
            case.compare(name, &Tensor::from_slice(&[curve.a, curve.b]))
        }
        other => bail!("no implementation of case {other}"),
    }
}

fn singles(values: &[f64]) -> Tensor {
    Tensor::from_slice(values).to_kind(Kind::Float)
}

fn knn(case: &mut Case) -> anyhow::Result<()> {
    let points = case.input("X")?.to_kind(Kind::Double);
    let k = case.integer("n_neighbors")?;
    let found = neighbours(&points, &points, k as usize, Distance::Euclidean)?;
    case.compare("knn_idx", &from_indices(&found.indices).reshape([-1, k]))?;
    case.compare("knn_dist", &Tensor::from_slice(&found.distances).reshape([-1, k]))
}

fn smooth(case: &mut Case) -> anyhow::Result<()> {
    let distances = numbers(&case.given("knn_dist")?)?;
    let k = case.integer("n_neighbors")? as usize;
    // Only the distances enter; the indices are not needed.
    let given = Neighbours { k, indices: vec![0; distances.len()], distances };
    let smoothed = smooth_distances(&given, case.number("local_connectivity")?)?;
    case.compare("sigmas", &singles(&smoothed.sigmas))?;
    case.compare("rhos", &singles(&smoothed.rhos))
}

fn graph(case: &mut Case) -> anyhow::Result<()> {
    let given = Neighbours {
        k: case.integer("n_neighbors")? as usize,
        distances: numbers(&case.given("knn_dist")?)?,
        indices: indices(&case.given("knn_idx")?)?,
    };
    let graph = fuzzy_graph(&given, 1.0, case.number("set_op_mix_ratio")?)?;
    let (mut rows, mut columns, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (row, column, membership) in graph.edges {
        rows.push(row);
        columns.push(column);
        values.push(membership);
    }
    case.compare("graph/row", &from_indices(&rows))?;
    case.compare("graph/col", &from_indices(&columns))?;
    case.compare("graph/val", &singles(&values))
}

fn embedding_scores(case: &mut Case) -> anyhow::Result<()> {
    let points = case.input("X")?.to_kind(Kind::Double);
    let labels = indices(&case.input("y")?)?;
    let given = case.given("embedding_umap_learn")?;
    let k = case.integer("k")? as usize;
    case.compare_number("trustworthiness_k10", trustworthiness(&points, &given, k)?)?;
    case.compare_number("silhouette_embedding", silhouette(&given, &labels)?)?;
    let own = embed(&points, &UmapConfig::default()).context("the layout")?;
    case.own_result("trustworthiness_k10", trustworthiness(&points, &own, k)?)
}
