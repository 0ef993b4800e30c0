//! Pure modules inside crates that are not pure: no clock, no randomness, no awaiting, no API client.
//! (Pure crates have a `clippy.toml` of their own, which sees more than text does.)

use super::{Findings, Source};

/// Files and directories (by prefix) that decide and do not do.
const PURE: [&str; 10] = [
    "operator/src/planner",
    "operator/src/lease/decide.rs",
    "operator/src/ledger",
    "operator/src/validate",
    "api/src",
    "protocol/src",
    "sansio/src",
    "media-node/core/src",
    "turn-node/core/src",
    "xtask/src/tidy/",
];
const BANNED: [(&str, &str); 7] = [
    ("Instant::now(", "time is an argument"),
    ("SystemTime::now(", "time is an argument"),
    ("Timestamp::now(", "time is an argument"),
    ("now_utc(", "time is an argument"),
    ("rand::rng(", "randomness is an argument"),
    (".await", "a decision waits for nothing"),
    ("kube::Client", "a decision talks to nobody"),
];
/// Crates that must have purity rules of their own for clippy.
const CLIPPY: [&str; 6] = [
    "api/clippy.toml",
    "protocol/clippy.toml",
    "sansio/clippy.toml",
    "signaling/clippy.toml",
    "media-node/core/clippy.toml",
    "turn-node/core/clippy.toml",
];

/// Pure code that is not.
pub(super) fn check(sources: &[Source]) -> Findings {
    let mut findings = Findings::new();
    for source in sources.iter().filter(|source| source.has_extension("rs") && is_pure(source)) {
        for (number, line) in source.code().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for (banned, reason) in BANNED.iter().filter(|(banned, _)| line.contains(banned) && !line.contains("(\"")) {
                let place = format!("{}:{}", source.path.display(), number + 1);
                findings.push(format!("{place}: `{banned}` in a pure module: {reason}"));
            }
        }
    }
    for config in CLIPPY {
        if !sources.iter().any(|source| source.path.as_os_str() == config) {
            findings.push(format!("{config} is missing: pure crates ban clocks, threads and sockets there"));
        }
    }
    findings
}

fn is_pure(source: &Source) -> bool {
    let path = source.path.to_string_lossy();
    !source.is_test() && PURE.iter().any(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source;

    fn with_configs(mut sources: Vec<Source>) -> Vec<Source> {
        sources.extend(CLIPPY.iter().map(|path| source(path, "")));
        sources
    }

    #[test]
    fn a_planner_that_reads_the_clock_is_found() {
        let sources = with_configs(vec![source("operator/src/planner/bind.rs", "fn x() { Instant::now(); }\n")]);
        assert_eq!(check(&sources).len(), 1);
    }

    #[test]
    fn code_that_does_things_may_await() {
        assert!(check(&with_configs(vec![source("operator/src/apply.rs", "x.await;\n")])).is_empty());
    }

    #[test]
    fn a_missing_clippy_file_is_found() {
        assert_eq!(check(&[]).len(), CLIPPY.len());
    }
}
