//! Where things are: the clone, and the caches outside of it. Creates directories, nothing else.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// The clone and the caches.
pub(crate) struct Workspace {
    root: PathBuf,
    cache: PathBuf,
    state: PathBuf,
}

impl Workspace {
    /// Finds the clone from this crate's manifest, and the caches from the environment.
    pub(crate) fn locate() -> anyhow::Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().context("the manifest of xtask has no parent directory")?.to_path_buf();
        if !root.join("Cargo.lock").is_file() {
            bail!("{} is not the Plenum repository: run this by `make` or `cargo xtask`", root.display());
        }
        Ok(Self { root, cache: base("XDG_CACHE_HOME", ".cache")?, state: base("XDG_STATE_HOME", ".local/state")? })
    }

    /// The clone.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the clone.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// All caches of Plenum.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// State of Plenum that is not a cache.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// A directory in the cache, created when it is missing.
    pub(crate) fn cache_dir(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.cache.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(path)
    }
}

fn base(variable: &str, below_home: &str) -> anyhow::Result<PathBuf> {
    if let Some(dir) = std::env::var_os(variable).filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir).join("plenum"));
    }
    let home = std::env::var_os("HOME").with_context(|| format!("neither {variable} nor HOME is set"))?;
    Ok(PathBuf::from(home).join(below_home).join("plenum"))
}
