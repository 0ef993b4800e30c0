//! Join tokens from an API key. Pure: the time is an argument.

use plenum_protocol::token::{self, Claims, TokenError, VideoGrant};
use std::time::Duration;

/// An API key of a namespace.
pub(crate) struct ApiKey {
    /// Its id.
    pub(crate) id: String,
    /// Its secret.
    pub(crate) secret: Vec<u8>,
}

/// What the token is to say.
pub(crate) struct Wish<'a> {
    /// Name of the Room.
    pub(crate) room: &'a str,
    /// Who joins.
    pub(crate) identity: &'a str,
    /// Display name.
    pub(crate) name: Option<&'a str>,
    /// May see client addresses.
    pub(crate) admin: bool,
    /// How long it holds from `now`.
    pub(crate) ttl: Duration,
}

/// Signs a token that holds from `now` (seconds since 1970).
pub(crate) fn mint(wish: &Wish<'_>, key: &ApiKey, now: u64) -> Result<String, TokenError> {
    let claims = Claims {
        iss: key.id.clone(),
        sub: wish.identity.to_owned(),
        exp: now.saturating_add(wish.ttl.as_secs()),
        nbf: now,
        name: wish.name.map(str::to_owned),
        video: VideoGrant {
            room: wish.room.to_owned(),
            room_join: true,
            room_admin: wish.admin,
            can_publish: None,
            can_subscribe: None,
        },
    };
    token::sign(&claims, &key.secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_token_opens_its_room_until_it_expires() {
        let key = ApiKey { id: "demo".into(), secret: b"secret".to_vec() };
        let ttl = Duration::from_secs(60);
        let wish = Wish { room: "standup", identity: "ann", name: Some("Ann"), admin: true, ttl };
        let token = mint(&wish, &key, 1_000).unwrap();
        assert_eq!(token::issuer(&token).unwrap(), "demo");
        let claims = token::verify(&token, b"secret", 1_030).unwrap();
        assert_eq!((claims.sub.as_str(), claims.name.as_deref(), claims.exp), ("ann", Some("Ann"), 1_060));
        assert!(claims.video.room_join && claims.video.room_admin && claims.video.room == "standup");
        assert_eq!(token::verify(&token, b"secret", 1_100), Err(TokenError::Expired));
    }
}
