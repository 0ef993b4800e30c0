//! SDP offers in, answers out (RFC 9429 shapes of WHIP and WHEP), and trickle fragments (RFC 8840).
//!
//! `rtc-sdp` parses; what is accepted and what the answer says is decided here. Sizes are bounded before parsing.

pub mod answer;
pub mod fragment;
pub mod offer;
pub mod plan;

pub use answer::{AnswerSpec, SectionAnswer, Transport};
pub use fragment::Fragment;
pub use offer::{Codec, Direction, MediaKind, Offer, Section};
pub use plan::{Plan, Role};

/// ICE credentials of one side.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// Username fragment.
    pub ufrag: String,
    /// Password.
    pub pwd: String,
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

impl IceCredentials {
    /// Checks lengths and characters (RFC 8839, section 5.4).
    ///
    /// # Errors
    /// [`SdpError::IceCredentials`].
    pub fn new(ufrag: &str, pwd: &str) -> Result<Self, SdpError> {
        // ice-char, and what clients that use base64url put there; it does no harm.
        let is_ice = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
        let fits = |text: &str, least: usize| (least..=256).contains(&text.len()) && text.bytes().all(is_ice);
        if !fits(ufrag, 4) || !fits(pwd, 22) {
            return Err(SdpError::IceCredentials);
        }
        Ok(Self { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() })
    }
}

/// Why an offer or fragment cannot be served; the text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// More bytes than allowed.
    #[error("the SDP is larger than 64 KiB")]
    TooLarge,
    /// The parser refused it.
    #[error("the SDP does not parse: {0}")]
    Malformed(String),
    /// More m= sections than allowed.
    #[error("the offer has more than {} media sections", offer::MAX_SECTIONS)]
    TooManySections,
    /// No usable audio or video.
    #[error("nothing in the offer can be served: {0}")]
    NothingToServe(&'static str),
    /// Audio without Opus.
    #[error("audio section {mid}: Opus (opus/48000/2) is not among its codecs; it is the only one that is forwarded")]
    NoOpus {
        /// Its mid.
        mid: String,
    },
    /// Video without VP8.
    #[error("video section {mid}: VP8 (VP8/90000) is not among its codecs; it is the only one that is forwarded")]
    NoVp8 {
        /// Its mid.
        mid: String,
    },
    /// No or bad mid.
    #[error("every media section needs a=mid of 1 to 16 letters, digits, '-', '_' or '.', each a different one")]
    Mid,
    /// ICE credentials missing or out of range.
    #[error("a=ice-ufrag (4 to 256 characters) and a=ice-pwd (22 to 256 characters) are needed")]
    IceCredentials,
    /// No SHA-256 fingerprint.
    #[error("a=fingerprint:sha-256 of the DTLS certificate is needed")]
    Fingerprint,
    /// The client wants to be DTLS server.
    #[error("a=setup must be actpass or active: the media node is always the passive side")]
    Setup,
    /// No rtcp-mux.
    #[error("section {mid}: a=rtcp-mux is needed")]
    RtcpMux {
        /// Its mid.
        mid: String,
    },
    /// Not secure RTP over UDP.
    #[error("section {mid}: the protocol must be UDP/TLS/RTP/SAVPF")]
    Protocol {
        /// Its mid.
        mid: String,
    },
    /// Audio and video on different transports.
    #[error("all sections must be in one a=group:BUNDLE (bundlePolicy max-bundle)")]
    Bundle,
    /// Two sections use the same payload type for different codecs.
    #[error("Opus and VP8 have the same payload type in one bundle")]
    PayloadTypes,
}
