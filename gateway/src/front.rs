//! The public router: pages and front doors behind one rate limit per source address.

use crate::page;
use crate::remote::Gateway;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::Method;
use plenum_protocol::problem::Code;
use plenum_signaling::{Refusal, SourceAddress, cors};
use std::net::SocketAddr;
use std::time::Instant;

/// Everything on the public port. The server puts `ConnectInfo<SocketAddr>` into the request extensions.
pub fn router(gateway: Gateway) -> Router {
    let front_doors = plenum_signaling::router(gateway.clone());
    page::routes().merge(front_doors).layer(from_fn_with_state(gateway, admit))
}

async fn admit(State(gateway): State<Gateway>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
    if let Some(source) = peer {
        if !gateway.may_request(source, Instant::now()) {
            let preflight = request.method() == Method::OPTIONS;
            let mut response = Refusal::new(Code::RateLimited, "too many requests from this address").into_response();
            cors::set_headers(response.headers_mut(), preflight);
            return response;
        }
        request.extensions_mut().insert(SourceAddress(source));
    }
    next.run(request).await
}
