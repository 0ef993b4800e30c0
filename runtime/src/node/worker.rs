//! The way to the worker threads: they are told what must not be lost, asked what may be refused, and missed when they
//! break. A worker that breaks ends the process: half a node serves nobody.

use plenum_protocol::problem::{Code, Problem};
use std::fmt;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Longest wait for an answer of a worker.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);

/// How a worker ended; news only if nobody asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("worker {worker}: {reason}")]
pub struct WorkerFailed {
    /// Name of its thread.
    pub worker: String,
    /// In plain words.
    pub reason: String,
}

/// Where the workers of a process that broke are told.
#[derive(Debug, Clone)]
pub struct Failures(mpsc::Sender<WorkerFailed>);

impl Failures {
    /// Room for one: it ends the process.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<WorkerFailed>) {
        let (sender, failures) = mpsc::channel(1);
        (Self(sender), failures)
    }

    /// `worker` cannot go on.
    pub fn tell(&self, worker: &str, reason: String) {
        tracing::error!(worker, reason, "a worker broke");
        // Full means that another worker's failure is on its way already.
        drop(self.0.try_send(WorkerFailed { worker: worker.to_owned(), reason }));
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Too many wait already.
    #[error("the worker is busy; try again")]
    Busy,
    /// No answer in time, or the worker is gone.
    #[error("the worker did not answer")]
    Silent,
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        Problem::new(Code::Unavailable, error.to_string())
    }
}

/// How a command reaches a worker, or why it cannot.
type SendCommand<C> = dyn Fn(C) -> Result<(), String> + Send + Sync;

/// The way to one worker. The worker ends when it is dropped.
pub struct WorkerHandle<C> {
    name: String,
    send: Box<SendCommand<C>>,
    questions: Semaphore,
    failures: Failures,
}

impl<C> WorkerHandle<C> {
    /// The way to the thread `name`, which gets its commands by `send` and at most `questions` questions at once.
    pub fn new<E: fmt::Display>(
        name: String,
        questions: usize,
        failures: Failures,
        send: impl Fn(C) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        let send = Box::new(move |command| send(command).map_err(|error| error.to_string()));
        Self { name, send, questions: Semaphore::new(questions), failures }
    }

    /// Name of its thread.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells what must not be lost. A worker that has no room for it is stuck, which ends the process.
    pub fn tell(&self, command: C) {
        if let Err(reason) = (self.send)(command) {
            self.failures.tell(&self.name, reason);
        }
    }

    /// Asks by the command that `question` makes of the way back.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> C) -> Result<T, AskError> {
        let _place = self.questions.try_acquire().map_err(|_| AskError::Busy)?;
        let (reply, answer) = oneshot::channel();
        (self.send)(question(reply)).map_err(|_| AskError::Silent)?;
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(AskError::Silent),
        }
    }
}

impl<C> fmt::Debug for WorkerHandle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerHandle").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Answers a question. An asker that gave up has told its caller so already.
pub fn answer<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::trace!("nobody waits for the answer any more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, sync_channel};

    type Question = oneshot::Sender<u32>;

    /// A worker with room for one command.
    fn worker(questions: usize) -> (WorkerHandle<Question>, Receiver<Question>, mpsc::Receiver<WorkerFailed>) {
        let (commands, receiver) = sync_channel(1);
        let (failures, heard) = Failures::channel();
        let send = move |command| commands.try_send(command);
        (WorkerHandle::new("media-0".to_owned(), questions, failures, send), receiver, heard)
    }

    #[tokio::test]
    async fn a_question_is_answered_and_a_worker_that_is_gone_is_silent() {
        let (worker, commands, _heard) = worker(1);
        let (told, ()) = tokio::join!(worker.ask(|reply| reply), async { answer(commands.recv().unwrap(), 7) });
        assert_eq!(told, Ok(7));
        drop(commands);
        assert_eq!(worker.ask(|reply| reply).await, Err(AskError::Silent));
    }

    #[tokio::test]
    async fn more_questions_than_may_wait_are_refused() {
        let (worker, commands, _heard) = worker(1);
        let (first, second) = tokio::join!(worker.ask(|reply| reply), async {
            let second = worker.ask(|reply| reply).await;
            drop(commands);
            second
        });
        assert_eq!((first, second), (Err(AskError::Silent), Err(AskError::Busy)));
    }

    #[test]
    fn a_worker_that_takes_no_commands_is_told_as_broken() {
        let (worker, _commands, mut heard) = worker(1);
        worker.tell(oneshot::channel().0);
        assert!(heard.try_recv().is_err());
        worker.tell(oneshot::channel().0);
        assert_eq!(heard.try_recv().map(|failed| failed.worker), Ok("media-0".to_owned()));
    }
}
