//! Nothing of one machine gets into the repository: paths of this clone, of this user's home, of the caches.

use super::{Findings, Source};
use crate::workspace::Workspace;

/// Shorter paths than this are in everybody's text (`/src`, `/root`).
const SHORTEST: usize = 9;

/// The paths that are this machine's own.
pub(super) fn of_this_machine(workspace: &Workspace) -> Vec<String> {
    let paths = [workspace.root(), workspace.cache(), workspace.state()];
    paths.iter().map(|path| path.display().to_string()).filter(|path| path.len() >= SHORTEST).collect()
}

/// Files that name them, and conflict markers.
pub(super) fn check(sources: &[Source], forbidden: &[String]) -> Findings {
    let mut findings = Findings::new();
    for source in sources {
        let path = source.path.display();
        for (number, line) in source.text.lines().enumerate() {
            for word in forbidden.iter().filter(|word| line.contains(word.as_str())) {
                findings.push(format!("{path}:{} names a path of this machine: {word}", number + 1));
            }
            if line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") {
                findings.push(format!("{path}:{} is a conflict marker", number + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source;

    #[test]
    fn a_path_of_the_machine_is_found() {
        let found = check(&[source("a.md", "see /home/ada/plenum/x\n")], &["/home/ada/plenum".to_owned()]);
        assert_eq!(found.len(), 1);
    }
}
