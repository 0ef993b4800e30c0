//! The task that speaks with one media pod: every second, and at once when something is to be granted or revoked.

use super::fleet::{GrantError, Node, PendingGrant};
use super::health::{self, DEAD_AFTER, DOUBT_AFTER};
use super::reach;
use super::state::Effect;
use crate::changes::Change;
use crate::context::Context;
use crate::ledger::Standing;
use crate::metrics::{PollLabel, PollLabels};
use plenum_protocol::control::{Grant, MAX_GRANTS, Revocation, SyncReport, SyncRequest};
use plenum_protocol::ids::RoomUid;
use plenum_protocol::problem::Code;
use plenum_runtime::client::CallError;
use plenum_runtime::shutdown::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// Between two polls of a pod.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// How long a pod may take to answer.
pub(super) const TIMEOUT: Duration = Duration::from_millis(700);

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
        if context.may_write().is_err() {
            return;
        }
        let exchange = Exchange { context: &context, node: &node };
        exchange.run(grants, due).await;
        if exchange.is_over() {
            context.fleet.remove(&node);
            return;
        }
    }
}

struct Exchange<'a> {
    context: &'a Arc<Context>,
    node: &'a Arc<Node>,
}

impl Exchange<'_> {
    async fn run(&self, grants: Vec<PendingGrant>, due: bool) {
        let doubtful = due && self.node.state().missed >= DOUBT_AFTER;
        let (answered, votes) = if doubtful {
            tokio::join!(self.sync(grants), reach::ask(self.context, self.node))
        } else {
            (self.sync(grants).await, health::Votes::default())
        };
        if due && !answered {
            self.missed(votes).await;
        }
    }

    /// One call, and a second one when the pod turns out to have started again. True: it answered.
    async fn sync(&self, grants: Vec<PendingGrant>) -> bool {
        let mut grants = self.for_this_start(grants);
        for _ in 0..2 {
            let request = self.request(grants.iter().map(|pending| pending.grant.clone()).collect());
            let answer: Result<SyncReport, CallError> =
                self.context.control.post(&self.node.target, "/v1/sync", &request, TIMEOUT).await;
            match answer {
                Ok(report) => {
                    self.count(PollLabel::Answered);
                    self.answered(&request, report, grants).await;
                    return true;
                }
                Err(error) if error.code() == Some(Code::WrongBoot) => {
                    self.node.state().forget_boot();
                    refuse(std::mem::take(&mut grants), &GrantError::Restarted);
                }
                Err(error) => {
                    let refused = error.code().is_some();
                    self.count(if refused { PollLabel::Refused } else { PollLabel::Missed });
                    if error.code() == Some(Code::StaleTerm) {
                        tracing::warn!(pod = %self.node.key, "a media pod knows a newer leader: giving up the leadership");
                        self.context.leadership.revoke();
                    }
                    let text = crate::errors::chain(&error);
                    tracing::debug!(pod = %self.node.key, error = text, "a media pod did not take a sync");
                    refuse(grants, &GrantError::Refused(text));
                    return refused;
                }
            }
        }
        false
    }

    fn for_this_start(&self, grants: Vec<PendingGrant>) -> Vec<PendingGrant> {
        let boot = self.node.state().boot.clone();
        let (mine, others): (Vec<_>, Vec<_>) =
            grants.into_iter().partition(|pending| Some(&pending.boot) == boot.as_ref());
        refuse(others, &GrantError::Restarted);
        mine
    }

    fn request(&self, grants: Vec<Grant>) -> SyncRequest {
        let config = self.context.pod(&self.node.key).and_then(|pod| self.context.node_config(&pod));
        let ledger = self.context.ledger();
        let state = self.node.state();
        let revocations = state
            .held()
            .filter_map(|(uid, epoch)| match ledger.standing(&self.node.key, uid, epoch) {
                Standing::Revoke(reason) => Some(Revocation { uid: uid.clone(), epoch, reason }),
                Standing::Fine | Standing::Unknown => None,
            })
            .collect();
        state.request(self.context.leadership.term(), config.as_ref(), grants, revocations)
    }

    async fn answered(&self, request: &SyncRequest, report: SyncReport, grants: Vec<PendingGrant>) {
        let boot = report.boot_id.clone();
        let Effect { reported, ended, turned } = self.node.state().answered(request, report);
        let mut news = Vec::new();
        let (taken, declined): (Vec<_>, Vec<_>) = {
            let state = self.node.state();
            let holds = |grant: &Grant| state.rooms.get(&grant.uid).is_some_and(|room| room.epoch == grant.epoch);
            grants.into_iter().partition(|pending| holds(&pending.grant))
        };
        {
            let mut ledger = self.context.ledger();
            for pending in &taken {
                ledger.granted(pending.grant.clone(), boot.clone());
            }
            news.extend(reported.iter().filter_map(|room| ledger.report(&self.node.key, room)));
            news.extend(ended.iter().filter_map(|uid| ledger.grant_ended(&self.node.key, uid)));
        }
        for pending in taken {
            answer(pending, Ok(()));
        }
        refuse(declined, &GrantError::Declined);
        if turned {
            self.context.changes.send(Change::Node(self.node.key.clone())).await;
        }
        if !news.is_empty() {
            self.context.changes.send(Change::Reported(news)).await;
        }
        self.look_after_strangers().await;
    }

    /// Rooms that the pod holds and nobody here knows: a fresh read tells whether they are deleted.
    async fn look_after_strangers(&self) {
        let strangers: Vec<RoomUid> = {
            let ledger = self.context.ledger();
            let state = self.node.state();
            let unknown = |uid: &RoomUid, epoch| ledger.standing(&self.node.key, uid, epoch) == Standing::Unknown;
            state.held().filter(|(uid, epoch)| unknown(uid, *epoch)).map(|(uid, _)| uid.clone()).collect()
        };
        if strangers.is_empty() {
            return;
        }
        match reach::existing_rooms(self.context).await {
            Ok(existing) => {
                let now = std::time::Instant::now();
                for uid in strangers.iter().filter(|uid| !existing.contains(*uid)) {
                    self.context.ledger().forget(uid, now);
                    self.node.kick.notify_one();
                }
            }
            Err(error) => {
                tracing::warn!(error = %crate::errors::chain(&error), "reading Rooms anew failed");
            }
        }
    }

    async fn missed(&self, votes: health::Votes) {
        let ceased = self.node.state().missed_poll();
        let missed = self.node.state().missed;
        let crowd = self.context.fleet.crowd(DOUBT_AFTER);
        let dies = !self.node.state().dead && health::is_dead(missed, votes, crowd);
        let expected = self.context.pod(&self.node.key).is_none_or(|pod| crate::pods::is_terminating(&pod));
        if missed == DEAD_AFTER && !expected {
            tracing::info!(pod = %self.node.key, ?votes, ?crowd, dies, "a media pod missed its polls");
        }
        if dies {
            self.node.state().died();
        }
        if dies && !expected {
            self.context.metrics.deaths.inc();
            tracing::warn!(pod = %self.node.key, "a media pod is dead: its rooms are bound anew");
        }
        if dies || ceased {
            self.context.changes.send(Change::Node(self.node.key.clone())).await;
        }
    }

    /// The Pod object is gone, and the process holds nothing or does not answer.
    fn is_over(&self) -> bool {
        let state = self.node.state();
        self.node.leaving.load(Ordering::Acquire) && (state.missed >= DEAD_AFTER || state.rooms.is_empty())
    }

    fn count(&self, outcome: PollLabel) {
        self.context.metrics.polls.get_or_create(&PollLabels { outcome }).inc();
    }
}

fn refuse(grants: Vec<PendingGrant>, error: &GrantError) {
    for pending in grants {
        answer(pending, Err(error.clone()));
    }
}

fn answer(pending: PendingGrant, result: Result<(), GrantError>) {
    if pending.done.send(result).is_err() {
        tracing::debug!("nobody waits for a grant any more");
    }
}
