use super::*;
use crate::flow::{Basis, FlowName, LegCounts};
use crate::flow::{LegBytes, LegEnd, LegState, count_legs, peer_to_peer_flow};
use crate::room::{ClientMessage, ServerMessage};
use proptest::prelude::*;

fn instance(text: &str) -> Instance {
    text.parse().unwrap()
}

#[test]
fn an_instance_has_a_form() {
    for bad in ["", "short", "has space", "has.a.dot", "ünicode-1", &"x".repeat(65)] {
        assert_eq!(bad.parse::<Instance>(), Err(InvalidInstance), "{bad}");
    }
    assert!(serde_json::from_str::<Instance>("\"AbC_-019\"").is_ok());
}

#[test]
fn a_pair_has_one_name_from_both_sides() {
    let (ann, bob) = (instance("ann-00000001"), instance("bob-00000002"));
    assert_eq!(pair_id(&ann, &bob), pair_id(&bob, &ann));
    // As a page computes it: SHA-256 of "ann-00000001.bob-00000002".
    assert_eq!(pair_id(&ann, &bob).as_str(), "P_bd8c5299b02ff9afe5d711d13b469dfa");
    assert_ne!(pair_id(&ann, &bob), pair_id(&ann, &instance("bob-00000003")));
}

#[test]
fn one_of_two_is_polite() {
    let (ann, bob) = (instance("ann-00000001"), instance("bob-00000002"));
    assert!(is_polite(&bob, &ann) && !is_polite(&ann, &bob));
}

#[test]
fn signals_have_one_form_on_the_wire() {
    let offer = r#"{"type":"signal","to":"PA_1","kind":"description","sdpType":"offer","sdp":"v=0\r\n"}"#;
    let ClientMessage::Signal { to, signal } = serde_json::from_str(offer).unwrap() else { panic!("a signal") };
    assert_eq!(signal, Signal::Description { sdp_type: SdpType::Offer, sdp: "v=0\r\n".into() });
    assert_eq!(serde_json::to_string(&ClientMessage::Signal { to, signal: signal.clone() }).unwrap(), offer);
    let from = ServerMessage::Signal { from: "PA_2".parse().unwrap(), signal };
    let text = r#"{"type":"signal","from":"PA_2","kind":"description","sdpType":"offer","sdp":"v=0\r\n"}"#;
    assert_eq!(serde_json::to_string(&from).unwrap(), text);
    let candidate = r#"{"type":"signal","to":"PA_1","kind":"candidate","candidate":{"candidate":"candidate:1 1 udp 1 192.0.2.1 5 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}}"#;
    let parsed: ClientMessage = serde_json::from_str(candidate).unwrap();
    assert_eq!(serde_json::to_string(&parsed).unwrap(), candidate);
    for (end, signal) in [
        (r#"{"type":"signal","to":"PA_1","kind":"candidate","candidate":null}"#, Signal::Candidate { candidate: None }),
        (r#"{"type":"signal","to":"PA_1","kind":"candidate"}"#, Signal::Candidate { candidate: None }),
        (r#"{"type":"signal","to":"PA_1","kind":"bye"}"#, Signal::Bye),
    ] {
        let to = "PA_1".parse().unwrap();
        assert_eq!(serde_json::from_str::<ClientMessage>(end).unwrap(), ClientMessage::Signal { to, signal }, "{end}");
    }
    let rollback = r#"{"type":"signal","to":"PA_1","kind":"description","sdpType":"rollback","sdp":""}"#;
    assert!(serde_json::from_str::<ClientMessage>(rollback).is_err());
}

#[test]
fn every_part_of_a_signal_is_bounded() {
    let candidate = |line: usize, mid: usize, fragment: usize| Signal::Candidate {
        candidate: Some(IceCandidate {
            candidate: "c".repeat(line),
            sdp_mid: Some("m".repeat(mid)),
            sdp_m_line_index: None,
            username_fragment: Some("u".repeat(fragment)),
        }),
    };
    assert_eq!(candidate(MAX_CANDIDATE, MAX_SMALL, MAX_SMALL).check(2_000), Ok(()));
    for bad in [candidate(MAX_CANDIDATE + 1, 0, 0), candidate(0, MAX_SMALL + 1, 0), candidate(0, 0, MAX_SMALL + 1)] {
        assert!(bad.check(2_000).is_err());
    }
    let sdp = |length: usize| Signal::Description { sdp_type: SdpType::Answer, sdp: "v".repeat(length) };
    assert_eq!(sdp(MAX_SIGNAL - 100).check(MAX_SIGNAL), Ok(()));
    assert!(sdp(MAX_SIGNAL).check(MAX_SIGNAL + 1).is_err() && sdp(MAX_SDP + 1).check(0).is_err());
}

#[test]
fn relay_sessions_name_their_participant() {
    let participant: ParticipantId = "PA_1".parse().unwrap();
    let session = relay_session(&participant, 7);
    assert_eq!(session, format!("PA_1.{:032x}", 7));
    assert!(session.starts_with(&relay_session_start(&participant)));
    assert!(!session.starts_with(&relay_session_start(&"PA_".parse().unwrap())));
}

fn view(local: Option<CandidateType>, remote: Option<CandidateType>) -> ClientView {
    ClientView { local_type: local, remote_type: remote, ..ClientView::of("P_1".parse().unwrap()) }
}

fn leg(name: &str, view: Option<ClientView>) -> Leg {
    let end = |kind| LegEnd { candidate_type: kind, address: None, port: None };
    let (local, remote) = view.as_ref().map_or((None, None), |view| (view.local_type, view.remote_type));
    let state = if local.is_some() { LegState::Connected } else { LegState::Connecting };
    Leg {
        session: "P_1".parse().unwrap(),
        participant: name.parse().unwrap(),
        peer: None,
        participant_name: name.into(),
        role: LegRole::Peer,
        publication: "P_1".parse().unwrap(),
        state,
        basis: LegBasis::Claimed,
        gateway: "g".into(),
        client: end(local),
        node: end(remote),
        protocol: "udp".into(),
        rtt_micros: None,
        receive_kbps: 0,
        send_kbps: 0,
        packets: 0,
        bytes: LegBytes::default(),
        relay: None,
        client_view: view,
    }
}

#[test]
fn a_pair_is_confirmed_by_views_that_mirror_each_other_and_by_its_relays() {
    use CandidateType::{Host, Prflx, Relay, Srflx};
    // Ann's local and remote, Bob's local and remote; with which relays it is confirmed: none, Ann's, both.
    let cases = [
        ((Some(Host), Some(Srflx)), (Some(Host), Some(Prflx)), [true, true, true]),
        ((Some(Relay), Some(Host)), (Some(Host), Some(Relay)), [false, true, true]),
        ((Some(Relay), Some(Relay)), (Some(Relay), Some(Relay)), [false, false, true]),
        ((Some(Relay), Some(Host)), (Some(Host), Some(Prflx)), [false, false, false]),
        ((Some(Host), Some(Relay)), (Some(Host), Some(Host)), [false, false, false]),
        ((Some(Host), None), (Some(Host), Some(Host)), [false, false, false]),
        ((None, None), (None, None), [false, false, false]),
    ];
    for (ann, bob, expected) in cases {
        let relays: [&[&str]; 3] = [&[], &["PA_a"], &["PA_a", "PA_b"]];
        for (known, expected) in relays.into_iter().zip(expected) {
            let mut legs = [leg("PA_a", Some(view(ann.0, ann.1))), leg("PA_b", Some(view(bob.0, bob.1)))];
            confirm(&mut legs, |leg| known.contains(&leg.participant.as_str()));
            let basis = if expected { LegBasis::Confirmed } else { LegBasis::Claimed };
            assert_eq!((legs[0].basis, legs[1].basis), (basis, basis), "{ann:?} {bob:?} {known:?}");
        }
    }
}

#[test]
fn one_view_alone_is_a_claim_and_legs_of_a_media_server_are_not_judged() {
    let host = Some(CandidateType::Host);
    let mut legs = [leg("PA_a", Some(view(host, host))), leg("PA_b", None)];
    confirm(&mut legs, |_| true);
    assert_eq!((legs[0].basis, legs[1].basis), (LegBasis::Claimed, LegBasis::Claimed));
    let mut legs = [Leg { role: LegRole::Publisher, basis: LegBasis::Measured, ..leg("PA_a", None) }];
    confirm(&mut legs, |_| true);
    assert_eq!(legs[0].basis, LegBasis::Measured);
}

#[test]
fn the_flow_of_a_pair_is_what_both_say_and_relayed_when_either_end_is() {
    use CandidateType::{Host, Relay};
    let counts = |ann: Option<ClientView>, bob: Option<ClientView>| {
        let mut legs = [leg("PA_a", ann), leg("PA_b", bob)];
        confirm(&mut legs, |_| true);
        count_legs(&legs)
    };
    let direct = counts(Some(view(Some(Host), Some(Host))), Some(view(Some(Host), Some(Host))));
    assert_eq!(direct, LegCounts { direct: 2, ..LegCounts::default() });
    assert_eq!(peer_to_peer_flow(direct), (FlowName::PeerToPeer, Basis::Observed));
    let one_side = counts(Some(view(Some(Relay), Some(Host))), Some(view(Some(Host), Some(Relay))));
    assert_eq!(one_side, LegCounts { relayed: 2, ..LegCounts::default() });
    assert_eq!(peer_to_peer_flow(one_side), (FlowName::PeerToPeerRelayed, Basis::Observed));
    for (ann, bob) in [
        (Some(view(Some(Host), Some(Host))), None),
        (Some(view(Some(Relay), Some(Host))), None),
        (Some(view(Some(Relay), Some(Host))), Some(view(Some(Host), Some(Host)))),
    ] {
        assert_eq!(peer_to_peer_flow(counts(ann, bob)), (FlowName::PeerToPeer, Basis::Planned));
    }
    assert_eq!(peer_to_peer_flow(counts(None, None)), (FlowName::PeerToPeer, Basis::Planned));
}

proptest! {
    #[test]
    fn what_is_bounded_still_fits_into_a_message_when_it_is_passed_on(sdp in "\\PC{0,200}", mid in "[a-z\"\\\\]{0,20}") {
        let to: ParticipantId = format!("PA_{}", "f".repeat(32)).parse().unwrap();
        for signal in [
            Signal::Description { sdp_type: SdpType::Answer, sdp },
            Signal::Candidate { candidate: Some(IceCandidate { candidate: mid.clone(), sdp_mid: Some(mid), sdp_m_line_index: None, username_fragment: None }) },
        ] {
            let said = serde_json::to_string(&ClientMessage::Signal { to: to.clone(), signal: signal.clone() }).unwrap();
            let heard = serde_json::to_string(&ServerMessage::Signal { from: to.clone(), signal }).unwrap();
            // "from" instead of "to".
            prop_assert!(heard.len() <= said.len() + 2);
        }
    }
}
