//! The control API of a media node: configuration and grants by the leader, sessions by the gateways.

use crate::flow::LegCounts;
use crate::ids::{BootId, Epoch, ParticipantId, ParticipantKey, PublicationId, RoomName, RoomUid, SessionId, Term};
use crate::peer::Instance;
use crate::relay::RelaySource;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Largest request body of the control API, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// Largest SDP, in bytes.
pub const MAX_SDP: usize = 64 << 10;
/// Most grants, and most revocations, in one [`SyncRequest`].
pub const MAX_GRANTS: usize = 2_000;
/// Most entries in [`RoomState::relayed`].
pub const MAX_RELAYED: usize = 256;
/// Where a media pod finds its certificate, key and CA (`tls.crt`, `tls.key`, `ca.crt`).
pub const CONTROL_CERT_DIR: &str = "/etc/plenum/control";
/// DNS SAN of the leader's certificate.
pub const OPERATOR_SAN: &str = "operator.plenum.internal";
/// DNS SAN of the gateways' certificate.
pub const GATEWAY_SAN: &str = "gateway.plenum.internal";

/// DNS SAN of the certificate of the media pods of a namespace.
#[must_use]
pub fn node_san(namespace: &str) -> String {
    format!("node.{namespace}.plenum.internal")
}

/// What a node must know before it can serve. Pushed whole; the node compares and applies what changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeConfig {
    /// Addresses (without port) under which clients reach the media ports, IPv4 or IPv6, 1 to 8.
    pub outside_addresses: Vec<String>,
    /// Most participants on this node; 0 means no bound but the node's own.
    pub max_participants: u32,
    /// Accept new rooms, and first participants of empty ones; `false` while the pod drains. A call that runs stays open
    /// to join.
    pub accepting: bool,
    /// The cluster's TURN pods, whatever their state: packets from their relay ports are relayed.
    #[serde(default)]
    pub relays: Vec<RelaySource>,
}

/// Permission to run one room under one epoch. Renewed by every sync that names it; ended only by a [`Revocation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The room.
    pub uid: RoomUid,
    /// Its name, for logs and messages.
    pub room: RoomName,
    /// The binding.
    pub epoch: Epoch,
    /// Most participants in the room at once.
    pub max_participants: u32,
    /// Bound on what one publisher may send, kbit/s: announced in SDP and REMB, and enforced.
    pub max_bitrate_kbps: u32,
    /// `relay.policy: Always`: connectivity checks that do not come from a relay of the cluster are dropped.
    #[serde(default)]
    pub relay_only: bool,
}

/// Why a grant ends; told to clients in `rejoin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RevokeReason {
    /// The room is bound to another pod or epoch.
    Rebound,
    /// `desiredState: Closed`.
    Closed,
    /// The Room is gone.
    Deleted,
}

/// Ends one grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// The room.
    pub uid: RoomUid,
    /// The binding that ends. A grant with a higher epoch is not touched.
    pub epoch: Epoch,
    /// Why.
    pub reason: RevokeReason,
    /// What the clients of a closed room are told; unset: that it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What the leader has of a node's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// Which start of the node. The node answers `wrong-boot` when it is another one.
    pub boot_id: BootId,
    /// [`SyncReport::state_version`] of the last report.
    pub state_version: u64,
}

/// Leader to node, `POST /v1/sync`: every second, and at each bind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncRequest {
    /// Term of the leader.
    pub term: Term,
    /// Unset on first contact: the report is then whole.
    pub known: Option<Known>,
    /// Whole configuration; unset when the node is known to have it.
    pub config: Option<NodeConfig>,
    /// Grants to add. A renewal may be left out: grants end by revocation only.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// Grants to end.
    #[serde(default)]
    pub revocations: Vec<Revocation>,
}

/// One room as its node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomState {
    /// The room.
    pub uid: RoomUid,
    /// The binding.
    pub epoch: Epoch,
    /// Participants now.
    pub participants: i32,
    /// Connected legs by kind.
    pub legs: LegCounts,
    /// Where the connected legs of relayed participants come from: one leg each, at most [`MAX_RELAYED`].
    #[serde(default)]
    pub relayed: Vec<SocketAddr>,
}

/// How busy a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct NodeLoad {
    /// Rooms with a grant.
    pub rooms: i32,
    /// Participants in them.
    pub participants: i32,
    /// Media sent in the last second, kbit/s.
    pub send_kbps: u32,
    /// Media received in the last second, kbit/s.
    pub receive_kbps: u32,
}

/// The node's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncReport {
    /// This start of the node.
    pub boot_id: BootId,
    /// It has a configuration, so it can serve.
    pub configured: bool,
    /// Grows with every change of `rooms`.
    pub state_version: u64,
    /// `rooms` holds every room (else only those changed since `known.state_version`).
    pub whole: bool,
    /// Rooms, whole or changed. A room without a grant any more is in `ended`.
    pub rooms: Vec<RoomState>,
    /// Rooms whose grant ended since `known.state_version`.
    #[serde(default)]
    pub ended: Vec<RoomUid>,
    /// Load.
    pub load: NodeLoad,
}

/// What kind of session is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum SessionKind {
    /// WHIP: the client sends.
    Publish,
    /// WHEP: the client receives one publication; unset: the oldest of the room.
    Subscribe {
        /// Which publication.
        publication: Option<PublicationId>,
    },
}

/// Who a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionOwner {
    /// Key of a participant that joined by the room socket; unset: the session is a participant of its own.
    pub participant_key: Option<ParticipantKey>,
    /// Identity of the join token.
    pub identity: String,
    /// Display name.
    pub name: String,
}

/// Gateway to node: `POST /v1/rooms/{uid}/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenSession {
    /// The binding that the gateway knows.
    pub epoch: Epoch,
    /// What for.
    pub session: SessionKind,
    /// Whose.
    pub owner: SessionOwner,
    /// Pod name of the gateway.
    pub gateway: String,
    /// The SDP offer.
    pub offer: String,
}

/// The session is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionOpened {
    /// Its id.
    pub session: SessionId,
    /// Whose it is.
    pub participant: ParticipantId,
    /// What is sent over it.
    pub publication: PublicationId,
    /// The SDP answer with all candidates.
    pub answer: String,
    /// Strong entity tag of the ICE session, without quotes.
    pub etag: String,
}

/// `If-Match` of a PATCH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IfMatch {
    /// `*`: whatever the ICE session is (ICE restart).
    Any,
    /// This ICE session.
    Etag(String),
}

/// Gateway to node: `PATCH /v1/sessions/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PatchSession {
    /// The room the session must belong to, so that a token of another room cannot touch it.
    pub room: RoomUid,
    /// Precondition; unset when the client sent none.
    pub if_match: Option<IfMatch>,
    /// `application/trickle-ice-sdpfrag` (RFC 8840).
    pub fragment: String,
}

/// What a PATCH did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum SessionPatched {
    /// Candidates were taken: 204.
    Trickled,
    /// ICE was restarted: 200 with the node's fragment and a new entity tag.
    Restarted {
        /// The node's new credentials and candidates.
        fragment: String,
        /// New entity tag.
        etag: String,
    },
}

/// Gateway to node: `DELETE /v1/sessions/{id}?room={uid}` has no body; this is first on the room socket instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeJoin {
    /// The binding that the gateway knows.
    pub epoch: Epoch,
    /// Identity of the join token.
    pub identity: String,
    /// Display name.
    pub name: String,
    /// May publish.
    pub can_publish: bool,
    /// May subscribe.
    pub can_subscribe: bool,
    /// This load of the client's page, if it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// Pod name of the gateway.
    pub gateway: String,
}
