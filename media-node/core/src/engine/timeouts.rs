//! What is due: expiry, transport timers, the beat of reports and rates, requests to publishers.

use super::Engine;
use crate::event::CloseReason;
use crate::forward;
use crate::media::clock;
use crate::media::publication::VIDEO;
use crate::rtcp::ReportBlock;
use crate::sdp::answer::STREAM;
use crate::session::{CHECKS_PER_TICK, Media, RESENDS_PER_TICK, TICK};
use crate::sink::PacketSink;
use std::time::{Duration, Instant};

/// Resolution of timers.
const SOON: Duration = Duration::from_millis(1);

impl Engine {
    /// Runs what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut dyn PacketSink) {
        while let Some(slot) = self.timers.pop_due(now) {
            self.run_due(slot, now, out);
            self.arm(slot, now);
        }
    }

    /// Makes sure that the session is woken when something of it is due.
    pub(super) fn arm(&mut self, slot: usize, now: Instant) {
        let Some(session) = self.sessions.get(slot) else { return };
        let publication = match session.media {
            Media::Publish(publication) => self.publications.get(publication),
            Media::Subscribe(_) => None,
        };
        let asking = publication.filter(|_| session.connected).and_then(|publication| publication.due_at(now));
        let fixed = session.next_tick.min(session.expires_at());
        let at = session.transport.poll_timeout().into_iter().chain(asking).fold(fixed, Instant::min);
        // Never in the past: what cannot be done at once must not turn the caller's loop into a busy one.
        self.timers.wake_by(slot, at.max(now + SOON));
    }

    fn run_due(&mut self, slot: usize, now: Instant, out: &mut dyn PacketSink) {
        let Some(session) = self.sessions.get(slot) else { return };
        if session.evicted {
            self.end(slot, now, Some(CloseReason::RelayRequired), out);
            return;
        }
        if session.expires_at() <= now {
            let reason = if session.connected { CloseReason::ConsentExpired } else { CloseReason::HandshakeTimeout };
            self.end(slot, now, Some(reason), out);
            return;
        }
        if session.transport.poll_timeout().is_some_and(|at| at <= now) {
            self.wake_transport(slot, now, out);
        }
        let Some(session) = self.sessions.get(slot) else { return };
        let publication = match session.media {
            Media::Publish(publication) => Some(publication),
            Media::Subscribe(_) => None,
        };
        let tick = session.next_tick <= now;
        if let Some(publication) = publication {
            self.ask_publisher(publication, now, out);
        }
        if tick {
            self.tell_path(slot);
            self.tick(slot, publication, now, out);
        }
    }

    fn tick(&mut self, slot: usize, publication: Option<usize>, now: Instant, out: &mut dyn PacketSink) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.next_tick = now + TICK;
        session.checks_left = CHECKS_PER_TICK;
        session.received.tick(now);
        session.sent.tick(now);
        if let Media::Subscribe(subscription) = &mut session.media {
            subscription.resends_left = RESENDS_PER_TICK;
        }
        if session.connected {
            match publication {
                Some(publication) => self.report_to_publisher(slot, publication, now, out),
                None => self.report_to_subscriber(slot, now, out),
            }
        }
    }

    /// Receiver report, bit rate estimate and reference time.
    fn report_to_publisher(&mut self, slot: usize, publication: usize, now: Instant, out: &mut dyn PacketSink) {
        let Some(publication) = self.publications.get_mut(publication) else { return };
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let mut reports = [ReportBlock::default(); 2];
        let mut sources = [0; 2];
        let mut count = 0;
        for track in publication.tracks.iter_mut().flatten() {
            let Some(ssrc) = track.ssrc() else { continue };
            let Some(report) = track.stats.report(ssrc, now) else { continue };
            if let (Some(slot), Some(source)) = (reports.get_mut(count), sources.get_mut(count)) {
                (*slot, *source) = (report, ssrc);
                count += 1;
            }
        }
        let limits = self.rooms.get(&session.room).map(|room| room.limits);
        let max_kbps = limits.map_or(0, |limits| limits.max_bitrate_kbps);
        let wants_estimate = publication.track(VIDEO).is_some_and(|track| track.codec.max_bitrate);
        let own = session.feedback_ssrc;
        let reference = clock::ntp(self.epoch, now);
        forward::send_rtcp(session, &mut self.counters, out, |writer| {
            // All of it together is far below the buffer, so everything fits.
            writer.receiver_report(own, reports.get(..count).unwrap_or_default());
            writer.canonical_name(own, STREAM);
            if max_kbps > 0 && count > 0 && wants_estimate {
                writer.max_bitrate(own, u64::from(max_kbps) * 1_000, sources.get(..count).unwrap_or_default());
            }
            writer.reference_time(own, reference);
        });
    }

    /// Sender reports of the tracks that are being sent.
    fn report_to_subscriber(&mut self, slot: usize, now: Instant, out: &mut dyn PacketSink) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Media::Subscribe(subscription) = &mut session.media else { return };
        let Some(publication) = self.publications.get(subscription.publication) else { return };
        let mut reports = [None; 2];
        let pairs = publication.tracks.iter().zip(&mut subscription.tracks);
        for ((track, sent), report) in pairs.zip(&mut reports) {
            let (Some(track), Some(sent)) = (track, sent) else { continue };
            *report = sent.sender_report(now, track).map(|info| (sent.ssrc, info));
        }
        forward::send_rtcp(session, &mut self.counters, out, |writer| {
            // Two small packets per track always fit.
            for (ssrc, info) in reports.into_iter().flatten() {
                writer.sender_report(ssrc, info);
                writer.canonical_name(ssrc, STREAM);
            }
        });
    }
}
