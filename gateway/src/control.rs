//! The gateway's control endpoint: the leader asks whether this gateway can reach a media node, other gateways come for
//! the rooms that it is home of.

use crate::peers::Peers;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use plenum_protocol::control::node_san;
use plenum_protocol::problem::Code;
use plenum_protocol::reach::{Ping, ReachReport, ReachRequest};
use plenum_runtime::client::{ControlClient, Target};
use plenum_runtime::http::{JsonBody, ProblemResponse, require_role};
use plenum_runtime::mtls::{PeerRole, RoleKind};
use std::time::Duration;

/// Longest try, in milliseconds.
const MAX_TRY: u32 = 2_000;

/// Routes behind mutual TLS.
pub fn control_router(client: ControlClient, peers: &Peers) -> Router {
    routes(client).merge(peers.routes())
}

fn routes(client: ControlClient) -> Router {
    Router::new().route("/v1/reach", post(reach)).with_state(client)
}

async fn reach(
    State(client): State<ControlClient>,
    PeerRole(role): PeerRole,
    JsonBody(request): JsonBody<ReachRequest>,
) -> Result<JsonBody<ReachReport>, ProblemResponse> {
    require_role(&role, &[RoleKind::Operator])?;
    let ReachRequest { namespace, control, timeout_millis } = request;
    let addr = control.parse().map_err(|_| ProblemResponse::new(Code::BadRequest, "control must be address:port"))?;
    let target = Target::new(addr, node_san(&namespace));
    let timeout = Duration::from_millis(u64::from(timeout_millis.min(MAX_TRY)));
    let answer = client.get::<Ping>(&target, "/v1/ping", timeout).await;
    if let Err(error) = &answer {
        tracing::debug!(error = error as &dyn std::error::Error, "a media node was not reached");
    }
    let boot_id = answer.ok().map(|ping| ping.boot_id);
    Ok(JsonBody(ReachReport { reachable: boot_id.is_some(), boot_id }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use plenum_protocol::control::{GATEWAY_SAN, OPERATOR_SAN};
    use plenum_runtime::ca::Authority;
    use plenum_runtime::client::CallError;
    use plenum_runtime::mtls::{self, Identity};
    use plenum_runtime::shutdown::Shutdown;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::SystemTime;
    use tokio::net::TcpListener;

    const TIMEOUT: Duration = Duration::from_secs(20);

    async fn serve(identity: &Arc<Identity>, router: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(mtls::serve(listener, Arc::clone(identity), router, Shutdown::new()));
        addr
    }

    fn wish(namespace: &str, control: SocketAddr) -> ReachRequest {
        ReachRequest { namespace: namespace.into(), control: control.to_string(), timeout_millis: 60_000 }
    }

    #[tokio::test]
    async fn the_operator_learns_which_nodes_are_reached_and_nobody_else_may_ask() {
        let authority = Authority::generate(SystemTime::now()).unwrap();
        let identity =
            |san: &str| Arc::new(Identity::from_issued(&authority.issue(san, SystemTime::now()).unwrap()).unwrap());
        let pong = async || JsonBody(Ping { boot_id: "boot-1".parse().unwrap() });
        let node = serve(&identity(&node_san("media")), Router::new().route("/v1/ping", get(pong))).await;
        let own = identity(GATEWAY_SAN);
        let gateway = Target::new(serve(&own, routes(ControlClient::new(Arc::clone(&own)))).await, GATEWAY_SAN);
        let operator = ControlClient::new(identity(OPERATOR_SAN));
        let ask = async |wish: ReachRequest| -> Result<ReachReport, CallError> {
            operator.post(&gateway, "/v1/reach", &wish, TIMEOUT).await
        };
        let reached = ask(wish("media", node)).await.unwrap();
        assert_eq!(reached, ReachReport { reachable: true, boot_id: Some("boot-1".parse().unwrap()) });
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for lost in [wish("media", closed), wish("elsewhere", node)] {
            assert_eq!(ask(lost).await.unwrap(), ReachReport { reachable: false, boot_id: None });
        }
        let nonsense = ReachRequest { control: "nowhere".into(), ..wish("media", node) };
        assert_eq!(ask(nonsense).await.unwrap_err().code(), Some(Code::BadRequest));
        let stranger = ControlClient::new(own);
        let refused = stranger.post::<_, ReachReport>(&gateway, "/v1/reach", &wish("media", node), TIMEOUT).await;
        assert_eq!(refused.unwrap_err().code(), Some(Code::Forbidden));
    }
}
