//! The registry of IMAGE_REGISTRY: images are built by buildah, podman or docker, and pushed there.

use super::{IMAGES, Images, PROGRAMS, Recipe, tag_of};
use crate::build::{self, Profile};
use crate::console::Console;
use crate::run;
use crate::workspace::Workspace;
use anyhow::{Context, anyhow, bail};
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

/// What images' names begin with, `REGISTRY/PATH`.
pub(crate) const REGISTRY: &str = "IMAGE_REGISTRY";
/// `1`: the registry speaks HTTP without TLS. One on localhost needs no telling.
const INSECURE: &str = "IMAGE_REGISTRY_INSECURE";
/// `dev` pushes what tests are built from, which is built faster; unset or `release`: what others run.
pub(crate) const PROFILE: &str = "IMAGE_PROFILE";
/// A Secret with which nodes pull.
pub(crate) const PULL_SECRET: &str = "IMAGE_PULL_SECRET";

/// A registry, and how images get there and come from there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Registry {
    /// `PREFIX/operator:TAG` is the operator.
    prefix: String,
    /// It has no TLS.
    plain: bool,
    profile: Profile,
    /// Name of the Secret that nodes need.
    pull_secret: Option<String>,
}

impl Registry {
    /// What the environment says; `None` when IMAGE_REGISTRY is not set.
    pub(crate) fn from_environment() -> anyhow::Result<Option<Self>> {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Self>> {
        let value = |name: &str| variable(name).filter(|value| !value.is_empty());
        let Some(prefix) = value(REGISTRY).map(|value| value.trim_end_matches('/').to_owned()) else { return Ok(None) };
        if prefix.contains("://") {
            bail!("{REGISTRY} is the beginning of images' names, such as registry.example/plenum, and not a URL");
        }
        let insecure = match value(INSECURE).as_deref() {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(other) => bail!("{INSECURE}={other}: say 1 or 0"),
        };
        let profile = match value(PROFILE).as_deref() {
            None | Some("release") => Profile::Release,
            Some("dev") => Profile::Dev,
            Some(other) => bail!("{PROFILE}={other}: say release or dev"),
        };
        let plain = insecure || is_local(&prefix);
        Ok(Some(Self { prefix, plain, profile, pull_secret: value(PULL_SECRET) }))
    }

    /// Name of the Secret with which nodes pull.
    pub(crate) fn pull_secret(&self) -> Option<&str> {
        self.pull_secret.as_deref()
    }

    /// Builds the programs for others to run, and pushes their images.
    pub(crate) fn push(&self, workspace: &Workspace, console: &Console) -> anyhow::Result<Images> {
        let tool = Tool::find().with_context(|| {
            format!("{REGISTRY} needs one of buildah, podman and a docker that runs: install one (apt-get install -y buildah)")
        })?;
        let binaries = build::programs(workspace, console, self.profile, &PROGRAMS)?;
        let tag = tag_of(&binaries)?;
        for name in IMAGES {
            let image = format!("{}/{name}:{tag}", self.prefix);
            let containerfile = workspace.path(name).join("Containerfile");
            let recipe = Recipe::read(&containerfile)?;
            let context = workspace.cache_dir("images")?.join(format!("context-{name}"));
            std::fs::create_dir_all(&context)?;
            let program = build::binary(&binaries, &recipe.program)?;
            std::fs::copy(program, context.join(&recipe.program))
                .with_context(|| format!("copying {}", program.display()))?;
            let log = workspace.cache_dir("log")?.join(format!("image-{name}.log"));
            let what = format!("building {image} with {}", tool.name());
            run::logged(console, &what, tool.build(&image, &containerfile, &context), &log)?;
            let pushed = run::logged(console, &format!("pushing {image}"), tool.push(&image, self.plain), &log);
            // Copies here would only fill the disk.
            std::fs::remove_dir_all(&context).with_context(|| format!("deleting {}", context.display()))?;
            run::captured(&format!("deleting this machine's copy of {image}"), tool.command(&["rmi", &image]))?;
            pushed.map_err(|error| anyhow!("{error:#}\n{}", tool.advice(&self.prefix, self.plain)))?;
        }
        let pull_secret = self.pull_secret.clone();
        Ok(Images { registry: self.prefix.clone(), tag, archives: Vec::new(), binaries, pull_secret })
    }
}

/// Whether the registry is on this machine: tools and nodes take such a one without TLS.
fn is_local(prefix: &str) -> bool {
    let authority = prefix.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether one of the tools can build images here.
pub(crate) fn has_tool() -> bool {
    Tool::find().is_some()
}

/// A program that builds and pushes images.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Buildah,
    Podman,
    Docker,
}

impl Tool {
    /// The first that is there. Docker counts when its daemon answers: often only the client is installed.
    fn find() -> Option<Self> {
        [Self::Buildah, Self::Podman, Self::Docker].into_iter().find(|tool| {
            run::on_path(tool.name())
                && (*tool != Self::Docker || run::captured("asking docker", tool.command(&["version"])).is_ok())
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Buildah => "buildah",
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }

    fn command(self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.name());
        command.args(arguments);
        command
    }

    fn build(self, image: &str, containerfile: &Path, context: &Path) -> Command {
        let mut build = self.command(&["build", "--tag", image, "--file"]);
        build.arg(containerfile).arg(context);
        build
    }

    fn push(self, image: &str, plain: bool) -> Command {
        match self {
            Self::Buildah | Self::Podman if plain => self.command(&["push", "--tls-verify=false", image]),
            Self::Buildah | Self::Podman | Self::Docker => self.command(&["push", image]),
        }
    }

    /// What may help when a push failed.
    fn advice(self, prefix: &str, plain: bool) -> String {
        match (self, plain) {
            (Self::Docker, true) => {
                format!(
                    "docker pushes without TLS to localhost, and else to the insecure-registries of its daemon.json only: does it list {prefix}?"
                )
            }
            _ if plain => format!("is {prefix} up, and are you logged in (`{} login`)?", self.name()),
            _ => format!(
                "are you logged in at {prefix} (`{} login`), and has it TLS ({INSECURE}=1 if not)?",
                self.name()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Option<Registry>> {
        Registry::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn words(command: &Command) -> Vec<String> {
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn only_a_registry_of_this_machine_or_one_that_is_said_to_has_no_tls() {
        for (prefix, plain) in [
            ("localhost:5000", true),
            ("localhost/plenum", true),
            ("127.0.0.1:5000/x", true),
            ("[::1]:5000", true),
            ("registry.example:5000/localhost", false),
            ("localhost.example/x", false),
            ("192.0.2.1:5000", false),
        ] {
            assert_eq!(read(&[(REGISTRY, prefix)]).unwrap().unwrap().plain, plain, "{prefix}");
            assert!(read(&[(REGISTRY, prefix), (INSECURE, "1")]).unwrap().unwrap().plain, "{prefix}");
        }
    }

    #[test]
    fn the_environment_is_read_and_what_it_cannot_mean_is_refused() {
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&[(REGISTRY, "")]).unwrap(), None);
        let registry = read(&[(REGISTRY, "r.example/p/"), (PULL_SECRET, "pull"), (PROFILE, "")]).unwrap().unwrap();
        assert_eq!(
            (registry.prefix.as_str(), registry.pull_secret(), registry.profile == Profile::Release),
            ("r.example/p", Some("pull"), true)
        );
        assert!(read(&[(REGISTRY, "r.example"), (PROFILE, "dev")]).unwrap().unwrap().profile == Profile::Dev);
        for bad in [(INSECURE, "yes"), (PROFILE, "fast"), (REGISTRY, "https://r.example")] {
            assert!(read(&[bad, (REGISTRY, "r.example")]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_registry_without_tls_is_pushed_to_without_tls_and_no_other_is() {
        assert_eq!(words(&Tool::Buildah.push("r/x:1", true)), ["push", "--tls-verify=false", "r/x:1"]);
        assert_eq!(words(&Tool::Podman.push("r/x:1", false)), ["push", "r/x:1"]);
        assert_eq!(words(&Tool::Docker.push("r/x:1", true)), ["push", "r/x:1"]);
    }
}
