use super::*;
use plenum_protocol::flow::{ClientView, LegBasis, LegBytes, LegCounts, LegEnd};
use plenum_protocol::turn::RelayTransport;

fn leg(name: &str, role: LegRole, publication: &str) -> Leg {
    Leg {
        session: format!("S_{name}_{publication}").parse().unwrap(),
        participant: format!("PA_{name}").parse().unwrap(),
        peer: None,
        participant_name: name.to_owned(),
        role,
        publication: publication.parse().unwrap(),
        state: LegState::Connected,
        basis: LegBasis::Measured,
        gateway: "plenum-gateway-1".to_owned(),
        client: LegEnd { candidate_type: Some(CandidateType::Prflx), address: None, port: None },
        node: LegEnd { candidate_type: Some(CandidateType::Host), address: None, port: None },
        protocol: "udp".to_owned(),
        rtt_micros: Some(1_840),
        receive_kbps: 1204,
        send_kbps: 998,
        packets: 7,
        bytes: LegBytes::default(),
        relay: None,
        client_view: None,
    }
}

fn picture(legs: Result<Vec<Leg>, String>) -> Picture {
    Picture {
        room: "demo/standup".to_owned(),
        flow: Some(("MediaServer".to_owned(), "Observed".to_owned())),
        counts: LegCounts { direct: 4, relayed: 0, colocated: 0 },
        gateway: Some(("plenum-gateway-1".to_owned(), Some("eu-west".to_owned()))),
        peers: None,
        media: Ok(MediaPlace {
            pod: "eu-0-x2k4f".to_owned(),
            node: Some("eu-west-a".to_owned()),
            region: "eu-west".to_owned(),
            zone: Some("eu-west-a".to_owned()),
        }),
        legs,
    }
}

#[test]
fn a_call_of_two_is_drawn_with_its_legs() {
    let mut sending = leg("Ann", LegRole::Publisher, "PU_a");
    sending.client =
        LegEnd { candidate_type: Some(CandidateType::Prflx), address: Some("192.0.2.7".to_owned()), port: Some(5004) };
    let mut getting = leg("Benjamin", LegRole::Subscriber, "PU_a");
    getting.rtt_micros = None;
    getting.client_view = Some(ClientView {
        local_type: Some(CandidateType::Host),
        remote_type: Some(CandidateType::Host),
        rtt_micros: Some(12_000),
        frames: Some(321),
        ..ClientView::of(getting.session.clone())
    });
    let mut waiting = leg("Ann", LegRole::Subscriber, "PU_longer");
    waiting.state = LegState::Connecting;
    let drawn = draw(&picture(Ok(vec![getting, waiting, sending])), Paint::Plain);
    let golden = "\
Room demo/standup  flow MediaServer, Observed  legs: 4 direct, 0 relayed, 0 colocated
media pod eu-0-x2k4f: node eu-west-a, region eu-west, zone eu-west-a

[Ann]┄┄┄┄┄┄┄┐
[Benjamin]┄┄┴┄┄[gateway plenum-gateway-1, eu-west]┄┄┄[media pod]

[Ann]━━━━━━━━━▶[media pod]  sends PU_a       prflx/host  udp    1.8 ms   1204 kbit/s  192.0.2.7:5004
[Ann]◀━━━━━━━━━[media pod]  gets  PU_longer  connecting
[Benjamin]◀━━━━[media pod]  gets  PU_a       host/host   udp   12.0 ms    998 kbit/s  321 frames
";
    assert_eq!(drawn, golden, "\n{drawn}");
}

fn relay(pod: &str, transport: Option<RelayTransport>) -> LegRelay {
    LegRelay {
        namespace: "turn".to_owned(),
        pool: "eu-turn".to_owned(),
        pod: pod.to_owned(),
        region: "eu-west".to_owned(),
        transport,
        sent_bytes: 1,
        received_bytes: 2,
    }
}

#[test]
fn relayed_legs_go_by_their_relay_and_say_how() {
    let mut out = leg("Benjamin", LegRole::Publisher, "PU_b");
    out.relay = Some(relay("turn-0", Some(RelayTransport::Tls)));
    out.client.candidate_type = Some(CandidateType::Relay);
    let mut back = leg("Benjamin", LegRole::Subscriber, "PU_a");
    back.relay = Some(relay("turn-123", Some(RelayTransport::Udp)));
    let mut silent = leg("Cem", LegRole::Subscriber, "PU_a");
    silent.relay = Some(relay("turn-0", None));
    let direct = leg("Ann", LegRole::Publisher, "PU_a");
    let drawn = draw(&picture(Ok(vec![out, back, silent, direct])), Paint::Plain);
    let golden = "
[Ann]━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▶[media pod]  sends PU_a  prflx/host  udp    1.8 ms   1204 kbit/s
[Benjamin]━━━━TLS━▶[TURN turn-0, eu-west]━━━━▶[media pod]  sends PU_b  relay/host  udp    1.8 ms   1204 kbit/s
[Benjamin]◀━━━━UDP━[TURN turn-123, eu-west]◀━━[media pod]  gets  PU_a  prflx/host  udp    1.8 ms    998 kbit/s
[Cem]◀━━━━━━━━━━━━━[TURN turn-0, eu-west]◀━━━━[media pod]  gets  PU_a  prflx/host  udp    1.8 ms    998 kbit/s
";
    assert!(drawn.ends_with(golden), "\n{drawn}");
}

fn peer(name: &str, kinds: [CandidateType; 2], relay: Option<LegRelay>) -> Leg {
    let [own, other] = kinds.map(|kind| LegEnd { candidate_type: Some(kind), address: None, port: None });
    let session: plenum_protocol::ids::SessionId = "P_1".parse().unwrap();
    let view = ClientView {
        bytes_sent: Some(1_000),
        bytes_received: Some(2_000),
        frames: Some(30),
        ..ClientView::of(session.clone())
    };
    let (basis, client_view) = (LegBasis::Confirmed, Some(view));
    Leg { session, client: own, node: other, relay, basis, client_view, ..leg(name, LegRole::Peer, "P_1") }
}

fn peers(legs: Vec<Leg>) -> String {
    let mut picture = picture(Ok(legs));
    picture.peers = Some(Some("plenum-gateway-2".to_owned()));
    draw(&picture, Paint::Plain)
}

#[test]
fn two_peers_have_a_line_between_them_and_a_home() {
    use CandidateType::{Host, Srflx};
    let mut far = peer("Benjamin", [Srflx, Host], None);
    far.gateway = "plenum-gateway-2".to_owned();
    let golden = "
peer to peer: no media pod is needed

[Ann]┄┄┄┄┄┄┄┄┄┄[gateway plenum-gateway-1, eu-west]┄┄┄[home: gateway plenum-gateway-2]
[Benjamin]┄┄┄┄┄[gateway plenum-gateway-2]┄┄┄[home: gateway plenum-gateway-2]

[Ann]━━⟷━━[Benjamin]
  [Ann]       host/srflx  udp    1.8 ms  1000 bytes out, 2000 in  30 frames  confirmed
  [Benjamin]  srflx/host  udp    1.8 ms  1000 bytes out, 2000 in  30 frames  confirmed
";
    let drawn = peers(vec![far, peer("Ann", [Host, Srflx], None)]);
    assert!(drawn.ends_with(golden), "\n{drawn}");
}

#[test]
fn the_line_between_peers_goes_by_their_relays_and_a_claim_is_marked() {
    use CandidateType::{Host, Relay};
    let ann = peer("Ann", [Relay, Host], Some(relay("turn-0", Some(RelayTransport::Tls))));
    let mut bob = peer("Bob", [Host, Relay], None);
    bob.basis = LegBasis::Claimed;
    let one_side = peers(vec![ann.clone(), bob.clone()]);
    assert!(one_side.contains("\n[Ann]━━TLS━[TURN turn-0, eu-west]━━⟷━━[Bob]\n"), "{one_side}");
    assert!(one_side.lines().any(|line| line.contains("[Bob]") && line.ends_with("claimed")), "{one_side}");
    bob.relay = Some(relay("turn-1", None));
    let both = peers(vec![ann, bob]);
    assert!(both.contains("\n[Ann]━━TLS━[TURN turn-0, eu-west]━━⟷━━[TURN turn-1, eu-west]━━━━━━[Bob]\n"), "{both}");
}

#[test]
fn a_peer_that_is_alone_or_connecting_is_drawn_as_such() {
    let mut waiting = peer("Ann", [CandidateType::Host, CandidateType::Host], None);
    waiting.state = LegState::Connecting;
    assert!(peers(vec![waiting]).ends_with("\n  [Ann]  connecting\n"));
}

#[test]
fn clients_of_two_gateways_are_drawn_apart() {
    let mut far = leg("Cem", LegRole::Publisher, "PU_c");
    far.gateway = "plenum-gateway-2".to_owned();
    let near = ["Ann", "Ben", "Dee"].map(|name| leg(name, LegRole::Publisher, "PU_x"));
    let drawn = draw(&picture(Ok(near.into_iter().chain([far]).collect())), Paint::Plain);
    let golden = "
[Ann]┄┄┐
[Ben]┄┄┤
[Dee]┄┄┴┄┄[gateway plenum-gateway-1, eu-west]┄┄┄[media pod]
[Cem]┄┄┄┄┄[gateway plenum-gateway-2]┄┄┄[media pod]
";
    assert!(drawn.contains(golden), "\n{drawn}");
}

#[test]
fn a_room_without_a_pod_says_why_and_what_is_missing() {
    let mut picture = picture(Err("a join token is needed: give one with --token".to_owned()));
    picture.flow = None;
    picture.counts = LegCounts::default();
    picture.media = Err("no pool admits the namespace (Scheduled=False, PoolNotPermitted)".to_owned());
    let golden = "\
Room demo/standup  no flow yet  legs: 0 direct, 0 relayed, 0 colocated
no media pod: no pool admits the namespace (Scheduled=False, PoolNotPermitted)
legs are not shown: a join token is needed: give one with --token
";
    assert_eq!(draw(&picture, Paint::Plain), golden);
}

#[test]
fn an_empty_room_says_so() {
    let drawn = draw(&picture(Ok(Vec::new())), Paint::Plain);
    assert!(
        drawn.ends_with("answered by [gateway plenum-gateway-1, eu-west]\nnobody sends or receives media\n"),
        "{drawn}"
    );
}

#[test]
fn entities_are_red_signaling_is_green_and_media_is_blue() {
    let drawn = draw(&picture(Ok(vec![leg("Ann", LegRole::Publisher, "PU_a")])), Paint::Ansi);
    for part in ["\x1b[31m[Ann]\x1b[0m", "\x1b[32m┄┄┄┄┄\x1b[0m", "\x1b[34m━━━━▶\x1b[0m", "\x1b[31m[media pod]\x1b[0m"]
    {
        assert!(drawn.contains(part), "{part:?} is not in {drawn:?}");
    }
}

#[test]
fn a_name_with_escape_sequences_is_harmless() {
    let drawn = draw(&picture(Ok(vec![leg_named("\x1b[2J\nAnn")])), Paint::Plain);
    assert!(drawn.contains("[?[2J?Ann]") && !drawn.contains('\x1b'), "{drawn}");
}

fn leg_named(name: &str) -> Leg {
    Leg { participant_name: name.to_owned(), ..leg("x", LegRole::Publisher, "PU_a") }
}
