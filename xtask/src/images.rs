//! Container images of operator, gateway, media node and TURN node: one static program in an empty image, as its Containerfile says.
//! For the embedded cluster they are packed by `plenum-cluster`; for others they go to a registry.

mod registry;

use crate::build::{self, Binaries, Profile};
use crate::cluster::Programs;
use crate::console::Console;
use crate::run;
use crate::tools;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
pub(crate) use registry::{PROFILE, PULL_SECRET, REGISTRY, Registry, has_tool};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where images of the embedded cluster claim to be from. Nothing is pulled from there.
const LOCAL_REGISTRY: &str = "docker.io/plenum";
/// Name of the image, and the directory with its Containerfile.
pub(crate) const IMAGES: [&str; 4] = ["operator", "gateway", "media-node", "turn-node"];
/// What is built: the images' programs, and the command line.
const PROGRAMS: [&str; 5] = ["plenum-operator", "plenum-gateway", "plenum-media-node", "plenum-turn-node", "plenumctl"];

/// Images that exist.
pub(crate) struct Images {
    /// `REGISTRY/operator:TAG` is the operator.
    pub(crate) registry: String,
    /// Derived from the programs' contents.
    pub(crate) tag: String,
    /// Archives to load into nodes; empty when the images were pushed.
    pub(crate) archives: Vec<PathBuf>,
    /// All programs that were built, `plenumctl` included.
    pub(crate) binaries: Binaries,
    /// A Secret with which nodes pull.
    pub(crate) pull_secret: Option<String>,
}

/// `xtask images`.
pub(crate) fn command(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let images = match Registry::from_environment()? {
        Some(registry) => registry.push(workspace, console)?,
        None => pack(workspace, console, &tools::programs(workspace, console)?, Profile::Dev)?,
    };
    for name in IMAGES {
        println!("{}/{name}:{}", images.registry, images.tag);
    }
    for archive in &images.archives {
        println!("{}", archive.display());
    }
    Ok(())
}

/// Builds the programs and packs them for the embedded cluster.
pub(crate) fn pack(
    workspace: &Workspace,
    console: &Console,
    programs: &Programs,
    profile: Profile,
) -> anyhow::Result<Images> {
    let binaries = build::programs(workspace, console, profile, &PROGRAMS)?;
    let tag = tag_of(&binaries)?;
    let dir = workspace.cache_dir("images")?;
    let mut archives = Vec::new();
    for name in IMAGES {
        let archive = dir.join(format!("{name}-{tag}.tar"));
        if !archive.is_file() {
            let recipe = Recipe::read(&workspace.path(name).join("Containerfile"))?;
            let partial = dir.join(format!("{name}-{tag}.partial"));
            let mut pack = Command::new(programs.cluster());
            pack.args(["pack-image", "--tag", &format!("{LOCAL_REGISTRY}/{name}:{tag}"), "--user", &recipe.user]);
            pack.args(["--entrypoint", &recipe.entrypoint, "--binary"]).arg(build::binary(&binaries, &recipe.program)?);
            pack.arg("-o").arg(&partial);
            console.step(format!("packing {LOCAL_REGISTRY}/{name}:{tag}"));
            run::captured("packing an image", pack)?;
            std::fs::rename(&partial, &archive).with_context(|| format!("renaming {}", partial.display()))?;
        }
        archives.push(archive);
    }
    forget_others(&dir, &archives)?;
    Ok(Images { registry: LOCAL_REGISTRY.to_owned(), tag, archives, binaries, pull_secret: None })
}

/// What a Containerfile of ours says: `FROM scratch`, one program, a numeric user.
#[derive(Debug, PartialEq, Eq)]
struct Recipe {
    program: String,
    entrypoint: String,
    user: String,
}

impl Recipe {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("reading {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let (mut program, mut entrypoint, mut user) = (None, None, None);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once(' ').map(|(word, rest)| (word, rest.trim())) {
                Some(("FROM", "scratch")) | Some(("LABEL" | "EXPOSE", _)) => {}
                Some(("COPY", files)) => {
                    let (from, to) = files.split_once(' ').context("COPY takes one program and its place")?;
                    program = Some(from.to_owned());
                    entrypoint = Some(to.trim().to_owned());
                }
                Some(("USER", id)) => user = Some(id.to_owned()),
                Some(("ENTRYPOINT", words)) => {
                    let words: Vec<String> = serde_json::from_str(words).context("ENTRYPOINT must be a JSON list")?;
                    if words.len() != 1 || words.first() != entrypoint.as_ref() {
                        bail!("ENTRYPOINT must be the program that COPY brings, alone");
                    }
                }
                _ => bail!("`{line}` is not understood: an image is FROM scratch, COPY, USER, ENTRYPOINT"),
            }
        }
        Ok(Self {
            program: program.context("COPY is missing")?,
            entrypoint: entrypoint.context("COPY is missing")?,
            user: user.context("USER is missing: images are not run as root")?,
        })
    }
}

/// One tag for all images: the chart takes one.
fn tag_of(binaries: &Binaries) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for name in IMAGES {
        let path = build::binary(binaries, &format!("plenum-{name}"))?;
        hash.update(Sha256::digest(std::fs::read(path).with_context(|| format!("reading {}", path.display()))?));
    }
    let hex: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("dev-{hex}"))
}

fn forget_others(dir: &Path, keep: &[PathBuf]) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tar") && !keep.contains(&path) {
            std::fs::remove_file(&path).with_context(|| format!("deleting {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containerfiles_of_the_repository_are_understood() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for name in IMAGES {
            let recipe = Recipe::read(&root.join(name).join("Containerfile")).unwrap();
            assert_eq!(recipe.program, format!("plenum-{name}"));
            assert_ne!(recipe.user.split(':').next().unwrap().parse::<u32>().unwrap(), 0);
        }
    }

    #[test]
    fn an_image_with_a_base_or_without_a_user_is_refused() {
        let good = "FROM scratch\nCOPY a /a\nUSER 65532\nENTRYPOINT [\"/a\"]\n";
        assert!(Recipe::parse(good).is_ok());
        assert!(Recipe::parse(&good.replace("scratch", "debian")).is_err());
        assert!(Recipe::parse(&good.replace("USER 65532\n", "")).is_err());
        assert!(Recipe::parse(&good.replace("[\"/a\"]", "[\"/b\"]")).is_err());
    }
}
