//! The right to write: not yet, held for a while after each renewal, or over. Judged by the monotonic clock alone.

use super::{GIVE_UP, TRUST};
use plenum_protocol::ids::Term;
use std::time::Instant;
use tokio::sync::watch;

/// This process must not write: it does not lead yet or any more, or its lease is not fresh enough to be sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process is not sure to be the leader")]
pub struct NotLeader;

#[derive(Debug, Clone, Copy)]
enum Tenure {
    Ahead,
    /// `renewed` is when the last renewal that succeeded *began*.
    Held {
        term: Term,
        renewed: Instant,
    },
    Over,
}

/// The right to write, checked before every write. A process leads at most once.
#[derive(Debug)]
pub struct Leadership(watch::Sender<Tenure>);

impl Default for Leadership {
    fn default() -> Self {
        Self(watch::Sender::new(Tenure::Ahead))
    }
}

impl Leadership {
    /// The term, if this process may write at `now`. A frozen process that wakes up finds out here.
    ///
    /// # Errors
    /// [`NotLeader`]; a leader whose renewal is late rests, and may write again after it.
    pub fn check(&self, now: Instant) -> Result<Term, NotLeader> {
        match *self.0.borrow() {
            Tenure::Held { term, renewed } if now.saturating_duration_since(renewed) < TRUST => Ok(term),
            Tenure::Ahead | Tenure::Held { .. } | Tenure::Over => Err(NotLeader),
        }
    }

    /// Whether this process led and does not any more.
    #[must_use]
    pub fn is_lost(&self, now: Instant) -> bool {
        match *self.0.borrow() {
            Tenure::Ahead => false,
            Tenure::Held { renewed, .. } => now.saturating_duration_since(renewed) >= GIVE_UP,
            Tenure::Over => true,
        }
    }

    /// Waits until this process leads.
    pub async fn taken(&self) {
        let mut tenure = self.0.subscribe();
        if tenure.wait_for(|tenure| matches!(tenure, Tenure::Held { .. })).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Somebody has a newer term: never lead again.
    pub fn revoke(&self) {
        self.0.send_replace(Tenure::Over);
    }

    /// The Lease is held and was renewed a moment ago, for tests.
    #[cfg(test)]
    pub(crate) fn renewed(&self, now: Instant) {
        self.take(Term(1), now);
        self.extend(now);
    }

    /// The Lease was taken by a write that began at `began`.
    pub(super) fn take(&self, term: Term, began: Instant) {
        self.0.send_if_modified(|tenure| {
            let first = matches!(tenure, Tenure::Ahead);
            if first {
                *tenure = Tenure::Held { term, renewed: began };
            }
            first
        });
    }

    /// The Lease was renewed by a write that began at `began`.
    pub(super) fn extend(&self, began: Instant) {
        self.0.send_if_modified(|tenure| {
            if let Tenure::Held { renewed, .. } = tenure {
                *renewed = began;
            }
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{DESERTED_AFTER, DURATION};
    use std::time::Duration;

    const TERM: Term = Term(4);

    #[test]
    fn a_frozen_leader_notices_before_it_writes() {
        let (start, leadership) = (Instant::now(), Leadership::default());
        assert_eq!(leadership.check(start), Err(NotLeader), "not yet");
        leadership.take(TERM, start);
        assert_eq!(leadership.check(start + TRUST - Duration::from_millis(1)), Ok(TERM));
        assert_eq!(leadership.check(start + TRUST), Err(NotLeader));
    }

    #[test]
    fn a_leader_is_not_sure_any_more_before_anybody_may_take_over() {
        assert!(TRUST < DESERTED_AFTER && DESERTED_AFTER < DURATION && GIVE_UP < DURATION);
    }

    #[test]
    fn a_late_renewal_lets_a_leader_rest_and_a_later_one_wakes_it() {
        let (start, leadership) = (Instant::now(), Leadership::default());
        leadership.take(TERM, start);
        let late = start + TRUST * 2;
        assert_eq!((leadership.check(late), leadership.is_lost(late)), (Err(NotLeader), false));
        leadership.extend(late);
        assert_eq!(leadership.check(late), Ok(TERM));
        assert!(leadership.is_lost(late + GIVE_UP));
    }

    #[test]
    fn a_revoked_leader_never_leads_again() {
        let (start, leadership) = (Instant::now(), Leadership::default());
        leadership.take(TERM, start);
        leadership.revoke();
        leadership.extend(start);
        leadership.take(Term(5), start);
        assert_eq!((leadership.check(start), leadership.is_lost(start)), (Err(NotLeader), true));
    }
}
