//! Trickle fragments, `application/trickle-ice-sdpfrag` (RFC 8840).

use super::{IceCredentials, SdpError};
use plenum_protocol::control::MAX_SDP;

/// Most lines of a fragment.
const MAX_LINES: usize = 512;

/// What a fragment says. Its candidates are only counted: an ICE-lite node learns addresses from the checks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fragment {
    /// The client's ICE credentials; a change of them is an ICE restart.
    pub ice: Option<IceCredentials>,
    /// Number of candidates.
    pub candidates: usize,
}

impl Fragment {
    /// Parses a fragment.
    ///
    /// # Errors
    /// [`SdpError`].
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_SDP {
            return Err(SdpError::TooLarge);
        }
        let (mut ufrag, mut pwd, mut candidates) = (None, None, 0);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if number >= MAX_LINES {
                return Err(SdpError::TooLarge);
            }
            if line.is_empty() {
                continue;
            }
            let is_line = line.as_bytes().first().is_some_and(u8::is_ascii_lowercase) && line.get(1..2) == Some("=");
            if !is_line {
                return Err(SdpError::Malformed(format!("line {} is not of the form x=...", number + 1)));
            }
            let Some(attribute) = line.strip_prefix("a=") else { continue };
            match attribute.split_once(':') {
                Some(("ice-ufrag", value)) if ufrag.is_none() => ufrag = Some(value.trim()),
                Some(("ice-pwd", value)) if pwd.is_none() => pwd = Some(value.trim()),
                Some(("candidate", _)) => candidates += 1,
                _ => {}
            }
        }
        let ice = match (ufrag, pwd) {
            (Some(ufrag), Some(pwd)) => Some(IceCredentials::new(ufrag, pwd)?),
            (None, None) => None,
            _ => return Err(SdpError::IceCredentials),
        };
        Ok(Self { ice, candidates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn credentials_and_candidates_are_taken() {
        let text = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
                    a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\na=end-of-candidates\r\n";
        let fragment = Fragment::parse(text).unwrap();
        assert_eq!(fragment.ice.unwrap().ufrag, "abcd");
        assert_eq!(fragment.candidates, 1);
    }

    #[test]
    fn half_of_the_credentials_is_refused() {
        assert_eq!(Fragment::parse("a=ice-ufrag:abcd\r\n"), Err(SdpError::IceCredentials));
        assert!(matches!(Fragment::parse("hello"), Err(SdpError::Malformed(_))));
        assert_eq!(Fragment::parse(&"a=x\n".repeat(600)), Err(SdpError::TooLarge));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(a=ice-(ufrag|pwd):)?.{0,60}\n?.{0,30}") {
            std::hint::black_box(Fragment::parse(&text).is_ok());
        }
    }
}
