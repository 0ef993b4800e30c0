//! The server that is measured, as the kernel sees it: on a core of its own, with its CPU time and its memory.

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where servers run.
const SERVER_CORE: usize = 0;
/// Where the load comes from.
const LOAD_CORE: usize = 1;
/// Ahead of all that else the machine does; only root may.
const PRIORITY: i32 = -20;

/// Where the scheduler weighs sessions against each other, this session's weight: that of its processes counts within.
const SESSION: &str = "/proc/self/autogroup";

/// This process and what it starts, ahead of what else the machine does, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// The session's priority before.
    session: Option<String>,
}

/// Makes this thread, and what it starts, the load: on its core, ahead of others, with a descriptor per client.
pub(crate) fn become_load() -> anyhow::Result<Ahead> {
    if std::thread::available_parallelism().context("counting the cores")?.get() <= LOAD_CORE {
        bail!("this needs two cores: one for the server, one for the load");
    }
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("raising the number of descriptors")?;
    pin(LOAD_CORE)?;
    let mut ahead = Ahead { session: None };
    if setpriority_process(None, PRIORITY).is_err() {
        eprintln!("not root: the figures also show what else the machine does");
    } else if let Some(before) = std::fs::read_to_string(SESSION).ok().as_deref().and_then(session_priority) {
        std::fs::write(SESSION, PRIORITY.to_string()).context("raising the session's priority")?;
        ahead.session = Some(before.to_owned());
    }
    Ok(ahead)
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(before) = &self.session
            && let Err(error) = std::fs::write(SESSION, before)
        {
            eprintln!("setting the session's priority back: {error}");
        }
    }
}

/// The number in `/autogroup-7 nice 0`.
fn session_priority(text: &str) -> Option<&str> {
    text.split_once(" nice ").map(|(_, number)| number.trim())
}

/// This thread, and what it starts from now on, stays on one core.
fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("staying on core {core}"))
}

/// A server; ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    child: Child,
}

impl Server {
    /// Starts it on its core. Its standard input and output are left as `command` has them, or closed.
    pub(crate) fn start(name: &'static str, mut command: Command) -> anyhow::Result<Self> {
        pin(SERVER_CORE)?;
        let started = command.spawn();
        pin(LOAD_CORE)?;
        Ok(Self { name, child: started.with_context(|| format!("starting {name}"))? })
    }

    /// A command without input and output.
    pub(crate) fn quiet(program: &std::path::Path) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Its process.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Fails when it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().with_context(|| format!("looking after {}", self.name))? {
            Some(status) => bail!("{} ended: {status}", self.name),
            None => Ok(()),
        }
    }

    /// CPU time of all its threads so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        let tasks = format!("/proc/{}/task", self.child.id());
        for task in std::fs::read_dir(&tasks).with_context(|| format!("listing {tasks}"))? {
            let path = task?.path().join("schedstat");
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let first = text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
            nanos += first.with_context(|| format!("{} has no number: {text:?}", path.display()))?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Its resident memory in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let kib = resident_kib(&text).with_context(|| format!("{path} has no VmRSS"))?;
        Ok(kib * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("ending {}: {error}", self.name);
        }
    }
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_status() {
        assert_eq!(resident_kib("Name:\tx\nVmRSS:\t    2724 kB\nThreads:\t1\n"), Some(2724));
        assert_eq!(resident_kib("Name:\tx\n"), None);
    }

    #[test]
    fn the_sessions_priority_is_read() {
        assert_eq!(session_priority("/autogroup-2019 nice -3\n"), Some("-3"));
        assert_eq!(session_priority("/autogroup-2019"), None);
    }
}
