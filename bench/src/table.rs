//! Numbers as a table for people, and percentiles. Pure.

use std::time::Duration;

/// The `percent`-th percentile (nearest rank), or `None` of nothing.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Milliseconds with one digit, or a dash.
pub(crate) fn millis(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "-".to_owned(), |duration| format!("{:.1} ms", duration.as_secs_f64() * 1000.0))
}

/// How many times `floor` goes into `value`, or a dash.
pub(crate) fn ratio(value: Option<Duration>, floor: Option<Duration>) -> String {
    match (value, floor) {
        (Some(value), Some(floor)) if !floor.is_zero() => format!("{:.2}x", value.as_secs_f64() / floor.as_secs_f64()),
        _ => "-".to_owned(),
    }
}

/// Columns as wide as their widest cell, the first to the left, the others to the right.
pub(crate) fn render(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            text += &if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_by_nearest_rank() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&sorted, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&sorted[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn a_table_is_aligned() {
        let lines = [["a", "p50"], ["longer", "1.5 ms"]].map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(render(&lines), "a          p50\nlonger  1.5 ms\n");
    }

    #[test]
    fn a_ratio_needs_two_numbers() {
        let (one, two) = (Some(Duration::from_millis(1)), Some(Duration::from_millis(2)));
        assert_eq!(ratio(two, one), "2.00x");
        assert_eq!(ratio(two, None), "-");
        assert_eq!(ratio(two, Some(Duration::ZERO)), "-");
    }
}
