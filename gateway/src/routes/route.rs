//! One Room as a gateway needs it. Pure.

use plenum_api::Room;
use plenum_api::conditions::{ACCEPTED, READY, SCHEDULED, Truth};
use plenum_api::room::{Assignment, Binding, EndedReason, RelayPolicy, RelayPoolRef, Topology, Upgrade};
use plenum_protocol::control::node_san;
use plenum_protocol::flow::MediaPlace;
use plenum_protocol::ids::{Epoch, RoomName, RoomUid};
use plenum_runtime::client::Target;
use std::net::SocketAddr;

/// The media pod of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Namespace of the pod: names its certificate.
    pub namespace: String,
    /// Its control API.
    pub control: SocketAddr,
    /// What the flow shows of it.
    pub media: MediaPlace,
}

/// What a room can do for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It runs on this pod.
    Bound(Place),
    /// It runs nowhere.
    Unbound {
        /// Why, from its conditions, for people.
        why: String,
        /// It is bound when somebody joins.
        awaits_participant: bool,
        /// The operator expects that it can be bound.
        hopeful: bool,
    },
    /// It is peer to peer: a gateway is its home.
    Peers,
    /// It is over, or being deleted: why, for people.
    Closed(String),
}

/// Whether the room's clients go by relays, and by which.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelayRules {
    /// When.
    pub policy: RelayPolicy,
    /// Pools that they may use.
    pub pools: Vec<RelayPoolRef>,
}

/// A room and its binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The room.
    pub name: RoomName,
    /// Which of the rooms that had this name.
    pub uid: RoomUid,
    /// The binding; 0 before the first.
    pub epoch: Epoch,
    /// What it can do.
    pub standing: Standing,
    /// Relays of its clients.
    pub relays: RelayRules,
    /// Of a room that is peer to peer: a third person is worth a media server, which it gets by them or is to have anyway.
    pub upgrades: bool,
    /// Most that one may send, kbit/s.
    pub max_kbps: u32,
}

impl Place {
    /// Whom to call.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::new(self.control, node_san(&self.namespace))
    }

    fn of(assignment: &Assignment) -> Option<Self> {
        Some(Self {
            namespace: assignment.namespace.clone(),
            control: assignment.control_address()?.parse().ok()?,
            media: MediaPlace {
                pod: assignment.pod.clone(),
                node: assignment.node.clone(),
                region: assignment.region.clone(),
                zone: assignment.zone.clone(),
            },
        })
    }
}

impl Route {
    /// From the resource; `None` when it has no name or uid, which the API server never sends.
    #[must_use]
    pub fn of(room: &Room) -> Option<Self> {
        let metadata = &room.metadata;
        let name = RoomName { namespace: metadata.namespace.clone()?, name: metadata.name.clone()? };
        let uid = metadata.uid.as_ref()?.parse().ok()?;
        let pools = room.status.as_ref().map_or_else(Vec::new, |status| status.relay_pools.clone());
        let relays = RelayRules { policy: room.spec.relay.policy, pools };
        let spec = &room.spec;
        let upgrades = spec.capacity.upgrade == Upgrade::MediaServer || spec.topology == Topology::MediaServer;
        let max_kbps = u32::try_from(spec.media.max_bitrate_kbps).unwrap_or_default();
        Some(Self { name, uid, epoch: Epoch(room.epoch()), standing: standing(room), relays, upgrades, max_kbps })
    }
}

fn standing(room: &Room) -> Standing {
    if room.metadata.deletion_timestamp.is_some() {
        return Standing::Closed("the room is being deleted".to_owned());
    }
    match room.over() {
        Some(EndedReason::Closed) => return Standing::Closed("the room is closed".to_owned()),
        Some(reason) => return Standing::Closed(format!("the room is over: {}", reason.words())),
        None => {}
    }
    if room.topology() == Topology::PeerToPeer && !is_false(room, ACCEPTED) {
        return Standing::Peers;
    }
    match room.media_assignment().and_then(Place::of) {
        Some(place) => Standing::Bound(place),
        None => Standing::Unbound {
            why: why_unbound(room),
            awaits_participant: room.spec.placement.binding == Binding::WaitForFirstParticipant,
            hopeful: room.condition(READY).is_some_and(|condition| condition.status == Truth::True.as_str()),
        },
    }
}

/// A condition that is there, and not met.
fn is_false(room: &Room, kind: &str) -> bool {
    room.condition(kind).is_some_and(|found| found.status != Truth::True.as_str())
}

/// The first condition that is not met explains it best.
fn why_unbound(room: &Room) -> String {
    let unmet = |kind: &&str| is_false(room, kind);
    let condition = [ACCEPTED, SCHEDULED, READY].iter().find(|kind| unmet(kind)).and_then(|kind| room.condition(kind));
    match condition {
        Some(condition) if !condition.message.is_empty() => format!("{}: {}", condition.reason, condition.message),
        Some(condition) => condition.reason.clone(),
        None => "the operator has not placed it yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn room(spec: Value, status: Value) -> Room {
        let mut spec = spec;
        spec.as_object_mut().unwrap().entry("topology").or_insert_with(|| json!("MediaServer"));
        let metadata = json!({"namespace": "team-a", "name": "demo", "uid": "u-1"});
        let whole = json!({"apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "Room", "metadata": metadata, "spec": spec, "status": status});
        serde_json::from_value(whole).unwrap()
    }

    fn condition(kind: &str, status: &str, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": "NoPool", "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    fn bound() -> Value {
        json!({
            "placement": {"epoch": 3, "region": "eu", "decidedAt": "2026-01-01T00:00:00Z", "reason": "near"},
            "assignments": [{
                "role": "Media", "namespace": "media", "pool": "eu", "pod": "eu-0-abcde", "bootId": "b", "node": "n1",
                "region": "eu", "zone": "eu-a",
                "endpoints": [{"purpose": "Control", "protocol": "TCP", "address": "10.0.0.7", "port": 7443}],
            }],
        })
    }

    #[test]
    fn a_bound_room_names_pod_address_and_epoch() {
        let route = Route::of(&room(json!({}), bound())).unwrap();
        let Standing::Bound(place) = &route.standing else { panic!("{route:?}") };
        assert_eq!(
            (route.epoch, place.target().to_string().as_str()),
            (Epoch(3), "node.media.plenum.internal at 10.0.0.7:7443")
        );
        assert_eq!(place.media.zone.as_deref(), Some("eu-a"));
    }

    #[test]
    fn relays_are_those_that_spec_and_status_say() {
        let mut status = bound();
        status["relayPools"] = json!([{"namespace": "turn", "name": "eu-turn", "region": "eu"}]);
        let route = Route::of(&room(json!({"relay": {"policy": "Always"}}), status)).unwrap();
        assert_eq!((route.relays.policy, route.relays.pools[0].name.as_str()), (RelayPolicy::Always, "eu-turn"));
        assert_eq!(Route::of(&room(json!({}), bound())).unwrap().relays, RelayRules::default());
    }

    #[test]
    fn a_closed_room_is_closed_even_while_bound() {
        let route = Route::of(&room(json!({"desiredState": "Closed"}), bound())).unwrap();
        assert_eq!(route.standing, Standing::Closed("the room is closed".into()));
    }

    #[test]
    fn a_room_that_ended_by_itself_is_closed_and_says_why() {
        let mut status = bound();
        status["endedAt"] = json!("2025-01-01T00:00:00Z");
        status["endedReason"] = json!("MaxDuration");
        let Standing::Closed(why) = Route::of(&room(json!({}), status.clone())).unwrap().standing else { panic!() };
        assert!(why.contains("maxDurationSeconds"), "{why}");
        // It was closed, and is open again: the operator has not seen it yet.
        status["endedReason"] = json!("Closed");
        assert!(matches!(Route::of(&room(json!({}), status)).unwrap().standing, Standing::Bound(_)));
    }

    #[test]
    fn a_room_goes_by_the_topology_in_force() {
        let standing = |spec: Value, status: Value| Route::of(&room(spec, status)).unwrap().standing;
        let peers = || json!({"topology": "PeerToPeer"});
        assert_eq!(standing(peers(), json!({})), Standing::Peers);
        assert_eq!(standing(peers(), json!({"topology": "PeerToPeer"})), Standing::Peers);
        let mut upgraded = bound();
        upgraded["topology"] = json!("MediaServer");
        assert!(matches!(standing(peers(), upgraded), Standing::Bound(_)));
        assert!(matches!(standing(peers(), json!({"topology": "MediaServer"})), Standing::Unbound { .. }));
        // Patched: the call goes on between the peers until there is a media server.
        assert_eq!(standing(json!({"topology": "MediaServer"}), json!({"topology": "PeerToPeer"})), Standing::Peers);
        let refused = json!({"conditions": [condition("Accepted", "False", "no")]});
        assert!(matches!(standing(peers(), refused), Standing::Unbound { .. }));
    }

    #[test]
    fn who_lets_the_third_person_upgrade_the_room_says_so() {
        let route = |capacity: Value| {
            Route::of(&room(json!({"topology": "PeerToPeer", "capacity": capacity}), json!({}))).unwrap()
        };
        assert!(route(json!({"upgrade": "MediaServer"})).upgrades);
        assert!(!route(json!({})).upgrades);
        let patched = room(json!({"topology": "MediaServer"}), json!({"topology": "PeerToPeer"}));
        let patched = Route::of(&patched).unwrap();
        assert!(patched.upgrades && patched.standing == Standing::Peers, "it has been patched: {patched:?}");
    }

    #[test]
    fn an_unbound_room_says_why_by_its_first_unmet_condition() {
        let conditions = [
            condition("Accepted", "True", ""),
            condition("Scheduled", "False", "no pool in eu"),
            condition("Ready", "False", "x"),
        ];
        let route = Route::of(&room(json!({}), json!({"conditions": conditions}))).unwrap();
        let why = "NoPool: no pool in eu".to_owned();
        assert_eq!(route.standing, Standing::Unbound { why, awaits_participant: false, hopeful: false });
    }

    #[test]
    fn a_room_that_waits_for_its_first_participant_is_hopeful_while_ready() {
        let spec = json!({"placement": {"binding": "WaitForFirstParticipant"}});
        let route = Route::of(&room(spec, json!({"conditions": [condition("Ready", "True", "")]}))).unwrap();
        let Standing::Unbound { awaits_participant, hopeful, .. } = route.standing else { panic!("{route:?}") };
        assert!(awaits_participant && hopeful);
    }
}
