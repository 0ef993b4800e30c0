//! A look at the problem documents of a control API, without a network. Shared by the tests of the nodes.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header::CONTENT_TYPE};
use plenum_protocol::problem::{self, Problem};
use plenum_runtime::mtls::{PeerRole, Role};
use tower::ServiceExt as _;

/// The problem that a request of `role` gets, after a look at its media type.
pub(super) async fn problem(api: &Router, role: Option<Role>, method: Method, path: &str, body: &str) -> Problem {
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
