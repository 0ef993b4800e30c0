//! What is known of one media pod, and how an answer changes that. Pure.

use super::health::DOUBT_AFTER;
use plenum_protocol::control::{Grant, Known, MAX_GRANTS, NodeConfig, Revocation, RoomState, SyncReport, SyncRequest};
use plenum_protocol::ids::{BootId, Epoch, RoomUid, Term};
use std::collections::BTreeMap;

/// What is known of one media pod.
#[derive(Debug, Clone, Default)]
pub struct NodeState {
    /// Start of its process that answered last.
    pub boot: Option<BootId>,
    /// Configuration that this start has taken.
    pub config: Option<NodeConfig>,
    /// It holds a configuration, from this leader or an earlier one.
    pub configured: bool,
    /// Rooms that it holds a grant for.
    pub rooms: BTreeMap<RoomUid, RoomState>,
    /// Polls that failed in a row.
    pub missed: u32,
    /// Called dead.
    pub dead: bool,
    version: u64,
    whole: bool,
}

/// What an answer changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effect {
    /// Rooms that the answer names.
    pub reported: Vec<RoomState>,
    /// Rooms without a grant any more.
    pub ended: Vec<RoomUid>,
    /// The pod began to serve, started again, came back, or has another configuration.
    pub turned: bool,
}

impl NodeState {
    /// Takes rooms: configured, accepting, and answers.
    #[must_use]
    pub fn serves(&self) -> bool {
        let accepts = self.config.as_ref().is_some_and(|config| config.accepting);
        accepts && self.boot.is_some() && self.missed < DOUBT_AFTER && !self.dead
    }

    /// The next request. `config` is what the pod is to have.
    #[must_use]
    pub fn request(
        &self,
        term: Term,
        config: Option<&NodeConfig>,
        grants: Vec<Grant>,
        mut revocations: Vec<Revocation>,
    ) -> SyncRequest {
        revocations.truncate(MAX_GRANTS);
        let known =
            self.boot.clone().filter(|_| self.whole).map(|boot_id| Known { boot_id, state_version: self.version });
        let config = config.filter(|config| Some(*config) != self.config.as_ref()).cloned();
        SyncRequest { term, known, config, grants, revocations }
    }

    /// The pod started again, or was never spoken to: ask for everything.
    pub fn forget_boot(&mut self) {
        *self = Self { missed: self.missed, dead: self.dead, boot: self.boot.clone(), ..Self::default() };
    }

    /// Takes the answer to `request`.
    pub fn answered(&mut self, request: &SyncRequest, report: SyncReport) -> Effect {
        let served = self.serves();
        let mut effect = Effect::default();
        let same = self.boot.as_ref() == Some(&report.boot_id);
        if !same {
            effect.ended.extend(self.rooms.keys().cloned());
            *self = Self { boot: Some(report.boot_id.clone()), ..Self::default() };
        }
        if report.whole {
            let held: Vec<&RoomUid> = report.rooms.iter().map(|room| &room.uid).collect();
            effect.ended.extend(self.rooms.keys().filter(|uid| !held.contains(uid)).cloned());
            self.rooms.clear();
            self.whole = true;
        }
        for uid in report.ended {
            self.rooms.remove(&uid);
            effect.ended.push(uid);
        }
        for room in &report.rooms {
            self.rooms.insert(room.uid.clone(), room.clone());
        }
        effect.reported = report.rooms;
        self.version = report.state_version;
        if let Some(config) = &request.config {
            self.config = Some(config.clone());
        }
        self.configured = report.configured;
        let came_back = std::mem::take(&mut self.dead);
        self.missed = 0;
        effect.turned = !same || came_back || request.config.is_some() || served != self.serves();
        effect
    }

    /// A poll failed. True when the pod ceases to serve by it.
    pub fn missed_poll(&mut self) -> bool {
        let served = self.serves();
        self.missed = self.missed.saturating_add(1);
        served && !self.serves()
    }

    /// The pod is dead: what it held is not known any more.
    pub fn died(&mut self) {
        self.dead = true;
        self.whole = false;
    }

    /// Grants that the pod is known to hold.
    pub fn held(&self) -> impl Iterator<Item = (&RoomUid, Epoch)> {
        self.rooms.iter().map(|(uid, room)| (uid, room.epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_protocol::control::NodeLoad;
    use plenum_protocol::flow::LegCounts;

    fn room(uid: &str, epoch: i64) -> RoomState {
        RoomState { uid: uid.parse().unwrap(), epoch: Epoch(epoch), participants: 0, legs: LegCounts::default() }
    }

    fn report(boot: &str, whole: bool, rooms: Vec<RoomState>) -> SyncReport {
        let boot_id = boot.parse().unwrap();
        let load = NodeLoad::default();
        SyncReport { boot_id, configured: true, state_version: 7, whole, rooms, ended: vec![], load }
    }

    fn config() -> NodeConfig {
        NodeConfig { outside_addresses: vec!["192.0.2.1".into()], max_participants: 10, accepting: true }
    }

    fn contacted() -> NodeState {
        let mut state = NodeState::default();
        let request = state.request(Term(1), Some(&config()), vec![], vec![]);
        assert!(request.known.is_none() && request.config.is_some());
        assert!(state.answered(&request, report("b1", true, vec![room("r", 1)])).turned);
        state
    }

    #[test]
    fn a_taken_configuration_is_not_sent_again() {
        let state = contacted();
        assert!(state.serves());
        let request = state.request(Term(1), Some(&config()), vec![], vec![]);
        assert_eq!(request.config, None);
        assert_eq!(request.known.unwrap().state_version, 7);
    }

    #[test]
    fn another_start_has_lost_its_rooms_and_its_configuration() {
        let mut state = contacted();
        let request = state.request(Term(1), Some(&config()), vec![], vec![]);
        let effect = state.answered(&request, report("b2", true, vec![]));
        assert_eq!(effect.ended, vec!["r".parse().unwrap()]);
        assert!(effect.turned && !state.serves(), "the request brought no configuration");
    }

    #[test]
    fn a_pod_serves_again_with_its_first_answer_after_misses() {
        let mut state = contacted();
        assert!(!state.missed_poll());
        assert!(state.missed_poll(), "two misses: no new rooms");
        assert!(!state.missed_poll());
        state.died();
        let request = state.request(Term(1), Some(&config()), vec![], vec![]);
        assert!(request.known.is_none(), "a whole report is asked for");
        assert!(state.answered(&request, report("b1", true, vec![room("r", 1)])).turned);
        assert!(state.serves());
    }

    #[test]
    fn a_whole_report_ends_what_it_does_not_name() {
        let mut state = contacted();
        let request = state.request(Term(1), None, vec![], vec![]);
        let effect = state.answered(&request, report("b1", true, vec![room("s", 1)]));
        assert_eq!(effect.ended, vec!["r".parse().unwrap()]);
        assert_eq!(state.held().count(), 1);
    }
}
