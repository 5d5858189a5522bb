//! The interval plot: one panel per metric, one line per encoder or floor.

use counterstain_api::result::Row;
use maud::{Markup, html};

use super::chart::{round, round_step, tick_label};
use super::words::{figure, floor_of, lower_is_better, metric_label, row_label};

const WIDTH: f64 = 480.0;
const LABELS: f64 = 190.0;
const RIGHT: f64 = 14.0;
const ROW: f64 = 27.0;
const TOP: f64 = 6.0;
const BOTTOM: f64 = 26.0;

/// A panel of the rows of one metric, in the order given; floors as open diamonds, encoders as dots.
pub fn intervals(metric: &str, rows: &[&Row], with_seed: bool) -> Markup {
    let ends = rows
        .iter()
        .flat_map(|row| [Some(row.value), row.ci_low, row.ci_high])
        .flatten()
        .filter(|value| value.is_finite());
    let (low, high) =
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if !low.is_finite() {
        return html! {};
    }
    let step = round_step(((high - low).max(0.02)) / 4.0);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    let high = if high > low { high } else { low + step };
    let ticks: Vec<f64> =
        (0..=((high - low) / step).round() as usize).map(|index| low + index as f64 * step).collect();
    let x = |value: f64| round(LABELS + (WIDTH - LABELS - RIGHT) * (value - low) / (high - low));
    let height = TOP + ROW * rows.len() as f64 + BOTTOM;
    let floors = rows.iter().filter(|row| floor_of(&row.method).is_some()).map(|row| row.value);
    let best_floor = match lower_is_better(metric) {
        true => floors.fold(f64::INFINITY, f64::min),
        false => floors.fold(f64::NEG_INFINITY, f64::max),
    };
    let label = |row: &Row| {
        let base = row_label(&row.method, &row.privileged, &row.loss);
        if with_seed && floor_of(&row.method).is_none() { format!("{base}, seed {}", row.seed) } else { base }
    };
    let description = rows
        .iter()
        .map(|row| format!("{} {}{}", label(row), figure(row.value), bounds(row)))
        .collect::<Vec<_>>()
        .join("; ");
    html! {
        figure {
            h4 style="margin:.2rem 0 .3rem;font-size:.95rem" { (metric_label(metric)) }
            svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(description) {
                @for tick in &ticks {
                    line class="rule" x1=(x(*tick)) x2=(x(*tick)) y1=(TOP) y2=(height - BOTTOM) {}
                    text class="axis" x=(x(*tick)) y=(height - 8.0) text-anchor="middle" { (tick_label((tick * 1e6).round() / 1e6)) }
                }
                @if best_floor.is_finite() {
                    line x1=(x(best_floor)) x2=(x(best_floor)) y1=(TOP) y2=(height - BOTTOM) stroke="var(--floor)" stroke-width="1.2" stroke-dasharray="3 3" {}
                }
                @for (index, row) in rows.iter().enumerate() {
                    (mark(row, &label(row), TOP + ROW * (index as f64 + 0.5), &x))
                }
            }
        }
    }
}

fn bounds(row: &Row) -> String {
    match (row.ci_low, row.ci_high) {
        (Some(low), Some(high)) => format!(" (95 % interval {} to {})", figure(low), figure(high)),
        _ => String::new(),
    }
}

fn mark(row: &Row, label: &str, y: f64, x: &impl Fn(f64) -> f64) -> Markup {
    let is_floor = floor_of(&row.method).is_some();
    let colour = if is_floor { "var(--floor)" } else { "var(--s0)" };
    let centre = x(row.value);
    html! {
        text x=(LABELS - 12.0) y=(round(y + 4.0)) text-anchor="end" font-style=(if is_floor { "italic" } else { "normal" }) { (label) }
        @if let (Some(low), Some(high)) = (row.ci_low, row.ci_high) {
            line x1=(x(low)) x2=(x(high)) y1=(y) y2=(y) stroke=(colour) stroke-width="2" {}
            @for end in [low, high] {
                line x1=(x(end)) x2=(x(end)) y1=(y - 5.0) y2=(y + 5.0) stroke=(colour) stroke-width="2" {}
            }
        }
        @if is_floor {
            path d=(format!("M {} {y} L {centre} {} L {} {y} L {centre} {} Z", centre - 6.0, y - 6.0, centre + 6.0, y + 6.0))
                fill="var(--paper)" stroke=(colour) stroke-width="2" {}
        } @else {
            circle cx=(centre) cy=(y) r="5" fill=(colour) {}
        }
    }
}
