//! Line charts of metrics over steps, as inline SVG.

use maud::{Markup, html};

use super::Series;

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 24.0;
/// Points drawn per line; more are averaged in equal runs.
const MOST_POINTS: usize = 160;
/// Dash patterns, so that lines differ without colour.
const DASHES: [&str; 6] = ["", "6 3", "2 3", "9 3 2 3", "1 3", "12 4"];

/// A labelled line.
pub struct Line<'a> {
    /// Name in the legend.
    pub label: &'a str,
    /// Its points.
    pub series: &'a Series,
    /// Which colour and dash, from 0.
    pub style: usize,
}

/// A chart of lines over steps, with a title. Values that are not finite are left out. `may_be_logarithmic`
/// allows a logarithmic axis where positive values span nearly two decades.
pub fn lines(title: &str, lines: &[Line<'_>], may_be_logarithmic: bool) -> Markup {
    let drawn: Vec<(&Line<'_>, Vec<(f64, f64)>)> = lines
        .iter()
        .map(|line| (line, thinned(&line.series.points)))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let all = || drawn.iter().flat_map(|(_, points)| points.iter().copied());
    let last_step = all().map(|(step, _)| step).fold(1.0, f64::max);
    let low = all().map(|(_, value)| value).fold(f64::INFINITY, f64::min);
    let high = all().map(|(_, value)| value).fold(f64::NEG_INFINITY, f64::max);
    if !low.is_finite() {
        return html! {};
    }
    let axis = Axis::around(low, high, may_be_logarithmic);
    let x = |step: f64| LEFT + (WIDTH - LEFT - RIGHT) * step / last_step;
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - axis.share(value));
    let description = format!("{title}: {}", describe(&drawn));
    html! {
        figure {
            h4 style="margin:.2rem 0 .3rem;font-size:.95rem" { (title) @if axis.logarithmic { span class="soft" { " (log scale)" } } }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(description) {
                @for tick in &axis.ticks {
                    line class="rule" x1=(LEFT) x2=(WIDTH - RIGHT) y1=(round(y(*tick))) y2=(round(y(*tick))) {}
                    text class="axis" x=(LEFT - 6.0) y=(round(y(*tick) + 4.0)) text-anchor="end" { (tick_label(*tick)) }
                }
                text class="axis" x=(LEFT) y=(HEIGHT - 6.0) { "0" }
                text class="axis" x=(WIDTH - RIGHT) y=(HEIGHT - 6.0) text-anchor="end" { "step " (tick_label(last_step)) }
                @for (line, points) in &drawn {
                    polyline fill="none" stroke=(format!("var(--s{})", line.style % 6)) stroke-width="1.8"
                        stroke-linejoin="round" stroke-dasharray=(DASHES[line.style % 6])
                        points=(points.iter().map(|(step, value)| format!("{},{}", round(x(*step)), round(y(*value)))).collect::<Vec<_>>().join(" ")) {}
                }
            }
        }
    }
}

/// The legend of lines with the styles 0, 1, ...
pub fn legend(labels: &[String]) -> Markup {
    html! {
        ul class="legend" {
            @for (style, label) in labels.iter().enumerate() {
                li {
                    svg viewBox="0 0 28 10" aria-hidden="true" {
                        line x1="0" x2="28" y1="5" y2="5" stroke=(format!("var(--s{})", style % 6)) stroke-width="2.4"
                            stroke-dasharray=(DASHES[style % 6]) {}
                    }
                    (label)
                }
            }
        }
    }
}

fn describe(drawn: &[(&Line<'_>, Vec<(f64, f64)>)]) -> String {
    let parts: Vec<String> = drawn
        .iter()
        .filter_map(|(line, points)| {
            let (first, last) = (points.first()?, points.last()?);
            Some(format!("{} from {} to {}", line.label, tick_label(first.1), tick_label(last.1)))
        })
        .collect();
    parts.join("; ")
}

/// At most [`MOST_POINTS`] points: means of equal runs.
fn thinned(points: &[(u64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = points
        .iter()
        .filter(|(_, value)| value.is_finite())
        .map(|&(step, value)| (step as f64, value))
        .collect();
    if finite.len() <= MOST_POINTS {
        return finite;
    }
    let run = finite.len().div_ceil(MOST_POINTS);
    finite
        .chunks(run)
        .map(|chunk| {
            let count = chunk.len() as f64;
            let (steps, values) =
                chunk.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
            (steps / count, values / count)
        })
        .collect()
}

/// A value axis with round ticks.
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    logarithmic: bool,
}

impl Axis {
    fn around(low: f64, high: f64, may_be_logarithmic: bool) -> Self {
        if may_be_logarithmic && low > 0.0 && high / low > 60.0 {
            let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
            let ticks: Vec<f64> = (first..=last).map(|power| 10_f64.powi(power)).collect();
            let every = ticks.len().div_ceil(6);
            let ticks: Vec<f64> = ticks.into_iter().step_by(every).collect();
            return Self {
                low: 10_f64.powi(first).log10(),
                high: 10_f64.powi(last).log10(),
                ticks,
                logarithmic: true,
            };
        }
        let span = if high > low { high - low } else { high.abs().max(1e-6) };
        let (low, high) = if high > low { (low, high) } else { (low - span / 2.0, high + span / 2.0) };
        let step = round_step((high - low) / 4.0);
        let first = (low / step).floor();
        let last = (high / step).ceil();
        let count = (last - first).round().clamp(1.0, 20.0) as usize;
        let ticks: Vec<f64> = (0..=count).map(|index| (first + index as f64) * step).collect();
        Self { low: first * step, high: last * step, ticks, logarithmic: false }
    }

    /// Where a value lies between the ends, 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// The smallest of 1, 2, 2.5, 5, 10 times a power of ten that is at least `step`.
pub fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(1e-12).log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|candidate| *candidate >= step * 0.999)
        .unwrap_or(step)
}

/// A tick's value in few digits.
pub fn tick_label(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || size < 1e-12 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        let text = format!("{value:.2e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'));
    }
    let decimals = if size >= 100.0 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 0.1 {
        2
    } else {
        4
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A coordinate with one decimal.
pub fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        let axis = Axis::around(0.13, 0.87, false);
        assert!(axis.ticks.first().is_some_and(|first| *first <= 0.13));
        assert!(axis.ticks.last().is_some_and(|last| *last >= 0.87));
        assert_eq!(
            axis.ticks.iter().map(|tick| tick_label(*tick)).collect::<Vec<_>>(),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
    }

    #[test]
    fn small_ticks_keep_the_digits_that_tell_them_apart() {
        assert_eq!([1e-4, 1.25e-4, 1.5e-4].map(tick_label), ["1e-4", "1.25e-4", "1.5e-4"]);
    }

    #[test]
    fn constant_and_wild_values_have_an_axis_too() {
        for (low, high) in [(0.0, 0.0), (5.0, 5.0), (1e-9, 1e6), (-3.0, 1e-3)] {
            let axis = Axis::around(low, high, true);
            assert!(axis.ticks.len() >= 2 && axis.share(low) <= axis.share(high), "{low} {high}");
        }
    }

    #[test]
    fn long_series_are_averaged_and_values_that_are_not_finite_left_out() {
        let points: Vec<(u64, f64)> =
            (0..10_000).map(|step| (step, if step == 7 { f64::NAN } else { 1.0 })).collect();
        let drawn = thinned(&points);
        assert!(drawn.len() <= MOST_POINTS);
        assert!(drawn.iter().all(|(_, value)| (*value - 1.0).abs() < 1e-12));
    }
}
