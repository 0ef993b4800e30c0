//! Who may see addresses, and who gets tokens.

use crate::fake::{Fake, header, request, text};
use base64::Engine as _;
use http::StatusCode;
use plenum_protocol::flow::FlowReport;
use plenum_protocol::problem::Code;
use plenum_protocol::token::MintedToken;

const FLOW: &str = "/v1/rooms/team-a/demo/flow";
const JSON: (&str, &str) = ("content-type", "application/json");
const WISH: &str = r#"{"namespace":"team-a","identity":"ann","video":{"room":"demo","roomJoin":true}}"#;

async fn flow(token: &str) -> FlowReport {
    let (fake, _rooms) = Fake::new();
    let response = fake.ask(request("GET", FLOW, &[("authorization", token)], "")).await;
    assert_eq!((response.status(), header(&response, "cache-control")), (StatusCode::OK, "no-store".into()));
    serde_json::from_str(&text(response).await).unwrap()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}

#[tokio::test]
async fn only_a_room_admin_sees_addresses() {
    let report = flow("Bearer good").await;
    assert_eq!((&report.legs[0].client.address, report.legs[0].node.port), (&None, None));
    assert!(report.legs[0].client.candidate_type.is_some());
    assert_eq!(flow("Bearer admin").await.legs[0].client.address.as_deref(), Some("192.0.2.1"));
}

#[tokio::test]
async fn the_flow_needs_a_token() {
    let (fake, _rooms) = Fake::new();
    assert_eq!(fake.ask(request("GET", FLOW, &[("authorization", "")], "")).await.status(), 401);
    assert_eq!(Fake::refusing(Code::Unavailable).ask(request("GET", FLOW, &[], "")).await.status(), 503);
}

#[tokio::test]
async fn an_api_key_mints_a_token() {
    let (fake, _rooms) = Fake::new();
    let key = basic("key", "secret");
    let response = fake.ask(request("POST", "/v1/tokens", &[JSON, ("authorization", &key)], WISH)).await;
    assert_eq!((response.status(), header(&response, "cache-control")), (StatusCode::OK, "no-store".into()));
    let minted: MintedToken = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(minted.token, "for ann");
}

#[tokio::test]
async fn minting_without_a_valid_key_is_401_and_asks_for_basic() {
    let (fake, _rooms) = Fake::new();
    for credentials in [basic("key", "wrong"), "Bearer good".to_owned(), "Basic !!!".to_owned(), String::new()] {
        let response = fake.ask(request("POST", "/v1/tokens", &[JSON, ("authorization", &credentials)], WISH)).await;
        assert_eq!(response.status(), 401);
        assert!(header(&response, "www-authenticate").starts_with("Basic "), "{credentials}");
    }
}

#[tokio::test]
async fn a_malformed_token_request_is_explained() {
    let (fake, _rooms) = Fake::new();
    let key = basic("key", "secret");
    let ask = async |kind: &str, body: &str| {
        let headers = [("content-type", kind), ("authorization", key.as_str())];
        fake.ask(request("POST", "/v1/tokens", &headers, body.to_owned())).await
    };
    let response = ask(JSON.1, "{}").await;
    assert_eq!(response.status(), 400);
    assert!(text(response).await.contains("namespace"));
    assert_eq!(ask("text/plain", WISH).await.status(), 415);
    assert_eq!(ask(JSON.1, &format!("{WISH}{}", " ".repeat(9000))).await.status(), 413);
    assert_eq!(fake.ask(request("GET", "/v1/tokens", &[], "")).await.status(), 405);
}
