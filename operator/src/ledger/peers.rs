//! What gateways say of rooms that are peer to peer: the same memory as of those that a pod holds.

use super::entry::Entry;
use super::{Ledger, RoomLoad};
use crate::peers::Round;
use plenum_api::room::Topology;
use plenum_protocol::ids::RoomName;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long a room may be named by nobody before it is empty: its home may be moving, and its people with it.
const MOVING: Duration = Duration::from_secs(5);

/// Rounds further apart than this are not of one series: nobody has listened in between, or a gateway has not spoken.
const PAUSE: Duration = Duration::from_millis(2_500);

/// The rounds of late.
#[derive(Default)]
pub(super) struct Rounds {
    gateways: BTreeSet<String>,
    last: Option<Instant>,
    complete_since: Option<Instant>,
}

impl Rounds {
    /// Takes a round. Says since when the same gateways have all spoken, every time; unset: one is silent.
    fn take(&mut self, round: &Round, now: Instant) -> Option<Instant> {
        let goes_on = self.gateways == round.gateways && self.last.is_some_and(|last| follows(last, now));
        self.complete_since = round.complete.then(|| self.complete_since.filter(|_| goes_on).unwrap_or(now));
        self.gateways.clone_from(&round.gateways);
        self.last = Some(now);
        self.complete_since
    }
}

fn follows(last: Instant, now: Instant) -> bool {
    now.saturating_duration_since(last) <= PAUSE
}

impl Ledger {
    /// Whether any room is peer to peer.
    #[must_use]
    pub fn has_peers(&self) -> bool {
        self.rooms.values().any(|entry| entry.topology == Topology::PeerToPeer && entry.over.is_none())
    }

    /// Takes what the gateways said. Returns the names of the rooms where something changed that status shows.
    pub fn report_peers(&mut self, round: &Round, now: Instant) -> Vec<RoomName> {
        let complete_since = self.rounds.take(round, now);
        let deserted = |entry: &Entry| {
            complete_since.is_some_and(|since| now.saturating_duration_since(since.max(entry.heard)) >= MOVING)
        };
        let mut changed = Vec::new();
        let pairs = self.rooms.iter_mut().filter(|(_, entry)| entry.topology == Topology::PeerToPeer);
        for (uid, entry) in pairs.filter(|(_, entry)| entry.bound.is_none() && entry.over.is_none()) {
            let said = match round.rooms.get(uid) {
                Some(said) => {
                    let settled = entry.is_named(&said.home, now);
                    if entry.reported && !settled && is_less(&said.load, &entry.load) {
                        continue;
                    }
                    said.load
                }
                None if deserted(entry) => RoomLoad::default(),
                None => continue,
            };
            let load = RoomLoad { peak: entry.load.peak.max(said.participants), ..said };
            let first = !std::mem::replace(&mut entry.reported, true);
            if first || entry.load != load {
                entry.load = load;
                changed.push(entry.name.clone());
            }
        }
        changed.sort();
        changed
    }
}

impl Entry {
    /// A gateway says that it is the home. Whether it has for so long that everybody has found it, and said what they see.
    fn is_named(&mut self, home: &str, now: Instant) -> bool {
        let known = self.home.take().filter(|(known, _)| known == home && follows(self.heard, now));
        let (home, since) = known.unwrap_or_else(|| (home.to_owned(), now));
        self.home = Some((home, since));
        self.heard = now;
        now.saturating_duration_since(since) >= MOVING
    }
}

/// Fewer people, or fewer legs that they agree on.
fn is_less(now: &RoomLoad, before: &RoomLoad) -> bool {
    let legs = |load: &RoomLoad| load.legs.direct + load.legs.relayed;
    now.participants < before.participants || legs(now) < legs(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Said;
    use plenum_api::Room;
    use plenum_protocol::flow::LegCounts;
    use plenum_protocol::ids::RoomUid;
    use serde_json::json;

    fn pair() -> Room {
        let metadata = json!({ "name": "r", "namespace": "a", "uid": "r" });
        let kind = json!({ "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "Room", "metadata": metadata });
        let mut room = kind;
        room["spec"] = json!({ "topology": "PeerToPeer" });
        serde_json::from_value(room).unwrap()
    }

    fn uid() -> RoomUid {
        "r".parse().unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn round(participants: i32, complete: bool) -> Round {
        named_by("g-0", participants, complete)
    }

    fn named_by(home: &str, participants: i32, complete: bool) -> Round {
        let legs = LegCounts { direct: if participants == 2 { 2 } else { 0 }, ..LegCounts::default() };
        let load = RoomLoad { participants, legs, ..RoomLoad::default() };
        let rooms = if participants > 0 { [(uid(), Said { load, home: home.into() })].into() } else { [].into() };
        Round { rooms, complete, gateways: ["g-0".to_owned(), "g-1".to_owned()].into() }
    }

    /// The same round every second, `from` this second to that one. Returns in which something changed.
    fn rounds(ledger: &mut Ledger, start: Instant, seconds: std::ops::RangeInclusive<u32>, round: &Round) -> Vec<u32> {
        seconds.filter(|second| !ledger.report_peers(round, start + SECOND * *second).is_empty()).collect()
    }

    fn people(ledger: &Ledger, now: Instant) -> Option<i32> {
        ledger.seen(&uid(), now).participants
    }

    #[test]
    fn what_a_home_says_is_what_status_shows() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        assert!(!ledger.has_peers());
        ledger.observe(&pair(), now);
        assert!(ledger.has_peers() && ledger.unbound().is_empty());
        assert_eq!(ledger.report_peers(&round(2, true), now).len(), 1);
        assert!(ledger.report_peers(&round(2, true), now).is_empty(), "nothing new");
        let load = ledger.room_load(&uid()).unwrap();
        assert_eq!((load.participants, load.peak, load.legs.direct), (2, 2, 2));
        let load = ledger.room_load(&uid()).unwrap();
        assert_eq!(rounds(&mut ledger, now, 1..=6, &round(2, true)), [0_u32; 0]);
        assert_eq!(rounds(&mut ledger, now, 7..=9, &round(1, true)), [7], "its home has been so for long");
        let left = ledger.room_load(&uid()).unwrap();
        assert_eq!((left.participants, left.peak, load.peak), (1, 2, 2));
    }

    #[test]
    fn a_room_that_nobody_names_is_empty_once_every_gateway_has_spoken_for_a_while() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.observe(&pair(), now);
        assert_eq!(rounds(&mut ledger, now, 0..=4, &round(0, true)), [0_u32; 0], "its home may be moving");
        assert_eq!(rounds(&mut ledger, now, 5..=6, &round(0, true)), [5]);
        assert_eq!(people(&ledger, now), Some(0));
        assert_eq!(rounds(&mut ledger, now, 7..=8, &round(2, false)), [7]);
        assert_eq!(rounds(&mut ledger, now, 9..=20, &round(0, true)), [14]);
        assert_eq!(people(&ledger, now), Some(0));
    }

    #[test]
    fn people_whose_home_is_lost_have_time_to_meet_again() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.observe(&pair(), now);
        rounds(&mut ledger, now, 0..=10, &round(2, true));
        assert_eq!(rounds(&mut ledger, now, 11..=50, &round(0, false)), [0_u32; 0], "its node is dead");
        assert_eq!(rounds(&mut ledger, now, 51..=55, &round(0, true)), [0_u32; 0], "they are on their way");
        assert_eq!(people(&ledger, now), Some(2));
        assert_eq!(rounds(&mut ledger, now, 56..=57, &round(0, true)), [56]);
        assert_eq!(people(&ledger, now), Some(0));
    }

    #[test]
    fn who_begins_to_listen_or_hears_other_gateways_waits_before_a_room_is_empty() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.observe(&pair(), now);
        // A standby that has known the room for long.
        assert_eq!(rounds(&mut ledger, now, 100..=103, &round(0, true)), [0_u32; 0]);
        // It did not lead for a while.
        assert_eq!(rounds(&mut ledger, now, 107..=110, &round(0, true)), [0_u32; 0]);
        let other = Round { gateways: ["g-1".to_owned()].into(), ..round(0, true) };
        assert_eq!(rounds(&mut ledger, now, 111..=115, &other), [0_u32; 0]);
        assert_eq!(rounds(&mut ledger, now, 116..=117, &other), [116]);
    }

    #[test]
    fn a_new_home_that_has_met_one_of_the_two_says_nothing_of_the_other() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.observe(&pair(), now);
        rounds(&mut ledger, now, 0..=10, &round(2, true));
        assert_eq!(rounds(&mut ledger, now, 11..=13, &named_by("g-1", 1, true)), [0_u32; 0]);
        assert_eq!(rounds(&mut ledger, now, 14..=15, &named_by("g-1", 2, true)), [0_u32; 0]);
        // The same pod, started again.
        assert_eq!(rounds(&mut ledger, now, 16..=18, &round(0, false)), [0_u32; 0]);
        assert_eq!(
            rounds(&mut ledger, now, 19..=30, &named_by("g-1", 1, true)),
            [24],
            "who has not come by then is gone"
        );
    }

    #[test]
    fn what_was_said_of_a_room_is_over_with_it() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.observe(&pair(), now);
        ledger.report_peers(&round(2, true), now);
        let mut closed = pair();
        closed.spec.desired_state = plenum_api::room::DesiredState::Closed;
        ledger.observe(&closed, now + MOVING);
        assert!(ledger.report_peers(&round(2, true), now + MOVING).is_empty() && !ledger.has_peers());
        ledger.observe(&pair(), now + MOVING);
        assert_eq!(people(&ledger, now), None, "opened again, nobody has been heard in it");
        assert_eq!(rounds(&mut ledger, now + MOVING, 0..=7, &round(0, true)), [5]);
    }

    #[test]
    fn an_upgraded_room_is_its_pods() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let mut room = pair();
        room.status.get_or_insert_default().topology = Some(Topology::MediaServer);
        ledger.observe(&room, now);
        assert!(!ledger.has_peers() && ledger.report_peers(&round(2, true), now).is_empty());
        assert_eq!(ledger.unbound().len(), 1, "it waits for a pod");
    }
}
