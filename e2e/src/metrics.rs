//! Prometheus text as numbers.

use std::collections::BTreeMap;

/// Samples of one scrape.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    /// Reads the text format; lines that are no samples are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (series, value) = line.trim().rsplit_once(' ')?;
                Some((series.to_owned(), value.parse().ok()?))
            })
            .collect();
        Self { samples }
    }

    /// Sum of all series of this name whose labels contain each of `labels` (such as `reason="Malformed"`).
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of_name = |series: &str| series.split('{').next() == Some(name);
        let matching = |series: &&String| of_name(series) && labels.iter().all(|label| series.contains(label));
        self.samples.iter().filter(|(series, _)| matching(series)).map(|(_, value)| value).sum()
    }

    /// The only series of this name; `None` when there is none, or several.
    #[must_use]
    pub fn one(&self, name: &str) -> Option<f64> {
        let mut found = self.samples.iter().filter(|(series, _)| series.split('{').next() == Some(name));
        let (_, value) = found.next()?;
        found.next().is_none().then_some(*value)
    }

    /// Series whose name begins so, with their values.
    #[must_use]
    pub fn series(&self, prefix: &str) -> Vec<(String, f64)> {
        self.samples.iter().filter(|(series, _)| series.starts_with(prefix)).map(|(s, v)| (s.clone(), *v)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_name_and_labels() {
        let text = "# HELP a b\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\na_total_other 9\n";
        let metrics = Metrics::parse(text);
        assert!((metrics.sum("a_total", &[]) - 5.0).abs() < f64::EPSILON);
        assert!((metrics.sum("a_total", &["x=\"2\""]) - 3.0).abs() < f64::EPSILON);
        assert_eq!(metrics.series("a_total{").len(), 2);
        assert_eq!((metrics.one("a_total_other"), metrics.one("a_total"), metrics.one("b")), (Some(9.0), None, None));
    }
}
