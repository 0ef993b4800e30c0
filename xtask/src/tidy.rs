//! Rules that no compiler knows: sizes, orphaned files, arrows between crates, purity, paths of one machine.
//! Each rule is a file; all of them run, and every finding is printed before the command fails.

mod arrows;
mod orphans;
mod purity;
mod sizes;
mod words;

use crate::console::Console;
use crate::run;
use crate::workspace::Workspace;
use anyhow::bail;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the repository: its path in the repository and its text.
pub(crate) struct Source {
    path: PathBuf,
    text: String,
}

/// What is wrong, in words that say what to do.
type Findings = Vec<String>;

/// `xtask tidy`.
pub(crate) fn command(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    console.step("tidy: sizes, orphans, arrows, purity, words");
    let sources = sources(workspace.root())?;
    let mut findings = sizes::check(&sources);
    findings.extend(orphans::check(&sources));
    findings.extend(arrows::check(&sources)?);
    findings.extend(purity::check(&sources));
    findings.extend(words::check(&sources, &words::of_this_machine(workspace)));
    for finding in &findings {
        eprintln!("  tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("tidy has {} findings", findings.len());
    }
    Ok(())
}

/// Every text file that git tracks or would track.
fn sources(root: &Path) -> anyhow::Result<Vec<Source>> {
    let mut git = Command::new("git");
    // A CI job may run as somebody else than the owner of the clone.
    git.args(["-c", "safe.directory=*", "-C"]).arg(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let list = run::captured("listing the files of the repository", git)?;
    let mut sources = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        let Ok(bytes) = std::fs::read(root.join(path)) else { continue }; // deleted in the work tree, still in the index
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path: PathBuf::from(path), text });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

impl Source {
    fn has_extension(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|found| found == extension)
    }

    /// Tests may be long and may do what the code may not.
    fn is_test(&self) -> bool {
        let in_directory = self.path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "e2e");
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        in_directory
            || name == "tests.rs"
            || name == "testing.rs"
            || name.ends_with("_tests.rs")
            || name.ends_with("_test.go")
    }

    /// The lines of a Rust file before its inline test module.
    fn code(&self) -> impl Iterator<Item = &str> {
        let lines: Vec<&str> = self.text.lines().collect();
        let end = lines
            .windows(2)
            .position(|pair| {
                matches!(pair, [attribute, module] if attribute.trim() == "#[cfg(test)]"
                    && module.trim_start().starts_with("mod ") && module.trim_end().ends_with('{'))
            })
            .unwrap_or(lines.len());
        lines.into_iter().take(end)
    }
}

#[cfg(test)]
fn source(path: &str, text: &str) -> Source {
    Source { path: PathBuf::from(path), text: text.to_owned() }
}
