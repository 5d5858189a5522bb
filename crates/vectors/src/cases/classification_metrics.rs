//! `05_classification_metrics`: the evaluation crate's metrics against scikit-learn's.

use anyhow::{Context as _, bail};
use counterstain_evaluation::engine::bootstrap::{counts_of_indices, interval_of, standard_error};
use counterstain_evaluation::engine::metrics::ConfusionMatrix;
use counterstain_evaluation::engine::metrics::probability::{brier, log_loss, top_k_accuracy};
use counterstain_evaluation::engine::metrics::ranking::{OneVersusRest, RankedScores, auc_one_versus_one};
use tch::{Kind, Tensor};

use super::helpers::{indices, numbers};
use crate::Case;

/// Compares one case; the cases are told apart by the tensors they name.
pub fn run(case: &mut Case) -> anyhow::Result<()> {
    match case.name() {
        "mc" => multiclass(case),
        "bin" => binary(case),
        "boot" => bootstrap(case),
        other => bail!("no implementation of case {other}"),
    }
}

fn per_class(values: &[f64]) -> Tensor {
    Tensor::from_slice(values)
}

fn multiclass(case: &mut Case) -> anyhow::Result<()> {
    let truth = indices(&case.input("mc/y")?)?;
    let probabilities = case.input("mc/prob")?;
    let predicted = indices(&case.input("mc/pred")?)?;
    let classes = probabilities.size()[1] as usize;
    let probabilities = numbers(&probabilities)?;
    let matrix = ConfusionMatrix::new(&truth, &predicted, classes)?;
    case.compare_number("mc/accuracy", matrix.accuracy())?;
    case.compare_number("mc/balanced_accuracy", matrix.balanced_accuracy())?;
    case.compare_number("mc/f1_macro", matrix.f1_macro())?;
    case.compare_number("mc/f1_weighted", matrix.f1_weighted())?;
    case.compare("mc/precision", &per_class(&matrix.precision()))?;
    case.compare("mc/recall", &per_class(&matrix.recall()))?;
    case.compare("mc/f1", &per_class(&matrix.f1()))?;
    let counts: Vec<i64> = matrix.rows().concat().into_iter().map(|count| count as i64).collect();
    case.compare("mc/confusion", &Tensor::from_slice(&counts).f_reshape([classes as i64, classes as i64])?)?;
    let one_versus_rest = OneVersusRest::new(&truth, &probabilities, classes)?;
    case.compare_number("mc/auc_ovr_macro", one_versus_rest.auc_macro()?)?;
    case.compare_number("mc/auc_ovr_weighted", one_versus_rest.auc_prevalence()?)?;
    case.compare_number("mc/auc_ovo_macro", auc_one_versus_one(&truth, &probabilities, classes)?)?;
    case.compare_number("mc/kappa", matrix.kappa()?)?;
    case.compare_number("mc/kappa_quadratic", matrix.kappa_quadratic()?)?;
    case.compare_number("mc/mcc", matrix.matthews())?;
    case.compare_number("mc/log_loss", log_loss(&truth, &probabilities, classes)?)?;
    case.compare_number("mc/top2", top_k_accuracy(&truth, &probabilities, classes, 2)?)
}

fn binary(case: &mut Case) -> anyhow::Result<()> {
    let truth = indices(&case.input("bin/y")?)?;
    let scores = numbers(&case.input("bin/score")?)?;
    let threshold = case.number("threshold")?;
    let positive: Vec<bool> = truth.iter().map(|&label| label == 1).collect();
    let called: Vec<usize> = scores.iter().map(|&score| usize::from(score >= threshold)).collect();
    let ranked = RankedScores::new(&scores, &positive)?;
    let matrix = ConfusionMatrix::new(&truth, &called, 2)?;
    let curve = ranked.roc_curve()?;
    case.compare_number("bin/auc", ranked.auc()?)?;
    case.compare_number("bin/average_precision", ranked.average_precision()?)?;
    case.compare_number("bin/accuracy_at_0.5", matrix.accuracy())?;
    case.compare_number("bin/f1_at_0.5", matrix.f1()[1])?;
    case.compare_number("bin/balanced_accuracy", matrix.balanced_accuracy())?;
    case.compare_number("bin/kappa", matrix.kappa()?)?;
    case.compare_number("bin/brier", brier(&positive, &scores)?)?;
    case.compare("bin/roc_fpr", &per_class(&curve.false_positive_rate))?;
    case.compare("bin/roc_tpr", &per_class(&curve.true_positive_rate))
}

fn bootstrap(case: &mut Case) -> anyhow::Result<()> {
    let truth = indices(&case.input("mc/y")?)?;
    let predicted = indices(&case.input("mc/pred")?)?;
    let drawn = indices(&case.input("boot_idx")?.to_kind(Kind::Int64))?;
    let percentiles: Vec<f64> = serde_json::from_value(case.param("percentiles")?.clone())?;
    let (low, high) = match percentiles[..] {
        [low, high] => (low, high),
        _ => bail!("two percentiles are expected, found {percentiles:?}"),
    };
    anyhow::ensure!((low + high - 100.0).abs() < 1e-9, "only central intervals are made, not {low}..{high}");
    let level = (high - low) / 100.0;
    let classes = truth.iter().chain(&predicted).max().context("no samples")? + 1;
    let (mut accuracies, mut balanced) = (Vec::new(), Vec::new());
    for resample in drawn.chunks(truth.len()) {
        let counts = counts_of_indices(resample, truth.len())?;
        let matrix = ConfusionMatrix::weighted(&truth, &predicted, &counts, classes)?;
        accuracies.push(matrix.accuracy());
        balanced.push(matrix.balanced_accuracy());
    }
    let interval = |figures: &[f64]| -> anyhow::Result<Tensor> {
        let interval = interval_of(figures, level)?;
        Ok(Tensor::from_slice(&[interval.low, interval.high]))
    };
    case.compare("boot/acc_stats", &per_class(&accuracies))?;
    case.compare("boot/acc_ci95", &interval(&accuracies)?)?;
    case.compare_number("boot/acc_se", standard_error(&accuracies, case.integer("se_ddof")? as usize)?)?;
    case.compare("boot/bacc_stats", &per_class(&balanced))?;
    case.compare("boot/bacc_ci95", &interval(&balanced)?)
}
