//! Who is in a peer-to-peer room, and what passes between them. Pure: messages in, messages out; no clock, no randomness.

use plenum_protocol::control::NodeJoin;
use plenum_protocol::flow::{ClientView, Leg, LegBasis, LegBytes, LegCounts, LegEnd, LegRole, LegState, count_legs};
use plenum_protocol::ids::{ParticipantId, ParticipantKey, RoomName, SessionId};
use plenum_protocol::peer::{Instance, PEERS, Signal, confirm, pair_id};
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, RoomMode, RosterEntry, ServerMessage};

/// Longest identity and display name, in bytes: those of a join token.
const MAX_NAME: usize = 128;
/// Longest protocol and relay names in a view, in bytes.
const MAX_PROTOCOL: usize = 16;
const MAX_POD: usize = 253;

/// One socket, for as long as the room lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Seat(pub(super) u64);

/// What a newcomer gets: random bits, and how much they may send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fresh {
    pub(super) participant: u128,
    pub(super) key: u128,
    /// kbit/s
    pub(super) max_kbps: u32,
}

/// What is to be said to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Out {
    /// A message in order.
    Say(Seat, ServerMessage),
    /// The last message: the seat is empty already.
    Last(Seat, ServerMessage),
}

/// Why somebody may not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "room {room} is peer to peer and has its two people; for more, give it a media server: \
         kubectl --namespace {} patch room {} --type=merge -p '{{\"spec\":{{\"topology\":\"MediaServer\"}}}}' \
         (with capacity.upgrade: MediaServer that happens by itself)",
        room.namespace, room.name
    )]
    Full { room: RoomName },
    #[error(
        "this room is peer to peer: join must have an instance, 8 to 64 random characters of A-Z, a-z, 0-9, '_', '-'"
    )]
    NoInstance,
    #[error(
        "room {room} is peer to peer, where both send and receive: the token must grant canPublish and canSubscribe; \
         a room for viewers needs topology: MediaServer"
    )]
    NotBoth { room: RoomName },
    #[error("somebody else in the room has this instance: mint another one")]
    InstanceTaken,
    #[error("identity and display name may have at most {MAX_NAME} bytes")]
    TooLong,
}

impl Refused {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Full { .. } => Code::Full,
            Self::NotBoth { .. } => Code::Forbidden,
            Self::NoInstance | Self::InstanceTaken | Self::TooLong => Code::BadRequest,
        }
    }
}

struct Member {
    seat: Seat,
    id: ParticipantId,
    identity: String,
    name: String,
    instance: Instance,
    gateway: String,
    /// What it last said of a peer connection.
    view: Option<ClientView>,
}

impl Member {
    fn entry(&self) -> RosterEntry {
        RosterEntry {
            id: self.id.clone(),
            identity: self.identity.clone(),
            name: self.name.clone(),
            instance: Some(self.instance.clone()),
            publications: Vec::new(),
        }
    }
}

/// The room: at most [`PEERS`] people.
pub(super) struct PeerRoom {
    name: RoomName,
    members: Vec<Member>,
}

impl PeerRoom {
    /// An empty room.
    pub(super) fn new(name: RoomName) -> Self {
        Self { name, members: Vec::with_capacity(PEERS) }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Somebody comes, on a seat that nobody had before. Who has their instance and identity gives way: that is their own
    /// socket, whose end has not been seen yet. In a full room so does who has their identity alone: a page that was loaded
    /// anew after its network was lost. What passes between the two is not seen here, so nobody is kept from sending.
    pub(super) fn join(&mut self, seat: Seat, join: NodeJoin, fresh: Fresh) -> Result<Vec<Out>, Refused> {
        let NodeJoin { epoch: _, identity, name, can_publish, can_subscribe, instance, gateway } = join;
        if identity.len() > MAX_NAME || name.len() > MAX_NAME {
            return Err(Refused::TooLong);
        }
        let instance = instance.ok_or(Refused::NoInstance)?;
        let ghost = self.members.iter().find(|member| member.instance == instance);
        if ghost.is_some_and(|ghost| ghost.identity != identity) {
            return Err(Refused::InstanceTaken);
        }
        let own = || self.members.iter().find(|member| member.identity == identity);
        let full = self.members.len() >= PEERS;
        let ghost = ghost.or_else(|| own().filter(|_| full)).map(|ghost| ghost.seat);
        if ghost.is_none() && full {
            return Err(Refused::Full { room: self.name.clone() });
        }
        if !(can_publish && can_subscribe) {
            return Err(Refused::NotBoth { room: self.name.clone() });
        }
        let mut out = Vec::new();
        if let Some(ghost) = ghost {
            let detail = "you have joined again".to_owned();
            out.push(Out::Last(ghost, ServerMessage::Ended { detail }));
            out.extend(self.leave(ghost));
        }
        let id = ParticipantId::from_bits("PA_", fresh.participant);
        let participant_key = ParticipantKey::from_bits("PK_", fresh.key);
        let roster = self.members.iter().map(Member::entry).collect();
        let mode = RoomMode::PeerToPeer;
        let max_bitrate_kbps = Some(fresh.max_kbps);
        let joined = ServerMessage::Joined { participant: id.clone(), participant_key, roster, mode, max_bitrate_kbps };
        out.push(Out::Say(seat, joined));
        let member = Member { seat, id, identity, name, instance, gateway, view: None };
        let came = ServerMessage::ParticipantJoined { participant: member.entry() };
        out.extend(self.members.iter().map(|other| Out::Say(other.seat, came.clone())));
        self.members.push(member);
        Ok(out)
    }

    /// Somebody says something. Whoever has lost their seat is not heard.
    pub(super) fn handle(&mut self, seat: Seat, message: ClientMessage) -> Vec<Out> {
        if !self.members.iter().any(|member| member.seat == seat) {
            return Vec::new();
        }
        match message {
            ClientMessage::Signal { to, signal } => self.pass(seat, &to, signal).into_iter().collect(),
            ClientMessage::View { legs } => self.view(seat, legs).into_iter().collect(),
            ClientMessage::Leave => self.leave(seat),
            ClientMessage::Join { .. } => vec![refuse(seat, "this socket has joined already")],
        }
    }

    /// To the other one; to somebody who has just left it is dropped.
    fn pass(&self, seat: Seat, to: &ParticipantId, signal: Signal) -> Option<Out> {
        let from = self.members.iter().find(|member| member.seat == seat)?;
        let other = self.members.iter().find(|member| member.id == *to && member.seat != seat)?;
        Some(Out::Say(other.seat, ServerMessage::Signal { from: from.id.clone(), signal }))
    }

    /// Only the view of the pair counts. Alone, somebody has no pair: what they said before holds if the other comes back.
    fn view(&mut self, seat: Seat, legs: Vec<ClientView>) -> Option<Out> {
        let pair = self.pair()?;
        let own = legs.into_iter().find(|view| view.session == pair);
        let member = self.members.iter_mut().find(|member| member.seat == seat)?;
        if own.as_ref().is_some_and(|view| !is_bounded(view)) {
            return Some(refuse(seat, "a view's protocols and relay are names, and short"));
        }
        member.view = own;
        None
    }

    /// Somebody goes.
    pub(super) fn leave(&mut self, seat: Seat) -> Vec<Out> {
        let Some(index) = self.members.iter().position(|member| member.seat == seat) else { return Vec::new() };
        let gone = self.members.remove(index);
        let left = ServerMessage::ParticipantLeft { participant: gone.id };
        self.members.iter().map(|other| Out::Say(other.seat, left.clone())).collect()
    }

    /// Everybody goes with this message.
    pub(super) fn dismiss(&mut self, last: &ServerMessage) -> Vec<Out> {
        self.members.drain(..).map(|member| Out::Last(member.seat, last.clone())).collect()
    }

    /// One leg per person once there are two, by participant.
    pub(super) fn legs(&self) -> Vec<Leg> {
        let [one, other] = self.members.as_slice() else { return Vec::new() };
        let session = pair_id(&one.instance, &other.instance);
        let mut legs = vec![leg(&session, one, other), leg(&session, other, one)];
        legs.sort_by(|a, b| a.participant.cmp(&b.participant));
        // What relays say, whoever shows the legs asks them.
        confirm(&mut legs, |_| false);
        legs
    }

    /// How many legs run which way, as far as both agree. Relays are not asked: that would be once a second and room.
    pub(super) fn counts(&self) -> LegCounts {
        let mut legs = self.legs();
        confirm(&mut legs, |_| true);
        count_legs(&legs)
    }

    fn pair(&self) -> Option<SessionId> {
        match self.members.as_slice() {
            [one, other] => Some(pair_id(&one.instance, &other.instance)),
            _ => None,
        }
    }
}

fn refuse(seat: Seat, detail: &str) -> Out {
    Out::Say(seat, ServerMessage::Error { code: Code::BadRequest, detail: detail.to_owned() })
}

fn is_bounded(view: &ClientView) -> bool {
    let fits = |name: &Option<String>, most| name.as_ref().is_none_or(|name| name.len() <= most);
    fits(&view.protocol, MAX_PROTOCOL) && fits(&view.relay_protocol, MAX_PROTOCOL) && fits(&view.local_relay, MAX_POD)
}

/// The leg of `own` as it says itself: connected when it names both ends.
fn leg(session: &SessionId, own: &Member, other: &Member) -> Leg {
    let view = own.view.as_ref().filter(|view| view.session == *session);
    let (local, remote) = view.map_or((None, None), |view| (view.local_type, view.remote_type));
    let end = |candidate_type| LegEnd { candidate_type, address: None, port: None };
    let state = if local.is_some() && remote.is_some() { LegState::Connected } else { LegState::Connecting };
    Leg {
        session: session.clone(),
        participant: own.id.clone(),
        peer: Some(other.id.clone()),
        participant_name: own.name.clone(),
        role: LegRole::Peer,
        publication: session.clone().into(),
        state,
        basis: LegBasis::Claimed,
        gateway: own.gateway.clone(),
        client: end(local),
        node: end(remote),
        protocol: view.and_then(|view| view.protocol.clone()).unwrap_or_else(|| "udp".to_owned()),
        rtt_micros: view.and_then(|view| view.rtt_micros),
        receive_kbps: 0,
        send_kbps: 0,
        packets: 0,
        bytes: LegBytes::default(),
        relay: None,
        client_view: view.cloned(),
    }
}

#[cfg(test)]
mod tests;
