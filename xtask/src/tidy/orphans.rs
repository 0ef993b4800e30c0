//! Every Rust file is compiled: it is reachable by `mod` from a root of its crate.

use super::{Findings, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const ROOT_FILES: [&str; 3] = ["src/lib.rs", "src/main.rs", "build.rs"];
const ROOT_DIRECTORIES: [&str; 5] = ["src/bin", "tests", "examples", "benches", "fuzz_targets"];

/// Rust files that no `mod` leads to.
pub(super) fn check(sources: &[Source]) -> Findings {
    let rust: BTreeMap<&Path, &Source> = sources
        .iter()
        .filter(|source| source.has_extension("rs"))
        .map(|source| (source.path.as_path(), source))
        .collect();
    let crates: Vec<&Path> = sources
        .iter()
        .filter(|source| source.path.ends_with("Cargo.toml"))
        .filter_map(|source| source.path.parent())
        .collect();
    let mut reached = BTreeSet::new();
    let mut open: Vec<PathBuf> =
        rust.keys().filter(|path| is_root(path, &crates)).map(|path| path.to_path_buf()).collect();
    let roots: BTreeSet<PathBuf> = open.iter().cloned().collect();
    while let Some(path) = open.pop() {
        let Some(source) = rust.get(path.as_path()) else { continue };
        if reached.insert(path.clone()) {
            open.extend(children(source, roots.contains(&path)));
        }
    }
    rust.keys()
        .filter(|path| !reached.contains(**path))
        .map(|path| format!("{} is not reachable by any `mod`: declare it or delete it", path.display()))
        .collect()
}

fn is_root(path: &Path, crates: &[&Path]) -> bool {
    crates.iter().any(|crate_dir| {
        let Ok(inside) = path.strip_prefix(crate_dir) else { return false };
        let in_root_directory = inside.parent().is_some_and(|dir| {
            let is_main = inside.ends_with("main.rs") && dir.parent().is_some_and(is_root_directory);
            is_root_directory(dir) || is_main
        });
        ROOT_FILES.iter().any(|root| inside == Path::new(root)) || in_root_directory
    })
}

fn is_root_directory(dir: &Path) -> bool {
    ROOT_DIRECTORIES.iter().any(|root| dir == Path::new(root))
}

/// The files that the `mod name;` lines of a file may mean.
fn children(source: &Source, is_root: bool) -> Vec<PathBuf> {
    let parent = source.path.parent().unwrap_or(Path::new(""));
    // A file of `tests/` may be a program or a module of one: both places count.
    let mut homes = vec![source.path.with_extension("")];
    if is_root || source.path.ends_with("mod.rs") {
        homes.push(parent.to_path_buf());
    }
    let mut found = Vec::new();
    let mut explicit = None;
    for line in source.text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            explicit = Some(normal(&parent.join(path)));
        } else if let Some(name) = declared_module(line) {
            match explicit.take() {
                Some(path) => found.push(path),
                None => {
                    let files = |home: &PathBuf| [home.join(format!("{name}.rs")), home.join(name).join("mod.rs")];
                    found.extend(homes.iter().flat_map(files));
                }
            }
        }
    }
    found
}

/// `x` of `mod x;`, `pub mod x;` and `pub(crate) mod x;`.
fn declared_module(line: &str) -> Option<&str> {
    let declaration = line.strip_suffix(';')?;
    let (visibility, name) = declaration.rsplit_once("mod ")?;
    let visibility = visibility.trim();
    let plausible =
        visibility.is_empty() || visibility == "pub" || visibility.starts_with("pub(") || visibility.ends_with(']');
    let is_name = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    (plausible && is_name).then_some(name)
}

/// Resolves `..` in a path inside the repository.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source;

    #[test]
    fn a_file_that_nothing_declares_is_found() {
        let sources = [
            source("a/Cargo.toml", ""),
            source("a/src/lib.rs", "pub mod room;\n"),
            source("a/src/room.rs", "mod leg;\n"),
            source("a/src/room/leg.rs", ""),
            source("a/src/room/lost.rs", ""),
            source("a/tests/flow.rs", ""),
        ];
        let findings = check(&sources);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].contains("a/src/room/lost.rs"));
    }

    #[test]
    fn a_module_beside_a_test_program_is_followed() {
        let sources = [
            source("a/Cargo.toml", ""),
            source("a/tests/flow.rs", "mod support;\n"),
            source("a/tests/support.rs", "pub mod net;\n"),
            source("a/tests/support/net.rs", ""),
        ];
        assert!(check(&sources).is_empty());
    }

    #[test]
    fn a_path_attribute_is_followed() {
        let sources = [
            source("a/Cargo.toml", ""),
            source("a/src/main.rs", "#[path = \"../shared/x.rs\"]\nmod x;\n"),
            source("a/shared/x.rs", ""),
        ];
        assert!(check(&sources).is_empty());
    }

    #[test]
    fn words_that_contain_mod_declare_nothing() {
        assert_eq!(declared_module("pub(crate) mod legs;"), Some("legs"));
        assert_eq!(declared_module("let x = a mod b;"), None);
        assert_eq!(declared_module("// the mod x;"), None);
    }
}
