//! A process that a test started, and everything that it started: ended by id when dropped.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;
use std::fs;
use std::process::{Child, Command, Stdio};

/// Owns a process tree.
#[derive(Debug)]
pub struct OwnedProcess {
    child: Child,
    what: String,
}

impl OwnedProcess {
    /// Starts `command` with its output in `log` and nothing to read.
    ///
    /// # Errors
    /// The log cannot be made, or the program cannot be started.
    pub fn start(mut command: Command, what: &str, log: &fs::File) -> Result<Self> {
        let out = log.try_clone().context("sharing the log file")?;
        let err = log.try_clone().context("sharing the log file")?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.spawn().with_context(|| format!("starting {what} ({command:?})"))?;
        Ok(Self { child, what: what.to_owned() })
    }

    /// Fails when the process has ended by itself.
    ///
    /// # Errors
    /// It ended; the message has its exit status.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait().context("looking after a process")? {
            Some(status) => bail!("{} ended by itself: {status}", self.what),
            None => Ok(()),
        }
    }
}

impl Drop for OwnedProcess {
    fn drop(&mut self) {
        // Children first become known, then die: a dead parent's children could not be found any more.
        for pid in descendants(self.child.id()) {
            signal(pid, Signal::KILL);
        }
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("ending {}: {error}", self.what);
        }
    }
}

/// Sends a signal; a process that is already gone is fine.
fn signal(pid: u32, signal: Signal) {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    if let Err(error) = kill_process(target, signal)
        && error != rustix::io::Errno::SRCH
    {
        eprintln!("sending {signal:?} to process {pid}: {error}");
    }
}

/// Ends a process at once (SIGKILL).
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Stops a process (SIGSTOP) until it is thawed or this is dropped.
#[derive(Debug)]
pub struct Frozen {
    pid: u32,
}

impl Frozen {
    /// Freezes the process.
    #[must_use]
    pub fn freeze(pid: u32) -> Self {
        signal(pid, Signal::STOP);
        Self { pid }
    }

    /// Lets it run on.
    pub fn thaw(self) {
        drop(self);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal(self.pid, Signal::CONT);
    }
}

/// The first process, of all containers of the pod with this UID on this machine, whose program has this name.
///
/// # Errors
/// There is none: the pod does not run on this machine, or its program is called otherwise.
pub fn pid_in_pod(pod_uid: &str, program: &str) -> Result<u32> {
    let underscored = pod_uid.replace('-', "_");
    for pid in all_pids() {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // The kernel keeps 15 bytes of a program's name.
        if name.trim_end() != program.get(..15).unwrap_or(program) {
            continue;
        }
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        if cgroup.contains(pod_uid) || cgroup.contains(&underscored) {
            return Ok(pid);
        }
    }
    bail!("no process {program} of pod {pod_uid} on this machine")
}

fn all_pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Ids of all processes below `root`, nearest first.
fn descendants(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in all_pids() {
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            found.push(child);
            next.push(child);
        }
    }
    found
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything, so what counts begins after the last one.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_takes_its_children_with_it() {
        let log = tempfile::tempfile().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 60 & wait"]);
        let owned = OwnedProcess::start(shell, "a shell", &log).unwrap();
        let root = owned.child.id();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let child = loop {
            if let Some(child) = descendants(root).first() {
                break *child;
            }
            assert!(std::time::Instant::now() < deadline, "the shell starts its child");
            std::thread::yield_now();
        };
        drop(owned);
        while parent_of(child).is_some()
            && fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|s| !s.contains(") Z"))
        {
            assert!(std::time::Instant::now() < deadline, "the child is gone");
            std::thread::yield_now();
        }
    }
}
