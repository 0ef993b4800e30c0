//! Rooms that are peer to peer, as the gateways that are their homes tell them: the leader asks every ready gateway once a
//! second, as long as there is such a room.

use crate::changes::Change;
use crate::context::Context;
use crate::ledger::RoomLoad;
use crate::nodes::gateways;
use crate::pods;
use futures_util::future::join_all;
use plenum_protocol::ids::RoomUid;
use plenum_protocol::peer::{PeerRoomReport, PeerRoomsReport};
use plenum_runtime::client::CallError;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a gateway may take to answer.
const TIMEOUT: Duration = Duration::from_millis(700);

/// What all gateways said at one time.
#[derive(Debug, Default)]
pub struct Round {
    /// Rooms with somebody in them.
    pub rooms: HashMap<RoomUid, Said>,
    /// Pods that have spoken.
    pub gateways: BTreeSet<String>,
    /// Every ready gateway has spoken: a room that none has named has nobody in it, or its home is moving.
    pub complete: bool,
}

/// What was said of one room.
#[derive(Debug, Clone)]
pub struct Said {
    /// Who is in it, and how.
    pub load: RoomLoad,
    /// Pod of its home.
    pub home: String,
}

/// Asks until its task is ended.
pub async fn follow(context: Arc<Context>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if context.may_write().is_err() || !context.ledger().has_peers() {
            continue;
        }
        let round = ask(&context).await;
        let changed = context.ledger().report_peers(&round, context.clock.instant());
        if !changed.is_empty() {
            context.changes.send(Change::Reported(changed)).await;
        }
    }
}

async fn ask(context: &Context) -> Round {
    let ready = gateways(context, pods::is_ready);
    let calls = ready.iter().map(|target| context.control.get(target, "/v1/peer-rooms", TIMEOUT));
    merge(join_all(calls).await)
}

fn merge(answers: Vec<Result<PeerRoomsReport, CallError>>) -> Round {
    let mut round = Round { complete: !answers.is_empty(), ..Round::default() };
    for answer in answers {
        match answer {
            Ok(report) => round.add(report),
            Err(error) => {
                tracing::debug!(error = crate::errors::chain(&error), "a gateway did not say what rooms it is home of");
                round.complete = false;
            }
        }
    }
    round
}

impl Round {
    /// While a home moves, two gateways may name the room: the one with more people in it counts.
    fn add(&mut self, report: PeerRoomsReport) {
        for PeerRoomReport { uid, participants, legs } in report.rooms {
            let participants = i32::try_from(participants).unwrap_or(i32::MAX);
            let load = RoomLoad { participants, peak: participants, legs };
            if self.rooms.get(&uid).is_none_or(|known| known.load.participants < participants) {
                self.rooms.insert(uid, Said { load, home: report.gateway.clone() });
            }
        }
        self.gateways.insert(report.gateway);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_protocol::flow::LegCounts;

    fn answer(gateway: &str, rooms: &[(&str, u32)]) -> Result<PeerRoomsReport, CallError> {
        let report = |(uid, participants): &(&str, u32)| PeerRoomReport {
            uid: uid.parse().unwrap(),
            participants: *participants,
            legs: LegCounts::default(),
        };
        Ok(PeerRoomsReport { gateway: gateway.into(), rooms: rooms.iter().map(report).collect() })
    }

    #[test]
    fn a_room_that_two_gateways_name_is_counted_once() {
        let round = merge(vec![answer("a", &[("r", 1), ("s", 2)]), answer("b", &[("r", 2)])]);
        let said = |uid: &str| &round.rooms[&uid.parse().unwrap()];
        let people = |uid: &str| said(uid).load.participants;
        assert_eq!((people("r"), people("s"), round.complete), (2, 2, true));
        assert_eq!((said("r").home.as_str(), said("s").home.as_str()), ("b", "a"));
        assert_eq!(round.gateways, ["a".to_owned(), "b".to_owned()].into());
    }

    #[test]
    fn a_round_is_complete_when_every_gateway_has_spoken_and_there_is_one() {
        let silent = || Err(CallError::Timeout(TIMEOUT));
        assert!(!merge(vec![answer("a", &[]), silent()]).complete);
        assert!(!merge(vec![]).complete);
        assert_eq!(merge(vec![silent(), answer("a", &[("r", 1)])]).rooms.len(), 1);
    }
}
