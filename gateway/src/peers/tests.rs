//! The registry and the rooms' tasks, without sockets.

use super::*;
use crate::homes::Replicas;
use crate::routes::RelayRules;
use plenum_protocol::ids::{Epoch, ParticipantId, RoomName};
use plenum_protocol::peer::Signal;
use plenum_protocol::room::{ClientMessage, RejoinReason, ServerMessage};
use plenum_signaling::node_side::Letters;
use std::time::Duration;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

struct World {
    routes: Routes,
    homes: Homes,
    peers: Peers,
    closing: Shutdown,
}

fn route(name: &str, standing: Standing) -> Route {
    Route {
        name: RoomName { namespace: "a".into(), name: name.into() },
        uid: format!("uid-{name}").parse().unwrap(),
        epoch: Epoch(0),
        standing,
        relays: RelayRules::default(),
        upgrades: false,
        max_kbps: 2_500,
    }
}

fn world() -> World {
    let (routes, homes, closing) = (Routes::new(), Homes::new(), Shutdown::new());
    routes.apply(route("x", Standing::Peers));
    routes.apply(route("y", Standing::Peers));
    homes.replace(replicas(&["own"]));
    let peers = Peers::new(PeersParts {
        pod: "own".into(),
        routes: routes.clone(),
        homes: homes.clone(),
        counters: Counters::new(),
        max_sockets: 10,
        closing: closing.clone(),
    });
    World { routes, homes, peers, closing }
}

fn replicas(names: &[&str]) -> Replicas {
    names.iter().map(|name| ((*name).to_owned(), "127.0.0.1:7443".parse().unwrap())).collect()
}

fn join(name: &str) -> NodeJoin {
    NodeJoin {
        epoch: HOME_EPOCH,
        identity: name.into(),
        name: name.into(),
        can_publish: true,
        can_subscribe: true,
        instance: Some(format!("instance-of-{name}").parse().unwrap()),
        gateway: "g".into(),
    }
}

/// Somebody in a room.
struct Person {
    entrance: Entrance,
    letters: Letters,
    id: ParticipantId,
}

impl World {
    async fn try_enter(&self, room: &str, name: &str) -> Result<(Entrance, Letters), NotHere> {
        let (mailbox, letters) = Mailbox::new();
        let uid = format!("uid-{room}").parse().unwrap();
        let entrance = timeout(DEADLINE, self.peers.enter(&uid, join(name), mailbox)).await.unwrap()?;
        Ok((entrance, letters))
    }

    async fn enter(&self, room: &str, name: &str) -> Person {
        let (entrance, mut letters) = self.try_enter(room, name).await.unwrap();
        let first = letters.queue.recv().await.map(Arc::unwrap_or_clone);
        let Some(ServerMessage::Joined { participant, .. }) = first else { panic!("{first:?}") };
        Person { entrance, letters, id: participant }
    }

    fn rooms(&self) -> usize {
        self.peers.rooms().len()
    }
}

impl Person {
    async fn next(&mut self) -> ServerMessage {
        Arc::unwrap_or_clone(timeout(DEADLINE, self.letters.queue.recv()).await.unwrap().unwrap())
    }

    async fn last(&mut self) -> ServerMessage {
        timeout(DEADLINE, &mut self.letters.last).await.unwrap().unwrap()
    }

    async fn bye(&self, to: &ParticipantId) {
        assert!(self.entrance.say(ClientMessage::Signal { to: to.clone(), signal: Signal::Bye }).await);
    }
}

#[tokio::test]
async fn who_does_not_read_goes_and_holds_up_nobody() {
    let world = world();
    let (mut ann, mut bob) = (world.enter("x", "ann").await, world.enter("x", "bob").await);
    let (mut cem, dee) = (world.enter("y", "cem").await, world.enter("y", "dee").await);
    assert!(matches!(ann.next().await, ServerMessage::ParticipantJoined { .. }));
    assert!(matches!(cem.next().await, ServerMessage::ParticipantJoined { .. }));
    for _ in 0..300 {
        ann.bye(&bob.id).await;
    }
    assert!(matches!(bob.last().await, ServerMessage::Rejoin { reason: RejoinReason::TooSlow, .. }));
    assert_eq!(ann.next().await, ServerMessage::ParticipantLeft { participant: bob.id.clone() });
    dee.bye(&cem.id).await;
    assert_eq!(cem.next().await, ServerMessage::Signal { from: dee.id.clone(), signal: Signal::Bye });
    // The place is free.
    world.enter("x", "eve").await;
}

#[tokio::test]
async fn a_room_that_nobody_is_in_is_forgotten() {
    let world = world();
    assert_eq!(world.rooms(), 0);
    let ann = world.enter("x", "ann").await;
    assert_eq!(world.rooms(), 1);
    ann.entrance.leave().await;
    let forgotten = async {
        while world.rooms() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, forgotten).await.unwrap();
    // A refused join leaves nothing behind either.
    let (mailbox, _letters) = Mailbox::new();
    let nameless = NodeJoin { instance: None, ..join("ann") };
    let refused = world.peers.enter(&"uid-x".parse().unwrap(), nameless, mailbox).await;
    assert!(matches!(refused, Err(NotHere::Refused(_))));
    timeout(DEADLINE, async {
        while world.rooms() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_the_leader_reads_of_a_crowded_home_fits_into_an_answer() {
    let world = world();
    let counts = LegCounts { relayed: 2, ..LegCounts::default() };
    for number in 0..MOST_SOCKETS {
        let (seen, commands) = (Arc::new(Seen { participants: 2, legs: Vec::new(), counts }), mpsc::channel(1).0);
        let uid = format!("{number:08}-3f1c-4d8a-9b7e-0a1b2c3d4e5f").parse().unwrap();
        world.peers.rooms().insert(uid, Entry { commands, seen: watch::channel(seen).1 });
    }
    let report = world.peers.report();
    let bytes = serde_json::to_vec(&report).unwrap().len();
    assert!(report.rooms.len() == MOST_SOCKETS && bytes < plenum_runtime::client::MAX_RESPONSE, "{bytes} bytes");
}

#[tokio::test]
async fn only_the_home_of_an_open_peer_to_peer_room_takes_anybody() {
    let world = world();
    let refused = async |room: &str| matches!(world.try_enter(room, "ann").await, Err(NotHere::NotHome));
    assert!(refused("unknown").await);
    for standing in [
        Standing::Closed("over".into()),
        Standing::Unbound { why: String::new(), awaits_participant: false, hopeful: true },
    ] {
        world.routes.apply(route("x", standing));
        assert!(refused("x").await);
    }
    world.routes.apply(route("x", Standing::Peers));
    world.homes.replace(replicas(&["another"]));
    assert!(refused("x").await);
    world.homes.replace(Replicas::new());
    assert!(refused("x").await);
    world.homes.replace(replicas(&["own"]));
    world.closing.trigger();
    assert!(refused("x").await);
}

#[tokio::test]
async fn a_call_goes_on_while_its_media_server_is_looked_for_or_no_gateway_is_ready() {
    let world = world();
    let (ann, mut bob) = (world.enter("x", "ann").await, world.enter("x", "bob").await);
    world.homes.replace(Replicas::new());
    let standing = Standing::Unbound { why: String::new(), awaits_participant: false, hopeful: true };
    world.routes.apply(route("x", standing));
    ann.bye(&bob.id).await;
    assert_eq!(bob.next().await, ServerMessage::Signal { from: ann.id.clone(), signal: Signal::Bye });
}

#[tokio::test]
async fn a_call_ends_or_goes_elsewhere_with_its_room() {
    for (change, expected) in [
        ("moved", Some(RejoinReason::HomeMoved)),
        ("stopping", Some(RejoinReason::HomeMoved)),
        ("closed", None),
        ("deleted", None),
    ] {
        let world = world();
        let mut people = [world.enter("x", "ann").await, world.enter("x", "bob").await];
        match change {
            "moved" => world.homes.replace(replicas(&["another"])),
            "stopping" => world.closing.trigger(),
            "closed" => world.routes.apply(route("x", Standing::Closed("over".into()))),
            _ => world.routes.remove(&route("x", Standing::Peers)),
        }
        for person in &mut people {
            match (person.last().await, expected) {
                (ServerMessage::Rejoin { reason, .. }, Some(expected)) => assert_eq!(reason, expected),
                (ServerMessage::Ended { .. }, None) => {}
                other => panic!("{change}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn joins_that_meet_the_end_of_a_room_are_answered() {
    let world = world();
    for _ in 0..200 {
        let ann = world.enter("x", "ann").await;
        let (left, came) = tokio::join!(ann.entrance.leave(), world.try_enter("x", "bob"));
        let () = left;
        match came {
            Ok((entrance, _letters)) => entrance.leave().await,
            // The gateway that asked tries again.
            Err(NotHere::NotHome) => {}
            Err(other) => panic!("{other}"),
        }
        while world.rooms() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
