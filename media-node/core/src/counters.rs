//! What the engine counts. Plain fields; the shell exports them.

/// Totals since the engine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams handed in.
    pub datagrams_in: u64,
    /// Bytes of datagrams handed in.
    pub bytes_in: u64,
    /// Datagrams handed to the sink.
    pub datagrams_out: u64,
    /// Bytes handed to the sink.
    pub bytes_out: u64,
    /// Media packets received from publishers and accepted.
    pub rtp_received: u64,
    /// Media packets sent to subscribers, resends included.
    pub rtp_forwarded: u64,
    /// Media packets sent again because a subscriber asked.
    pub rtp_resent: u64,
    /// Subscribers' requests for packets that are not in the cache.
    pub nack_misses: u64,
    /// Keyframe requests of subscribers.
    pub keyframes_wanted: u64,
    /// Keyframe requests sent to publishers after merging and throttling.
    pub keyframes_requested: u64,
    /// Packets that the node asked publishers to send again.
    pub nacks_sent: u64,
    /// Sessions whose transport connected.
    pub sessions_connected: u64,
    /// Sessions ended by the engine itself.
    pub sessions_lost: u64,
    /// Datagrams and packets that were dropped.
    pub drops: Drops,
}

/// Drops, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drops {
    /// Neither STUN nor DTLS nor (S)RTP by RFC 7983, or empty.
    pub not_webrtc: u64,
    /// From an address that no session has checked.
    pub unknown_source: u64,
    /// STUN that does not parse or has a kind that an ICE-lite node does not take.
    pub stun_malformed: u64,
    /// STUN with a username of no session.
    pub stun_unknown_user: u64,
    /// STUN whose integrity or fingerprint does not hold.
    pub stun_unauthenticated: u64,
    /// STUN from one address too many for its session.
    pub stun_too_many_sources: u64,
    /// STUN over a session's bound per second.
    pub stun_too_frequent: u64,
    /// STUN that did not come by a relay, of a session that must.
    pub stun_not_relayed: u64,
    /// DTLS that its endpoint refused.
    pub dtls_refused: u64,
    /// (S)RTP or (S)RTCP before the keys are there.
    pub before_keys: u64,
    /// RTP header that does not parse.
    pub rtp_malformed: u64,
    /// RTP that does not decrypt.
    pub rtp_unauthenticated: u64,
    /// RTP seen before, or too old to tell.
    pub rtp_replayed: u64,
    /// RTP with a payload type that was not negotiated, or from a subscriber.
    pub rtp_unexpected: u64,
    /// RTP of one SSRC too many.
    pub rtp_too_many_ssrcs: u64,
    /// RTP over the publisher's bit rate bound.
    pub rtp_over_bitrate: u64,
    /// Payload larger than a packet may be.
    pub rtp_too_large: u64,
    /// Media packets that waited too long between two flushes.
    pub rtp_queue_full: u64,
    /// RTCP that does not parse.
    pub rtcp_malformed: u64,
    /// RTCP that does not decrypt.
    pub rtcp_unauthenticated: u64,
    /// RTCP seen before, or too old to tell.
    pub rtcp_replayed: u64,
    /// Resends over a subscriber's resend bound.
    pub resend_limited: u64,
    /// Packets for which the sink had no room.
    pub sink_full: u64,
}

impl Drops {
    /// Every drop with a stable name for a metric label.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 23] {
        [
            ("NotWebrtc", self.not_webrtc),
            ("UnknownSource", self.unknown_source),
            ("StunMalformed", self.stun_malformed),
            ("StunUnknownUser", self.stun_unknown_user),
            ("StunUnauthenticated", self.stun_unauthenticated),
            ("StunTooManySources", self.stun_too_many_sources),
            ("StunTooFrequent", self.stun_too_frequent),
            ("StunNotRelayed", self.stun_not_relayed),
            ("DtlsRefused", self.dtls_refused),
            ("BeforeKeys", self.before_keys),
            ("RtpMalformed", self.rtp_malformed),
            ("RtpUnauthenticated", self.rtp_unauthenticated),
            ("RtpReplayed", self.rtp_replayed),
            ("RtpUnexpected", self.rtp_unexpected),
            ("RtpTooManySsrcs", self.rtp_too_many_ssrcs),
            ("RtpOverBitrate", self.rtp_over_bitrate),
            ("RtpTooLarge", self.rtp_too_large),
            ("RtpQueueFull", self.rtp_queue_full),
            ("RtcpMalformed", self.rtcp_malformed),
            ("RtcpUnauthenticated", self.rtcp_unauthenticated),
            ("RtcpReplayed", self.rtcp_replayed),
            ("ResendLimited", self.resend_limited),
            ("SinkFull", self.sink_full),
        ]
    }

    /// Sum over all reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }
}
