//! What the tasks of a node share: the registry behind its lock, the workers, the words of the leader.
//!
//! The lock is held for pure work only, never across an await. Effects go to the workers while it is held, so that
//! engines see rooms and sessions come and go in the order of the registry.

mod legs;
mod sync;

use crate::rooms::{Admission, Connected, Effect, Fresh, JoinTicket, Joined, Refusal, Rooms};
use crate::worker::{Command, Snapshot, Worker};
use plenum_media_core::{Event, Patched};
use plenum_protocol::control::{NodeConfig, NodeJoin, OpenSession, PatchSession, SessionOpened, SessionPatched};
use plenum_protocol::flow::ClientView;
use plenum_protocol::ids::{BootId, RoomUid, SessionId};
use plenum_protocol::problem::Problem;
use plenum_runtime::node::{AskError, Fence, Load};
use plenum_runtime::probes::Readiness;
use plenum_signaling::node_side::Mailbox;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// Everything that one lock guards.
#[derive(Debug)]
struct State {
    fence: Fence,
    config: Option<NodeConfig>,
    /// SIGTERM came.
    terminating: bool,
    rooms: Rooms,
}

impl State {
    fn admission(&self) -> Admission {
        let config = self.config.as_ref();
        Admission {
            accepting: !self.terminating && config.is_some_and(|config| config.accepting),
            max_participants: config.map_or(0, |config| config.max_participants),
        }
    }
}

/// A media node.
#[derive(Debug)]
pub(crate) struct Node {
    boot_id: BootId,
    workers: Vec<Worker>,
    state: Mutex<State>,
    /// Rates: sent, received.
    load: Load<Snapshot, 2>,
    readiness: Readiness,
    /// People on the node.
    occupancy: watch::Sender<usize>,
    /// From a session's opening to its connection, in seconds.
    pub(crate) handshakes: Histogram,
}

impl Node {
    pub(crate) fn new(boot_id: BootId, workers: Vec<Worker>, readiness: Readiness) -> Self {
        let state =
            State { fence: Fence::default(), config: None, terminating: false, rooms: Rooms::new(workers.len()) };
        Self {
            boot_id,
            load: Load::new(workers.len(), |one: &Snapshot| [one.sent.bytes, one.received.bytes]),
            workers,
            state: Mutex::new(state),
            readiness,
            occupancy: watch::Sender::new(0),
            handshakes: Histogram::new(exponential_buckets(0.01, 2.0, 11)),
        }
    }

    /// This start of the process.
    pub(crate) fn boot_id(&self) -> &BootId {
        &self.boot_id
    }

    /// Workers, in order.
    pub(crate) fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// Asks the workers for their counts, for ever.
    pub(crate) async fn run_pulse(&self) {
        let workers: Vec<_> = self.workers.iter().map(Worker::handle).collect();
        self.load.run(&workers, |reply| Command::Snapshot { reply }).await;
    }

    /// The workers' last counts.
    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        self.load.snapshots()
    }

    /// Takes no new rooms from now on, and is not ready.
    pub(crate) fn terminate(&self) {
        self.with(|state| {
            state.terminating = true;
            state.rooms.set_admission(state.admission());
            // Under the lock: a push that is just being taken does not make it ready again.
            self.readiness.set(false);
        });
    }

    /// Returns when nobody is on the node.
    pub(crate) async fn empty(&self) {
        let mut occupancy = self.occupancy.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        drop(occupancy.wait_for(|people| *people == 0).await);
    }

    /// Ends everything in the engines.
    pub(crate) fn remove_all(&self) {
        self.with(|state| state.rooms.remove_all());
    }

    /// Opens a session: registry, engine, registry. To be run to its end, whoever waits for it.
    pub(crate) async fn open_session(&self, uid: RoomUid, request: OpenSession) -> Result<SessionOpened, Problem> {
        let id = SessionId::from_bits("", rand::random());
        let fresh = fresh();
        let opening = self.with(|state| state.rooms.begin(Instant::now(), &uid, &request, id, fresh))?;
        let answer = match self.worker(opening.worker) {
            Ok(worker) => worker.open(opening.room, opening.session, opening.kind, request.offer).await,
            Err(error) => Err(error.into()),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(problem) => {
                self.with(|state| state.rooms.abandon(opening.session));
                return Err(problem);
            }
        };
        let opened = self.with(|state| state.rooms.finish(opening.session))?;
        tracing::debug!(room = %uid, session = %opened.session, "session opened");
        Ok(SessionOpened {
            session: opened.session,
            participant: opened.participant,
            publication: opened.publication,
            answer: answer.sdp,
            etag: answer.etag,
        })
    }

    /// Trickle or ICE restart.
    pub(crate) async fn patch_session(&self, id: SessionId, request: PatchSession) -> Result<SessionPatched, Problem> {
        let (worker, session) = self.with(|state| state.rooms.find(&request.room, &id))?;
        Ok(match self.worker(worker)?.patch(session, request.if_match, request.fragment).await? {
            Patched::Trickled => SessionPatched::Trickled,
            Patched::Restarted { fragment, etag } => SessionPatched::Restarted { fragment, etag },
        })
    }

    /// Ends a session.
    pub(crate) fn close_session(&self, uid: &RoomUid, id: &SessionId) -> Result<(), Problem> {
        Ok(self.with(|state| state.rooms.close(uid, id))?)
    }

    /// Somebody joins by the room socket.
    pub(crate) fn join(&self, uid: &RoomUid, join: &NodeJoin, mailbox: Mailbox) -> Result<Joined, Refusal> {
        self.with(|state| state.rooms.join(uid, join, fresh(), mailbox))
    }

    /// The socket of a participant is over.
    pub(crate) fn leave(&self, ticket: JoinTicket) {
        self.with(|state| state.rooms.leave(ticket));
    }

    /// A client speaks of its own legs.
    pub(crate) fn view(&self, ticket: JoinTicket, views: Vec<ClientView>) -> Result<(), Refusal> {
        self.with(|state| state.rooms.view(Instant::now(), ticket, views))
    }

    /// An engine speaks.
    pub(crate) fn handle_event(&self, event: Event) {
        match event {
            Event::SessionConnected { session, audio, video, path } => {
                let connected = Connected { audio, video, path };
                let took = self.with(|state| state.rooms.session_connected(Instant::now(), session, connected));
                if let Some(took) = took {
                    self.handshakes.observe(took.as_secs_f64());
                }
            }
            Event::PathChanged { session, path } => self.with(|state| state.rooms.path_changed(session, path)),
            Event::SessionClosed { session, reason } => {
                tracing::debug!(session = session.0, reason = reason.as_str(), "session closed by the engine");
                self.with(|state| state.rooms.session_closed(session, reason));
            }
        }
    }

    /// Looks at the registry.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Rooms) -> T) -> T {
        look(&self.lock().rooms)
    }

    fn worker(&self, index: usize) -> Result<&Worker, AskError> {
        self.workers.get(index).ok_or(AskError::Silent)
    }

    /// A panic while the lock was held left at worst a half-told change; the registry's indexes tolerate that.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let outcome = change(&mut state);
        for Effect { worker, action } in state.rooms.take_effects() {
            if let Ok(worker) = self.worker(worker) {
                worker.handle().tell(Command::Act(action));
            }
        }
        let people = state.rooms.participants();
        self.occupancy.send_if_modified(|known| std::mem::replace(known, people) != people);
        outcome
    }
}

fn fresh() -> Fresh {
    Fresh { participant: rand::random(), secret: rand::random(), publication: rand::random() }
}
