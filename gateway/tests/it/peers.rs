//! Peer-to-peer rooms over two gateways: whoever arrives where, the home passes on what they say.

use crate::peer_world::{PODS, PeerWorld, Person, peers};
use crate::world::{DEADLINE, closed, next, route};
use futures_util::SinkExt as _;
use plenum_gateway::{Route, Standing};
use plenum_protocol::control::{GATEWAY_SAN, NodeJoin};
use plenum_protocol::ids::{Epoch, ParticipantId, RoomName};
use plenum_protocol::peer::{SdpType, Signal};
use plenum_protocol::problem::Code;
use plenum_protocol::room::{RejoinReason, RoomMode, ServerMessage};
use plenum_runtime::client::{Message, NodeSocket};
use serde_json::json;
use tokio::time::timeout;

const ANN: &str = "ann-00000001";
const BOB: &str = "bob-00000002";

fn offer(from: &ParticipantId, sdp: &str) -> Option<ServerMessage> {
    let signal = Signal::Description { sdp_type: SdpType::Offer, sdp: sdp.to_owned() };
    Some(ServerMessage::Signal { from: from.clone(), signal })
}

/// Ann at one gateway and Bob at the other, who have met.
async fn meet(world: &mut PeerWorld, at: [&str; 2]) -> (Person, Person) {
    let mut ann = world.enter(at[0], "Ann", ANN).await;
    let bob = world.enter(at[1], "Bob", BOB).await;
    assert_eq!((ann.meets().await.id, bob.roster[0].id.clone()), (bob.id.clone(), ann.id.clone()));
    (ann, bob)
}

/// Each hears what the other says.
async fn talk(ann: &mut Person, bob: &mut Person) {
    let (to_ann, to_bob) = (ann.id.clone(), bob.id.clone());
    ann.offers(&to_bob, "from ann").await;
    assert_eq!(bob.next().await, offer(&to_ann, "from ann"));
    bob.offers(&to_ann, "from bob").await;
    assert_eq!(ann.next().await, offer(&to_bob, "from bob"));
}

#[tokio::test]
async fn two_people_talk_whichever_gateway_each_arrived_at() {
    let mut world = PeerWorld::new().await;
    for at in [[PODS[0], PODS[1]], [PODS[1], PODS[0]], [PODS[0], PODS[0]], [PODS[1], PODS[1]]] {
        let (mut ann, mut bob) = meet(&mut world, at).await;
        assert_eq!(bob.roster[0].instance.as_ref().map(|own| own.as_str()), Some(ANN));
        talk(&mut ann, &mut bob).await;
        ann.say(json!({"type": "leave"})).await;
        assert_eq!(bob.next().await, Some(ServerMessage::ParticipantLeft { participant: ann.id.clone() }));
        bob.say(json!({"type": "leave"})).await;
        assert_eq!((ann.next().await, bob.next().await), (None, None));
    }
}

#[tokio::test]
async fn candidates_and_the_end_of_a_connection_pass_as_they_are() {
    let mut world = PeerWorld::new().await;
    let (mut ann, mut bob) = meet(&mut world, PODS).await;
    let candidate = json!({"candidate": "candidate:1 1 udp 1 192.0.2.1 5 typ host", "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "x"});
    for part in [
        json!({"kind": "candidate", "candidate": candidate}),
        json!({"kind": "candidate", "candidate": null}),
        json!({"kind": "bye"}),
    ] {
        let mut said = part.clone();
        said["type"] = json!("signal");
        said["to"] = json!(bob.id);
        ann.say(said).await;
        let mut heard = part;
        heard["type"] = json!("signal");
        heard["from"] = json!(ann.id);
        assert_eq!(serde_json::to_value(bob.next().await.unwrap()).unwrap(), heard);
    }
}

#[tokio::test]
async fn when_its_home_goes_the_room_meets_again_at_the_other() {
    let mut world = PeerWorld::new().await;
    let (mut ann, mut bob) = meet(&mut world, PODS).await;
    let (home, other) = world.home();
    world.ready(&[other]);
    assert_eq!((ann.rejoins().await, bob.rejoins().await), (RejoinReason::HomeMoved, RejoinReason::HomeMoved));
    assert_ne!(world.home().0, home);
    let (mut ann, mut bob) = meet(&mut world, PODS).await;
    talk(&mut ann, &mut bob).await;
}

#[tokio::test]
async fn a_killed_home_is_replaced_as_soon_as_it_is_not_ready() {
    let mut world = PeerWorld::new().await;
    let (home, other) = world.home();
    let (mut ann, mut bob) = meet(&mut world, [other, other]).await;
    world.replica(home).kill();
    assert_eq!((ann.rejoins().await, bob.rejoins().await), (RejoinReason::MediaNodeLost, RejoinReason::MediaNodeLost));
    // They come back at once, and wait: by the watch the dead one is still the home.
    let (first, second) = (world.knock(other, "Ann", ANN).await, world.knock(other, "Bob", BOB).await);
    world.ready(&[other]);
    let (mut ann, mut bob) = tokio::join!(Person::joined(first), Person::joined(second));
    // Who of the two came first is open.
    if ann.roster.is_empty() {
        ann.meets().await
    } else {
        bob.meets().await
    };
    talk(&mut ann, &mut bob).await;
}

#[tokio::test]
async fn who_arrived_at_a_killed_gateway_takes_the_place_of_their_ghost() {
    let mut world = PeerWorld::new().await;
    let (home, other) = world.home();
    let (ann, mut bob) = meet(&mut world, [other, home]).await;
    // Ann's socket hangs: nobody has seen its end when her page comes back by the other gateway.
    let mut again = world.enter(home, "Ann", ANN).await;
    assert_eq!(again.roster[0].id, bob.id);
    assert_eq!(bob.next().await, Some(ServerMessage::ParticipantLeft { participant: ann.id.clone() }));
    let back = bob.meets().await;
    assert_eq!((back.id.clone(), back.instance.as_ref().map(|own| own.as_str())), (again.id.clone(), Some(ANN)));
    let mut ghost = ann;
    assert!(matches!(ghost.next().await, Some(ServerMessage::Ended { .. })));
    talk(&mut again, &mut bob).await;
}

#[tokio::test]
async fn a_gateway_that_stops_sends_its_rooms_away_and_takes_no_more() {
    let mut world = PeerWorld::new().await;
    let (home, other) = world.home();
    let (mut ann, mut bob) = meet(&mut world, [other, other]).await;
    world.replica(home).closing.trigger();
    assert_eq!((ann.rejoins().await, bob.rejoins().await), (RejoinReason::HomeMoved, RejoinReason::HomeMoved));
    let early = world.knock(other, "Ann", ANN).await;
    world.ready(&[other]);
    Person::joined(early).await;
}

#[tokio::test]
async fn the_third_person_is_told_what_to_do() {
    let mut world = PeerWorld::new().await;
    let (mut ann, mut bob) = meet(&mut world, PODS).await;
    let mut third = world.knock(PODS[1], "Cem", "cem-00000003").await;
    let Some(ServerMessage::Error { code: Code::Full, detail }) = next(&mut third).await else { panic!("refused") };
    assert!(detail.contains("kubectl --namespace team-a patch room demo"), "{detail}");
    assert_eq!(next(&mut third).await, None);
    let mut nameless = world.knock(PODS[0], "Ann", "short").await;
    assert!(matches!(next(&mut nameless).await, Some(ServerMessage::Error { code: Code::BadRequest, .. })));
    talk(&mut ann, &mut bob).await;
}

#[tokio::test]
async fn the_third_person_brings_a_media_server_where_the_room_allows_it() {
    let mut world = PeerWorld::new().await;
    world.routes.apply(Route { upgrades: true, ..peers() });
    let (mut ann, mut bob) = meet(&mut world, PODS).await;
    let mut third = world.knock(PODS[0], "Cem", "cem-00000003").await;
    let asked = timeout(DEADLINE, world.binds.recv()).await.unwrap().unwrap();
    assert_eq!((asked.room.name.as_str(), asked.uid.as_str(), asked.region.as_deref()), ("demo", "uid-1", Some("eu")));
    // While there is no media pod, the two go on talking.
    let unbound = Standing::Unbound { why: "no pod yet".into(), awaits_participant: false, hopeful: true };
    world.routes.apply(Route { upgrades: true, ..route(0, unbound) });
    talk(&mut ann, &mut bob).await;
    world.node.grant(&"uid-1".parse().unwrap(), Epoch(1));
    world.routes.apply(world.upgraded());
    assert_eq!((ann.rejoins().await, bob.rejoins().await), (RejoinReason::Upgraded, RejoinReason::Upgraded));
    let end = timeout(DEADLINE, world.ends.recv()).await.unwrap().unwrap();
    assert_eq!((end.join.epoch, end.join.identity.as_str()), (Epoch(1), "cem"));
    let joined = next(&mut third).await;
    assert!(matches!(joined, Some(ServerMessage::Joined { mode: RoomMode::MediaServer, .. })), "{joined:?}");
}

#[tokio::test]
async fn a_closed_or_deleted_room_ends_for_both() {
    let mut world = PeerWorld::new().await;
    for end in [true, false] {
        world.routes.apply(peers());
        let (mut ann, mut bob) = meet(&mut world, PODS).await;
        if end {
            let over = Standing::Closed("the room is over: lifecycle.maxDurationSeconds have passed".into());
            world.routes.apply(route(0, over));
        } else {
            world.routes.remove(&peers());
        }
        for person in [&mut ann, &mut bob] {
            let Some(ServerMessage::Ended { detail }) = person.next().await else { panic!("ended") };
            assert!(detail.contains(if end { "maxDurationSeconds" } else { "deleted" }), "{detail}");
        }
    }
    world.routes.apply(route(0, closed()));
    let mut late = world.knock(PODS[0], "Ann", ANN).await;
    assert!(matches!(next(&mut late).await, Some(ServerMessage::Ended { .. })));
}

#[tokio::test]
async fn who_floods_is_cut_off_and_nobody_else() {
    let mut world = PeerWorld::new().await;
    let name = RoomName { namespace: "team-a".into(), name: "quiet".into() };
    world.routes.apply(Route { name, uid: "uid-2".parse().unwrap(), ..peers() });
    let (mut ann, mut bob) = meet(&mut world, PODS).await;
    let mut cem = Person::joined(world.knock_at(PODS[0], "quiet", "Cem", "cem-00000003").await).await;
    let mut dee = Person::joined(world.knock_at(PODS[1], "quiet", "Dee", "dee-00000004").await).await;
    cem.meets().await;
    let flood = json!({"type": "signal", "to": bob.id, "kind": "bye"}).to_string();
    for number in 0..400 {
        // Fails once the gateway has closed.
        if ann.client.send(tokio_tungstenite::tungstenite::Message::text(flood.clone())).await.is_err() {
            break;
        }
        if number % 40 == 0 {
            talk(&mut cem, &mut dee).await;
        }
    }
    assert!(matches!(ann.next().await, Some(ServerMessage::Error { code: Code::RateLimited, .. })));
    let mut signals = 0;
    loop {
        match bob.next().await {
            Some(ServerMessage::Signal { signal: Signal::Bye, .. }) => signals += 1,
            Some(ServerMessage::ParticipantLeft { participant }) => {
                assert_eq!(participant, ann.id);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((1..400).contains(&signals), "{signals}");
    let mut ann = world.enter(PODS[0], "Ann", ANN).await;
    bob.meets().await;
    talk(&mut ann, &mut bob).await;
}

#[tokio::test]
async fn oversized_and_foreign_messages_are_refused_and_change_nothing() {
    let mut world = PeerWorld::new().await;
    let (mut ann, mut bob) = meet(&mut world, PODS).await;
    let long =
        json!({"type": "signal", "to": bob.id, "kind": "candidate", "candidate": {"candidate": "c".repeat(2_000)}});
    let unknown = json!({"type": "signal", "to": bob.id, "kind": "dance"});
    for bad in [long, unknown, json!({"type": "signal", "to": "a:b", "kind": "bye"}), json!({"type": "published"})] {
        ann.say(bad).await;
        assert!(matches!(ann.next().await, Some(ServerMessage::Error { code: Code::BadRequest, .. })));
    }
    // To nobody, and to oneself.
    ann.say(json!({"type": "signal", "to": "PA_nobody", "kind": "bye"})).await;
    ann.say(json!({"type": "signal", "to": ann.id, "kind": "bye"})).await;
    talk(&mut ann, &mut bob).await;
}

async fn hear(socket: &mut NodeSocket) -> Option<ServerMessage> {
    use futures_util::StreamExt as _;
    loop {
        match timeout(DEADLINE, socket.next()).await.unwrap()?.ok()? {
            Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

fn node_join(instance: Option<&str>) -> NodeJoin {
    NodeJoin {
        epoch: Epoch(0),
        identity: "ann".into(),
        name: "Ann".into(),
        can_publish: true,
        can_subscribe: true,
        instance: instance.map(|instance| instance.parse().unwrap()),
        gateway: "gateway-x".into(),
    }
}

#[tokio::test]
async fn a_gateway_that_is_not_the_home_refuses_and_only_gateways_may_come() {
    let mut world = PeerWorld::new().await;
    let (home, other) = world.home();
    let gateway = world.caller(GATEWAY_SAN);
    let path = "/v1/rooms/uid-1/socket";
    let (at_home, elsewhere) = (world.target(home), world.target(other));
    for (target, instance, code) in [(&elsewhere, Some(ANN), Code::NotGranted), (&at_home, None, Code::BadRequest)] {
        let mut socket = gateway.websocket(target, path, DEADLINE).await.unwrap();
        let join = serde_json::to_string(&node_join(instance)).unwrap();
        socket.send(Message::text(join)).await.unwrap();
        let answer = hear(&mut socket).await;
        assert!(matches!(&answer, Some(ServerMessage::Error { code: found, .. }) if *found == code), "{answer:?}");
    }
    let mut unknown = gateway.websocket(&at_home, "/v1/rooms/uid-9/socket", DEADLINE).await.unwrap();
    unknown.send(Message::text(serde_json::to_string(&node_join(Some(ANN))).unwrap())).await.unwrap();
    assert!(matches!(hear(&mut unknown).await, Some(ServerMessage::Error { code: Code::NotGranted, .. })));
    let operator = world.operator();
    assert!(operator.websocket(&at_home, path, DEADLINE).await.is_err(), "the operator has no business in rooms");
}

#[tokio::test]
async fn the_home_bounds_what_another_gateway_lets_pass() {
    let mut world = PeerWorld::new().await;
    let (home, _) = world.home();
    let mut bob = world.enter(home, "Bob", BOB).await;
    let (gateway, target) = (world.caller(GATEWAY_SAN), world.target(home));
    let mut socket = gateway.websocket(&target, "/v1/rooms/uid-1/socket", DEADLINE).await.unwrap();
    socket.send(Message::text(serde_json::to_string(&node_join(Some(ANN))).unwrap())).await.unwrap();
    assert!(matches!(hear(&mut socket).await, Some(ServerMessage::Joined { .. })));
    let ann = bob.meets().await.id;
    let long =
        json!({"type": "signal", "to": bob.id, "kind": "candidate", "candidate": {"candidate": "c".repeat(2_000)}});
    socket.send(Message::text(long.to_string())).await.unwrap();
    assert!(matches!(hear(&mut socket).await, Some(ServerMessage::Error { code: Code::BadRequest, .. })));
    let view = json!({"type": "view", "legs": []}).to_string();
    for _ in 0..=800 {
        // Fails once the home has closed.
        if socket.send(Message::text(view.clone())).await.is_err() {
            break;
        }
    }
    assert!(matches!(hear(&mut socket).await, Some(ServerMessage::Error { code: Code::RateLimited, .. })));
    assert_eq!(bob.next().await, Some(ServerMessage::ParticipantLeft { participant: ann }));
}

#[tokio::test]
async fn a_home_takes_only_so_many_people() {
    let mut world = PeerWorld::new().await;
    let (home, _) = world.home();
    let (gateway, target) = (world.caller(GATEWAY_SAN), world.target(home));
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(gateway.websocket(&target, "/v1/rooms/uid-1/socket", DEADLINE).await.unwrap());
    }
    let mut late = gateway.websocket(&target, "/v1/rooms/uid-1/socket", DEADLINE).await.unwrap();
    assert!(matches!(hear(&mut late).await, Some(ServerMessage::Error { code: Code::Unavailable, .. })));
    drop(held);
    let mut tries = 0;
    let joined = loop {
        let mut client = world.knock(home, "Ann", ANN).await;
        match next(&mut client).await {
            Some(ServerMessage::Error { code: Code::Unavailable, .. }) if tries < 1_000 => tries += 1,
            other => break other,
        }
    };
    assert!(matches!(joined, Some(ServerMessage::Joined { .. })), "{joined:?}");
}
