//! TURN credentials: usernames that carry expiry, session and scope, and the passwords that a shared secret makes of them.
//!
//! `expiry:session:scope` extends what coturn calls `use-auth-secret` (`expiry:user`), so foreign servers can share a secret.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest username that is accepted, in bytes (RFC 8489 section 14.3 allows 508).
pub const MAX_USERNAME: usize = 508;

/// Which peers a credential reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// The media endpoints that the operator names, and nothing else.
    Media,
    /// Public peers, relays of the cluster, and the pool's `peers.allow`.
    Peers,
}

impl Scope {
    /// As it stands in a username.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Media => "media",
            Self::Peers => "peers",
        }
    }
}

/// A username, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Username<'a> {
    /// When an Allocate with it is refused: seconds since 1970.
    pub expires: u64,
    /// The session (or, from a foreign issuer, the user) that it was made for; empty when it names none.
    pub session: &'a str,
    /// Unset: made by a foreign issuer, `expiry` or `expiry:user`.
    pub scope: Option<Scope>,
}

/// A username of another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a TURN username must be \"expiry:session:scope\" with seconds since 1970 and the scope media or peers, or \"expiry:user\""
)]
pub struct InvalidUsername;

impl<'a> Username<'a> {
    /// Takes a username apart.
    ///
    /// # Errors
    /// It has another form.
    pub fn parse(text: &'a str) -> Result<Self, InvalidUsername> {
        if text.len() > MAX_USERNAME {
            return Err(InvalidUsername);
        }
        let mut parts = text.splitn(3, ':');
        let expires = parts.next().unwrap_or_default();
        if expires.is_empty() || !expires.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidUsername);
        }
        let expires = expires.parse().map_err(|_| InvalidUsername)?;
        let session = parts.next().unwrap_or_default();
        let scope = match parts.next() {
            None => None,
            Some("media") => Some(Scope::Media),
            Some("peers") => Some(Scope::Peers),
            Some(_) => return Err(InvalidUsername),
        };
        Ok(Self { expires, session, scope })
    }
}

impl fmt::Display for Username<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.expires, self.session)?;
        self.scope.map_or(Ok(()), |scope| write!(f, ":{}", scope.as_str()))
    }
}

/// The password of a username: base64 of HMAC-SHA1 with the shared secret.
#[must_use]
pub fn password(secret: &[u8], username: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    STANDARD.encode(hmac::sign(&key, username.as_bytes()).as_ref())
}

/// How a client reaches a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RelayTransport {
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// TLS over TCP.
    #[serde(rename = "TLS")]
    Tls,
}

impl fmt::Display for RelayTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_username_carries_expiry_session_and_scope() {
        let parsed = Username::parse("1700000000:SE_1:media").unwrap();
        assert_eq!(parsed, Username { expires: 1_700_000_000, session: "SE_1", scope: Some(Scope::Media) });
        assert_eq!(parsed.to_string(), "1700000000:SE_1:media");
    }

    #[test]
    fn usernames_of_foreign_issuers_have_no_scope() {
        for text in ["1700000000", "1700000000:someone"] {
            assert_eq!(Username::parse(text).unwrap().scope, None, "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            ":a:media",
            "x:a:media",
            "-1:a:media",
            "+1:a:media",
            "1:a:root",
            "1:a:media:peers",
            "99999999999999999999:a",
        ] {
            assert_eq!(Username::parse(text), Err(InvalidUsername), "{text}");
        }
        assert_eq!(Username::parse(&format!("1:{}", "a".repeat(MAX_USERNAME))), Err(InvalidUsername));
    }

    #[test]
    fn the_password_is_base64_of_hmac_sha1() {
        // RFC 2202, test case 2.
        assert_eq!(password(b"Jefe", "what do ya want for nothing?"), "7/zfauXrL6LSdBbV8YTfnCWafHk=");
    }

    proptest! {
        #[test]
        fn no_username_panics(text in "\\PC{0,80}") {
            if let Ok(parsed) = Username::parse(&text) {
                prop_assert!(text.starts_with(|c: char| c.is_ascii_digit()), "{parsed:?}");
            }
        }
    }
}
