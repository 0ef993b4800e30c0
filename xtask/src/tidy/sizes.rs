//! Files stay short enough to be read: 500 lines without tests. (Functions are clippy's: `too_many_lines`.)

use super::{Findings, Source};

const MOST_LINES: usize = 500;
const EXTENSIONS: [&str; 4] = ["rs", "go", "js", "css"];

/// Files that are too long, and modules named `mod.rs`.
pub(super) fn check(sources: &[Source]) -> Findings {
    let mut findings = Findings::new();
    for source in sources.iter().filter(|source| EXTENSIONS.iter().any(|ext| source.has_extension(ext))) {
        let lines = source.code().count();
        if lines > MOST_LINES && !source.is_test() {
            let path = source.path.display();
            findings.push(format!("{path} has {lines} lines without tests, {MOST_LINES} are allowed: split it"));
        }
        if source.path.ends_with("mod.rs") && !source.path.starts_with("e2e/tests") {
            let path = source.path.display();
            findings.push(format!("{path}: name it after its module, beside the directory, not `mod.rs`"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source;

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let long = "fn a() {}\n".repeat(501);
        assert_eq!(check(&[source("a/src/x.rs", &long)]).len(), 1);
        let tested =
            format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "fn a() {}\n".repeat(500), "fn b() {}\n".repeat(400));
        assert!(check(&[source("a/src/x.rs", &tested)]).is_empty());
        assert!(check(&[source("a/tests/x.rs", &long)]).is_empty());
    }

    #[test]
    fn a_module_called_mod_is_found() {
        assert_eq!(check(&[source("a/src/x/mod.rs", "")]).len(), 1);
    }
}
