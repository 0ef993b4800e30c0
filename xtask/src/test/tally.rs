//! Counts tests and times steps, and prints both at the end.

use crate::console::Console;
use anyhow::bail;
use std::time::Duration;

/// Tests of one step.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Passed.
    pub(super) passed: u32,
    /// Failed.
    pub(super) failed: u32,
    /// Not run, with a reason in the output.
    pub(super) ignored: u32,
}

/// One step as it went.
struct Step {
    name: String,
    took: Duration,
    counts: Counts,
    error: Option<String>,
}

/// All steps so far.
pub(super) struct Tally {
    steps: Vec<Step>,
}

impl Counts {
    /// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
    pub(super) fn cargo_line(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else { return };
        for part in result.1.split(';') {
            match part.trim().split_once(' ').map(|(count, word)| (count.parse::<u32>(), word)) {
                Some((Ok(count), "passed")) => self.passed += count,
                Some((Ok(count), "failed")) => self.failed += count,
                Some((Ok(count), "ignored")) => self.ignored += count,
                _ => {}
            }
        }
    }

    /// Reads `--- PASS: TestX (0.00s)` of top-level tests.
    pub(super) fn go_line(&mut self, line: &str) {
        match line.split_once(": ").map(|(word, _)| word) {
            Some("--- PASS") => self.passed += 1,
            Some("--- FAIL") => self.failed += 1,
            Some("--- SKIP") => self.ignored += 1,
            _ => {}
        }
    }
}

impl Tally {
    /// No steps yet.
    pub(super) fn new() -> Self {
        Self { steps: Vec::new() }
    }

    /// Runs a step that counts its own tests. Skipped when somebody asked to stop. Says whether it succeeded.
    pub(super) fn step(
        &mut self,
        console: &Console,
        name: &str,
        run: impl FnOnce(&mut Counts) -> anyhow::Result<()>,
    ) -> bool {
        let mut counts = Counts::default();
        let began = console.elapsed();
        let outcome =
            if console.interrupted() { Err(anyhow::anyhow!("not run: interrupted")) } else { run(&mut counts) };
        let error = outcome.err().map(|error| format!("{error:#}"));
        if let Some(error) = &error {
            console.step(format!("{name} FAILED: {error}"));
            counts.failed = counts.failed.max(1);
        }
        let succeeded = error.is_none();
        self.steps.push(Step { name: name.to_owned(), took: console.elapsed() - began, counts, error });
        succeeded
    }

    /// Runs a step that is one test.
    pub(super) fn gate(&mut self, console: &Console, name: &str, run: impl FnOnce() -> anyhow::Result<()>) -> bool {
        self.step(console, name, |counts| {
            run()?;
            counts.passed += 1;
            Ok(())
        })
    }

    /// Runs two rows of steps side by side.
    pub(super) fn beside(&mut self, one: impl FnOnce(&mut Self), other: impl FnOnce(&mut Self) + Send) {
        let (mut first, mut second) = (Self::new(), Self::new());
        std::thread::scope(|scope| {
            scope.spawn(|| other(&mut second));
            one(&mut first);
        });
        self.steps.append(&mut first.steps);
        self.steps.append(&mut second.steps);
    }

    /// Whether a step failed so far.
    pub(super) fn has_failures(&self) -> bool {
        self.steps.iter().any(|step| step.error.is_some())
    }

    /// Prints the table and the sum; an error when a step failed.
    pub(super) fn finish(&self, console: &Console) -> anyhow::Result<()> {
        println!("\n{:<28} {:>8} {:>7} {:>7} {:>8}", "step", "seconds", "passed", "failed", "ignored");
        let mut total = Counts::default();
        for step in &self.steps {
            let Counts { passed, failed, ignored } = step.counts;
            println!("{:<28} {:>8.1} {passed:>7} {failed:>7} {ignored:>8}", step.name, step.took.as_secs_f64());
            total.passed += passed;
            total.failed += failed;
            total.ignored += ignored;
        }
        for step in &self.steps {
            if let Some(error) = &step.error {
                println!("FAILED {}: {}", step.name, error.lines().next().unwrap_or_default());
            }
        }
        let Counts { passed, failed, ignored } = total;
        println!("\n{passed} passed, {failed} failed, {ignored} ignored in {:.0} s", console.elapsed().as_secs_f64());
        if self.has_failures() {
            bail!("the run failed");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    #[test]
    fn results_of_cargo_are_counted() {
        let mut counts = Counts::default();
        counts.cargo_line(
            "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        counts.cargo_line("test a::b ... ok");
        assert_eq!(counts, Counts { passed: 3, failed: 2, ignored: 1 });
    }

    #[test]
    fn results_of_go_are_counted_without_subtests() {
        let mut counts = Counts::default();
        for line in ["--- PASS: TestA (0.00s)", "    --- PASS: TestA/b (0.00s)", "--- FAIL: TestC (0.1s)", "ok  x 0.1s"]
        {
            counts.go_line(line);
        }
        assert_eq!(counts, Counts { passed: 1, failed: 1, ignored: 0 });
    }

    #[test]
    fn steps_side_by_side_are_all_counted() {
        let console = Console::start().unwrap();
        let mut tally = Tally::new();
        let ((ping, pinged), (pong, ponged)) = (sync_channel(1), sync_channel(1));
        let meet = |say: SyncSender<()>, heard: Receiver<()>| {
            say.send(())?;
            Ok(heard.recv_timeout(Duration::from_secs(10))?)
        };
        tally.beside(
            |row| _ = row.gate(&console, "one", || meet(ping, ponged)),
            |row| _ = row.gate(&console, "other", || meet(pong, pinged)),
        );
        assert_eq!(tally.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["one", "other"]);
        assert!(tally.finish(&console).is_ok());
    }

    #[test]
    fn a_failed_step_fails_the_run_even_without_failed_tests() {
        let console = Console::start().unwrap();
        let mut tally = Tally::new();
        assert!(tally.gate(&console, "good", || Ok(())));
        assert!(tally.finish(&console).is_ok());
        assert!(!tally.gate(&console, "bad", || bail!("no")));
        assert!(tally.finish(&console).is_err());
    }
}
