//! The front doors as axum routers over one [`SessionService`]: WHIP, WHEP, the room socket, ICE servers,
//! tokens and the flow.
//!
//! Owns HTTP semantics (status codes, entity tags, CORS, sizes, deadlines) and the life of a room socket. Must not know
//! where rooms run, how tokens are checked or how media works: that is behind the trait. [`node_side`] is the other end of
//! a room socket, for those who run rooms.

mod body;
pub mod cors;
mod flow;
pub mod header;
mod ice;
pub mod limits;
pub mod node_side;
mod path;
pub mod refusal;
mod service;
mod session;
mod socket;
mod tokens;
mod whep;
mod whip;

pub use ice::parse_ice_request;
pub use path::parse_room;
pub use refusal::Refusal;
pub use service::{
    Access, BasicCredentials, IceWish, JoinRequest, NewSession, PatchRequest, RoomConnection, SessionService,
    SourceAddress,
};
pub use socket::{ClientFrame, parse_client_frame};

use axum::Router;

/// Every route under `/v1`, with CORS on each answer of the returned router, its 404s included. Add routes of your own
/// before the fallback by merging into it.
pub fn router<S: SessionService>(service: S) -> Router {
    Router::new()
        .merge(whip::routes())
        .merge(whep::routes())
        .merge(socket::routes())
        .merge(flow::routes())
        .merge(ice::routes())
        .merge(tokens::routes())
        .method_not_allowed_fallback(refusal::method_not_allowed)
        .fallback(refusal::not_found)
        .layer(axum::middleware::from_fn(cors::add_headers))
        .with_state(service)
}
