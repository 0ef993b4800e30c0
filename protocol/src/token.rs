//! Join tokens: HS256 JWT with LiveKit's claim names (`video.room`, `roomJoin`, `canPublish`, …).
//!
//! A key opens rooms of the namespace that its Secret is in, and no others; callers pick the secret by
//! (namespace, `iss`) with [`issuer`] before they verify.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN_LEN: usize = 4096;
/// How far clocks may differ, in seconds.
pub const LEEWAY_SECONDS: u64 = 10;
/// Name of the Secret with API keys (data: key id to secret) in an application's namespace.
pub const API_KEYS_SECRET: &str = "plenum-api-keys";

/// What a token allows in one room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct VideoGrant {
    /// Name of the Room.
    pub room: String,
    /// May join.
    #[serde(default)]
    pub room_join: bool,
    /// May see client addresses in `/flow`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub room_admin: bool,
    /// May publish; unset means yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// May subscribe; unset means yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
}

/// The claims of a join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// API key id.
    pub iss: String,
    /// Identity of the participant.
    pub sub: String,
    /// Expiry, seconds since 1970.
    pub exp: u64,
    /// Not before, seconds since 1970.
    #[serde(default)]
    pub nbf: u64,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The grant.
    pub video: VideoGrant,
}

/// Request body of `POST /v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MintToken {
    /// Namespace of the Room and of the API key.
    pub namespace: String,
    /// Identity, 1 to 128 bytes.
    pub identity: String,
    /// Display name, at most 128 bytes.
    #[serde(default)]
    pub name: Option<String>,
    /// Lifetime in seconds, 1 to 86,400; unset: 3,600.
    #[serde(default)]
    pub ttl_seconds: Option<u32>,
    /// The grant that the token carries.
    pub video: VideoGrant,
}

/// Answer of `POST /v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MintedToken {
    /// The token.
    pub token: String,
    /// Seconds since 1970.
    pub expires_at: u64,
}

/// Why a token is refused. Never holds the token itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT of ours, or too long.
    #[error("the join token is malformed")]
    Malformed,
    /// Signed by another key, or with another algorithm.
    #[error("the join token's signature does not match its API key")]
    Signature,
    /// `exp` has passed.
    #[error("the join token has expired")]
    Expired,
    /// `nbf` has not come yet.
    #[error("the join token is not valid yet")]
    NotYetValid,
    /// Could not be signed.
    #[error("the token could not be signed")]
    Signing,
}

/// The API key id of a token, *unverified*: only good for finding the secret to verify with.
///
/// # Errors
/// [`TokenError::Malformed`].
pub fn issuer(token: &str) -> Result<String, TokenError> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    use base64::Engine as _;
    if token.len() > MAX_TOKEN_LEN {
        return Err(TokenError::Malformed);
    }
    let payload = token.split('.').nth(1).ok_or(TokenError::Malformed)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Malformed)?;
    let issuer: Issuer = serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)?;
    Ok(issuer.iss)
}

/// Verifies signature and times at `now` (seconds since 1970).
///
/// # Errors
/// See [`TokenError`].
pub fn verify(token: &str, secret: &[u8], now: u64) -> Result<Claims, TokenError> {
    if token.len() > MAX_TOKEN_LEN || secret.is_empty() {
        return Err(TokenError::Malformed);
    }
    let mut validation = Validation::new(Algorithm::HS256);
    // Times are checked below against the caller's clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let claims = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(secret), &validation)
        .map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature | jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => {
                TokenError::Signature
            }
            _ => TokenError::Malformed,
        })?
        .claims;
    if claims.exp.saturating_add(LEEWAY_SECONDS) < now {
        return Err(TokenError::Expired);
    }
    if claims.nbf > now.saturating_add(LEEWAY_SECONDS) {
        return Err(TokenError::NotYetValid);
    }
    Ok(claims)
}

/// Signs `claims`.
///
/// # Errors
/// [`TokenError::Signing`].
pub fn sign(claims: &Claims, secret: &[u8]) -> Result<String, TokenError> {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret))
        .map_err(|_| TokenError::Signing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            iss: "key".into(),
            sub: "ann".into(),
            exp: 1_000,
            nbf: 500,
            name: None,
            video: VideoGrant { room: "demo".into(), room_join: true, ..VideoGrant::default() },
        }
    }

    #[test]
    fn a_signed_token_verifies_with_its_secret_only() {
        let token = sign(&claims(), b"secret").unwrap();
        assert_eq!(issuer(&token).unwrap(), "key");
        assert_eq!(verify(&token, b"secret", 600).unwrap(), claims());
        assert_eq!(verify(&token, b"other", 600), Err(TokenError::Signature));
    }

    #[test]
    fn times_are_checked_against_the_callers_clock() {
        let token = sign(&claims(), b"secret").unwrap();
        assert_eq!(verify(&token, b"secret", 1_011), Err(TokenError::Expired));
        assert_eq!(verify(&token, b"secret", 489), Err(TokenError::NotYetValid));
    }

    #[test]
    fn an_unsigned_token_is_refused() {
        let token = sign(&claims(), b"secret").unwrap();
        let body: Vec<&str> = token.split('.').collect();
        let none = format!("eyJhbGciOiJub25lIn0.{}.", body[1]);
        assert!(verify(&none, b"secret", 600).is_err());
        assert_eq!(verify("x", b"secret", 600), Err(TokenError::Malformed));
    }
}
