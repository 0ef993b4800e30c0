//! ICE servers: by request, and by the `Link` headers of RFC 9725 section 4.6.

use crate::fake::{Fake, OFFER, header, request, text};
use axum::body::Body;
use http::{Response, StatusCode};
use plenum_protocol::ice::IceServers;
use plenum_protocol::problem::Code;
use plenum_signaling::limits::MAX_ICE_BODY;

const PATH: &str = "/v1/ice-servers";
const WHIP: &str = "/v1/rooms/team-a/demo/whip";
const WHEP: &str = "/v1/rooms/team-a/demo/whep";
const JSON: (&str, &str) = ("content-type", "application/json");
const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");
const WISH: &str = r#"{"namespace":"team-a","room":"demo","region":"eu","avoid":["eu-1"]}"#;

fn links(response: &Response<Body>) -> Vec<String> {
    response.headers().get_all("link").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

fn links_of(session: &str) -> Vec<String> {
    let secret = format!("username=\"99:{session}:media\"; credential=\"c2VjcmV0\"; credential-type=\"password\"");
    vec![
        "<stun:[2001:db8::1]:3478>; rel=\"ice-server\"".to_owned(),
        format!("<turn:192.0.2.7:3478?transport=udp>; rel=\"ice-server\"; {secret}"),
        format!("<turns:turn.test:443?transport=tcp>; rel=\"ice-server\"; {secret}"),
    ]
}

#[tokio::test]
async fn a_join_token_gets_what_a_peer_connection_takes() {
    let (fake, _rooms) = Fake::new();
    let response = fake.ask(request("POST", PATH, &[JSON], WISH)).await;
    assert_eq!((response.status(), header(&response, "cache-control")), (StatusCode::OK, "no-store".into()));
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    let body = text(response).await;
    let servers: IceServers = serde_json::from_str(&body).unwrap();
    assert_eq!(servers.ice_servers[1].username.as_deref(), Some("99:T_1:media"));
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["iceTransportPolicy"], "all");
    assert_eq!(json["iceServers"][0], serde_json::json!({"urls": ["stun:[2001:db8::1]:3478"]}));
    let asked = fake.asked.lock().unwrap();
    assert_eq!((asked.wishes[0].region.as_deref(), asked.wishes[0].avoid.len()), (Some("eu"), 1));
}

#[tokio::test]
async fn a_request_without_token_type_or_sense_is_refused() {
    let (fake, _rooms) = Fake::new();
    let ask = async |headers: &[(&str, &str)], body: &str| {
        fake.ask(request("POST", PATH, headers, body.to_owned())).await.status().as_u16()
    };
    assert_eq!(ask(&[JSON, ("authorization", "")], WISH).await, 401);
    assert_eq!(ask(&[JSON, ("authorization", "Bearer bad")], WISH).await, 401);
    assert_eq!(ask(&[("content-type", "text/plain")], WISH).await, 415);
    assert_eq!(ask(&[JSON], "{").await, 400);
    assert_eq!(ask(&[JSON], &format!("{WISH}{}", " ".repeat(MAX_ICE_BODY))).await, 413);
    assert!(fake.asked.lock().unwrap().wishes.is_empty());
    let limited = Fake::refusing(Code::RateLimited).ask(request("POST", PATH, &[JSON], WISH)).await;
    assert_eq!((limited.status().as_u16(), header(&limited, "retry-after").as_str()), (429, "1"));
    assert_eq!(fake.ask(request("GET", PATH, &[], "")).await.status(), 405);
    let preflight = fake.ask(request("OPTIONS", PATH, &[("authorization", "")], "")).await;
    assert!(header(&preflight, "access-control-allow-headers").contains("Authorization"));
}

#[tokio::test]
async fn a_new_session_is_told_its_servers_with_credentials_of_its_own() {
    let (fake, _rooms) = Fake::new();
    for (path, session) in [(WHIP, "S1"), (WHEP, "S2")] {
        let response = fake.ask(request("POST", path, &[SDP], OFFER)).await;
        assert_eq!((response.status(), links(&response)), (StatusCode::CREATED, links_of(session)));
    }
}

#[tokio::test]
async fn an_ice_restart_gets_fresh_credentials_and_a_trickle_none() {
    let (fake, _rooms) = Fake::new();
    let path = format!("{WHIP}/S1");
    let restart = fake.ask(request("PATCH", &path, &[FRAGMENT, ("if-match", "*")], "a=ice-ufrag:x")).await;
    assert_eq!((restart.status(), links(&restart)), (StatusCode::OK, links_of("S1")));
    let trickle = fake.ask(request("PATCH", &path, &[FRAGMENT, ("if-match", "\"e1\"")], "a=candidate:1")).await;
    assert_eq!((trickle.status(), links(&trickle).len()), (StatusCode::NO_CONTENT, 0));
}

#[tokio::test]
async fn a_session_opens_without_servers_when_there_are_none() {
    let (mut fake, _rooms) = Fake::new();
    fake.no_relays = true;
    let response = fake.ask(request("POST", WHIP, &[SDP], OFFER)).await;
    assert_eq!((response.status(), links(&response).len()), (StatusCode::CREATED, 0));
}

#[tokio::test]
async fn options_name_servers_to_whoever_has_a_token_and_never_in_a_preflight() {
    let (fake, _rooms) = Fake::new();
    for path in [WHIP, WHEP] {
        let answer = fake.ask(request("OPTIONS", path, &[], "")).await;
        assert_eq!((links(&answer), header(&answer, "cache-control")), (links_of("T_1"), "no-store".into()));
        let stranger = fake.ask(request("OPTIONS", path, &[("authorization", "")], "")).await;
        assert_eq!((stranger.status().as_u16(), links(&stranger).len()), (200, 0));
        let preflight = fake.ask(request("OPTIONS", path, &[("access-control-request-method", "POST")], "")).await;
        assert_eq!((preflight.status().as_u16(), links(&preflight).len()), (200, 0));
        let wrong = fake.ask(request("OPTIONS", path, &[("authorization", "Bearer bad")], "")).await;
        assert_eq!(wrong.status(), 401);
    }
}
