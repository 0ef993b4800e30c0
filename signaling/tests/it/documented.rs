//! The messages of the room socket are typed in `protocol`, told in `docs/room-socket.md`, and listed by the page: all three say
//! the same.

use plenum_protocol::flow::{CandidateType, ClientView};
use plenum_protocol::peer::{IceCandidate, SdpType, Signal};
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, Publication, RejoinReason, RoomMode, RosterEntry, ServerMessage};
use plenum_signaling::{ClientFrame, parse_client_frame};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const DOCUMENT: &str = include_str!("../../../docs/room-socket.md");
const PAGE: &str = include_str!("../../../web/messages.js");

type Fields = BTreeMap<String, Vec<String>>;

/// Messages of the room with every field that there is. A new type must be added here: the match has no other arm.
fn from_room() -> Vec<ServerMessage> {
    let entry = RosterEntry {
        id: "PA_1".parse().unwrap(),
        identity: "ann".into(),
        name: "Ann".into(),
        instance: Some("instance-of-ann".parse().unwrap()),
        publications: Vec::new(),
    };
    let (participant, publication) = (entry.id.clone(), "PU_1".parse().unwrap());
    let mut all = vec![
        ServerMessage::Joined {
            participant: participant.clone(),
            participant_key: "PK_1".parse().unwrap(),
            roster: vec![entry.clone()],
            mode: RoomMode::PeerToPeer,
            max_bitrate_kbps: Some(2_500),
        },
        ServerMessage::ParticipantJoined { participant: entry },
        ServerMessage::ParticipantLeft { participant: participant.clone() },
        ServerMessage::Published {
            participant: participant.clone(),
            publication: Publication { id: "PU_1".parse().unwrap(), audio: true, video: true },
        },
        ServerMessage::Unpublished { participant: participant.clone(), publication },
        ServerMessage::RelayLost { pod: "turn-0".into() },
        ServerMessage::Rejoin { reason: RejoinReason::HomeMoved, within_millis: 1 },
        ServerMessage::Ended { detail: "over".into() },
        ServerMessage::Error { code: Code::Full, detail: "full".into() },
    ];
    all.extend(signals().into_iter().map(|signal| ServerMessage::Signal { from: participant.clone(), signal }));
    for message in &all {
        match message {
            ServerMessage::Joined { .. }
            | ServerMessage::ParticipantJoined { .. }
            | ServerMessage::ParticipantLeft { .. }
            | ServerMessage::Published { .. }
            | ServerMessage::Unpublished { .. }
            | ServerMessage::Signal { .. }
            | ServerMessage::RelayLost { .. }
            | ServerMessage::Rejoin { .. }
            | ServerMessage::Ended { .. }
            | ServerMessage::Error { .. } => {}
        }
    }
    all
}

/// Messages to the room with every field that there is.
fn to_room() -> Vec<ClientMessage> {
    let view = ClientView {
        local_type: Some(CandidateType::Host),
        frames: Some(1),
        ..ClientView::of("SE_1".parse().unwrap())
    };
    let mut all = vec![
        ClientMessage::Join {
            token: "t".into(),
            name: Some("Ann".into()),
            instance: Some("instance-of-ann".parse().unwrap()),
        },
        ClientMessage::View { legs: vec![view] },
        ClientMessage::Leave,
    ];
    all.extend(signals().into_iter().map(|signal| ClientMessage::Signal { to: "PA_1".parse().unwrap(), signal }));
    for message in &all {
        match message {
            ClientMessage::Join { .. }
            | ClientMessage::View { .. }
            | ClientMessage::Signal { .. }
            | ClientMessage::Leave => {}
        }
    }
    all
}

fn signals() -> Vec<Signal> {
    let candidate = IceCandidate {
        candidate: "candidate:1".into(),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
        username_fragment: Some("u".into()),
    };
    let all = vec![
        Signal::Description { sdp_type: SdpType::Offer, sdp: "v=0".into() },
        Signal::Candidate { candidate: Some(candidate) },
        Signal::Bye,
    ];
    for signal in &all {
        match signal {
            Signal::Description { .. } | Signal::Candidate { .. } | Signal::Bye => {}
        }
    }
    all
}

/// A table of `web/messages.js`, without the marks of what may be missing.
fn table(name: &str) -> Fields {
    let (_, rest) = PAGE.split_once(&format!("const {name} = ")).unwrap();
    let (text, _) = rest.split_once(";\n").unwrap();
    let marked: Fields = serde_json::from_str(text).unwrap();
    let plain = |fields: Vec<String>| fields.into_iter().map(|field| field.replace('?', "")).collect();
    marked.into_iter().map(|(kind, fields)| (kind, plain(fields))).collect()
}

/// Fields of messages by `type`; of signals, those that all kinds have.
fn fields_of(messages: Vec<Value>, frames: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<_, _> = frames.iter().map(|name| ((*name).to_owned(), BTreeSet::new())).collect();
    for message in messages {
        let message = message.as_object().unwrap();
        let kind = message["type"].as_str().unwrap().to_owned();
        let shared = |field: &&String| kind != "signal" || ["from", "to", "kind"].contains(&field.as_str());
        let names = message.keys().filter(|field| *field != "type").filter(shared).cloned().collect();
        found.insert(kind, names);
    }
    found
}

fn sets(table: Fields) -> BTreeMap<String, BTreeSet<String>> {
    table.into_iter().map(|(kind, fields)| (kind, fields.into_iter().collect())).collect()
}

fn values<T: serde::Serialize>(messages: Vec<T>) -> Vec<Value> {
    messages.into_iter().map(|message| serde_json::to_value(message).unwrap()).collect()
}

#[test]
fn the_page_knows_every_message_and_every_field() {
    assert_eq!(sets(table("TO_ROOM")), fields_of(values(to_room()), &["ping"]));
    assert_eq!(sets(table("FROM_ROOM")), fields_of(values(from_room()), &["pong"]));
    let of_kind = |signal: Value| {
        let mut fields: Map<_, _> = signal.as_object().unwrap().clone();
        let kind = fields.remove("kind").unwrap().as_str().unwrap().to_owned();
        (kind, fields.keys().cloned().collect())
    };
    assert_eq!(sets(table("SIGNALS")), values(signals()).into_iter().map(of_kind).collect());
}

/// Every line of the document that is a message.
fn examples() -> Vec<Value> {
    let blocks = DOCUMENT.split("```json\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    let lines = blocks.flat_map(|(block, _)| block.lines()).filter(|line| line.starts_with(r#"{"type": "#));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn is_from_client(message: &Value) -> bool {
    let kind = message["type"].as_str().unwrap();
    message.get("to").is_some() || (kind != "signal" && table("TO_ROOM").contains_key(kind))
}

/// Whether `typed` says all that `example` does.
fn keeps(example: &Value, typed: &Value) -> bool {
    match (example, typed) {
        (Value::Object(example), Value::Object(typed)) => {
            example.iter().all(|(name, value)| typed.get(name).is_some_and(|typed| keeps(value, typed)))
        }
        (Value::Array(example), Value::Array(typed)) => {
            example.len() == typed.len() && example.iter().zip(typed).all(|(example, typed)| keeps(example, typed))
        }
        (example, typed) => example == typed,
    }
}

#[test]
fn every_example_is_read_as_it_stands() {
    for example in examples() {
        let text = example.to_string();
        let typed = match is_from_client(&example) {
            true => match parse_client_frame(&text).unwrap() {
                ClientFrame::Ping => json!({"type": "ping"}),
                ClientFrame::Room(message) => serde_json::to_value(message).unwrap(),
            },
            false if example["type"] == "pong" => json!({"type": "pong"}),
            false => serde_json::to_value(serde_json::from_str::<ServerMessage>(&text).unwrap()).unwrap(),
        };
        assert!(keeps(&example, &typed), "{example} is read as {typed}");
    }
}

#[test]
fn every_message_has_an_example() {
    let (to, from): (Vec<_>, Vec<_>) = examples().into_iter().partition(is_from_client);
    let kinds = |messages: Vec<Value>| -> BTreeSet<String> {
        messages.iter().map(|message| message["type"].as_str().unwrap().to_owned()).collect()
    };
    let signals: BTreeSet<_> =
        to.iter().chain(&from).filter_map(|message| Some(message.get("kind")?.as_str()?.to_owned())).collect();
    assert_eq!(kinds(to), table("TO_ROOM").into_keys().collect());
    assert_eq!(kinds(from), table("FROM_ROOM").into_keys().collect());
    assert_eq!(signals, table("SIGNALS").into_keys().collect());
}

#[test]
fn every_reason_to_rejoin_is_told() {
    let reasons = [
        RejoinReason::Rebound,
        RejoinReason::MediaNodeLost,
        RejoinReason::GatewayShutdown,
        RejoinReason::HomeMoved,
        RejoinReason::Upgraded,
        RejoinReason::RelayRequired,
        RejoinReason::TooSlow,
    ];
    for reason in reasons {
        match reason {
            RejoinReason::Rebound
            | RejoinReason::MediaNodeLost
            | RejoinReason::GatewayShutdown
            | RejoinReason::HomeMoved
            | RejoinReason::Upgraded
            | RejoinReason::RelayRequired
            | RejoinReason::TooSlow => {}
        }
        assert!(DOCUMENT.contains(&format!("| `{reason:?}` |")), "{reason:?}");
    }
}
