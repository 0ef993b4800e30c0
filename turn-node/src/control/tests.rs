//! The control API without a network: bodies, paths, roles.

#[path = "../../../runtime/tests/support/problem.rs"]
mod problem;

use super::router;
use crate::node::Node;
use axum::Router;
use axum::http::Method;
use plenum_protocol::ids::BootId;
use plenum_protocol::problem::Code;
use plenum_runtime::mtls::Role;
use plenum_runtime::probes::Readiness;
use problem::problem;
use std::sync::Arc;

fn api() -> Router {
    router(Arc::new(Node::new(BootId::from_bits("", 5), vec![], vec![], Readiness::new())))
}

#[tokio::test]
async fn malformed_requests_get_a_problem_document() {
    let api = api();
    let ports = format!(r#"{{"ports":[{}]}}"#, vec!["1"; 1_001].join(","));
    let people = format!(r#"{{"ports":[],"participants":[{}]}}"#, vec!["\"PA_1\""; 1_001].join(","));
    let cases = [
        (Role::Operator, Method::POST, "/v1/sync", "{", Code::BadRequest),
        (Role::Operator, Method::POST, "/v1/sync", "{\"term\": \"one\"}", Code::BadRequest),
        (Role::Gateway, Method::POST, "/v1/allocations", "{\"ports\":[70000]}", Code::BadRequest),
        (Role::Gateway, Method::POST, "/v1/allocations", &ports, Code::BadRequest),
        (Role::Gateway, Method::POST, "/v1/allocations", &people, Code::BadRequest),
        (Role::Gateway, Method::POST, "/v1/allocations", r#"{"ports":[],"participants":["a:b"]}"#, Code::BadRequest),
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
