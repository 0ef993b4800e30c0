//! What is known of one media pod, and how an answer changes that. Pure.

use super::contact::{Contact, Heard, Pinged};
use super::relay_state::RelayState;
use plenum_api::pool::Role;
use plenum_protocol::control::{Grant, MAX_GRANTS, NodeConfig, Revocation, RoomState, SyncReport, SyncRequest};
use plenum_protocol::ids::{BootId, Epoch, RoomUid, Term};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one pod.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// A media pod.
    Media(NodeState),
    /// A TURN pod.
    Turn(RelayState),
}

/// What is known of one media pod.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeState {
    /// As of any pod.
    pub(super) contact: Contact,
    /// Configuration that this start has taken.
    pub(super) config: Option<NodeConfig>,
    /// Rooms that it holds a grant for.
    pub(super) rooms: BTreeMap<RoomUid, RoomState>,
}

/// What an answer changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Effect {
    /// Rooms that the answer names.
    pub(super) reported: Vec<RoomState>,
    /// Rooms without a grant any more.
    pub(super) ended: Vec<RoomUid>,
    /// The pod began to serve, started again, came back, or has another configuration.
    pub(super) turned: bool,
}

impl State {
    /// Nothing is known.
    #[must_use]
    pub(super) fn new(role: Role) -> Self {
        match role {
            Role::Media => Self::Media(NodeState::default()),
            Role::Turn => Self::Turn(RelayState::default()),
        }
    }

    /// What is known of it as of any pod.
    #[must_use]
    pub(super) fn contact(&self) -> &Contact {
        match self {
            Self::Media(state) => &state.contact,
            Self::Turn(state) => &state.contact,
        }
    }

    pub(super) fn contact_mut(&mut self) -> &mut Contact {
        match self {
            Self::Media(state) => &mut state.contact,
            Self::Turn(state) => &mut state.contact,
        }
    }

    /// Takes rooms or allocations.
    #[must_use]
    pub(super) fn serves(&self) -> bool {
        match self {
            Self::Media(state) => state.serves(),
            Self::Turn(state) => state.serves(),
        }
    }

    /// Holds a configuration of this leader.
    #[must_use]
    pub(super) fn is_configured(&self) -> bool {
        let mine = match self {
            Self::Media(state) => state.config.is_some(),
            Self::Turn(state) => state.config.is_some(),
        };
        mine && self.contact().configured
    }

    /// Holds no rooms and no allocations.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Media(state) => state.rooms.is_empty(),
            Self::Turn(state) => state.is_empty(),
        }
    }

    /// The pod answered a ping as this start of it. True when it had started again, or came back from the dead: what it
    /// holds is to be asked anew.
    pub(super) fn pinged(&mut self, boot: BootId) -> bool {
        let Pinged { restarted, revived } = self.contact_mut().pinged(boot);
        match self {
            Self::Media(state) if restarted => state.config = None,
            Self::Turn(state) if restarted => state.restarted(),
            Self::Media(_) | Self::Turn(_) => {}
        }
        restarted || revived
    }

    /// The pod started again, or was never spoken to: ask for everything.
    pub(super) fn forget_boot(&mut self) {
        self.contact_mut().forget();
        match self {
            Self::Media(state) => (state.config, state.rooms) = (None, BTreeMap::new()),
            Self::Turn(state) => state.restarted(),
        }
    }

    /// A poll failed. True when the pod ceases to serve by it.
    pub(super) fn missed_poll(&mut self) -> bool {
        let served = self.serves();
        let contact = self.contact_mut();
        contact.missed = contact.missed.saturating_add(1);
        served && !self.serves()
    }
}

impl NodeState {
    /// Takes rooms: configured, accepting, and answers.
    #[must_use]
    pub(super) fn serves(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.accepting) && self.contact.answers()
    }

    /// The next request. `config` is what the pod is to have.
    #[must_use]
    pub(super) fn request(
        &self,
        term: Term,
        config: Option<&NodeConfig>,
        grants: Vec<Grant>,
        mut revocations: Vec<Revocation>,
    ) -> SyncRequest {
        revocations.truncate(MAX_GRANTS);
        let known = self.contact.known();
        let config = config.filter(|config| Some(*config) != self.config.as_ref()).cloned();
        SyncRequest { term, known, config, grants, revocations }
    }

    /// Takes the answer to `request`.
    pub(super) fn answered(&mut self, request: &SyncRequest, report: SyncReport) -> Effect {
        let served = self.serves();
        let SyncReport { boot_id, configured, state_version, whole, rooms, ended, load: _ } = report;
        let mut effect = Effect::default();
        let same = self.contact.is(&boot_id);
        if !same {
            effect.ended.extend(self.rooms.keys().cloned());
            self.rooms.clear();
            self.config = None;
        }
        let came_back = self.contact.heard(Heard { boot: boot_id, configured, version: state_version, whole });
        if whole {
            let held: BTreeSet<&RoomUid> = rooms.iter().map(|room| &room.uid).collect();
            effect.ended.extend(self.rooms.keys().filter(|uid| !held.contains(uid)).cloned());
            self.rooms.clear();
        }
        for uid in ended {
            self.rooms.remove(&uid);
            effect.ended.push(uid);
        }
        for room in &rooms {
            self.rooms.insert(room.uid.clone(), room.clone());
        }
        effect.reported = rooms;
        if let Some(config) = &request.config {
            self.config = Some(config.clone());
        }
        effect.turned = !same || came_back || request.config.is_some() || served != self.serves();
        effect
    }

    /// Grants that the pod is known to hold.
    pub(super) fn held(&self) -> impl Iterator<Item = (&RoomUid, Epoch)> {
        self.rooms.iter().map(|(uid, room)| (uid, room.epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_protocol::control::NodeLoad;
    use plenum_protocol::flow::LegCounts;

    fn room(uid: &str, epoch: i64) -> RoomState {
        RoomState {
            uid: uid.parse().unwrap(),
            epoch: Epoch(epoch),
            participants: 0,
            legs: LegCounts::default(),
            relayed: vec![],
        }
    }

    fn report(boot: &str, whole: bool, rooms: Vec<RoomState>) -> SyncReport {
        let boot_id = boot.parse().unwrap();
        let load = NodeLoad::default();
        SyncReport { boot_id, configured: true, state_version: 7, whole, rooms, ended: vec![], load }
    }

    fn config() -> NodeConfig {
        NodeConfig {
            outside_addresses: vec!["192.0.2.1".into()],
            max_participants: 10,
            accepting: true,
            relays: vec![],
        }
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

    fn media(state: &mut State) -> &mut NodeState {
        match state {
            State::Media(state) => state,
            State::Turn(_) => panic!("a media pod"),
        }
    }

    #[test]
    fn a_pod_serves_again_with_its_first_answer_after_misses() {
        let mut pod = State::Media(contacted());
        assert!(!pod.missed_poll());
        assert!(pod.missed_poll(), "two misses: no new rooms");
        assert!(!pod.missed_poll());
        pod.contact_mut().died();
        let state = media(&mut pod);
        let request = state.request(Term(1), Some(&config()), vec![], vec![]);
        assert!(request.known.is_none(), "a whole report is asked for");
        assert!(state.answered(&request, report("b1", true, vec![room("r", 1)])).turned);
        assert!(pod.serves());
    }

    #[test]
    fn pings_keep_the_count_of_missed_polls_for_the_next_leader() {
        for role in [Role::Media, Role::Turn] {
            let mut pod = State::new(role);
            assert!(pod.pinged("b1".parse().unwrap()));
            assert!(!pod.pinged("b1".parse().unwrap()) && !pod.contact().is_known() && !pod.serves());
            pod.missed_poll();
            pod.missed_poll();
            assert_eq!(pod.contact().missed, 2);
            pod.contact_mut().died();
            assert!(pod.pinged("b1".parse().unwrap()), "it came back");
            assert_eq!((pod.contact().missed, pod.contact().dead), (0, false));
        }
    }

    #[test]
    fn a_ping_of_another_start_forgets_what_the_former_one_had_taken() {
        let mut pod = State::Media(contacted());
        assert!(!pod.pinged("b1".parse().unwrap()) && pod.serves() && pod.contact().is_known());
        assert!(pod.pinged("b2".parse().unwrap()) && !pod.serves());
        let state = media(&mut pod);
        let request = state.request(Term(1), Some(&config()), vec![], vec![]);
        assert!(request.known.is_none() && request.config.is_some());
        let effect = state.answered(&request, report("b2", true, vec![]));
        assert_eq!(effect.ended, vec!["r".parse().unwrap()]);
        assert!(pod.serves());
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
