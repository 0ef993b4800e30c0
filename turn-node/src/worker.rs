//! The relay workers: threads of their own around a server and its sockets, and the way to speak to them.
//!
//! All workers listen at the same addresses (`SO_REUSEPORT`): the kernel hashes a client to one of them, and all that
//! client's packets stay there. Commands are bounded and answered by oneshot channels. A worker that panics or breaks
//! ends the process: half a node serves nobody.

mod doors;
mod sources;
mod stream;
mod streams;
mod thread;
mod wire;

use crate::certificates::Certificates;
use crate::settings::Settings;
use doors::Doors;
use plenum_dataplane::{CommandSender, RelayNet, RelayNetError, RelayReceived, SendCounters, command_channel};
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::AllocationState;
use plenum_turn_core::{CheckedConfig, Counters, Event, Limits, Server, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub(crate) use streams::StreamCounters;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Commands that may wait.
const COMMAND_BOUND: usize = 1024;
/// Questions that may wait for one worker; more are refused.
const QUESTIONS: usize = 256;
/// Longest wait for an answer of a worker.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);
/// Events that may wait for the node; a worker keeps the rest until there is room.
const EVENT_BOUND: usize = 4096;
/// TCP and TLS connections of one worker.
const MAX_STREAMS: usize = 8192;

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// A configuration, checked.
    Configure(Arc<CheckedConfig>),
    /// The allocations with these relay ports, in their order.
    Query { ports: Vec<u16>, reply: oneshot::Sender<Vec<AllocationState>> },
    /// What was counted.
    Snapshot { reply: oneshot::Sender<Snapshot> },
}

/// An allocation came or went.
#[derive(Debug)]
pub(crate) struct WorkerEvent(pub(crate) Event);

/// Counts of one worker since it started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Snapshot {
    pub(crate) server: Counters,
    pub(crate) sent: SendCounters,
    pub(crate) received: RelayReceived,
    pub(crate) streams: StreamCounters,
    /// Allocations now.
    pub(crate) allocations: usize,
}

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No sockets.
    #[error(transparent)]
    Net(#[from] RelayNetError),
    /// No thread, no descriptor.
    #[error("starting relay worker {worker}")]
    Thread {
        /// Which one.
        worker: u16,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// More workers than relay ports.
    #[error("the relay ports are too few for every worker to have one")]
    Ports,
}

/// How a worker ended; news only if nobody asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("relay worker {worker}: {reason}")]
pub struct WorkerFailed {
    /// Which one.
    pub worker: u16,
    /// In plain words.
    pub reason: String,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    /// Too many wait already.
    #[error("the relay worker is busy; try again")]
    Busy,
    /// No answer in time, or the worker is gone.
    #[error("the relay worker did not answer")]
    Silent,
}

/// All workers of a process, started.
pub(crate) struct Fleet {
    pub(crate) workers: Vec<Worker>,
    /// Name and address of each listener.
    pub(crate) listeners: Vec<(String, SocketAddr)>,
    pub(crate) events: mpsc::Receiver<WorkerEvent>,
}

impl Fleet {
    /// Binds the listeners and starts the threads.
    pub(crate) fn start(
        settings: &Settings,
        certificates: &Certificates,
        failures: &mpsc::Sender<WorkerFailed>,
    ) -> Result<Self, StartError> {
        let (sender, events) = mpsc::channel(EVENT_BOUND);
        let mut doors = Doors::new(settings, certificates);
        doors.check_free()?;
        let nonce_key = rand::random();
        let mut workers = Vec::with_capacity(usize::from(settings.workers));
        for number in 0..settings.workers {
            let failed = |source| StartError::Thread { worker: number, source };
            let net = RelayNet::bind(&doors.udp(), &doors.tcp(), MAX_STREAMS)?;
            // Where any port would do, the others take that of the first.
            doors.bound(&net.udp_addresses().map_err(failed)?, &net.tcp_addresses().map_err(failed)?);
            let ports =
                ServerConfig::port_slice(settings.relay_ports, number, settings.workers).ok_or(StartError::Ports)?;
            let config = ServerConfig {
                worker: number,
                workers: settings.workers,
                bind: settings.addresses.clone(),
                ports,
                nonce_key,
                seed: rand::random(),
                limits: Limits::default(),
            };
            let parts = thread::Parts {
                number,
                server: Server::new(config, Instant::now()),
                tcp: doors.tcp_doors(),
                events: sender.clone(),
            };
            workers.push(Worker::start(ports, parts, net, failures.clone()).map_err(failed)?);
        }
        Ok(Self { workers, listeners: doors.named(), events })
    }
}

/// The way to one worker. The worker ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    number: u16,
    ports: PortRange,
    commands: CommandSender<Command>,
    questions: Semaphore,
    failures: mpsc::Sender<WorkerFailed>,
}

impl Worker {
    fn start(
        ports: PortRange,
        parts: thread::Parts,
        net: RelayNet,
        failures: mpsc::Sender<WorkerFailed>,
    ) -> std::io::Result<Self> {
        let number = parts.number;
        let (commands, receiver) = command_channel(COMMAND_BOUND)?;
        tracing::info!(worker = number, min = ports.min, max = ports.max, "relay worker");
        thread::spawn(parts, net, receiver, failures.clone())?;
        Ok(Self { number, ports, commands, questions: Semaphore::new(QUESTIONS), failures })
    }

    /// Its number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Relay ports that it owns.
    pub(crate) fn owns(&self, port: u16) -> bool {
        (self.ports.min..=self.ports.max).contains(&port)
    }

    /// Hands over a configuration. A worker that has no room for it is stuck, which ends the process.
    pub(crate) fn configure(&self, config: Arc<CheckedConfig>) {
        if let Err(error) = self.commands.send(Command::Configure(config)) {
            tracing::error!(worker = self.number, %error, "a relay worker takes no commands");
            // Full means that the failure of some worker is on its way already.
            drop(self.failures.try_send(WorkerFailed { worker: self.number, reason: error.to_string() }));
        }
    }

    /// Those of `ports` that are allocations, in their order, with their bytes so far.
    pub(crate) async fn query(&self, ports: Vec<u16>) -> Result<Vec<AllocationState>, AskError> {
        self.ask(|reply| Command::Query { ports, reply }).await
    }

    /// What the worker counted.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, AskError> {
        self.ask(|reply| Command::Snapshot { reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, AskError> {
        let _place = self.questions.try_acquire().map_err(|_| AskError::Busy)?;
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| AskError::Silent)?;
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(AskError::Silent),
        }
    }
}
