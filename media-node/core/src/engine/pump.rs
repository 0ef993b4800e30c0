//! Between a session and its transport: packets in, then everything that the transport wants.

use super::Engine;
use super::relayed::path;
use crate::event::{CloseReason, Event};
use crate::forward;
use crate::session::{Media, Secure};
use crate::sink::PacketSink;
use crate::stun::{self, Binding, Class};
use crate::transport::{PeerTransport, TransportEvent};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// The first reports come soon after the transport: a bit rate estimate helps a publisher most while it starts.
const FIRST_REPORT: Duration = Duration::from_millis(100);

/// Runs library code for one session. A panic in it costs that session and no other.
fn guarded<T>(transport: &mut dyn PeerTransport, run: impl FnOnce(&mut dyn PeerTransport) -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| run(transport))).ok()
}

impl Engine {
    /// Hands a datagram to a session's transport. Whether it was taken.
    pub(super) fn feed(
        &mut self,
        slot: usize,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut dyn PacketSink,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(slot) else { return false };
        let fed = guarded(session.transport.as_mut(), |transport| transport.handle_packet(now, from, datagram));
        let Some(result) = fed else {
            self.end(slot, now, Some(CloseReason::Internal), out);
            return false;
        };
        if let Err(error) = &result {
            tracing::debug!(worker = self.config.worker, session = session.key.0, %error, "datagram refused");
        }
        self.pump(slot, now, out);
        result.is_ok()
    }

    /// Runs a session's transport timers.
    pub(super) fn wake_transport(&mut self, slot: usize, now: Instant, out: &mut dyn PacketSink) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if guarded(session.transport.as_mut(), |transport| transport.handle_timeout(now)).is_none() {
            self.end(slot, now, Some(CloseReason::Internal), out);
            return;
        }
        self.pump(slot, now, out);
    }

    /// Sends what the transport has and acts on its events.
    fn pump(&mut self, slot: usize, now: Instant, out: &mut dyn PacketSink) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        while let Some(mut transmit) = session.transport.poll_transmit() {
            match Binding::parse(&transmit.bytes).map(|binding| (binding.class, binding.transaction)) {
                Some((Class::Request, transaction)) => self.demux.sent_check(transaction, slot, now),
                // A relayed client knows itself by the address that its relay told it.
                Some((Class::Success, _)) => {
                    if let Some(told) = self.relays.told(transmit.to) {
                        stun::tell(&mut transmit.bytes, told, &session.local.pwd);
                    }
                }
                _ => {}
            }
            let sent = forward::send_raw(transmit.to, &transmit.bytes, &mut self.counters, out);
            session.bytes.sent += sent as u64;
        }
        let (mut ended, mut moved) = (None, false);
        while let Some(event) = session.transport.poll_event() {
            match event {
                TransportEvent::Nominated(remote) => {
                    let relay = self.relays.find(remote).cloned();
                    if session.relay_only && relay.is_none() {
                        // Checked before the room was for relays only; its checks are dropped by now.
                        continue;
                    }
                    let known = session.relay.take().filter(|_| session.nominated == Some(remote));
                    session.relay = relay.or(known);
                    if let Some(before) = session.nominated.replace(remote).filter(|before| *before != remote) {
                        // It stays a checked source: its packets are still on the way.
                        self.demux.forget_address(before, slot);
                        self.demux.checked(before, slot);
                        moved = session.connected;
                    }
                    self.demux.nominated(remote, slot);
                }
                TransportEvent::Keys { profile, material } => match Secure::new(profile, &material) {
                    Ok(secure) => session.secure = Some(secure),
                    Err(_) => ended = Some(CloseReason::HandshakeFailed),
                },
                TransportEvent::Closed => ended = Some(CloseReason::PeerClosed),
                TransportEvent::Failed => ended = Some(CloseReason::HandshakeFailed),
            }
        }
        if let Some(reason) = ended {
            self.end(slot, now, Some(reason), out);
            return;
        }
        if moved {
            self.wants_keyframe_after_move(slot, now, out);
        }
        let Some(session) = self.sessions.get(slot) else { return };
        if !session.connected && session.secure.is_some() && session.nominated.is_some() {
            self.connected(slot, now, out);
        }
        self.arm(slot, now);
    }

    /// What was sent on the old path may be lost. A receiver would notice late, and ask later still.
    fn wants_keyframe_after_move(&mut self, slot: usize, now: Instant, out: &mut dyn PacketSink) {
        let Some(session) = self.sessions.get(slot) else { return };
        let publication = match &session.media {
            Media::Publish(publication) => *publication,
            Media::Subscribe(subscription) => subscription.publication,
        };
        self.want_keyframe(publication, now, out);
    }

    fn connected(&mut self, slot: usize, now: Instant, out: &mut dyn PacketSink) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Some(path) = path(session) else { return };
        session.connected = true;
        session.told = Some(path);
        session.consent = now;
        session.next_tick = now + FIRST_REPORT;
        let key = session.key;
        let subscribed = match &session.media {
            Media::Publish(_) => None,
            Media::Subscribe(subscription) => Some(subscription.publication),
        };
        if let Some(publication) = subscribed {
            if let Some(publication) = self.publications.get_mut(publication) {
                publication.subscribers.push(slot);
            }
            self.want_keyframe(publication, now, out);
        }
        self.counters.sessions_connected += 1;
        tracing::debug!(worker = self.config.worker, session = key.0, "session connected");
        let (audio, video) = self.sessions.get(slot).map_or((false, false), |session| self.tracks(session));
        self.events.push_back(Event::SessionConnected { session: key, audio, video, path });
    }
}
