//! What the front doors ask of whoever runs the rooms.

use crate::Refusal;
use plenum_protocol::control::{IfMatch, SessionKind, SessionOpened, SessionPatched};
use plenum_protocol::flow::FlowReport;
use plenum_protocol::ice::IceServers;
use plenum_protocol::ids::{ParticipantId, ParticipantKey, RoomName, SessionId};
use plenum_protocol::peer::Instance;
use plenum_protocol::room::{ClientMessage, RoomMode, ServerMessage};
use plenum_protocol::token::{MintToken, MintedToken};
use std::future::Future;
use std::net::IpAddr;
use tokio::sync::mpsc;

/// What a verified join token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The room that it was checked for.
    pub room: RoomName,
    /// Identity of the token.
    pub identity: String,
    /// Display name; the identity when the token has none.
    pub name: String,
    /// May open WHIP sessions.
    pub can_publish: bool,
    /// May open WHEP sessions.
    pub can_subscribe: bool,
    /// May see addresses in the flow.
    pub room_admin: bool,
}

/// Address that a request came from. The server puts it into the request's extensions; without it nothing is
/// limited by source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceAddress(pub IpAddr);

/// A WHIP or WHEP session to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Which of the two.
    pub kind: SessionKind,
    /// Ties it to a participant of the room socket.
    pub participant_key: Option<ParticipantKey>,
    /// The SDP offer, at most [`plenum_protocol::control::MAX_SDP`] bytes.
    pub offer: String,
}

/// A PATCH of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchRequest {
    /// Which session.
    pub session: SessionId,
    /// Precondition.
    pub if_match: IfMatch,
    /// `application/trickle-ice-sdpfrag`.
    pub fragment: String,
}

/// Which ICE servers a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IceWish {
    /// The session that the credentials are for; unset: whatever the client does with them in this room.
    pub session: Option<SessionId>,
    /// Where the client says it is.
    pub region: Option<String>,
    /// Pods of relays that failed it, at most [`plenum_protocol::ice::MAX_AVOID`].
    pub avoid: Vec<String>,
    /// Who the client says it is in the room, where it has no session.
    pub participant: Option<ParticipantId>,
    /// How the room took it in; unset: it has not joined, or does not say.
    pub mode: Option<RoomMode>,
    /// Where the request came from; unset: not limited by source.
    pub source: Option<SourceAddress>,
}

/// A join by the room socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// Display name that the client wants; unset: the token's.
    pub name: Option<String>,
    /// Which load of its page it is.
    pub instance: Option<Instance>,
    /// Where it came from.
    pub source: Option<SourceAddress>,
}

/// Both directions of a room socket. Either side ends it by dropping its halves; `Rejoin` and `Ended` are the last
/// messages of a room.
#[derive(Debug)]
pub struct RoomConnection {
    /// Client to room.
    pub to_room: mpsc::Sender<ClientMessage>,
    /// Room to client.
    pub from_room: mpsc::Receiver<ServerMessage>,
}

/// HTTP Basic credentials: id and secret of an API key.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicCredentials {
    /// Key id.
    pub id: String,
    /// Secret.
    pub secret: String,
}

impl std::fmt::Debug for BasicCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BasicCredentials").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The rooms behind the front doors. Clones share state.
pub trait SessionService: Clone + Send + Sync + 'static {
    /// Checks a join token for a room. Refuses with `Unauthorized`, or `Forbidden` when it is for another room.
    fn authorize(&self, room: &RoomName, token: &str) -> impl Future<Output = Result<Access, Refusal>> + Send;

    /// Opens a WHIP or WHEP session. The grants of `access` have been checked.
    fn open_session(
        &self,
        access: &Access,
        session: NewSession,
    ) -> impl Future<Output = Result<SessionOpened, Refusal>> + Send;

    /// Trickles candidates or restarts ICE. Refuses with `NotFound` when the session is not of the room.
    fn patch_session(
        &self,
        access: &Access,
        patch: PatchRequest,
    ) -> impl Future<Output = Result<SessionPatched, Refusal>> + Send;

    /// Ends a session of the room.
    fn close_session(&self, access: &Access, session: &SessionId) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Joins the room; the first message that comes out is `Joined`, `Ended` or `Error`.
    fn join(&self, access: &Access, join: JoinRequest) -> impl Future<Output = Result<RoomConnection, Refusal>> + Send;

    /// STUN and TURN servers near the client, with fresh credentials. None is an answer, not a refusal.
    fn ice_servers(&self, access: &Access, wish: IceWish) -> impl Future<Output = Result<IceServers, Refusal>> + Send;

    /// Which way the room's media goes, with addresses; the caller removes them for those who may not see them.
    fn flow(&self, access: &Access) -> impl Future<Output = Result<FlowReport, Refusal>> + Send;

    /// Signs a join token for the holder of an API key.
    fn mint_token(
        &self,
        credentials: BasicCredentials,
        source: Option<SourceAddress>,
        wish: MintToken,
    ) -> impl Future<Output = Result<MintedToken, Refusal>> + Send;
}
