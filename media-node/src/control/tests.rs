//! The control API without a network: bodies, paths, roles.

#[path = "../../../runtime/tests/support/problem.rs"]
mod problem;

use super::router;
use crate::node::Node;
use crate::worker::{Shared, Worker};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use plenum_media_core::Certificate;
use plenum_protocol::ids::BootId;
use plenum_protocol::problem::Code;
use plenum_runtime::mtls::{PeerRole, Role};
use plenum_runtime::node::{EventOutlet, Failures};
use plenum_runtime::probes::Readiness;
use problem::problem;
use std::sync::Arc;
use tower::ServiceExt as _;

fn api() -> Router {
    let (events, _) = EventOutlet::channel();
    let (failures, _) = Failures::channel();
    let shared = Shared { certificate: Certificate::generate().unwrap(), events, failures };
    let worker = Worker::start(0, 0, shared).unwrap();
    router(Arc::new(Node::new(BootId::from_bits("", 5), vec![worker], Readiness::new())))
}

#[tokio::test]
async fn malformed_requests_get_a_problem_document() {
    let api = api();
    let gateway = || Some(Role::Gateway);
    let cases = [
        (Role::Operator, Method::POST, "/v1/sync", "{", Code::BadRequest),
        (Role::Operator, Method::POST, "/v1/sync", "{\"term\": \"one\"}", Code::BadRequest),
        (Role::Gateway, Method::POST, "/v1/rooms/u/sessions", "[]", Code::BadRequest),
        (Role::Gateway, Method::PATCH, "/v1/sessions/x", "nonsense", Code::BadRequest),
        (Role::Gateway, Method::DELETE, "/v1/sessions/x", "", Code::BadRequest),
        (Role::Gateway, Method::DELETE, "/v1/sessions/x?room=a%2Fb", "", Code::BadRequest),
        (Role::Gateway, Method::GET, "/v1/rooms/u/legs", "", Code::BadRequest),
        (Role::Gateway, Method::GET, "/v1/rooms/u/legs?epoch=new", "", Code::BadRequest),
        (Role::Gateway, Method::GET, "/v1/rooms/a%20b/legs?epoch=1", "", Code::BadRequest),
        (Role::Gateway, Method::GET, "/v1/rooms/u/socket", "", Code::BadRequest),
        (Role::Gateway, Method::GET, "/v2", "", Code::NotFound),
        (Role::Gateway, Method::PUT, "/v1/sync", "", Code::NotFound),
    ];
    for (role, method, path, body, code) in cases {
        assert_eq!(problem(&api, Some(role), method, path, body).await.code, code, "{path} {body}");
    }
    let request = Request::builder().method(Method::POST).uri("/v1/sync").extension(PeerRole(Role::Operator));
    let response = api.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
    assert_eq!(response.status(), 415);
    let offer = "x".repeat((64 << 10) + 1);
    let body = format!(
        r#"{{"epoch":1,"session":{{"kind":"publish"}},"owner":{{"participantKey":null,"identity":"a","name":"a"}},"gateway":"g","offer":"{offer}"}}"#
    );
    let large = problem(&api, gateway(), Method::POST, "/v1/rooms/u/sessions", &body).await;
    assert_eq!(large.code, Code::TooLarge);
}

#[tokio::test]
async fn every_call_is_for_certain_roles_only() {
    let api = api();
    let node = || Role::Node { namespace: "demo".into() };
    let sync = r#"{"term":1,"known":null,"config":null}"#;
    let open = r#"{"epoch":1,"session":{"kind":"publish"},"owner":{"participantKey":null,"identity":"a","name":"a"},"gateway":"g","offer":""}"#;
    let patch = r#"{"room":"u","ifMatch":null,"fragment":""}"#;
    let cases = [
        (Some(Role::Gateway), Method::POST, "/v1/sync", sync),
        (Some(node()), Method::POST, "/v1/sync", sync),
        (None, Method::POST, "/v1/sync", sync),
        (Some(Role::Operator), Method::POST, "/v1/rooms/u/sessions", open),
        (Some(Role::Operator), Method::PATCH, "/v1/sessions/x", patch),
        (Some(node()), Method::DELETE, "/v1/sessions/x?room=u", ""),
        (Some(Role::Operator), Method::GET, "/v1/rooms/u/socket", ""),
        (Some(node()), Method::GET, "/v1/rooms/u/legs?epoch=1", ""),
    ];
    for (role, method, path, body) in cases {
        assert_eq!(problem(&api, role, method, path, body).await.code, Code::Forbidden, "{path}");
    }
    let found = problem(&api, Some(Role::Operator), Method::GET, "/v1/rooms/u/legs?epoch=1", "").await;
    assert_eq!(found.code, Code::NotGranted);
}
