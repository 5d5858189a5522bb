//! What the figures allow to be said, and no more: whether encoders clear the floors, and whether any of them
//! clears the others, by one metric, by intervals.
//!
//! Overlapping intervals are called overlapping, never equal; separated ones are called separated by this
//! test split and these seeds, never better in general.

use counterstain_api::result::Row;

use super::words::{figure, floor_of, is_clearly_best, measure_label, row_label};

/// The metrics that a verdict is based on, the first that is there.
const PREFERRED: [&str; 3] = ["probe/auc", "probe/balanced_accuracy", "probe/accuracy"];

/// One or two sentences about the rows of one task; none where there is nothing to compare.
pub fn sentences(rows: &[&Row]) -> Vec<String> {
    let Some(metric) = PREFERRED.iter().find(|metric| rows.iter().any(|row| row.metric == **metric)) else {
        return Vec::new();
    };
    let of_metric = rows.iter().copied().filter(|row| row.metric == *metric);
    let (floors, encoders): (Vec<&Row>, Vec<&Row>) =
        of_metric.partition(|row| floor_of(&row.method).is_some());
    let mut sentences = Vec::new();
    if let (Some(floor), false) = (highest(&floors), encoders.is_empty()) {
        sentences.push(against_floor(metric, floor, &encoders));
    }
    if encoders.len() > 1 {
        sentences.push(match encoders.iter().find(|row| is_clearly_best(row, &encoders)) {
            Some(best) => format!(
                "Among the encoders, the interval of {} lies clear above all others, on these test tiles and for this \
                 training seed.",
                name(best)
            ),
            None => "Among the encoders, no interval lies clear above all others: these figures do not rank them.".to_owned(),
        });
    }
    sentences
}

fn against_floor(metric: &str, floor: &Row, encoders: &[&Row]) -> String {
    let metric = format!("the probe's {}", measure_label(metric));
    let (floor_name, value) = (name(floor).to_lowercase(), figure(floor.value));
    let ceiling = floor.ci_high.unwrap_or(floor.value);
    let clear: Vec<String> = encoders
        .iter()
        .filter(|row| row.ci_low.unwrap_or(row.value) > ceiling)
        .map(|row| name(row))
        .collect();
    match clear.len() {
        0 => format!("By {metric}, no encoder lies clear above the higher floor, {floor_name} ({value})."),
        all if all == encoders.len() => {
            format!("By {metric}, every encoder lies clear above the higher floor, {floor_name} ({value}).")
        }
        _ => format!(
            "By {metric}, only {} lies clear above the higher floor, {floor_name} ({value}).",
            clear.join(" and ")
        ),
    }
}

fn highest<'a>(rows: &[&'a Row]) -> Option<&'a Row> {
    rows.iter().copied().max_by(|one, other| one.value.total_cmp(&other.value))
}

fn name(row: &Row) -> String {
    row_label(&row.method, &row.privileged, &row.loss)
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    fn said(values: &[(&str, f64)]) -> String {
        let rows: Vec<Row> = values.iter().map(|(method, value)| row(method, "probe/auc", *value)).collect();
        sentences(&rows.iter().collect::<Vec<_>>()).join(" ")
    }

    #[test]
    fn encoders_near_a_floor_are_said_not_to_clear_it() {
        let text =
            said(&[("trident", 0.79), ("unprivileged", 0.78), ("random", 0.7), ("colour-statistics", 0.77)]);
        assert!(
            text.contains("no encoder lies clear above the higher floor, colour statistics (0.770)"),
            "{text}"
        );
        assert!(text.contains("do not rank them"), "{text}");
    }

    #[test]
    fn only_separated_intervals_are_called_so() {
        let text = said(&[("trident", 0.9), ("unprivileged", 0.78), ("random", 0.77)]);
        assert!(
            text.contains("only TriDeNT + nuclei, VICReg lies clear above the higher floor, random encoder"),
            "{text}"
        );
        assert!(
            text.contains("the interval of TriDeNT + nuclei, VICReg lies clear above all others"),
            "{text}"
        );
        assert!(said(&[("trident", 0.9), ("random", 0.5)]).contains("every encoder"));
    }

    #[test]
    fn without_figures_nothing_is_said() {
        assert!(sentences(&[]).is_empty());
    }
}
