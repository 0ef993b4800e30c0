//! What is said to a media pod: configuration, grants and revocations; and what its answer changes.

use super::fleet::{GrantError, PendingGrant};
use super::poll::{Exchange, Reply, answer, refuse};
use super::reach;
use super::state::{Effect, NodeState, State};
use crate::changes::Change;
use crate::ledger::Standing;
use plenum_protocol::control::{Grant, Revocation, SyncReport, SyncRequest};
use plenum_protocol::ids::{RoomUid, Term};

impl Exchange<'_> {
    /// One call, and a second one when the pod turns out to have started again. True: it answered.
    pub(super) async fn sync_media(&self, term: Term, grants: Vec<PendingGrant>) -> bool {
        let mut grants = self.for_this_start(grants);
        for _ in 0..2 {
            let request = self.request(term, grants.iter().map(|pending| pending.grant.clone()).collect());
            let Some(request) = request else { return false };
            match self.post::<_, SyncReport>(&request).await {
                Reply::Report(report) => {
                    self.answered(&request, report, grants).await;
                    return true;
                }
                Reply::Restarted => refuse(std::mem::take(&mut grants), &GrantError::Restarted),
                Reply::Failed { answered, why } => {
                    refuse(grants, &GrantError::Refused(why));
                    return answered;
                }
            }
        }
        false
    }

    /// The state, which is that of a media pod by the role of the node.
    fn media<T>(&self, with: impl FnOnce(&mut NodeState) -> T) -> Option<T> {
        match &mut *self.node.state() {
            State::Media(state) => Some(with(state)),
            State::Turn(_) => None,
        }
    }

    fn for_this_start(&self, grants: Vec<PendingGrant>) -> Vec<PendingGrant> {
        let boot = self.node.state().contact().boot.clone();
        let (mine, others): (Vec<_>, Vec<_>) =
            grants.into_iter().partition(|pending| Some(&pending.boot) == boot.as_ref());
        refuse(others, &GrantError::Restarted);
        mine
    }

    fn request(&self, term: Term, grants: Vec<Grant>) -> Option<SyncRequest> {
        let config = self.context.pod(&self.node.key).and_then(|pod| self.context.node_config(&pod));
        let ledger = self.context.ledger();
        self.media(|state| {
            let revocations = state
                .held()
                .filter_map(|(uid, epoch)| match ledger.standing(&self.node.key, uid, epoch) {
                    Standing::Revoke(reason) => {
                        let detail = ledger.last_words(uid);
                        Some(Revocation { uid: uid.clone(), epoch, reason, detail })
                    }
                    Standing::Fine | Standing::Unknown => None,
                })
                .collect();
            state.request(term, config.as_ref(), grants, revocations)
        })
    }

    async fn answered(&self, request: &SyncRequest, report: SyncReport, grants: Vec<PendingGrant>) {
        let boot = report.boot_id.clone();
        let mut news = Vec::new();
        let taken_in = self.media(|state| {
            let effect = state.answered(request, report);
            let holds = |grant: &Grant| state.rooms.get(&grant.uid).is_some_and(|room| room.epoch == grant.epoch);
            let (taken, declined): (Vec<_>, Vec<_>) = grants.into_iter().partition(|pending| holds(&pending.grant));
            (effect, taken, declined)
        });
        let Some((Effect { reported, ended, turned }, taken, declined)) = taken_in else { return };
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
            let unknown = |uid: &RoomUid, epoch| ledger.standing(&self.node.key, uid, epoch) == Standing::Unknown;
            let held = |state: &mut NodeState| -> Vec<RoomUid> {
                state.held().filter(|(uid, epoch)| unknown(uid, *epoch)).map(|(uid, _)| uid.clone()).collect()
            };
            self.media(held).unwrap_or_default()
        };
        if strangers.is_empty() {
            return;
        }
        match reach::existing_rooms(self.context).await {
            Ok(existing) => {
                let now = self.context.clock.instant();
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
}
