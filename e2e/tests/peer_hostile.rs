//! A hostile peer floods, sends too much, or sends what is not its own to send: it is cut off, and nobody else notices.

use anyhow::{Context, Result, ensure};
use plenum_e2e::call::READY;
use plenum_e2e::peers::peer_room;
use plenum_e2e::room_socket::RoomSocket;
use plenum_e2e::scene::Scene;
use plenum_e2e::wait::{Look, until};
use plenum_protocol::ids::ParticipantId;
use plenum_protocol::peer::{IceCandidate, Instance, Signal};
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, ServerMessage};
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);
/// More than any burst that is let through.
const FLOOD: usize = 2_000;

/// Two in a room, by sockets alone.
struct Pair {
    one: RoomSocket,
    other: RoomSocket,
    ids: [ParticipantId; 2],
}

async fn enter(scene: &Scene<'_>, room: &str, who: &str, door: usize) -> Result<(RoomSocket, ServerMessage)> {
    let instance: Instance = format!("{room}-{who}-instance").parse().context("making an instance")?;
    let token = scene.token(room, who).await?;
    RoomSocket::join_as(&scene.suite.door(door)?, &scene.namespace, room, &token, Some(instance)).await
}

fn id_of(answer: &ServerMessage) -> Result<ParticipantId> {
    match answer {
        ServerMessage::Joined { participant, .. } => Ok(participant.clone()),
        other => anyhow::bail!("the answer to join is {other:?}"),
    }
}

/// By two gateways.
async fn pair(scene: &Scene<'_>, room: &str) -> Result<Pair> {
    let kube = &scene.suite.kube;
    kube.apply_room(&scene.namespace, room, peer_room(scene, "Never")).await?;
    kube.ready_room(&scene.namespace, room, READY).await?;
    let (mut one, answer) = enter(scene, room, "ann", 0).await?;
    let ann = id_of(&answer)?;
    let (other, answer) = enter(scene, room, "bob", 1).await?;
    let bob = id_of(&answer)?;
    one.expect("bob", SOON, |message| matches!(message, ServerMessage::ParticipantJoined { .. })).await?;
    Ok(Pair { one, other, ids: [ann, bob] })
}

fn candidate(number: usize) -> Signal {
    Signal::Candidate {
        candidate: Some(IceCandidate {
            candidate: format!("candidate:{number} 1 udp 1 192.0.2.1 9 typ host"),
            sdp_mid: Some("0".to_owned()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        }),
    }
}

/// What one says the other hears, as from the one.
async fn speak(pair: &mut Pair, number: usize) -> Result<()> {
    let [ann, bob] = pair.ids.clone();
    let said = candidate(number);
    pair.one.send(&ClientMessage::Signal { to: bob, signal: said.clone() }).await?;
    let heard = |message: &ServerMessage| matches!(message, ServerMessage::Signal { from, signal } if *from == ann && *signal == said);
    pair.other.expect("a signal", SOON, heard).await.map(drop)
}

pub(crate) async fn a_hostile_peer_is_cut_off_and_harms_nobody(scene: &Scene<'_>) -> Result<()> {
    scene.suite.find_doors(1).await?;
    let (mut hostile, mut calm) = (pair(scene, "hostile").await?, pair(scene, "calm").await?);
    speak(&mut hostile, 1).await?;
    speak(&mut calm, 1).await?;
    oversized(&mut hostile).await?;
    foreign(&mut hostile, &mut calm).await?;
    speak(&mut calm, 2).await?;
    flood(scene, hostile, &mut calm).await?;
    speak(&mut calm, 3).await
}

/// What is larger than anything that browsers make is refused and not passed on.
async fn oversized(pair: &mut Pair) -> Result<()> {
    let [_, bob] = pair.ids.clone();
    let long = "c".repeat(2_000);
    for message in [
        json!({"type": "signal", "to": bob, "kind": "candidate", "candidate": {"candidate": long}}),
        json!({"type": "signal", "to": bob, "kind": "description", "sdpType": "offer", "sdp": "v".repeat(62_000)}),
        json!({"type": "signal", "to": bob, "kind": "description", "sdpType": "rollback", "sdp": ""}),
        json!({"type": "signal", "to": bob, "kind": "something"}),
        json!({"type": "signal", "to": "a/b", "kind": "bye"}),
    ] {
        pair.one.send_text(message.to_string()).await?;
        let refused = |message: &ServerMessage| matches!(message, ServerMessage::Error { code: Code::BadRequest, .. });
        pair.one.expect("a refusal", SOON, refused).await.with_context(|| message.to_string())?;
    }
    // In order, and none of those before it.
    speak_next(pair, 7).await
}

/// As [`speak`], but nothing else may come first.
async fn speak_next(pair: &mut Pair, number: usize) -> Result<()> {
    let [ann, bob] = pair.ids.clone();
    let said = candidate(number);
    pair.one.send(&ClientMessage::Signal { to: bob, signal: said.clone() }).await?;
    let heard = pair.other.next().await?;
    ensure!(heard == ServerMessage::Signal { from: ann, signal: said }, "heard {heard:?}");
    Ok(())
}

/// Somebody of another room is out of reach, and so is whoever is not there, and oneself.
async fn foreign(pair: &mut Pair, calm: &mut Pair) -> Result<()> {
    let [ann, _] = pair.ids.clone();
    let nobody: ParticipantId = "PA_nobody".parse().context("making an id")?;
    for to in [calm.ids[0].clone(), calm.ids[1].clone(), nobody, ann] {
        pair.one.send(&ClientMessage::Signal { to, signal: candidate(8) }).await?;
    }
    speak_next(pair, 9).await?;
    speak_next(calm, 10).await
}

/// The flood ends the flooder's socket and no other; the room is free again.
async fn flood(scene: &Scene<'_>, mut pair: Pair, calm: &mut Pair) -> Result<()> {
    let [ann, bob] = pair.ids.clone();
    for number in 0..FLOOD {
        if pair.one.send(&ClientMessage::Signal { to: bob.clone(), signal: candidate(number) }).await.is_err() {
            break;
        }
        if number % 100 == 0 {
            speak(calm, number).await.context("another room suffers")?;
        }
    }
    let limited = |message: &ServerMessage| matches!(message, ServerMessage::Error { code: Code::RateLimited, .. });
    // The socket may have been cut before the word of it was read.
    if let Err(error) = pair.one.expect("a word of the limit", SOON, limited).await {
        eprintln!("the flooder heard: {error:#}");
    }
    let gone = |message: &ServerMessage| matches!(message, ServerMessage::ParticipantLeft { participant } if *participant == ann);
    pair.other.expect("the flooder's end", SOON, gone).await?;
    let mut again = until("somebody else takes the place", SOON, async || {
        let (socket, answer) = enter(scene, "hostile", "cleo", 0).await?;
        Ok(match answer {
            ServerMessage::Joined { .. } => Look::Done(socket),
            other => Look::NotYet(format!("{other:?}")),
        })
    })
    .await?;
    again.send(&ClientMessage::Signal { to: bob, signal: candidate(11) }).await?;
    pair.other.expect("a signal", SOON, |message| matches!(message, ServerMessage::Signal { .. })).await.map(drop)
}
