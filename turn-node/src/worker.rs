//! The relay workers: threads of their own around a server and its sockets, and the way to speak to them.
//!
//! All workers listen at the same addresses (`SO_REUSEPORT`): the kernel hashes a client to one of them, and all that
//! client's packets stay there. Commands are bounded and answered by oneshot channels.

mod doors;
mod sources;
mod stream;
mod streams;
mod thread;
mod wire;

use crate::certificates::Certificates;
use crate::settings::Settings;
use doors::Doors;
use plenum_dataplane::{
    RelayNet, RelayNetError, RelayReceived, SendCounters, command_channel, run_relay_worker, spawn_worker,
};
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::AllocationState;
use plenum_runtime::node::{AskError, EventOutlet, Failures, WorkerHandle};
use plenum_turn_core::{CheckedConfig, Counters, Event, Ledger, Limits, Memory, Server, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
pub(crate) use streams::StreamCounters;
use thread::Relay;
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait.
const COMMAND_BOUND: usize = 1024;
/// Questions that may wait for one worker; more are refused.
const QUESTIONS: usize = 256;
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

/// Counts of one worker since it started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Snapshot {
    pub(crate) server: Counters,
    pub(crate) sent: SendCounters,
    pub(crate) received: RelayReceived,
    pub(crate) streams: StreamCounters,
    /// What it remembers now.
    pub(crate) memory: Memory,
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

/// All workers of a process, started.
pub(crate) struct Fleet {
    pub(crate) workers: Vec<Worker>,
    /// Name and address of each listener.
    pub(crate) listeners: Vec<(String, SocketAddr)>,
    pub(crate) events: mpsc::Receiver<Event>,
}

impl Fleet {
    /// Binds the listeners and starts the threads.
    pub(crate) fn start(
        settings: &Settings,
        certificates: &Certificates,
        failures: &Failures,
    ) -> Result<Self, StartError> {
        let (sender, events) = EventOutlet::channel();
        let count = settings.pod.workers;
        let mut doors = Doors::new(settings, certificates);
        doors.check_free()?;
        let nonce_key = rand::random();
        let ledger = Arc::new(Ledger::new(&rand::random()));
        let mut workers = Vec::with_capacity(usize::from(count));
        for number in 0..count {
            let failed = |source| StartError::Thread { worker: number, source };
            let net = RelayNet::bind(&doors.udp(), &doors.tcp(), MAX_STREAMS)?;
            // Where any port would do, the others take that of the first.
            doors.bound(&net.udp_addresses().map_err(failed)?, &net.tcp_addresses().map_err(failed)?);
            let ports = ServerConfig::port_slice(settings.relay_ports, number, count).ok_or(StartError::Ports)?;
            let config = ServerConfig {
                worker: number,
                ledger: Arc::clone(&ledger),
                bind: settings.addresses.clone(),
                ports,
                nonce_key,
                seed: rand::random(),
                limits: Limits::default(),
            };
            let server = Server::new(config, Instant::now());
            let relay = Relay::new(server, doors.tcp_doors(), EventOutlet::new(sender.clone()));
            workers.push(Worker::start(number, ports, (relay, net), failures.clone()).map_err(failed)?);
        }
        Ok(Self { workers, listeners: doors.named(), events })
    }
}

/// The way to one worker. The worker ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    ports: PortRange,
    handle: WorkerHandle<Command>,
}

impl Worker {
    fn start(
        number: u16,
        ports: PortRange,
        (mut relay, net): (Relay, RelayNet),
        failures: Failures,
    ) -> std::io::Result<Self> {
        let (commands, receiver) = command_channel(COMMAND_BOUND)?;
        tracing::info!(worker = number, min = ports.min, max = ports.max, "relay worker");
        let name = format!("relay-{number}");
        let handle =
            WorkerHandle::new(name.clone(), QUESTIONS, failures.clone(), move |command| commands.send(command));
        let body = move || run_relay_worker(net, &receiver, &mut relay);
        spawn_worker(name.clone(), body, move |reason| failures.tell(&name, reason))?;
        Ok(Self { ports, handle })
    }

    /// Relay ports that it owns.
    pub(crate) fn owns(&self, port: u16) -> bool {
        (self.ports.min..=self.ports.max).contains(&port)
    }

    /// The way to its thread.
    pub(crate) fn handle(&self) -> &WorkerHandle<Command> {
        &self.handle
    }

    /// Those of `ports` that are allocations, in their order, with their bytes so far.
    pub(crate) async fn query(&self, ports: Vec<u16>) -> Result<Vec<AllocationState>, AskError> {
        self.handle.ask(|reply| Command::Query { ports, reply }).await
    }

    /// What the worker counted.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, AskError> {
        self.handle.ask(|reply| Command::Snapshot { reply }).await
    }
}
