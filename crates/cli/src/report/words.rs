//! Names that programs use, as people read them.

use counterstain_api::result::Row;

/// What a floor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// The same network with random weights.
    RandomEncoder,
    /// Plain colour statistics, no network.
    ColourStatistics,
}

/// The floor that a method name stands for.
pub fn floor_of(method: &str) -> Option<Floor> {
    match method {
        "random" => Some(Floor::RandomEncoder),
        "colour-statistics" => Some(Floor::ColourStatistics),
        _ => None,
    }
}

/// A method as people read it.
pub fn method_label(method: &str) -> String {
    match method {
        "trident" => "TriDeNT".to_owned(),
        "siamese" => "Siamese".to_owned(),
        "unprivileged" => "Unprivileged".to_owned(),
        "supervised" => "Supervised".to_owned(),
        "random" => "Random encoder".to_owned(),
        "colour-statistics" => "Colour statistics".to_owned(),
        other => other.to_owned(),
    }
}

/// A loss as people read it.
pub fn loss_label(loss: &str) -> String {
    match loss {
        "vicreg" => "VICReg".to_owned(),
        "infonce" => "InfoNCE".to_owned(),
        "cross-entropy" => "cross-entropy".to_owned(),
        "barlow-twins" => "Barlow Twins".to_owned(),
        other => other.to_owned(),
    }
}

/// What a row is about: method, privileged layers and loss.
pub fn row_label(method: &str, privileged: &str, loss: &str) -> String {
    let mut label = method_label(method);
    if !privileged.is_empty() {
        label.push_str(&format!(" + {}", privileged.replace('+', " + ")));
    }
    if !loss.is_empty() {
        label.push_str(&format!(", {}", loss_label(loss)));
    }
    label
}

/// The classifier in a metric's name: `probe`, `kmeans`, or nothing.
pub fn classifier_of(metric: &str) -> &str {
    metric.split_once('/').map_or("", |(classifier, _)| classifier)
}

/// A classifier as people read it.
pub fn classifier_label(classifier: &str) -> &str {
    match classifier {
        "probe" => "Linear probe",
        "kmeans" => "k-means",
        "knn" => "kNN",
        other => other,
    }
}

/// What a metric measures, without its classifier.
pub fn measure_label(metric: &str) -> String {
    match metric.split_once('/').map_or(metric, |(_, measure)| measure) {
        "f1" | "f1_macro" => "F1 (macro)".to_owned(),
        "auc" => "AUC".to_owned(),
        other => other.replace('_', " "),
    }
}

/// A metric as people read it.
pub fn metric_label(metric: &str) -> String {
    match classifier_of(metric) {
        "" => measure_label(metric),
        classifier => format!("{}, {}", classifier_label(classifier), measure_label(metric)),
    }
}

/// Same subject: rows of one encoder or floor, whatever the metric.
pub fn is_same_subject(first: &Row, second: &Row) -> bool {
    (&first.method, &first.privileged, &first.loss, first.encoder, first.seed)
        == (&second.method, &second.privileged, &second.loss, second.encoder, second.seed)
}

/// A value between 0 and 1 with three decimals.
pub fn figure(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { "–".to_owned() }
}

/// The rows whose intervals lie clear above all others' of the same task and metric: at most one.
pub fn is_clearly_best(row: &Row, others: &[&Row]) -> bool {
    let Some(low) = row.ci_low else { return false };
    let rest: Vec<&&Row> = others.iter().filter(|other| !std::ptr::eq(**other, row)).collect();
    !rest.is_empty() && rest.iter().all(|other| other.ci_high.is_some_and(|high| high < low))
}
