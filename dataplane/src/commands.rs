//! A bounded channel into a worker, with its waker. Senders never block: a full channel is the sender's news.

use crate::waker::Waker;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};

/// Why a command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The worker is behind by the whole channel.
    #[error("the worker's command channel is full")]
    Full,
    /// The worker ended.
    #[error("the worker is gone")]
    Gone,
}

/// Wakes the worker when it is dropped: the last field of a sender, so that the worker sees the channel closed.
#[derive(Debug, Clone)]
struct WakeOnDrop(Arc<Waker>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// Sends commands to one worker. The worker ends when the last sender is dropped.
#[derive(Debug)]
pub struct CommandSender<C> {
    sender: SyncSender<C>,
    waker: WakeOnDrop,
}

impl<C> Clone for CommandSender<C> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waker: self.waker.clone() }
    }
}

impl<C> CommandSender<C> {
    /// Queues `command` and wakes the worker. Never blocks.
    ///
    /// # Errors
    /// See [`CommandError`]; the command is dropped then.
    pub fn send(&self, command: C) -> Result<(), CommandError> {
        self.sender.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => CommandError::Full,
            TrySendError::Disconnected(_) => CommandError::Gone,
        })?;
        self.waker.0.wake();
        Ok(())
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct CommandReceiver<C> {
    receiver: Receiver<C>,
    waker: Arc<Waker>,
}

/// What the channel had.
pub(crate) enum Received<C> {
    Command(C),
    Empty,
    Closed,
}

impl<C> CommandReceiver<C> {
    pub(crate) fn receive(&self) -> Received<C> {
        match self.receiver.try_recv() {
            Ok(command) => Received::Command(command),
            Err(TryRecvError::Empty) => Received::Empty,
            Err(TryRecvError::Disconnected) => Received::Closed,
        }
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }
}

/// A channel that holds at most `bound` commands.
///
/// # Errors
/// When the process has no file descriptor left for the waker.
pub fn command_channel<C>(bound: usize) -> io::Result<(CommandSender<C>, CommandReceiver<C>)> {
    let waker = Arc::new(Waker::new()?);
    let (sender, receiver) = sync_channel(bound);
    Ok((CommandSender { sender, waker: WakeOnDrop(Arc::clone(&waker)) }, CommandReceiver { receiver, waker }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_channel_refuses_and_a_dead_worker_is_told_apart() {
        let (sender, receiver) = command_channel::<u32>(1).unwrap();
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(sender.send(2), Err(CommandError::Full));
        drop(receiver);
        assert_eq!(sender.send(3), Err(CommandError::Gone));
    }
}
