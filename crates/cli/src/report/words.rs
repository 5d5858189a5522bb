//! Names that programs use, as people read them.

use counterstain_api::result::Row;

/// What a floor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// The same network with random weights.
    RandomEncoder,
    /// Plain colour statistics, no network.
    ColourStatistics,
    /// The primary image as if it had been painted.
    PrimaryImage,
}

/// The floor that a method name stands for.
pub fn floor_of(method: &str) -> Option<Floor> {
    match method {
        "random" => Some(Floor::RandomEncoder),
        "colour-statistics" => Some(Floor::ColourStatistics),
        "primary" => Some(Floor::PrimaryImage),
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
        "published" => "Published encoder".to_owned(),
        "random" => "Random encoder".to_owned(),
        "colour-statistics" => "Colour statistics".to_owned(),
        "primary" => "Primary image".to_owned(),
        "cyclegan" => "cycleGAN".to_owned(),
        "hovernet" => "HoVer-Net".to_owned(),
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
    if !privileged.is_empty() && floor_of(method).is_none() {
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
        "image" => "Painted images",
        "nuclei" => "Nuclei",
        "distance" => "Distance of distributions",
        other => other,
    }
}

/// What a metric measures, without its classifier.
pub fn measure_label(metric: &str) -> String {
    match metric.split_once('/').map_or(metric, |(_, measure)| measure) {
        "f1" | "f1_macro" => "F1 (macro)".to_owned(),
        "auc" => "AUC".to_owned(),
        "psnr" => "PSNR (dB)".to_owned(),
        "ms_ssim" => "MS-SSIM".to_owned(),
        "cycle_l1" => "cycle L1".to_owned(),
        "frechet" => "Fréchet".to_owned(),
        "dice" => "Dice".to_owned(),
        acronym @ ("ssim" | "l1" | "aji" | "dq" | "sq" | "pq") => acronym.to_uppercase(),
        "detection_f1" => "detection F1".to_owned(),
        of_type if of_type.starts_with("f1_") => format!("F1 {}", &of_type[3..]),
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

/// Whether a metric judges generators rather than encoders.
pub fn judges_generators(metric: &str) -> bool {
    matches!(classifier_of(metric), "image" | "nuclei" | "distance")
}

/// Whether less of a metric is better.
pub fn lower_is_better(metric: &str) -> bool {
    classifier_of(metric) == "distance" || metric.ends_with("l1")
}

/// Same subject: rows of one encoder or floor, whatever the metric.
pub fn is_same_subject(first: &Row, second: &Row) -> bool {
    (&first.method, &first.privileged, &first.loss, first.encoder, first.seed)
        == (&second.method, &second.privileged, &second.loss, second.encoder, second.seed)
}

/// A value with three decimals, large ones with fewer.
pub fn figure(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".to_owned(),
        10.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The rows whose intervals lie clear of all others' on the better side, of the same task and metric: at most one.
pub fn is_clearly_best(row: &Row, others: &[&Row]) -> bool {
    let mut rest = others.iter().filter(|other| !std::ptr::eq(**other, row)).peekable();
    let Some((low, high)) = row.ci_low.zip(row.ci_high).filter(|_| rest.peek().is_some()) else {
        return false;
    };
    rest.all(|other| match lower_is_better(&row.metric) {
        true => other.ci_low.is_some_and(|other| high < other),
        false => other.ci_high.is_some_and(|other| other < low),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    #[test]
    fn less_error_and_more_likeness_are_better() {
        let clear = |metric: &str, value: f64, other: f64| {
            let (one, other) = (row("pix2pix", metric, value), row("primary", metric, other));
            is_clearly_best(&one, &[&one, &other])
        };
        assert!(clear("image/ssim", 0.8, 0.6) && !clear("image/ssim", 0.6, 0.8));
        assert!(clear("image/l1", 0.1, 0.3) && !clear("image/l1", 0.3, 0.1));
        assert!(!clear("image/l1", 0.1, 0.12), "intervals overlap");
    }

    #[test]
    fn measures_have_their_usual_names() {
        let names = ["image/psnr", "nuclei/f1_epithelial", "nuclei/aji", "probe/auc"].map(measure_label);
        assert_eq!(names, ["PSNR (dB)", "F1 epithelial", "AJI", "AUC"]);
    }
}
