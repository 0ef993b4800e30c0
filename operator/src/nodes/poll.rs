//! The task that speaks with one pod: every second, and at once when something is to be granted or revoked.
//!
//! A leader's poll is a sync. An operator that is not sure to lead only pings: it carries no term and changes nothing.

use super::fleet::{GrantError, Node, PendingGrant};
use super::health::{self, DEAD_AFTER, DOUBT_AFTER};
use super::reach;
use crate::changes::Change;
use crate::context::Context;
use crate::metrics::{PollLabel, PollLabels};
use plenum_api::pool::Role;
use plenum_protocol::control::MAX_GRANTS;
use plenum_protocol::problem::Code;
use plenum_protocol::reach::Ping;
use plenum_runtime::client::CallError;
use plenum_runtime::shutdown::Shutdown;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// Between two polls of a pod.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// How long a pod may take to answer.
pub(super) const TIMEOUT: Duration = Duration::from_millis(700);
/// Until a pod that was silent that long is asked again. One that refuses at once is starting: it is given the interval.
const AGAIN: Duration = Duration::from_millis(50);

/// Speaks with `node` until shutdown, or until it is gone and holds nothing any more.
pub(super) async fn run(
    context: Arc<Context>,
    node: Arc<Node>,
    mut waiting: mpsc::Receiver<PendingGrant>,
    shutdown: Shutdown,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut grants = Vec::new();
        let mut due = false;
        tokio::select! {
            _ = ticks.tick() => due = true,
            Some(grant) = waiting.recv() => grants.push(grant),
            () = node.kick.notified() => {}
            () = shutdown.requested() => return,
        }
        while grants.len() < MAX_GRANTS
            && let Ok(grant) = waiting.try_recv()
        {
            grants.push(grant);
        }
        if node.state().contact().missed >= DOUBT_AFTER {
            // Who waits is told at once, and the next poll is not put off: with its answer the pod serves again.
            refuse(std::mem::take(&mut grants), &GrantError::Unavailable);
            if !due {
                continue;
            }
        }
        let exchange = Exchange { context: &context, node: &node };
        let silent = exchange.run(grants, due).await;
        if silent && node.state().contact().missed < DEAD_AFTER {
            ticks.reset_after(AGAIN);
        }
        if exchange.is_over() {
            context.fleet.remove(&node);
            return;
        }
    }
}

/// How one sync ended.
pub(super) enum Reply<R> {
    /// With a report.
    Report(R),
    /// Another start of the pod answered: ask for everything.
    Restarted,
    /// Without one; a refusal is an answer too.
    Failed { answered: bool, why: String },
}

pub(super) struct Exchange<'a> {
    pub(super) context: &'a Arc<Context>,
    pub(super) node: &'a Arc<Node>,
}

impl Exchange<'_> {
    /// True: the pod was silent. That counts as a missed poll even if the poll was not due: time that a kick or a grant
    /// takes must not put off the verdict.
    async fn run(&self, grants: Vec<PendingGrant>, due: bool) -> bool {
        let doubtful = due && self.node.state().contact().missed >= DOUBT_AFTER;
        let spoken = async {
            let asked = Instant::now();
            let answered = self.speak(grants).await;
            (answered, !answered && asked.elapsed() >= TIMEOUT)
        };
        let ((answered, silent), votes) = if doubtful {
            tokio::join!(spoken, reach::ask(self.context, self.node))
        } else {
            (spoken.await, health::Votes::default())
        };
        if silent || (due && !answered) {
            self.missed(votes).await;
        }
        silent
    }

    /// True: the pod answered.
    async fn speak(&self, grants: Vec<PendingGrant>) -> bool {
        match self.context.leadership.check(Instant::now()) {
            Ok(term) => match self.node.role {
                Role::Media => self.sync_media(term, grants).await,
                Role::Turn => {
                    refuse(grants, &GrantError::Unavailable);
                    self.sync_relay(term).await
                }
            },
            Err(_) => {
                refuse(grants, &GrantError::Unavailable);
                self.ping().await
            }
        }
    }

    async fn ping(&self) -> bool {
        let answer: Result<Ping, CallError> = self.context.control.get(&self.node.target, "/v1/ping", TIMEOUT).await;
        match answer {
            Ok(Ping { boot_id }) => {
                self.count(PollLabel::Answered);
                let turned = self.node.state().pinged(boot_id);
                if turned {
                    self.context.changes.send(Change::Node(self.node.key.clone())).await;
                }
                true
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Counts a call that failed. True: the pod refused, so it answered.
    fn failed(&self, error: &CallError) -> bool {
        let refused = error.code().is_some();
        self.count(if refused { PollLabel::Refused } else { PollLabel::Missed });
        tracing::debug!(pod = %self.node.key, error = crate::errors::chain(error), "a pod did not take a poll");
        refused
    }

    /// Sends one sync.
    pub(super) async fn post<Q: Serialize + Sync, R: DeserializeOwned>(&self, request: &Q) -> Reply<R> {
        match self.context.control.post(&self.node.target, "/v1/sync", request, TIMEOUT).await {
            Ok(report) => {
                self.count(PollLabel::Answered);
                Reply::Report(report)
            }
            Err(error) if error.code() == Some(Code::WrongBoot) => {
                self.node.state().forget_boot();
                Reply::Restarted
            }
            Err(error) => {
                let answered = self.failed(&error);
                if error.code() == Some(Code::StaleTerm) {
                    tracing::warn!(pod = %self.node.key, "a pod knows a newer leader: giving up the leadership");
                    self.context.leadership.revoke();
                }
                Reply::Failed { answered, why: crate::errors::chain(&error) }
            }
        }
    }

    async fn missed(&self, votes: health::Votes) {
        let ceased = self.node.state().missed_poll();
        let missed = self.node.state().contact().missed;
        let crowd = self.context.fleet.crowd(DOUBT_AFTER);
        let dies = !self.node.state().contact().dead && health::is_dead(missed, votes, crowd);
        let expected = self.context.pod(&self.node.key).is_none_or(|pod| crate::pods::is_terminating(&pod));
        if missed == DEAD_AFTER && !expected {
            tracing::info!(pod = %self.node.key, ?votes, ?crowd, dies, "a pod missed its polls");
        }
        if dies {
            self.node.state().contact_mut().died();
        }
        if dies && !expected {
            self.context.metrics.deaths.inc();
            tracing::warn!(pod = %self.node.key, "a pod is dead: the leader binds its rooms anew, and takes its relay from the directory");
        }
        if dies || ceased {
            self.context.changes.send(Change::Node(self.node.key.clone())).await;
        }
    }

    /// The Pod object is gone, and the process holds nothing or does not answer.
    fn is_over(&self) -> bool {
        let state = self.node.state();
        self.node.leaving.load(Ordering::Acquire) && (state.contact().missed >= DEAD_AFTER || state.is_empty())
    }

    fn count(&self, outcome: PollLabel) {
        self.context.metrics.polls.get_or_create(&PollLabels { outcome }).inc();
    }
}

pub(super) fn refuse(grants: Vec<PendingGrant>, error: &GrantError) {
    for pending in grants {
        answer(pending, Err(error.clone()));
    }
}

pub(super) fn answer(pending: PendingGrant, result: Result<(), GrantError>) {
    if pending.done.send(result).is_err() {
        tracing::debug!("nobody waits for a grant any more");
    }
}
