//! Runs other programs: streamed, logged, tallied line by line, all of them with a sign of life; or captured.
//! Every program gets a process group of its own, no standard input, and is stopped when the console is interrupted.

use crate::console::Console;
use anyhow::{Context, bail};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(50);
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// The same for programs that say something themselves: linkers, and compilers of large crates, are silent for minutes.
const RARE_SIGN_OF_LIFE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(10);
const TAIL_LINES: usize = 30;

/// The same program, which leaves the cores to whatever else wants them.
pub(crate) fn polite(command: &Command) -> Command {
    let mut nice = Command::new("nice");
    nice.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => nice.env(name, value),
            None => nice.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        nice.current_dir(directory);
    }
    nice
}

/// Runs a program whose own output is the progress.
pub(crate) fn streamed(console: &Console, what: &str, mut command: Command) -> anyhow::Result<()> {
    let child = spawn(what, &mut command)?;
    let mut shown = Instant::now();
    let status = wait(console, child, || {
        if shown.elapsed() >= RARE_SIGN_OF_LIFE {
            shown = Instant::now();
            console.step(format!("  … {what}"));
        }
    })?;
    success(what, &command, status)
}

/// Runs a program, hands each line of its standard output to `line` after printing it, and says whether it succeeded.
pub(crate) fn tallied(
    console: &Console,
    what: &str,
    mut command: Command,
    mut line: impl FnMut(&str) + Send,
) -> anyhow::Result<bool> {
    command.stdout(Stdio::piped());
    let mut child = spawn(what, &mut command)?;
    let output = child.stdout.take().context("the standard output is not a pipe")?;
    let seconds = || console.elapsed().as_secs();
    let heard = AtomicU64::new(seconds());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for text in BufReader::new(output).lines().map_while(Result::ok) {
                heard.store(seconds(), Ordering::Relaxed);
                println!("{text}");
                line(&text);
            }
        });
        let status = wait(console, child, || {
            if seconds() >= heard.load(Ordering::Relaxed) + RARE_SIGN_OF_LIFE.as_secs() {
                heard.store(seconds(), Ordering::Relaxed);
                console.step(format!("  … {what}"));
            }
        });
        if reader.join().is_err() {
            bail!("{what}: reading its output failed");
        }
        Ok(status?.success())
    })
}

/// Runs a chatty program with its output in a file; prints a line now and then, and the end of the file on failure.
pub(crate) fn logged(console: &Console, what: &str, mut command: Command, log: &Path) -> anyhow::Result<()> {
    console.step(what);
    let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    command.stdout(file.try_clone()?).stderr(file);
    let child = spawn(what, &mut command)?;
    let mut shown = Instant::now();
    let mut last = String::new();
    let status = wait(console, child, || {
        if shown.elapsed() >= SIGN_OF_LIFE {
            shown = Instant::now();
            // A line that was shown already says nothing of what is done now.
            let line = tail(log, 1);
            console.step(format!("  … {}", if line == last { what } else { &line }));
            last = line;
        }
    })?;
    if !status.success() {
        eprintln!("{}", tail(log, TAIL_LINES));
    }
    success(what, &command, status).with_context(|| format!("the whole output is in {}", log.display()))
}

/// Runs a short program and gives back its standard output; its standard error is part of the error.
pub(crate) fn captured(what: &str, mut command: Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| starting(what, &command))?;
    if !output.status.success() {
        bail!("{what} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{what}: the output is not UTF-8"))
}

/// Like [`captured`], with something on standard input.
pub(crate) fn fed(what: &str, mut command: Command, input: &str) -> anyhow::Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| starting(what, &command))?;
    let mut stdin = child.stdin.take().context("the standard input is not a pipe")?;
    stdin.write_all(input.as_bytes()).with_context(|| format!("{what}: writing its input"))?;
    drop(stdin);
    let output = child.wait_with_output().with_context(|| format!("{what}: waiting for it"))?;
    if !output.status.success() {
        bail!("{what} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{what}: the output is not UTF-8"))
}

/// A program that runs beside this one until it is stopped.
pub(crate) struct Background {
    child: Child,
}

/// Starts a program and goes on; what it prints is not shown, its complaints are.
pub(crate) fn background(what: &str, mut command: Command) -> anyhow::Result<Background> {
    command.stdout(Stdio::null());
    Ok(Background { child: spawn(what, &mut command)? })
}

impl Background {
    /// Ends it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        stop(&mut self.child)
    }
}

/// Where `program` is, on the path or where system programs are.
pub(crate) fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Whether `program` is found.
pub(crate) fn on_path(program: &str) -> bool {
    found(program).is_some()
}

/// Polls `done` until it holds or the deadline passes; says what is waited for now and then.
pub(crate) fn wait_until(
    console: &Console,
    what: &str,
    limit: Duration,
    mut done: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut shown = Instant::now();
    loop {
        if done()? {
            return Ok(());
        }
        if console.interrupted() {
            bail!("interrupted while waiting for {what}");
        }
        if started.elapsed() > limit {
            bail!("waited {} s in vain for {what}", limit.as_secs());
        }
        if shown.elapsed() >= SIGN_OF_LIFE {
            shown = Instant::now();
            console.step(format!("  … still waiting for {what}"));
        }
        std::thread::sleep(POLL * 4);
    }
}

fn spawn(what: &str, command: &mut Command) -> anyhow::Result<Child> {
    command.stdin(Stdio::null()).process_group(0);
    command.spawn().with_context(|| starting(what, command))
}

fn wait(console: &Console, mut child: Child, mut tick: impl FnMut()) -> anyhow::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if console.interrupted() {
            stop(&mut child)?;
            bail!("interrupted");
        }
        tick();
        std::thread::sleep(POLL);
    }
}

/// Ends the whole process group: politely, then not.
fn stop(child: &mut Child) -> anyhow::Result<()> {
    let group = format!("-{}", child.id());
    let mut kill = Command::new("kill");
    kill.args(["-TERM", "--", &group]).stderr(Stdio::null()).status().context("running kill")?;
    let asked = Instant::now();
    while child.try_wait()?.is_none() {
        if asked.elapsed() > GRACE {
            Command::new("kill").args(["-KILL", "--", &group]).status().context("running kill")?;
            child.wait()?;
            break;
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn success(what: &str, command: &Command, status: ExitStatus) -> anyhow::Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("{what} failed ({status}): {}", shown(command))
}

fn starting(what: &str, command: &Command) -> String {
    format!("{what}: starting {}", shown(command))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The last lines of a file that may be long.
fn tail(log: &Path, lines: usize) -> String {
    let mut text = String::new();
    let read = File::open(log).and_then(|mut file| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(())
    });
    if let Err(error) = read {
        return format!("(cannot read {}: {error})", log.display());
    }
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polite_program_is_the_same_program() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $(pwd) $SAID ${HOME-homeless} $(nice)"]);
        command.current_dir("/").env("SAID", "so").env_remove("HOME");
        let niceness = captured("asking", Command::new("nice")).unwrap().trim().parse::<i32>().unwrap();
        let said = captured("asking", polite(&command)).unwrap();
        assert_eq!(said.trim(), format!("/ so homeless {}", (niceness + 10).min(19)));
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines_without_blanks() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "one\n\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&log, 2), "two\nthree");
    }

    #[test]
    fn a_failing_program_reports_its_standard_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken >&2; exit 3"]);
        let error = captured("trying", command).unwrap_err().to_string();
        assert!(error.contains("broken") && error.contains("trying"), "{error}");
    }

    #[test]
    fn a_program_in_the_background_ends_when_it_is_stopped() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let sleeper = background("sleeping", command).unwrap();
        let process = PathBuf::from(format!("/proc/{}", sleeper.child.id()));
        assert!(process.exists());
        sleeper.stop().unwrap();
        assert!(!process.exists());
    }

    #[test]
    fn input_reaches_the_program() {
        assert_eq!(fed("echoing", Command::new("cat"), "a\nb").unwrap(), "a\nb");
    }
}
