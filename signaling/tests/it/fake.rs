//! A room that answers what the test told it to, and remembers what it was asked.

use axum::body::Body;
use http::{Request, Response};
use plenum_protocol::control::{SessionKind, SessionOpened, SessionPatched};
use plenum_protocol::flow::{
    Basis, CandidateType, FlowName, FlowReport, Leg, LegBasis, LegBytes, LegCounts, LegEnd, LegRole, LegState,
};
use plenum_protocol::ice::{IceServer, IceServers, IceTransportPolicy, RelayPlace};
use plenum_protocol::ids::{RoomName, SessionId};
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, ServerMessage};
use plenum_protocol::token::{MintToken, MintedToken};
use plenum_signaling::{
    Access, BasicCredentials, IceWish, JoinRequest, NewSession, PatchRequest, Refusal, RoomConnection, SessionService,
    SourceAddress,
};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

pub(crate) const OFFER: &str = "v=0\r\n";

#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) sessions: Vec<NewSession>,
    pub(crate) patches: Vec<PatchRequest>,
    pub(crate) closed: Vec<SessionId>,
    pub(crate) joins: Vec<JoinRequest>,
    pub(crate) wishes: Vec<IceWish>,
}

/// The other end of a socket's [`RoomConnection`].
pub(crate) struct RoomEnd {
    pub(crate) from_client: mpsc::Receiver<ClientMessage>,
    pub(crate) to_client: mpsc::Sender<ServerMessage>,
}

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) asked: Arc<Mutex<Asked>>,
    /// Refuses every session and join, once the token is checked.
    pub(crate) refuse: Option<Refusal>,
    /// Has no relays.
    pub(crate) no_relays: bool,
    rooms: mpsc::Sender<RoomEnd>,
}

impl Fake {
    pub(crate) fn new() -> (Self, mpsc::Receiver<RoomEnd>) {
        let (rooms, ends) = mpsc::channel(8);
        (Self { asked: Arc::default(), refuse: None, no_relays: false, rooms }, ends)
    }

    pub(crate) fn refusing(code: Code) -> Self {
        Self { refuse: Some(Refusal::new(code, "told to refuse")), ..Self::new().0 }
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Response<Body> {
        plenum_signaling::router(self.clone()).oneshot(request).await.unwrap()
    }

    fn check(&self) -> Result<(), Refusal> {
        self.refuse.clone().map_or(Ok(()), Err)
    }
}

impl SessionService for Fake {
    async fn authorize(&self, room: &RoomName, token: &str) -> Result<Access, Refusal> {
        if !["good", "mute", "deaf", "admin"].contains(&token) {
            return Err(Refusal::new(Code::Unauthorized, "the join token has expired"));
        }
        Ok(Access {
            room: room.clone(),
            identity: "ann".into(),
            name: "Ann".into(),
            can_publish: token != "mute",
            can_subscribe: token != "deaf",
            room_admin: token == "admin",
        })
    }

    async fn open_session(&self, _: &Access, session: NewSession) -> Result<SessionOpened, Refusal> {
        self.check()?;
        let publish = session.kind == SessionKind::Publish;
        self.asked.lock().unwrap().sessions.push(session);
        Ok(SessionOpened {
            session: if publish { "S1" } else { "S2" }.parse().unwrap(),
            participant: "PA_1".parse().unwrap(),
            publication: "PU_1".parse().unwrap(),
            answer: "v=0\r\nanswer".into(),
            etag: "e1".into(),
        })
    }

    async fn patch_session(&self, _: &Access, patch: PatchRequest) -> Result<SessionPatched, Refusal> {
        self.check()?;
        let restart = patch.fragment.contains("ice-ufrag");
        self.asked.lock().unwrap().patches.push(patch);
        Ok(match restart {
            true => SessionPatched::Restarted { fragment: "a=ice-ufrag:new".into(), etag: "e2".into() },
            false => SessionPatched::Trickled,
        })
    }

    async fn close_session(&self, _: &Access, session: &SessionId) -> Result<(), Refusal> {
        self.check()?;
        self.asked.lock().unwrap().closed.push(session.clone());
        Ok(())
    }

    async fn join(&self, _: &Access, join: JoinRequest) -> Result<RoomConnection, Refusal> {
        self.check()?;
        self.asked.lock().unwrap().joins.push(join);
        let (to_room, from_client) = mpsc::channel(8);
        let (to_client, from_room) = mpsc::channel(8);
        self.rooms.send(RoomEnd { from_client, to_client }).await.unwrap();
        Ok(RoomConnection { to_room, from_room })
    }

    async fn ice_servers(&self, _: &Access, wish: IceWish) -> Result<IceServers, Refusal> {
        if self.no_relays {
            return Err(Refusal::new(Code::Unavailable, "no relays"));
        }
        self.check()?;
        let username = format!("99:{}:media", wish.session.as_ref().map_or("T_1", |session| session.as_str()));
        self.asked.lock().unwrap().wishes.push(wish);
        let stun =
            IceServer { urls: vec!["stun:[2001:db8::1]:3478".into()], username: None, credential: None, relay: None };
        let turn = IceServer {
            urls: vec!["turn:192.0.2.7:3478?transport=udp".into(), "turns:turn.test:443?transport=tcp".into()],
            username: Some(username),
            credential: Some("c2VjcmV0".into()),
            relay: Some(RelayPlace { pod: "eu-0".into(), region: "eu".into() }),
        };
        let ice_transport_policy = IceTransportPolicy::All;
        Ok(IceServers { ice_servers: vec![stun, turn], ice_transport_policy, expires_at: 99 })
    }

    async fn flow(&self, access: &Access) -> Result<FlowReport, Refusal> {
        self.check()?;
        let end = |kind| LegEnd { candidate_type: Some(kind), address: Some("192.0.2.1".into()), port: Some(5) };
        let leg = Leg {
            session: "S1".parse().unwrap(),
            participant: "PA_1".parse().unwrap(),
            peer: None,
            participant_name: "Ann".into(),
            role: LegRole::Publisher,
            publication: "PU_1".parse().unwrap(),
            state: LegState::Connected,
            basis: LegBasis::Measured,
            gateway: "gateway-a".into(),
            client: end(CandidateType::Prflx),
            node: end(CandidateType::Host),
            protocol: "udp".into(),
            rtt_micros: None,
            receive_kbps: 1,
            send_kbps: 2,
            packets: 3,
            bytes: LegBytes::default(),
            relay: None,
            client_view: None,
        };
        Ok(FlowReport {
            room: access.room.clone(),
            flow: FlowName::MediaServer,
            basis: Basis::Observed,
            counts: LegCounts { direct: 1, ..LegCounts::default() },
            gateway: "gateway-a".into(),
            gateway_region: None,
            home: None,
            media: None,
            legs: vec![leg],
        })
    }

    async fn mint_token(
        &self,
        credentials: BasicCredentials,
        _: Option<SourceAddress>,
        wish: MintToken,
    ) -> Result<MintedToken, Refusal> {
        self.check()?;
        match (credentials.id.as_str(), credentials.secret.as_str()) {
            ("key", "secret") => Ok(MintedToken { token: format!("for {}", wish.identity), expires_at: 9 }),
            _ => Err(Refusal::new(Code::Unauthorized, "the API key is unknown or its secret is wrong")),
        }
    }
}

/// A request with a join token; `headers` may replace it by an empty one.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "authorization") {
        builder = builder.header("authorization", "Bearer good");
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).unwrap()
}

pub(crate) fn header(response: &Response<Body>, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

pub(crate) async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}
