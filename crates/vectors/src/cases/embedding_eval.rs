//! `05_embedding_eval`: k-means, kNN, logistic regression, PCA and clustering scores
//! against scikit-learn's.

use anyhow::bail;
use counterstain_evaluation::engine::kmeans::{KMeans, KMeansConfig};
use counterstain_evaluation::engine::knn::{Distance, Vote, neighbours};
use counterstain_evaluation::engine::logistic::{LogisticConfig, LogisticRegression};
use counterstain_evaluation::engine::metrics::ConfusionMatrix;
use counterstain_evaluation::engine::metrics::clustering::Contingency;
use counterstain_evaluation::engine::metrics::probability::{argmax_rows, log_loss};
use counterstain_evaluation::engine::metrics::ranking::OneVersusRest;
use counterstain_evaluation::engine::metrics::separation::{calinski_harabasz, davies_bouldin, silhouette};
use counterstain_evaluation::engine::pca::Pca;
use counterstain_evaluation::engine::standardise::Standardiser;
use tch::{Kind, Tensor};

use super::helpers::{from_indices, indices, integers};
use crate::Case;

/// Compares one case.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    match case.name() {
        "lloyd" => lloyd(case),
        "kmeans_fit" => kmeans_fit(case),
        "cluster_scores" => cluster_scores(case),
        "class_separation" => class_separation(case),
        "knn" => knn(case),
        name @ ("logreg" | "logreg_std") => logistic(case, name),
        "pca" => pca(case),
        other => bail!("no implementation of case {other}"),
    }
}

fn points(case: &mut Case) -> anyhow::Result<Tensor> {
    Ok(case.input("X")?.to_kind(Kind::Double))
}

fn rows(values: &[f64], columns: usize) -> Tensor {
    Tensor::from_slice(values).reshape([-1, columns as i64])
}

/// Both parts of the points and labels: the first `n_train` rows, and the rest.
struct Parts {
    train: Tensor,
    test: Tensor,
    train_labels: Vec<usize>,
    test_labels: Vec<usize>,
}

fn parts(case: &mut Case) -> anyhow::Result<Parts> {
    let points = points(case)?;
    let mut labels = indices(&case.input("y")?)?;
    let train = case.integer("n_train")?;
    let test_labels = labels.split_off(train as usize);
    Ok(Parts {
        train: points.narrow(0, 0, train),
        test: points.narrow(0, train, points.size()[0] - train),
        train_labels: labels,
        test_labels,
    })
}

fn lloyd(case: &mut Case) -> anyhow::Result<()> {
    let points = points(case)?;
    let start = indices(&case.input("lloyd/init_idx")?)?;
    let config = KMeansConfig {
        clusters: case.integer("K")? as usize,
        starts: 1,
        iterations: case.integer("max_iter")? as usize,
        tolerance: case.number("tol")?,
        seed: 0,
    };
    let fitted = KMeans::fit_from(&points, &start, &config)?;
    case.compare("lloyd/centres", &fitted.centres)?;
    case.compare("lloyd/labels", &from_indices(&fitted.labels))?;
    case.compare_number("lloyd/inertia", fitted.inertia)?;
    case.compare("lloyd/n_iter", &Tensor::from_slice(&[fitted.iterations as i64]))
}

fn kmeans_fit(case: &mut Case) -> anyhow::Result<()> {
    let points = points(case)?;
    let config = KMeansConfig {
        starts: case.integer("n_init")? as u64,
        ..KMeansConfig::new(case.integer("K")? as usize, 0)
    };
    let fitted = KMeans::fit(&points, &config)?;
    case.compare("kmeans/labels", &from_indices(&fitted.labels))?;
    case.compare_number("kmeans/inertia", fitted.inertia)?;
    case.compare("kmeans/centres", &fitted.centres)
}

fn cluster_scores(case: &mut Case) -> anyhow::Result<()> {
    let truth = integers(&case.input("y")?)?;
    let clusters = integers(&case.given("kmeans/labels")?)?;
    let table = Contingency::new(&truth, &clusters)?;
    case.compare_number("kmeans/ari", table.adjusted_rand())?;
    case.compare_number("kmeans/nmi", table.normalised_mutual_information())?;
    case.compare_number("kmeans/ami", table.adjusted_mutual_information())?;
    case.compare_number("kmeans/hungarian_acc", table.best_assignment_accuracy())?;
    case.compare_number("kmeans/homogeneity", table.homogeneity())?;
    case.compare_number("kmeans/completeness", table.completeness())?;
    let counts: Vec<i64> = table.counts.iter().map(|&count| count as i64).collect();
    let counts = Tensor::from_slice(&counts).reshape([-1, table.clusters.len() as i64]);
    case.compare("kmeans/contingency", &counts)
}

fn class_separation(case: &mut Case) -> anyhow::Result<()> {
    let points = points(case)?;
    let labels = indices(&case.input("y")?)?;
    case.compare_number("silhouette_true", silhouette(&points, &labels)?)?;
    case.compare_number("calinski_true", calinski_harabasz(&points, &labels)?)?;
    case.compare_number("davies_bouldin_true", davies_bouldin(&points, &labels)?)
}

fn knn(case: &mut Case) -> anyhow::Result<()> {
    let parts = parts(case)?;
    let classes = case.integer("K")? as usize;
    let k = case.integer("k")? as usize;
    let distance = match case.text("metric")? {
        "cosine" => Distance::Cosine,
        "euclidean" => Distance::Euclidean,
        other => bail!("unknown distance {other}"),
    };
    let found = neighbours(&parts.train, &parts.test, k, distance)?;
    case.compare("knn/dist", &rows(&found.distances, k))?;
    case.compare("knn/idx", &from_indices(&found.indices).reshape([-1, k as i64]))?;
    for (name, vote) in [("uniform", Vote::Uniform), ("distance", Vote::InverseDistance)] {
        let shares = found.vote(&parts.train_labels, classes, vote)?;
        let called = argmax_rows(&shares, classes);
        let matrix = ConfusionMatrix::new(&parts.test_labels, &called, classes)?;
        case.compare(&format!("knn/{name}_pred"), &from_indices(&called))?;
        case.compare(&format!("knn/{name}_proba"), &rows(&shares, classes))?;
        case.compare_number(&format!("knn/{name}_acc"), matrix.accuracy())?;
    }
    Ok(())
}

fn logistic(case: &mut Case, name: &str) -> anyhow::Result<()> {
    let mut parts = parts(case)?;
    let classes = case.integer("K")? as usize;
    if case.param("standardise")?.as_bool() == Some(true) {
        let standardiser = Standardiser::fit(&parts.train)?;
        case.compare("scaler/mean", &Tensor::from_slice(&standardiser.mean))?;
        case.compare("scaler/scale", &Tensor::from_slice(&standardiser.scale))?;
        parts.train = standardiser.apply(&parts.train)?;
        parts.test = standardiser.apply(&parts.test)?;
    }
    let config = LogisticConfig { c: case.number("C")?, tolerance: 1e-8, iterations: 5000 };
    let fitted = LogisticRegression::fit(&parts.train, &parts.train_labels, classes, &config)?;
    let on_train = fitted.probabilities(&parts.train, classes)?;
    let on_test = fitted.probabilities(&parts.test, classes)?;
    let matrix = ConfusionMatrix::new(&parts.test_labels, &argmax_rows(&on_test, classes), classes)?;
    let ranked = OneVersusRest::new(&parts.test_labels, &on_test, classes)?;
    case.compare(&format!("{name}/coef"), &rows(&fitted.coefficients, fitted.width))?;
    case.compare(&format!("{name}/intercept"), &Tensor::from_slice(&fitted.intercepts))?;
    case.compare(&format!("{name}/proba_test"), &rows(&on_test, classes))?;
    case.compare_number(&format!("{name}/acc_test"), matrix.accuracy())?;
    case.compare_number(&format!("{name}/logloss_test"), log_loss(&parts.test_labels, &on_test, classes)?)?;
    case.compare_number(
        &format!("{name}/logloss_train"),
        log_loss(&parts.train_labels, &on_train, classes)?,
    )?;
    case.compare_number(&format!("{name}/auc_test"), ranked.auc_macro()?)
}

fn pca(case: &mut Case) -> anyhow::Result<()> {
    let points = points(case)?;
    let fitted = Pca::fit(&points, case.integer("n_components")? as usize)?;
    case.compare("pca/components", &fitted.components)?;
    case.compare("pca/explained_variance", &Tensor::from_slice(&fitted.explained_variance))?;
    case.compare("pca/explained_variance_ratio", &Tensor::from_slice(&fitted.explained_variance_ratio))?;
    case.compare("pca/mean", &fitted.mean)?;
    case.compare("pca/transform", &fitted.transform(&points)?)?;
    case.compare("pca/transform_whiten", &fitted.transform_whitened(&points)?)
}
