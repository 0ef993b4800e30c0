//! What one publisher sends and who gets it.

use super::keyframe::KeyframeGate;
use super::track::Track;
use crate::rtp::RtpHeader;
use crate::rtp::extension::MAX_MID;
use plenum_sansio::TokenBucket;
use std::time::{Duration, Instant};

/// Place of the audio track in arrays of two.
pub(crate) const AUDIO: usize = 0;
/// Place of the video track in arrays of two.
pub(crate) const VIDEO: usize = 1;
/// A publisher may send what its rate brings in this time at once: a keyframe is many times an average frame.
const BURST: Duration = Duration::from_secs(2);

/// One publication.
pub(crate) struct Publication {
    /// The publisher's session.
    pub(crate) session: usize,
    /// Audio and video.
    pub(crate) tracks: [Option<Track>; 2],
    /// Sessions that subscribe, connected or not.
    pub(crate) members: Vec<usize>,
    /// Sessions that packets go to now.
    pub(crate) subscribers: Vec<usize>,
    pub(crate) keyframe: KeyframeGate,
    /// Bits.
    pub(crate) bandwidth: TokenBucket,
    pub(crate) mid_extension: Option<u8>,
    /// It is in the engine's list of publications to flush.
    pub(crate) dirty: bool,
}

impl Publication {
    /// The track that a decrypted packet belongs to: by MID when there is one, and by payload type (RFC 9143, 9.2).
    pub(crate) fn track_of(&self, header: &RtpHeader, packet: &[u8]) -> Option<usize> {
        let mid = self.mid_extension.and_then(|id| header.extension(packet, id)).filter(|mid| mid.len() <= MAX_MID);
        self.tracks.iter().position(|track| {
            track.as_ref().is_some_and(|track| {
                track.codec.payload_type == header.payload_type && mid.is_none_or(|mid| mid == track.mid.as_bytes())
            })
        })
    }

    /// Another bound from now on; 0 bounds nothing.
    pub(crate) fn set_max_kbps(&mut self, max_kbps: u32) {
        self.bandwidth.set_rate(bits_per_second(max_kbps), BURST);
    }

    pub(crate) fn track(&self, at: usize) -> Option<&Track> {
        self.tracks.get(at)?.as_ref()
    }

    pub(crate) fn video(&mut self) -> Option<&mut Track> {
        self.tracks.get_mut(VIDEO)?.as_mut()
    }

    pub(crate) fn has(&self, at: usize) -> bool {
        self.track(at).is_some()
    }

    /// SSRC that a keyframe can be asked of now.
    pub(crate) fn keyframe_source(&self) -> Option<u32> {
        self.track(VIDEO)?.ssrc()
    }

    /// When something is to be asked of the publisher.
    pub(crate) fn due_at(&self, now: Instant) -> Option<Instant> {
        let keyframe = self.keyframe_source().and_then(|_| self.keyframe.due_at(now));
        let missing = self.track(VIDEO).filter(|track| track.codec.nack).and_then(|track| track.missing.due_at());
        keyframe.into_iter().chain(missing).min()
    }
}

/// The bandwidth of a publisher that was told `max_kbps`; 0 bounds nothing.
pub(crate) fn bandwidth(max_kbps: u32, now: Instant) -> TokenBucket {
    TokenBucket::new(bits_per_second(max_kbps), BURST, now)
}

/// With a quarter and 100 kbit/s of slack.
fn bits_per_second(max_kbps: u32) -> u64 {
    if max_kbps == 0 { 0 } else { u64::from(max_kbps) * 1_250 + 100_000 }
}
