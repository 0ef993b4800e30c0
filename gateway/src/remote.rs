//! [`SessionService`] over media nodes: each call goes to the node that runs the room now.

mod binding;
mod flow;
mod ice;
mod socket;

pub(crate) use socket::rejoin;

use crate::homes::Homes;
use crate::leader::Leader;
use crate::metrics::{Counters, Kind};
use crate::rates::Rates;
use crate::relays::Relays;
use crate::routes::{Routes, Standing};
use crate::sockets::SocketPermits;
use crate::{ApiKeys, auth};
use binding::{Bound, REQUEST_PATIENCE, refusal_of};
use plenum_protocol::control::{OpenSession, PatchSession, SessionOpened, SessionOwner, SessionPatched};
use plenum_protocol::flow::FlowReport;
use plenum_protocol::ice::IceServers;
use plenum_protocol::ids::{RoomName, SessionId};
use plenum_protocol::problem::{Code, Problem};
use plenum_protocol::token::{MintToken, MintedToken};
use plenum_runtime::client::{CallError, ControlClient};
use plenum_runtime::shutdown::Shutdown;
use plenum_signaling::{
    Access, BasicCredentials, IceWish, JoinRequest, NewSession, PatchRequest, Refusal, RoomConnection, SessionService,
    SourceAddress,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a node may take to answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// What clients of WHIP and WHEP are told.
const PEERS_ONLY: &str = "this room is peer to peer: its people send to each other, by the room socket; a room with topology MediaServer takes WHIP and WHEP";

/// What a gateway is made of.
pub struct Parts {
    /// Name of this pod, shown in legs.
    pub pod: String,
    /// Region of this pod's node, when known.
    pub region: Option<String>,
    /// API keys.
    pub keys: ApiKeys,
    /// Rooms.
    pub routes: Routes,
    /// Gateways that may be homes of peer-to-peer rooms.
    pub homes: Homes,
    /// Relays.
    pub relays: Relays,
    /// The operator's leader.
    pub leader: Leader,
    /// Calls to nodes and to the leader.
    pub client: ControlClient,
    /// Metrics.
    pub counters: Counters,
    /// Requests by source.
    pub requests: Rates,
    /// Tokens by source.
    pub tokens: Rates,
    /// Requests for ICE servers by source.
    pub ice_servers: Rates,
    /// Room sockets.
    pub sockets: SocketPermits,
    /// Once requested, sockets are told to join elsewhere.
    pub closing: Shutdown,
}

/// One replica. Clones share it.
#[derive(Clone)]
pub struct Gateway(Arc<Parts>);

impl Gateway {
    /// A gateway of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Whether a source may ask once more; counts when not.
    pub(crate) fn may_request(&self, source: IpAddr, now: Instant) -> bool {
        let may = self.0.requests.take(source, now);
        if !may {
            self.0.counters.limited();
        }
        may
    }

    async fn open(&self, access: &Access, session: NewSession) -> Result<SessionOpened, Refusal> {
        let NewSession { kind, participant_key, offer } = session;
        let owner = SessionOwner { participant_key, identity: access.identity.clone(), name: access.name.clone() };
        let gateway = self.0.pod.clone();
        let request = OpenSession { epoch: Default::default(), session: kind, owner, gateway, offer };
        let opened = self.on_node(&access.room, REQUEST_PATIENCE, |bound| {
            let at_home = bound.is_at_home();
            let request = OpenSession { epoch: bound.epoch, ..request.clone() };
            async move {
                if at_home {
                    // It may just be getting a media server.
                    return Err(CallError::Problem(Problem::new(Code::NotGranted, PEERS_ONLY)));
                }
                let path = format!("/v1/rooms/{}/sessions", bound.uid);
                self.0.client.post(&bound.target(), &path, &request, CALL_TIMEOUT).await
            }
        });
        let opened = opened.await;
        let peers = || self.0.routes.get(&access.room).is_some_and(|route| route.standing == Standing::Peers);
        opened.map_err(|refusal| if peers() { Refusal::new(Code::Forbidden, PEERS_ONLY) } else { refusal })
    }
}

impl SessionService for Gateway {
    async fn authorize(&self, room: &RoomName, token: &str) -> Result<Access, Refusal> {
        auth::authorize(&self.0.keys, room, token, unix_seconds())
    }

    async fn open_session(&self, access: &Access, session: NewSession) -> Result<SessionOpened, Refusal> {
        let kind = match session.kind {
            plenum_protocol::control::SessionKind::Publish => Kind::Whip,
            plenum_protocol::control::SessionKind::Subscribe { .. } => Kind::Whep,
        };
        let result = self.open(access, session).await;
        self.0.counters.opened(kind, &result);
        result
    }

    async fn patch_session(&self, access: &Access, patch: PatchRequest) -> Result<SessionPatched, Refusal> {
        let bound = self.media_now(&access.room).ok_or_else(no_session)?;
        let PatchRequest { session, if_match, fragment } = patch;
        let request = PatchSession { room: bound.uid.clone(), if_match: Some(if_match), fragment };
        let path = format!("/v1/sessions/{session}");
        let answer = self.0.client.patch(&bound.target(), &path, &request, CALL_TIMEOUT).await;
        answer.map_err(|error| self.session_refusal(error))
    }

    async fn close_session(&self, access: &Access, session: &SessionId) -> Result<(), Refusal> {
        let bound = self.media_now(&access.room).ok_or_else(no_session)?;
        let path = format!("/v1/sessions/{session}?room={}", bound.uid);
        let answer = self.0.client.delete(&bound.target(), &path, CALL_TIMEOUT).await;
        answer.map_err(|error| self.session_refusal(error))
    }

    async fn join(&self, access: &Access, join: JoinRequest) -> Result<RoomConnection, Refusal> {
        let result = self.join_room(access, join).await;
        self.0.counters.opened(Kind::Socket, &result);
        result
    }

    async fn ice_servers(&self, access: &Access, wish: IceWish) -> Result<IceServers, Refusal> {
        self.name_ice_servers(access, &wish)
    }

    async fn flow(&self, access: &Access) -> Result<FlowReport, Refusal> {
        self.room_flow(&access.room).await
    }

    async fn mint_token(
        &self,
        credentials: BasicCredentials,
        source: Option<SourceAddress>,
        wish: MintToken,
    ) -> Result<MintedToken, Refusal> {
        if source.is_some_and(|SourceAddress(address)| !self.0.tokens.take(address, Instant::now())) {
            self.0.counters.limited();
            return Err(Refusal::new(Code::RateLimited, "too many token requests from this address"));
        }
        let result = auth::mint(&self.0.keys, &credentials, wish, unix_seconds());
        self.0.counters.opened(Kind::Token, &result);
        result
    }
}

impl Gateway {
    /// The binding to a media node, as it is now.
    fn media_now(&self, room: &RoomName) -> Option<Bound> {
        self.bound_now(room).filter(|bound| !bound.is_at_home())
    }

    /// Sessions live and die with the binding that they were opened under.
    fn session_refusal(&self, error: CallError) -> Refusal {
        self.count(&error);
        if error.code() == Some(Code::NotGranted) { no_session() } else { refusal_of(error) }
    }
}

fn no_session() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such session in this room")
}

/// A clock before 1970 lets no token pass.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
