//! The control API without a network: bodies, paths, roles.

use super::router;
use crate::node::Node;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header::CONTENT_TYPE};
use plenum_protocol::ids::BootId;
use plenum_protocol::problem::{self, Code, Problem};
use plenum_runtime::mtls::{PeerRole, Role};
use plenum_runtime::probes::Readiness;
use std::sync::Arc;
use tower::ServiceExt as _;

fn api() -> Router {
    router(Arc::new(Node::new(BootId::from_bits("", 5), vec![], vec![], Readiness::new())))
}

/// The problem that a request of `role` gets, after a look at its media type.
async fn problem(api: &Router, role: Option<Role>, method: Method, path: &str, body: &str) -> Problem {
    let mut request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
    if let Some(role) = role {
        request = request.extension(PeerRole(role));
    }
    let response = api.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    assert_eq!(response.headers()[CONTENT_TYPE], problem::CONTENT_TYPE, "{path}: {status}");
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
    let problem: Problem = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem.status, status);
    problem
}

#[tokio::test]
async fn malformed_requests_get_a_problem_document() {
    let api = api();
    let ports = format!(r#"{{"ports":[{}]}}"#, vec!["1"; 1_001].join(","));
    let cases = [
        (Role::Operator, Method::POST, "/v1/sync", "{", Code::BadRequest),
        (Role::Operator, Method::POST, "/v1/sync", "{\"term\": \"one\"}", Code::BadRequest),
        (Role::Gateway, Method::POST, "/v1/allocations", "{\"ports\":[70000]}", Code::BadRequest),
        (Role::Gateway, Method::POST, "/v1/allocations", &ports, Code::BadRequest),
        (Role::Gateway, Method::GET, "/v2", "", Code::NotFound),
        (Role::Gateway, Method::PUT, "/v1/sync", "", Code::NotFound),
    ];
    for (role, method, path, body, code) in cases {
        assert_eq!(problem(&api, Some(role), method, path, body).await.code, code, "{path} {body}");
    }
}

#[tokio::test]
async fn every_call_is_for_certain_roles_only() {
    let api = api();
    let node = || Role::Node { namespace: "demo".into() };
    let (sync, query) = (r#"{"term":1,"known":null,"config":null}"#, r#"{"ports":[]}"#);
    let cases = [
        (Some(Role::Gateway), "/v1/sync", sync),
        (Some(node()), "/v1/sync", sync),
        (None, "/v1/sync", sync),
        (Some(node()), "/v1/allocations", query),
        (None, "/v1/allocations", query),
    ];
    for (role, path, body) in cases {
        assert_eq!(problem(&api, role, Method::POST, path, body).await.code, Code::Forbidden, "{path}");
    }
}
