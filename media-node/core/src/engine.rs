//! The engine: owns rooms, sessions and publications, and routes between them.
//!
//! The parts: `commands` (what the owner asks for), `receive` (datagrams in), `pump` (what transports want),
//! `relayed` (who comes by a relay), `timeouts` (what is due). Single-threaded; no method blocks or reads a clock.

mod commands;
mod pump;
mod receive;
mod relayed;
mod timeouts;

use crate::config::{EngineConfig, RoomKey, RoomLimits, SessionKey};
use crate::counters::Counters;
use crate::demux::Demux;
use crate::event::Event;
use crate::forward;
use crate::media::publication::{AUDIO, Publication, VIDEO};
use crate::relays::RelayTable;
use crate::session::{Media, Session, SessionPhase, SessionStats};
use crate::session_error::SessionError;
use crate::sink::PacketSink;
use crate::transport::TransportFactory;
use crate::transport::webrtc_rs::WebrtcRsFactory;
use plenum_sansio::{Random, Timers};
use rustc_hash::FxHashMap;
use slab::Slab;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// A room with its sessions' slots.
struct Room {
    limits: RoomLimits,
    sessions: Vec<usize>,
}

/// One worker's engine. See the crate's documentation for how to drive it.
pub struct Engine {
    config: EngineConfig,
    factory: Box<dyn TransportFactory>,
    epoch: Instant,
    outside: Vec<IpAddr>,
    port: u16,
    relays: Arc<RelayTable>,
    random: Random,
    rooms: FxHashMap<RoomKey, Room>,
    sessions: Slab<Session>,
    keys: FxHashMap<SessionKey, usize>,
    publications: Slab<Publication>,
    /// Slots of publications with packets that wait for the flush.
    dirty: Vec<usize>,
    demux: Demux,
    timers: Timers,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Engine {
    /// An engine without rooms and addresses, with the transport made of `rtc-ice` and `rtc-dtls`.
    #[must_use]
    pub fn new(config: EngineConfig, now: Instant) -> Self {
        Self::with_transports(config, now, Box::new(WebrtcRsFactory))
    }

    /// An engine with another transport.
    #[must_use]
    pub fn with_transports(config: EngineConfig, now: Instant, factory: Box<dyn TransportFactory>) -> Self {
        let random = Random::new(&config.seed);
        Self {
            config,
            factory,
            epoch: now,
            outside: Vec::new(),
            port: 0,
            relays: Arc::default(),
            random,
            rooms: FxHashMap::default(),
            sessions: Slab::new(),
            keys: FxHashMap::default(),
            publications: Slab::new(),
            dirty: Vec::with_capacity(64),
            demux: Demux::default(),
            timers: Timers::default(),
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Where clients reach this worker: put into every answer from now on.
    pub fn configure(&mut self, outside: &[IpAddr], port: u16) {
        self.outside = outside.to_vec();
        self.port = port;
    }

    /// Adds a room, or changes the limits of one that is there. A new bit rate bound holds for open publishers too:
    /// it is enforced, and told with the next bit rate estimate. Open sessions that run directly are ended with
    /// [`CloseReason::RelayRequired`] when `relay_only` begins.
    ///
    /// [`CloseReason::RelayRequired`]: crate::CloseReason::RelayRequired
    ///
    /// # Errors
    /// [`SessionError::Full`].
    pub fn add_room(&mut self, key: RoomKey, limits: RoomLimits) -> Result<(), SessionError> {
        if let Some(room) = self.rooms.get_mut(&key) {
            if room.limits.max_bitrate_kbps != limits.max_bitrate_kbps {
                let sessions = room.sessions.iter().filter_map(|slot| self.sessions.get(*slot));
                for session in sessions {
                    if let Media::Publish(slot) = session.media
                        && let Some(publication) = self.publications.get_mut(slot)
                    {
                        publication.set_max_kbps(limits.max_bitrate_kbps);
                    }
                }
            }
            room.limits = limits;
            self.apply_relay_only(key);
            return Ok(());
        }
        if self.rooms.len() >= self.config.limits.max_rooms {
            return Err(SessionError::Full);
        }
        self.rooms.insert(key, Room { limits, sessions: Vec::new() });
        Ok(())
    }

    /// Sends what was queued since the last flush, subscriber by subscriber. Call it after each receive batch.
    pub fn flush(&mut self, now: Instant, out: &mut dyn PacketSink) {
        while let Some(slot) = self.dirty.pop() {
            let Some(publication) = self.publications.get_mut(slot) else { continue };
            publication.dirty = false;
            forward::flush_publication(publication, &mut self.sessions, &mut self.counters, out);
            let session = publication.session;
            if publication.due_at(now).is_some() {
                self.ask_publisher(slot, now, out);
                self.arm(session, now);
            }
        }
    }

    /// When [`Engine::handle_timeout`] is due. May be early, never late.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The sessions of a room; empty when there is no such room.
    #[must_use]
    pub fn legs(&self, room: RoomKey) -> Vec<SessionStats> {
        let slots = self.rooms.get(&room).map(|room| room.sessions.as_slice()).unwrap_or_default();
        slots.iter().filter_map(|slot| self.sessions.get(*slot)).map(|session| self.stats(session)).collect()
    }

    /// Totals since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Entries in the maps that datagrams are matched against: grows with sessions only, whatever the network sends.
    #[must_use]
    pub fn demux_entries(&self) -> usize {
        self.demux.len()
    }

    fn stats(&self, session: &Session) -> SessionStats {
        let (audio, video) = self.tracks(session);
        let same_family = |ip: &&IpAddr| session.nominated.is_some_and(|remote| remote.is_ipv4() == ip.is_ipv4());
        SessionStats {
            session: session.key,
            kind: session.kind,
            phase: if session.connected { SessionPhase::Connected } else { SessionPhase::Connecting },
            remote: session.nominated,
            relay: session.relay.clone(),
            local: self.outside.iter().find(same_family).map(|ip| SocketAddr::new(*ip, self.port)),
            rtt_micros: session.round_trip.map(|span| u32::try_from(span.as_micros()).unwrap_or(u32::MAX)),
            receive_kbps: session.received.kbps(),
            send_kbps: session.sent.kbps(),
            packets: session.packets,
            bytes: session.bytes,
            audio,
            video,
        }
    }

    /// Which tracks a session carries.
    fn tracks(&self, session: &Session) -> (bool, bool) {
        match &session.media {
            Media::Publish(slot) => {
                self.publications.get(*slot).map_or((false, false), |it| (it.has(AUDIO), it.has(VIDEO)))
            }
            Media::Subscribe(subscription) => {
                let [audio, video] = &subscription.tracks;
                (audio.is_some(), video.is_some())
            }
        }
    }

    fn ask_publisher(&mut self, publication: usize, now: Instant, out: &mut dyn PacketSink) {
        let Some(publication) = self.publications.get_mut(publication) else { return };
        let Some(session) = self.sessions.get_mut(publication.session) else { return };
        forward::ask_publisher(publication, session, now, &mut self.counters, out);
    }

    /// Somebody needs a keyframe of `publication`: asks at once, or as soon as the throttle allows.
    fn want_keyframe(&mut self, publication: usize, now: Instant, out: &mut dyn PacketSink) {
        let Some(wanted) = self.publications.get_mut(publication) else { return };
        wanted.keyframe.want();
        let session = wanted.session;
        self.counters.keyframes_wanted += 1;
        self.ask_publisher(publication, now, out);
        self.arm(session, now);
    }
}
