//! What is told of a peer-to-peer room: claims, what both say, what relays say; and to the leader.

use crate::fake_relay::directory;
use crate::peer_world::{PODS, PeerWorld, Person, peers};
use crate::world::DEADLINE;
use plenum_api::room::{RelayPolicy, RelayPoolRef};
use plenum_gateway::{RelayRules, Route};
use plenum_protocol::flow::{Basis, FlowName, FlowReport, LegBasis, LegCounts, LegRole, LegState};
use plenum_protocol::ice::IceServers;
use plenum_protocol::peer::{PeerRoomsReport, pair_id, relay_session};
use plenum_protocol::problem::Code;
use plenum_protocol::turn::{RelayTransport, Scope, Username};
use serde_json::{Value, json};

const ANN: &str = "ann-00000001";
const BOB: &str = "bob-00000002";

async fn call(world: &mut PeerWorld) -> (Person, Person) {
    let mut ann = world.enter(PODS[0], "Ann", ANN).await;
    let bob = world.enter(PODS[1], "Bob", BOB).await;
    ann.meets().await;
    (ann, bob)
}

fn view(local: &str, remote: &str, more: Value) -> Value {
    let session = pair_id(&ANN.parse().unwrap(), &BOB.parse().unwrap());
    let mut leg = json!({"session": session, "localType": local, "remoteType": remote, "protocol": "udp", "rttMicros": 900, "bytesSent": 10, "bytesReceived": 20});
    leg.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"type": "view", "legs": [leg]})
}

#[tokio::test]
async fn the_flow_is_planned_then_claimed_then_confirmed() {
    let mut world = PeerWorld::new().await;
    let empty = world.flow(PODS[0]).await;
    assert_eq!((empty.flow, empty.basis, empty.media), (FlowName::PeerToPeer, Basis::Planned, None));
    assert_eq!(empty.home.as_deref(), Some(world.home().0));
    let (mut ann, mut bob) = call(&mut world).await;
    let met = world.flow_when(PODS[1], |report| report.legs.len() == 2).await;
    assert_eq!((met.basis, met.legs[0].state), (Basis::Planned, LegState::Connecting));
    ann.say(view("host", "srflx", json!({}))).await;
    let claimed =
        world.flow_when(PODS[1], |report| report.legs.iter().any(|leg| leg.state == LegState::Connected)).await;
    assert_eq!((claimed.basis, claimed.counts), (Basis::Planned, LegCounts::default()), "one says so");
    let mine = claimed.legs.iter().find(|leg| leg.participant == ann.id).unwrap();
    assert_eq!((mine.basis, mine.role, mine.peer.clone()), (LegBasis::Claimed, LegRole::Peer, Some(bob.id.clone())));
    assert_eq!((mine.gateway.as_str(), mine.rtt_micros), (PODS[0], Some(900)));
    bob.say(view("prflx", "host", json!({}))).await;
    let confirmed = world.flow_when(PODS[0], |report| report.counts.direct == 2).await;
    assert!(confirmed.legs.iter().all(|leg| leg.basis == LegBasis::Confirmed));
    assert_eq!((confirmed.flow, confirmed.basis), (FlowName::PeerToPeer, Basis::Observed));
}

fn rules(policy: RelayPolicy) -> RelayRules {
    let pool = RelayPoolRef { namespace: "turn".into(), name: "eu-turn".into(), region: "eu".into() };
    RelayRules { policy, pools: vec![pool] }
}

#[tokio::test]
async fn a_relayed_pair_is_confirmed_by_the_relay_that_carries_it() {
    let mut world = PeerWorld::new().await;
    world.routes.apply(Route { relays: rules(RelayPolicy::Fallback), ..peers() });
    world.relays.replace(directory(world.relay_addr, &[("eu-turn", "eu-0", "b1", "eu"), ("other", "x-0", "b1", "eu")]));
    let (mut ann, mut bob) = call(&mut world).await;
    let by = |pod: &str| json!({"localRelay": pod, "relayProtocol": "tls"});
    ann.say(view("relay", "host", by("eu-0"))).await;
    bob.say(view("host", "relay", json!({}))).await;
    let both = |state| move |report: &FlowReport| report.legs.iter().filter(|leg| leg.state == state).count() == 2;
    let seen = world.flow_when(PODS[0], both(LegState::Connected)).await;
    assert_eq!((seen.flow, seen.basis), (FlowName::PeerToPeer, Basis::Planned));
    assert!(seen.legs.iter().all(|leg| leg.basis == LegBasis::Claimed), "the relay knows nothing of it");
    world.relay.peers.lock().unwrap().push(relay_session(&ann.id, 7));
    let seen = world.flow(PODS[1]).await;
    assert_eq!((seen.flow, seen.basis), (FlowName::PeerToPeerRelayed, Basis::Observed));
    assert_eq!(seen.counts, LegCounts { relayed: 2, ..LegCounts::default() });
    assert!(seen.legs.iter().all(|leg| leg.basis == LegBasis::Confirmed), "{:?}", seen.legs);
    let mine = seen.legs.iter().find(|leg| leg.participant == ann.id).unwrap().relay.clone().unwrap();
    assert_eq!((mine.pod.as_str(), mine.transport, mine.sent_bytes), ("eu-0", Some(RelayTransport::Tls), 3_000));
    let theirs = seen.legs.iter().find(|leg| leg.participant == bob.id).unwrap();
    assert_eq!(theirs.relay, None);
}

#[tokio::test]
async fn an_empty_room_that_always_relays_is_planned_to_be_relayed() {
    let mut world = PeerWorld::new().await;
    world.routes.apply(Route { relays: rules(RelayPolicy::Always), ..peers() });
    let report = world.flow(PODS[0]).await;
    assert_eq!((report.flow, report.basis), (FlowName::PeerToPeerRelayed, Basis::Planned));
}

#[tokio::test]
async fn credentials_of_a_peer_to_peer_room_reach_peers_and_name_who_asked() {
    let mut world = PeerWorld::new().await;
    world.routes.apply(Route { relays: rules(RelayPolicy::Always), ..peers() });
    world.relays.replace(directory(world.relay_addr, &[("eu-turn", "eu-0", "b1", "eu")]));
    for (wish, start, scope) in [
        (json!({"participant": "PA_7"}), "PA_7.", Scope::Peers),
        (json!({}), "T_", Scope::Peers),
        (json!({"mode": "PeerToPeer"}), "T_", Scope::Peers),
        // The media server has taken them in, and this gateway has not heard of it yet.
        (json!({"mode": "MediaServer"}), "T_", Scope::Media),
    ] {
        let servers: IceServers = world.ice_servers(PODS[0], wish).await;
        let username = servers.ice_servers[1].username.clone().unwrap();
        let parsed = Username::parse(&username).unwrap();
        assert_eq!(parsed.scope, Some(scope), "{username}");
        assert!(parsed.session.starts_with(start), "{username}");
    }
    world.routes.apply(world.upgraded_with(rules(RelayPolicy::Always)));
    for wish in [json!({}), json!({"mode": "PeerToPeer"})] {
        let servers = world.ice_servers(PODS[0], wish).await;
        assert!(servers.ice_servers[1].username.as_ref().unwrap().ends_with(":media"));
    }
}

#[tokio::test]
async fn the_leader_hears_of_every_room_that_somebody_is_in_and_nobody_else_does() {
    let mut world = PeerWorld::new().await;
    let (home, other) = world.home();
    let (target, elsewhere) = (world.target(home), world.target(other));
    let (operator, path) = (world.operator(), "/v1/peer-rooms");
    let report: PeerRoomsReport = operator.get(&target, path, DEADLINE).await.unwrap();
    assert_eq!((report.gateway.as_str(), report.rooms.len()), (home, 0));
    let (mut ann, mut bob) = call(&mut world).await;
    ann.say(view("host", "host", json!({}))).await;
    bob.say(view("host", "host", json!({}))).await;
    world.flow_when(other, |report| report.counts.direct == 2).await;
    let report: PeerRoomsReport = operator.get(&target, path, DEADLINE).await.unwrap();
    assert_eq!((report.rooms[0].uid.as_str(), report.rooms[0].participants), ("uid-1", 2));
    assert_eq!(report.rooms[0].legs, LegCounts { direct: 2, ..LegCounts::default() });
    let nothing: PeerRoomsReport = operator.get(&elsewhere, path, DEADLINE).await.unwrap();
    assert!(nothing.rooms.is_empty());
    let gateway = world.caller(plenum_protocol::control::GATEWAY_SAN);
    let refused = gateway.get::<PeerRoomsReport>(&target, path, DEADLINE).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::Forbidden));
}

#[tokio::test]
async fn whip_is_refused_where_people_send_to_each_other() {
    let mut world = PeerWorld::new().await;
    let (status, body) = world.publish(PODS[0]).await;
    assert_eq!(status, 403);
    assert!(body.contains("peer to peer"), "{body}");
}
