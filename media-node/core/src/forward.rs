//! Packets out: queued media to all subscribers, resends to one, RTCP to either side.
//!
//! The hot path. Every packet is written and sealed straight in the sink's buffer; nothing is allocated or queued.

use crate::counters::Counters;
use crate::media::packet_cache::Cached;
use crate::media::publication::Publication;
use crate::media::sent_track::SentTrack;
use crate::rtcp::Writer;
use crate::rtp::MAX_PACKET;
use crate::session::{Media, Session};
use crate::sink::PacketSink;
use crate::srtp::{MAX_OVERHEAD, Sealer};
use slab::Slab;
use std::net::SocketAddr;
use std::time::Instant;

/// Largest RTCP compound that is sent, without protection.
const MAX_RTCP: usize = 1_200;

/// Sends a ready datagram. Returns the bytes sent.
pub(crate) fn send_raw(to: SocketAddr, bytes: &[u8], counters: &mut Counters, out: &mut dyn PacketSink) -> usize {
    let Some(room) = out.reserve(to, bytes.len()) else {
        counters.drops.sink_full += 1;
        return 0;
    };
    if plenum_sansio::wire::put(room, 0, bytes).is_none() {
        return 0;
    }
    committed(bytes.len(), counters, out);
    bytes.len()
}

fn committed(len: usize, counters: &mut Counters, out: &mut dyn PacketSink) {
    out.commit(len);
    counters.datagrams_out += 1;
    counters.bytes_out += len as u64;
}

/// Sends what waits of a publication: subscriber by subscriber, so that each one's packets are in a row.
pub(crate) fn flush_publication(
    publication: &mut Publication,
    sessions: &mut Slab<Session>,
    counters: &mut Counters,
    out: &mut dyn PacketSink,
) {
    let Publication { tracks, subscribers, .. } = publication;
    for slot in subscribers.iter() {
        let Some(session) = sessions.get_mut(*slot) else { continue };
        let (Some(to), Some(secure)) = (session.nominated, &session.secure) else { continue };
        let Media::Subscribe(subscription) = &mut session.media else { continue };
        for (track, sent) in tracks.iter().zip(&mut subscription.tracks) {
            let (Some(track), Some(sent)) = (track, sent) else { continue };
            for index in &track.pending {
                let Some(packet) = track.cache.get(*index) else { continue };
                let Some(place) = sent.forward(*index) else { continue };
                let Some(len) = send_media(to, &secure.sealer, sent, place, packet, counters, out) else { continue };
                sent.count(packet.payload.len());
                session.packets += 1;
                session.sent.add(len);
                session.bytes.sent += len as u64;
            }
        }
    }
    for track in tracks.iter_mut().flatten() {
        track.pending.clear();
    }
}

/// Sends one media packet under the subscriber's index `place`. Returns the bytes sent.
#[allow(clippy::too_many_arguments, reason = "every one is a different part of the engine, split to borrow apart")]
fn send_media(
    to: SocketAddr,
    sealer: &Sealer,
    sent: &SentTrack,
    place: u64,
    packet: Cached<'_>,
    counters: &mut Counters,
    out: &mut dyn PacketSink,
) -> Option<usize> {
    let need = sent.header_len() + packet.payload.len() + sealer.rtp_overhead();
    if need > MAX_PACKET {
        counters.drops.rtp_too_large += 1;
        return None;
    }
    let Some(buffer) = out.reserve(to, need) else {
        counters.drops.sink_full += 1;
        return None;
    };
    let len = sent.write(buffer, place, packet)?;
    let len = sealer.rtp(buffer, sent.header_len(), len, place)?;
    committed(len, counters, out);
    counters.rtp_forwarded += 1;
    Some(len)
}

/// Sends again what a subscriber lost, from the cache of its publication.
pub(crate) fn resend(
    publication: &Publication,
    session: &mut Session,
    media_ssrc: u32,
    lost: impl Iterator<Item = u16>,
    counters: &mut Counters,
    out: &mut dyn PacketSink,
) {
    let (Some(to), Some(secure)) = (session.nominated, &session.secure) else { return };
    let Media::Subscribe(subscription) = &mut session.media else { return };
    let both = publication.tracks.iter().zip(&subscription.tracks);
    let mut pairs = both.filter_map(|(track, sent)| Some((track.as_ref()?, sent.as_ref()?)));
    let found = pairs.find(|(_, sent)| sent.ssrc == media_ssrc);
    let Some((track, sent)) = found else { return };
    for sequence in lost {
        if subscription.resends_left == 0 {
            counters.drops.resend_limited += 1;
            continue;
        }
        let cached = sent.resolve(sequence).and_then(|(index, place)| Some((track.cache.get(index)?, place)));
        let Some((packet, place)) = cached else {
            counters.nack_misses += 1;
            continue;
        };
        subscription.resends_left -= 1;
        if let Some(len) = send_media(to, &secure.sealer, sent, place, packet, counters, out) {
            counters.rtp_resent += 1;
            session.packets += 1;
            session.sent.add(len);
            session.bytes.sent += len as u64;
        }
    }
}

/// Seals and sends the compound that `build` writes, if it writes anything.
pub(crate) fn send_rtcp(
    session: &mut Session,
    counters: &mut Counters,
    out: &mut dyn PacketSink,
    build: impl FnOnce(&mut Writer<'_>),
) {
    let (Some(to), Some(secure)) = (session.nominated, &mut session.secure) else { return };
    let Some(buffer) = out.reserve(to, MAX_RTCP + MAX_OVERHEAD) else {
        counters.drops.sink_full += 1;
        return;
    };
    let Some(room) = buffer.get_mut(..MAX_RTCP) else { return };
    let mut writer = Writer::new(room);
    build(&mut writer);
    let len = writer.len();
    if len == 0 {
        return;
    }
    if let Some(len) = secure.sealer.rtcp(buffer, len) {
        committed(len, counters, out);
        session.bytes.sent += len as u64;
    }
}

/// Asks the publisher for lost packets and for a keyframe, as far as either is due.
pub(crate) fn ask_publisher(
    publication: &mut Publication,
    session: &mut Session,
    now: Instant,
    counters: &mut Counters,
    out: &mut dyn PacketSink,
) {
    if session.secure.is_none() || session.nominated.is_none() {
        return;
    }
    let round_trip = session.round_trip;
    let mut lost = [0u16; 64];
    let mut count = 0;
    if let Some(track) = publication.video().filter(|track| track.codec.nack) {
        let (due, outcome) = track.missing.take_due(now, round_trip, &mut lost);
        count = due;
        if outcome == crate::media::missing::Outcome::GiveUp {
            publication.keyframe.want();
        }
    }
    let Some(source) = publication.keyframe_source() else { return };
    let keyframe = publication.keyframe.take(now);
    if count == 0 && !keyframe {
        return;
    }
    let own = session.feedback_ssrc;
    counters.nacks_sent += count as u64;
    counters.keyframes_requested += u64::from(keyframe);
    send_rtcp(session, counters, out, |writer| {
        // Each part is bounded far below the buffer, so all of them fit.
        writer.receiver_report(own, &[]);
        if count > 0 {
            writer.nack(own, source, lost.get(..count).unwrap_or_default());
        }
        if keyframe {
            writer.picture_loss(own, source);
        }
    });
}
