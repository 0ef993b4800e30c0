//! Long-term credentials (RFC 8489, section 9.2) that nobody stores: the password follows from the username.

use md5::{Digest, Md5};
use plenum_protocol::turn::{Username, password};

/// What MESSAGE-INTEGRITY is made with.
pub(crate) type LongTermKey = [u8; 16];

/// Who made an authentic request.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) username: &'a str,
    pub(crate) parsed: Username<'a>,
    pub(crate) key: LongTermKey,
}

/// The key of a username under one secret.
pub(crate) fn long_term_key(secret: &[u8], username: &str, realm: &str) -> LongTermKey {
    let mut digest = Md5::new();
    for part in [username, ":", realm, ":", &password(secret, username)] {
        digest.update(part);
    }
    digest.finalize().into()
}

/// Whose quota a username counts towards: everything but its expiry, so that credentials given out later count as
/// the same user's; the whole of it when it names nobody.
pub(crate) fn user<'a>(username: &'a str, parsed: &Username<'_>) -> &'a str {
    let rest = username.split_once(':').map_or("", |(_, rest)| rest);
    if parsed.session.is_empty() { username } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_digest_of_username_realm_and_password() {
        // `printf 1:a | openssl dgst -sha1 -hmac secret -binary | base64`, then `printf 1:a:plenum:… | md5sum`.
        assert_eq!(password(b"secret", "1:a"), "JZRYcMlvft7lxNZTB/T9f5E7SSM=");
        let key = long_term_key(b"secret", "1:a", "plenum");
        assert_eq!(key.map(|byte| format!("{byte:02x}")).concat(), "bf3b6914ed7e40bb214f9d7a57e74bec");
        assert_ne!(long_term_key(b"other", "1:a", "plenum"), key);
    }

    #[test]
    fn a_user_is_who_stays_when_credentials_are_renewed() {
        let of = |text: &'static str| user(text, &Username::parse(text).unwrap());
        assert_eq!(of("100:SE_1:media"), of("200:SE_1:media"));
        assert_ne!(of("100:SE_1:media"), of("100:SE_1:peers"));
        assert_ne!(of("100:SE_1"), of("100:SE_2"));
        assert_ne!(of("100"), of("200"), "nobody is named: each username is a user");
    }
}
