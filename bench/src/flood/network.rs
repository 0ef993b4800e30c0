//! Two network namespaces without names, joined by a virtual cable: this process's and the node's.

use crate::process::Server;
use anyhow::{Context as _, bail};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The node's address.
pub(super) const NODE: Ipv4Addr = Ipv4Addr::new(10, 87, 0, 1);
/// Address of clients, peers and the flood.
pub(super) const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 87, 0, 2);
const PREFIX: u8 = 24;
const DEADLINE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// Becomes the same program with the same arguments in a namespace of its own. Comes back only when that failed.
pub(super) fn run_again_inside() -> anyhow::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return anyhow::Error::new(error).context("asking for this program's path"),
    };
    let mut command = Command::new("unshare");
    command.arg("--net").arg(program).args(std::env::args_os().skip(1)).arg("--inside");
    anyhow::Error::new(command.exec()).context("starting unshare (of util-linux)")
}

/// A command that makes a namespace and becomes `program` there once its network is ready.
pub(super) fn waiting(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", r#"read -r _ && exec "$0""#]).arg(program);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    command
}

/// Lays the cable to a waiting node, and lets it go.
pub(super) fn connect(server: &mut Server) -> anyhow::Result<()> {
    let pid = server.child().id();
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net"));
    let own = namespace("self").context("looking at the own namespace")?;
    let deadline = Instant::now() + DEADLINE;
    while namespace(&pid.to_string()).context("looking at the node's namespace")? == own {
        server.check()?;
        if Instant::now() > deadline {
            bail!("the node did not get a namespace of its own");
        }
        std::thread::sleep(PAUSE);
    }
    run(&format!("ip link add clients type veth peer name node netns {pid}"))?;
    run(&format!("ip address add {CLIENTS}/{PREFIX} dev clients"))?;
    run("ip link set clients up")?;
    // Forged addresses come from everywhere, and answers go back there: by the only cable there is.
    let node = format!(
        "ip address add {NODE}/{PREFIX} dev node && ip link set lo up && ip link set node up \
         && ip route add default via {CLIENTS} && for each in all node; do echo 0 >/proc/sys/net/ipv4/conf/$each/rp_filter; done"
    );
    let mut inside = Command::new("nsenter");
    inside.args(["--net", "--target", &pid.to_string(), "sh", "-c", &node]);
    finish("setting up the node's network", inside)?;
    let mut input = server.child().stdin.take().context("the node has no input")?;
    input.write_all(b"\n").context("letting the node go")
}

fn run(line: &str) -> anyhow::Result<()> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().context("an empty command")?);
    command.args(words);
    finish(line, command)
}

fn finish(what: &str, mut command: Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{what}: starting it"))?;
    if !output.status.success() {
        bail!("{what}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
