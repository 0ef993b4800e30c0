//! RFC 9725 status by status.

use crate::fake::{Fake, OFFER, header, request, text};
use axum::body::Body;
use http::{Response, StatusCode};
use plenum_protocol::control::{IfMatch, MAX_SDP, SessionKind};
use plenum_protocol::problem::{Code, Problem};

const WHIP: &str = "/v1/rooms/team-a/demo/whip";
const WHEP: &str = "/v1/rooms/team-a/demo/whep";
const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

async fn post(fake: &Fake, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    fake.ask(request("POST", path, headers, body.to_owned())).await
}

async fn patch(fake: &Fake, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    fake.ask(request("PATCH", &format!("{WHIP}/S1"), headers, body.to_owned())).await
}

async fn problem(response: Response<Body>) -> Problem {
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    let status = response.status().as_u16();
    let problem: Problem = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(problem.status, status);
    problem
}

#[tokio::test]
async fn a_publisher_gets_201_with_location_and_a_strong_entity_tag() {
    let (fake, _rooms) = Fake::new();
    let response = post(&fake, WHIP, &[SDP, ("plenum-participant", "key-1")], OFFER).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(header(&response, "location"), "/v1/rooms/team-a/demo/whip/S1");
    assert_eq!(header(&response, "etag"), "\"e1\"");
    assert_eq!(header(&response, "content-type"), "application/sdp");
    assert_eq!(header(&response, "accept-patch"), "application/trickle-ice-sdpfrag");
    assert!(header(&response, "access-control-expose-headers").contains("Location, ETag, Link"));
    assert_eq!(text(response).await, "v=0\r\nanswer");
    let asked = fake.asked.lock().unwrap();
    assert_eq!(asked.sessions[0].kind, SessionKind::Publish);
    assert_eq!(asked.sessions[0].participant_key.as_ref().unwrap().as_str(), "key-1");
}

#[tokio::test]
async fn a_viewer_chooses_a_publication_or_gets_the_oldest() {
    let (fake, _rooms) = Fake::new();
    let chosen = post(&fake, &format!("{WHEP}?publication=PU_7"), &[SDP], OFFER).await;
    assert_eq!(header(&chosen, "location"), "/v1/rooms/team-a/demo/whep/S2");
    assert_eq!(post(&fake, WHEP, &[SDP], OFFER).await.status(), StatusCode::CREATED);
    let bad = post(&fake, &format!("{WHEP}?publication=a/b"), &[SDP], OFFER).await;
    assert_eq!(problem(bad).await.code, Code::BadRequest);
    let asked = fake.asked.lock().unwrap();
    let kinds: Vec<_> = asked.sessions.iter().map(|session| session.kind.clone()).collect();
    let chosen = Some("PU_7".parse().unwrap());
    assert_eq!(kinds, [SessionKind::Subscribe { publication: chosen }, SessionKind::Subscribe { publication: None }]);
}

#[tokio::test]
async fn an_offer_of_another_type_or_size_is_refused() {
    let (fake, _rooms) = Fake::new();
    assert_eq!(post(&fake, WHIP, &[], OFFER).await.status(), 415);
    assert_eq!(post(&fake, WHIP, &[("content-type", "text/plain")], OFFER).await.status(), 415);
    let large = "x".repeat(MAX_SDP + 1);
    assert_eq!(post(&fake, WHIP, &[SDP], &large).await.status(), 413);
    let unannounced = Body::from_stream(futures_util::stream::iter(vec![Ok::<_, std::io::Error>(large)]));
    let response = fake.ask(request("POST", WHIP, &[SDP], unannounced)).await;
    assert_eq!(problem(response).await.code, Code::TooLarge);
    assert_eq!(problem(post(&fake, WHIP, &[SDP], " ").await).await.code, Code::BadSdp);
    let not_text = fake.ask(request("POST", WHIP, &[SDP], vec![0xffu8, 0xfe])).await;
    assert_eq!(not_text.status(), 400);
    assert_eq!(post(&fake, WHIP, &[SDP, ("plenum-participant", "a b")], OFFER).await.status(), 400);
    assert!(fake.asked.lock().unwrap().sessions.is_empty());
}

#[tokio::test]
async fn a_missing_or_wrong_token_is_401_and_names_the_scheme() {
    let (fake, _rooms) = Fake::new();
    for token in ["", "Bearer bad", "Basic Z29vZDpnb29k"] {
        for (method, path) in
            [("POST", WHIP.to_owned()), ("PATCH", format!("{WHIP}/S1")), ("DELETE", format!("{WHIP}/S1"))]
        {
            let response = fake.ask(request(method, &path, &[SDP, ("authorization", token)], OFFER)).await;
            assert_eq!(header(&response, "www-authenticate"), "Bearer realm=\"plenum\"");
            assert_eq!(problem(response).await.code, Code::Unauthorized);
        }
    }
}

#[tokio::test]
async fn grants_of_the_token_are_obeyed() {
    let (fake, _rooms) = Fake::new();
    let mute = post(&fake, WHIP, &[SDP, ("authorization", "Bearer mute")], OFFER).await;
    assert_eq!(problem(mute).await.code, Code::Forbidden);
    let deaf = post(&fake, WHEP, &[SDP, ("authorization", "Bearer deaf")], OFFER).await;
    assert_eq!(problem(deaf).await.code, Code::Forbidden);
    assert_eq!(post(&fake, WHEP, &[SDP, ("authorization", "Bearer mute")], OFFER).await.status(), 201);
}

#[tokio::test]
async fn trickling_is_204_without_an_entity_tag() {
    let (fake, _rooms) = Fake::new();
    let response = patch(&fake, &[FRAGMENT, ("if-match", "\"e1\"")], "a=candidate:1").await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(header(&response, "etag"), "");
    assert_eq!(fake.asked.lock().unwrap().patches[0].if_match, IfMatch::Etag("e1".into()));
}

#[tokio::test]
async fn an_ice_restart_is_200_with_a_new_entity_tag() {
    let (fake, _rooms) = Fake::new();
    let response = patch(&fake, &[FRAGMENT, ("if-match", "*")], "a=ice-ufrag:x").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "etag"), "\"e2\"");
    assert_eq!(header(&response, "content-type"), "application/trickle-ice-sdpfrag");
    assert_eq!(text(response).await, "a=ice-ufrag:new");
    assert_eq!(fake.asked.lock().unwrap().patches[0].if_match, IfMatch::Any);
}

#[tokio::test]
async fn a_patch_needs_a_precondition_and_the_right_type() {
    let (fake, _rooms) = Fake::new();
    assert_eq!(problem(patch(&fake, &[FRAGMENT], "a").await).await.code, Code::PreconditionRequired);
    assert_eq!(patch(&fake, &[FRAGMENT, ("if-match", "W/\"e1\"")], "a").await.status(), 412);
    assert_eq!(patch(&fake, &[FRAGMENT, ("if-match", "e1")], "a").await.status(), 400);
    assert_eq!(patch(&fake, &[FRAGMENT, ("if-match", "*"), ("if-match", "\"e1\"")], "a").await.status(), 400);
    assert_eq!(patch(&fake, &[SDP, ("if-match", "*")], "a").await.status(), 415);
    let stale = Fake::refusing(Code::PreconditionFailed);
    assert_eq!(patch(&stale, &[FRAGMENT, ("if-match", "\"old\"")], "a").await.status(), 412);
}

#[tokio::test]
async fn a_session_is_deleted_with_200_and_unknown_ones_are_404() {
    let (fake, _rooms) = Fake::new();
    assert_eq!(fake.ask(request("DELETE", &format!("{WHEP}/S2"), &[], "")).await.status(), 200);
    assert_eq!(fake.asked.lock().unwrap().closed[0].as_str(), "S2");
    let gone = Fake::refusing(Code::NotFound);
    assert_eq!(gone.ask(request("DELETE", &format!("{WHIP}/S1"), &[], "")).await.status(), 404);
    assert_eq!(fake.ask(request("DELETE", &format!("{WHIP}/a%2Fb"), &[], "")).await.status(), 404);
}

#[tokio::test]
async fn get_and_head_find_no_representation() {
    let (fake, _rooms) = Fake::new();
    for path in [WHIP.to_owned(), WHEP.to_owned(), format!("{WHIP}/S1"), format!("{WHEP}/S1")] {
        let response = fake.ask(request("GET", &path, &[("authorization", "")], "")).await;
        assert_eq!((response.status(), text(response).await.as_str()), (StatusCode::NO_CONTENT, ""));
    }
    assert_eq!(fake.ask(request("HEAD", &format!("{WHIP}/S1"), &[], "")).await.status(), 204);
    let discovery = fake.ask(request("HEAD", WHEP, &[], "")).await;
    assert_eq!((discovery.status(), header(&discovery, "content-type")), (StatusCode::OK, "application/sdp".into()));
}

#[tokio::test]
async fn other_methods_are_405_and_name_the_ones_allowed() {
    let (fake, _rooms) = Fake::new();
    for (method, path) in [("PUT", WHIP.to_owned()), ("PATCH", WHEP.to_owned()), ("POST", format!("{WHIP}/S1"))] {
        let response = fake.ask(request(method, &path, &[SDP], OFFER)).await;
        assert!(header(&response, "allow").contains("OPTIONS"), "{method} {path}");
        assert_eq!(problem(response).await.status, 405);
    }
}

#[tokio::test]
async fn options_name_what_is_accepted_without_credentials() {
    let (fake, _rooms) = Fake::new();
    let endpoint = fake.ask(request("OPTIONS", WHIP, &[("authorization", "")], "")).await;
    assert_eq!((endpoint.status(), header(&endpoint, "accept-post")), (StatusCode::OK, "application/sdp".into()));
    assert!(header(&endpoint, "access-control-allow-headers").contains("If-Match"));
    assert!(header(&endpoint, "access-control-allow-methods").contains("PATCH"));
    assert_eq!(header(&endpoint, "link"), "");
    let session = fake.ask(request("OPTIONS", &format!("{WHIP}/S1"), &[], "")).await;
    assert_eq!(header(&session, "accept-patch"), "application/trickle-ice-sdpfrag");
}

#[tokio::test]
async fn a_path_that_is_not_there_is_404_with_cors() {
    let (fake, _rooms) = Fake::new();
    for path in ["/v1/nothing", "/v1/rooms/team-a/demo", "/v1/rooms/Team/demo/whip", "/v1/rooms/team-a/a.b/flow"] {
        let response = fake.ask(request("POST", path, &[SDP], OFFER)).await;
        let status = response.status();
        assert_eq!(header(&response, "access-control-allow-origin"), "*", "{path}");
        assert!(status == 404 || status == 405, "{path}: {status}");
    }
    let preflight = fake.ask(request("OPTIONS", "/v1/nothing", &[("authorization", "")], "")).await;
    assert_eq!(
        (preflight.status(), header(&preflight, "access-control-allow-origin")),
        (StatusCode::NO_CONTENT, "*".into())
    );
}

#[tokio::test]
async fn overload_says_when_to_come_back() {
    for (code, status, after) in [(Code::Unavailable, 503, "1"), (Code::Full, 503, "10"), (Code::RateLimited, 429, "1")]
    {
        let response = post(&Fake::refusing(code), WHIP, &[SDP], OFFER).await;
        assert_eq!((response.status().as_u16(), header(&response, "retry-after").as_str()), (status, after));
        assert_eq!(problem(response).await.code, code);
    }
}
