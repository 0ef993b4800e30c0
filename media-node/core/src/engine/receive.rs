//! Datagrams in.

use super::Engine;
use crate::forward;
use crate::media::track::Received;
use crate::rtcp::{Compound, Packet, ReportBlock};
use crate::rtp::RtpHeader;
use crate::session::Media;
use crate::sink::PacketSink;
use crate::srtp::OpenError;
use crate::stun::{Binding, Class, Kind, classify};
use std::net::SocketAddr;
use std::time::Instant;

/// A decrypted RTP packet.
struct Opened<'a> {
    header: RtpHeader,
    index: u64,
    packet: &'a [u8],
}

impl Engine {
    /// Takes a datagram; decrypts it in place. Answers go to `out`; forwarded media waits for [`Engine::flush`].
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8], out: &mut dyn PacketSink) {
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += datagram.len() as u64;
        match classify(datagram) {
            Some(Kind::Rtp) => self.handle_rtp(now, from, datagram),
            Some(Kind::Rtcp) => self.handle_rtcp(now, from, datagram, out),
            Some(Kind::Stun) => self.handle_stun(now, from, datagram, out),
            Some(Kind::Dtls) => self.handle_dtls(now, from, datagram, out),
            None => self.counters.drops.not_webrtc += 1,
        }
    }

    fn handle_stun(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], out: &mut dyn PacketSink) {
        let Some(binding) = Binding::parse(datagram) else {
            self.counters.drops.stun_malformed += 1;
            return;
        };
        match binding.class {
            Class::Request => self.handle_check(now, from, &binding, datagram, out),
            Class::Success | Class::Error => {
                let Some((slot, sent)) = self.demux.answered_check(binding.transaction) else {
                    self.counters.drops.stun_unknown_user += 1;
                    return;
                };
                self.count_received(slot, datagram);
                let taken = self.feed(slot, now, from, datagram, out);
                if !taken {
                    self.counters.drops.stun_unauthenticated += 1;
                } else if let Some(session) = self.sessions.get_mut(slot) {
                    session.round_trip = Some(now.saturating_duration_since(sent));
                }
            }
            // Keep-alives ask for nothing.
            Class::Indication => {
                if let Some(slot) = self.demux.address(from) {
                    self.count_received(slot, datagram);
                }
            }
        }
    }

    fn count_received(&mut self, slot: usize, datagram: &[u8]) {
        if let Some(session) = self.sessions.get_mut(slot) {
            session.bytes.received += datagram.len() as u64;
        }
    }

    /// A connectivity check. Only an authentic one reaches the agent, and only it renews the consent.
    fn handle_check(
        &mut self,
        now: Instant,
        from: SocketAddr,
        binding: &Binding<'_>,
        datagram: &[u8],
        out: &mut dyn PacketSink,
    ) {
        let drops = &mut self.counters.drops;
        let slot = binding.local_ufrag().and_then(|ufrag| self.demux.user(ufrag));
        let Some((slot, session)) = slot.and_then(|slot| Some((slot, self.sessions.get_mut(slot)?))) else {
            drops.stun_unknown_user += 1;
            return;
        };
        if !binding.is_authentic(&session.local.pwd) {
            drops.stun_unauthenticated += 1;
            return;
        }
        session.bytes.received += datagram.len() as u64;
        if session.relay_only && self.relays.find(from).is_none() {
            drops.stun_not_relayed += 1;
            return;
        }
        // Both sides controlled would mean that the client is lite too: nobody would check. The agent would switch
        // its role on such a message, so it does not get it.
        if binding.controlled {
            drops.stun_malformed += 1;
            return;
        }
        if session.checks_left == 0 {
            drops.stun_too_frequent += 1;
            return;
        }
        session.checks_left -= 1;
        if !session.add_source(from) {
            drops.stun_too_many_sources += 1;
            return;
        }
        session.consent = now;
        self.demux.checked(from, slot);
        if !self.feed(slot, now, from, datagram, out) {
            self.counters.drops.stun_unauthenticated += 1;
        }
    }

    fn handle_dtls(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], out: &mut dyn PacketSink) {
        let Some(slot) = self.demux.address(from) else {
            self.counters.drops.unknown_source += 1;
            return;
        };
        self.count_received(slot, datagram);
        if !self.feed(slot, now, from, datagram, out) {
            self.counters.drops.dtls_refused += 1;
        }
    }

    fn handle_rtp(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) {
        let drops = &mut self.counters.drops;
        let slot = self.demux.address(from);
        let Some((slot, session)) = slot.and_then(|slot| Some((slot, self.sessions.get_mut(slot)?))) else {
            drops.unknown_source += 1;
            return;
        };
        session.bytes.received += datagram.len() as u64;
        let Some(header) = RtpHeader::parse(datagram) else {
            drops.rtp_malformed += 1;
            return;
        };
        let Some(secure) = &mut session.secure else {
            drops.before_keys += 1;
            return;
        };
        let Media::Publish(publication) = session.media else {
            drops.rtp_unexpected += 1;
            return;
        };
        match secure.opener.rtp(datagram, &header) {
            Ok((index, len)) => {
                session.received.add(len);
                let packet = Opened { header, index, packet: datagram.get(..len).unwrap_or_default() };
                self.handle_media(now, slot, publication, &packet);
            }
            Err(OpenError::Malformed) => drops.rtp_malformed += 1,
            Err(OpenError::Unauthenticated) => drops.rtp_unauthenticated += 1,
            Err(OpenError::Replayed) => drops.rtp_replayed += 1,
            Err(OpenError::TooManySsrcs) => drops.rtp_too_many_ssrcs += 1,
        }
    }

    /// An authentic media packet of a publisher.
    fn handle_media(&mut self, now: Instant, slot: usize, publication_slot: usize, opened: &Opened<'_>) {
        let Opened { header, index, packet } = opened;
        let drops = &mut self.counters.drops;
        let Some(publication) = self.publications.get_mut(publication_slot) else { return };
        let payload = packet.get(header.len..).and_then(|payload| header.without_padding(payload));
        let place = publication.track_of(header, packet);
        let track = place.and_then(|place| publication.tracks.get_mut(place)?.as_mut());
        let (Some(payload), Some(track)) = (payload, track) else {
            drops.rtp_unexpected += 1;
            return;
        };
        let fits = publication.bandwidth.take(packet.len() as u64 * 8, now);
        let received = if fits { Some(track.receive(now, header, *index, payload)) } else { None };
        if received.is_none() {
            track.skip(now, header, *index);
        }
        track.count(self.epoch, now, header, *index);
        match received {
            Some(Received::Queued { first, gave_up }) => self.queued(now, slot, publication_slot, first, gave_up),
            Some(Received::OtherSource) => drops.rtp_unexpected += 1,
            Some(Received::TooLarge) => drops.rtp_too_large += 1,
            Some(Received::QueueFull) => drops.rtp_queue_full += 1,
            None => drops.rtp_over_bitrate += 1,
        }
    }

    fn queued(&mut self, now: Instant, slot: usize, publication_slot: usize, first: bool, gave_up: bool) {
        self.counters.rtp_received += 1;
        let Some(publication) = self.publications.get_mut(publication_slot) else { return };
        if gave_up {
            publication.keyframe.want();
        }
        if !publication.dirty {
            publication.dirty = true;
            self.dirty.push(publication_slot);
        }
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.packets += 1;
        if first && session.connected {
            // Reports name the source, and a publisher starts faster with a bit rate estimate.
            session.next_tick = now;
            self.arm(slot, now);
        }
    }

    fn handle_rtcp(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8], out: &mut dyn PacketSink) {
        let drops = &mut self.counters.drops;
        let slot = self.demux.address(from);
        let Some((slot, session)) = slot.and_then(|slot| Some((slot, self.sessions.get_mut(slot)?))) else {
            drops.unknown_source += 1;
            return;
        };
        session.bytes.received += datagram.len() as u64;
        let Some(secure) = &mut session.secure else {
            drops.before_keys += 1;
            return;
        };
        let len = match secure.opener.rtcp(datagram) {
            Ok(len) => len,
            Err(error) => {
                match error {
                    OpenError::Malformed => drops.rtcp_malformed += 1,
                    OpenError::Replayed => drops.rtcp_replayed += 1,
                    OpenError::Unauthenticated | OpenError::TooManySsrcs => drops.rtcp_unauthenticated += 1,
                }
                return;
            }
        };
        for packet in Compound::new(datagram.get(..len).unwrap_or_default()) {
            let Ok(packet) = packet else {
                self.counters.drops.rtcp_malformed += 1;
                return;
            };
            match self.sessions.get(slot).map(|session| &session.media) {
                Some(Media::Publish(publication)) => self.publisher_report(now, slot, *publication, packet),
                Some(Media::Subscribe(subscription)) => {
                    self.subscriber_report(now, slot, subscription.publication, packet, out);
                }
                None => return,
            }
        }
    }

    fn publisher_report(&mut self, now: Instant, slot: usize, publication: usize, packet: Packet<'_>) {
        let Some(publication) = self.publications.get_mut(publication) else { return };
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let tracks = publication.tracks.iter_mut().flatten();
        match packet {
            Packet::SenderReport { ssrc, info, .. } => tracks.for_each(|track| track.sender_report(now, ssrc, info)),
            Packet::Goodbye(sources) => {
                tracks.for_each(|track| sources.iter().for_each(|source| track.goodbye(source)));
            }
            Packet::DelaySinceLast(delays) => {
                let own = session.feedback_ssrc;
                let answered = delays.iter().find(|(ssrc, last, _)| *ssrc == own && *last != 0);
                if let Some((_, last, delay)) = answered {
                    use crate::media::clock;
                    let since = clock::middle(clock::ntp(self.epoch, now)).wrapping_sub(last);
                    session.round_trip = since.checked_sub(delay).map(clock::from_short).or(session.round_trip);
                }
            }
            _ => {}
        }
    }

    fn subscriber_report(
        &mut self,
        now: Instant,
        slot: usize,
        publication: usize,
        packet: Packet<'_>,
        out: &mut dyn PacketSink,
    ) {
        match packet {
            Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports } => {
                reports.iter().for_each(|report| self.subscriber_round_trip(now, slot, &report));
            }
            Packet::Nack { media_ssrc, lost } => {
                let Some(publication) = self.publications.get(publication) else { return };
                let Some(session) = self.sessions.get_mut(slot) else { return };
                forward::resend(publication, session, media_ssrc, lost.iter(), &mut self.counters, out);
            }
            Packet::PictureLoss { media_ssrc } => self.keyframe_for(now, slot, publication, media_ssrc, out),
            Packet::FullIntra(entries) => {
                for source in entries.iter().take(2) {
                    self.keyframe_for(now, slot, publication, source, out);
                }
            }
            _ => {}
        }
    }

    fn subscriber_round_trip(&mut self, now: Instant, slot: usize, report: &ReportBlock) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Media::Subscribe(subscription) = &session.media else { return };
        let sent = subscription.tracks.iter().flatten().find(|track| track.ssrc == report.ssrc);
        let round_trip = sent.and_then(|sent| sent.round_trip(now, report.last_sender_report, report.delay));
        session.round_trip = round_trip.or(session.round_trip);
    }

    fn keyframe_for(&mut self, now: Instant, slot: usize, publication: usize, ssrc: u32, out: &mut dyn PacketSink) {
        let Some(Media::Subscribe(subscription)) = self.sessions.get(slot).map(|session| &session.media) else {
            return;
        };
        if subscription.tracks.iter().flatten().any(|track| track.ssrc == ssrc) {
            self.want_keyframe(publication, now, out);
        }
    }
}
