//! What is said to a TURN pod: its configuration; and what its answer changes.

use super::poll::{Exchange, Reply};
use super::state::State;
use crate::changes::Change;
use plenum_protocol::ids::Term;
use plenum_protocol::relay::{RelaySyncReport, RelaySyncRequest};

impl Exchange<'_> {
    /// One call, and a second one when the pod turns out to have started again. True: it answered.
    pub(super) async fn sync_relay(&self, term: Term) -> bool {
        for _ in 0..2 {
            let Some(request) = self.relay_request(term) else { return false };
            match self.post::<_, RelaySyncReport>(&request).await {
                Reply::Report(report) => {
                    let turned = match &mut *self.node.state() {
                        State::Turn(state) => state.answered(&request, report),
                        State::Media(_) => false,
                    };
                    if turned {
                        self.context.changes.send(Change::Node(self.node.key.clone())).await;
                    }
                    return true;
                }
                Reply::Restarted => {}
                Reply::Failed { answered, why: _ } => return answered,
            }
        }
        false
    }

    fn relay_request(&self, term: Term) -> Option<RelaySyncRequest> {
        let config = self.context.pod(&self.node.key).and_then(|pod| self.context.relay_config(&pod));
        match &*self.node.state() {
            State::Turn(state) => Some(state.request(term, config)),
            State::Media(_) => None,
        }
    }
}
