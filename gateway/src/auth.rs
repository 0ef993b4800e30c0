//! Who may do what: join tokens against API keys, and tokens for the holders of keys. Time is an argument.

use crate::keys::ApiKeys;
use plenum_protocol::ids::RoomName;
use plenum_protocol::problem::Code;
use plenum_protocol::token::{self, API_KEYS_SECRET, Claims, MintToken, MintedToken, TokenError};
use plenum_signaling::{Access, BasicCredentials, Refusal, parse_room};

/// Lifetime of a token when none is asked for, and the longest, in seconds.
const DEFAULT_TTL: u32 = 3_600;
const MAX_TTL: u32 = 86_400;
/// Longest identity and display name, in bytes.
const MAX_NAME: usize = 128;

/// Checks a join token for `room` at `now` (seconds since 1970).
pub(crate) fn authorize(keys: &ApiKeys, room: &RoomName, token: &str, now: u64) -> Result<Access, Refusal> {
    let refused = |error: TokenError| Refusal::new(Code::Unauthorized, error.to_string());
    let issuer = token::issuer(token).map_err(refused)?;
    // An unknown key and a wrong signature look alike, so that key ids cannot be guessed.
    let secret = keys.secret(&room.namespace, &issuer).ok_or_else(|| refused(TokenError::Signature))?;
    let claims = token::verify(token, &secret, now).map_err(refused)?;
    let Claims { iss: _, sub, exp: _, nbf: _, name, video } = claims;
    if video.room != room.name {
        return Err(Refusal::new(Code::Forbidden, "this join token is for another room (video.room)"));
    }
    if !video.room_join {
        return Err(Refusal::new(Code::Forbidden, "this join token does not allow joining (video.roomJoin)"));
    }
    if !is_name(&sub) || name.as_deref().is_some_and(|name| !is_name(name)) {
        let detail =
            format!("sub and name of a join token must have 1 to {MAX_NAME} bytes, without control characters");
        return Err(Refusal::new(Code::Forbidden, detail));
    }
    Ok(Access {
        room: room.clone(),
        name: name.unwrap_or_else(|| sub.clone()),
        identity: sub,
        can_publish: video.can_publish.unwrap_or(true),
        can_subscribe: video.can_subscribe.unwrap_or(true),
        room_admin: video.room_admin,
    })
}

/// Signs a join token for the holder of an API key.
pub(crate) fn mint(keys: &ApiKeys, key: &BasicCredentials, wish: MintToken, now: u64) -> Result<MintedToken, Refusal> {
    let MintToken { namespace, identity, name, ttl_seconds, video } = wish;
    let secret = keys.secret(&namespace, &key.id).unwrap_or_default();
    if aws_lc_rs::constant_time::verify_slices_are_equal(&secret, key.secret.as_bytes()).is_err() || secret.is_empty() {
        let detail =
            format!("the API key is not in the Secret {API_KEYS_SECRET} of that namespace, or its secret is wrong");
        return Err(Refusal::new(Code::Unauthorized, detail).asking_for_api_key());
    }
    let bad = |detail: String| Err(Refusal::new(Code::BadRequest, detail));
    if parse_room(&namespace, &video.room).is_none() {
        return bad("video.room must be the name of a Room".to_owned());
    }
    if !video.room_join {
        return bad("video.roomJoin must be true: the token would open nothing".to_owned());
    }
    if !is_name(&identity) || name.as_deref().is_some_and(|name| !is_name(name)) {
        return bad(format!("identity and name must have 1 to {MAX_NAME} bytes, without control characters"));
    }
    let ttl = ttl_seconds.unwrap_or(DEFAULT_TTL);
    if !(1..=MAX_TTL).contains(&ttl) {
        return bad(format!("ttlSeconds must be 1 to {MAX_TTL}"));
    }
    let expires_at = now.saturating_add(u64::from(ttl));
    let claims = Claims { iss: key.id.clone(), sub: identity, exp: expires_at, nbf: now, name, video };
    let token = token::sign(&claims, &secret).map_err(|error| Refusal::new(Code::Internal, error.to_string()))?;
    Ok(MintedToken { token, expires_at })
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;
    use plenum_protocol::token::VideoGrant;

    fn keys() -> ApiKeys {
        let mut secret = Secret::default();
        secret.metadata.namespace = Some("a".into());
        secret.data = Some([("key".to_owned(), ByteString(b"secret".to_vec()))].into());
        let keys = ApiKeys::new();
        keys.apply(secret);
        keys
    }

    fn room(namespace: &str, name: &str) -> RoomName {
        RoomName { namespace: namespace.into(), name: name.into() }
    }

    fn credentials(secret: &str) -> BasicCredentials {
        BasicCredentials { id: "key".into(), secret: secret.into() }
    }

    fn wish() -> MintToken {
        MintToken {
            namespace: "a".into(),
            identity: "ann".into(),
            name: None,
            ttl_seconds: Some(60),
            video: VideoGrant {
                room: "demo".into(),
                room_join: true,
                can_publish: Some(false),
                ..VideoGrant::default()
            },
        }
    }

    #[test]
    fn a_minted_token_opens_its_room_and_no_other() {
        let minted = mint(&keys(), &credentials("secret"), wish(), 100).unwrap();
        assert_eq!(minted.expires_at, 160);
        let access = authorize(&keys(), &room("a", "demo"), &minted.token, 120).unwrap();
        assert_eq!((access.identity.as_str(), access.name.as_str()), ("ann", "ann"));
        assert!(!access.can_publish && access.can_subscribe && !access.room_admin);
        let other = authorize(&keys(), &room("a", "other"), &minted.token, 120).unwrap_err();
        assert_eq!(other.code(), Code::Forbidden);
        let elsewhere = authorize(&keys(), &room("b", "demo"), &minted.token, 120).unwrap_err();
        assert_eq!(elsewhere.code(), Code::Unauthorized);
        let late = authorize(&keys(), &room("a", "demo"), &minted.token, 200).unwrap_err();
        assert!(late.problem.detail.contains("expired"));
    }

    #[test]
    fn a_wrong_or_unknown_key_mints_nothing() {
        assert_eq!(mint(&keys(), &credentials("wrong"), wish(), 0).unwrap_err().code(), Code::Unauthorized);
        assert_eq!(mint(&ApiKeys::new(), &credentials(""), wish(), 0).unwrap_err().code(), Code::Unauthorized);
        let elsewhere = MintToken { namespace: "b".into(), ..wish() };
        assert_eq!(mint(&keys(), &credentials("secret"), elsewhere, 0).unwrap_err().code(), Code::Unauthorized);
    }

    #[test]
    fn a_wish_out_of_bounds_is_refused() {
        let bad = [
            MintToken { ttl_seconds: Some(0), ..wish() },
            MintToken { ttl_seconds: Some(MAX_TTL + 1), ..wish() },
            MintToken { identity: String::new(), ..wish() },
            MintToken { name: Some("x".repeat(129)), ..wish() },
            MintToken { video: VideoGrant { room: "A/B".into(), ..wish().video }, ..wish() },
            MintToken { video: VideoGrant { room_join: false, ..wish().video }, ..wish() },
        ];
        for wish in bad {
            assert_eq!(mint(&keys(), &credentials("secret"), wish, 0).unwrap_err().code(), Code::BadRequest);
        }
    }
}
