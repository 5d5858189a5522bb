//! Text for people: tables, durations, times.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

/// A table with left-aligned columns, two spaces apart; `headers` in capitals as written.
pub fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headers.iter().map(|header| header.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = String::new();
    let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
    for row in std::iter::once(&headers).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let padding = width.saturating_sub(cell.width());
            let _ = write!(line, "{cell}{:padding$}  ", "");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Seconds as `4.2 s`, `3 min 5 s`, `2 h 10 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Seconds between two protobuf times, if both are known.
pub fn seconds_between(
    start: Option<prost_types::Timestamp>,
    end: Option<prost_types::Timestamp>,
) -> Option<f64> {
    let (start, end) = (start?, end?);
    Some((end.seconds - start.seconds) as f64 + f64::from(end.nanos - start.nanos) / 1e9)
}

/// A protobuf time in UTC, as `2026-11-23 06:22:22`.
pub fn time(at: Option<&prost_types::Timestamp>) -> String {
    at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok())
        .map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// A protobuf time as RFC 3339, or JSON null.
pub fn time_json(at: Option<&prost_types::Timestamp>) -> serde_json::Value {
    at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok())
        .map_or(serde_json::Value::Null, |at| at.to_string().into())
}

/// `sha256:` and 12 digits of a digest's text.
pub fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

/// Bytes as `1.2 MiB`.
pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Prints a JSON value, indented, on stdout.
pub fn print_json(value: &serde_json::Value) {
    write_out(&format!("{value:#}\n"));
}

/// Writes text to stdout and flushes it, so that a reader at the other end of a pipe has it at once. When
/// that reader is gone, nobody wants the rest: the process ends quietly.
pub fn write_out(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// As `println!`, through [`write_out`].
macro_rules! say {
    ($($part:tt)*) => { $crate::output::write_out(&format!("{}\n", format_args!($($part)*))) };
}
pub(crate) use say;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let text = table(&["NAME", "N"], &[vec!["a".into(), "1".into()], vec!["longer".into(), "22".into()]]);
        assert_eq!(text, "NAME    N\na       1\nlonger  22\n");
    }

    #[test]
    fn durations_read_naturally() {
        assert_eq!(duration(4.21), "4.2 s");
        assert_eq!(duration(185.0), "3 min 5 s");
        assert_eq!(duration(7800.0), "2 h 10 min");
        assert_eq!(duration(f64::NAN), "unknown");
    }
}
