//! An API key of a namespace, and join tokens signed with it.

use crate::kube::Kube;
use anyhow::{Context, Result};
use base64::Engine as _;
use plenum_protocol::token::{API_KEYS_SECRET, Claims, VideoGrant, sign};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a token lives unless a test says otherwise, in seconds.
const LIFETIME: u64 = 3600;

/// One API key.
#[derive(Debug, Clone)]
pub struct ApiKey {
    id: String,
    secret: String,
}

impl ApiKey {
    /// Makes a random key and puts it into the namespace's Secret.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn create(kube: &Kube, namespace: &str) -> Result<Self> {
        let key = Self { id: "e2e".to_owned(), secret: format!("{:032x}", rand::random::<u128>()) };
        let encoded = base64::engine::general_purpose::STANDARD.encode(&key.secret);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": API_KEYS_SECRET}, "data": {&key.id: encoded},
        });
        kube.apply(namespace, secret).await?;
        Ok(key)
    }

    /// Key id, the `iss` of tokens.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Claims of an ordinary token, for tests that change some of them.
    ///
    /// # Errors
    /// The clock is before 1970.
    pub fn claims(&self, room: &str, identity: &str) -> Result<Claims> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("reading the clock")?.as_secs();
        Ok(Claims {
            iss: self.id.clone(),
            sub: identity.to_owned(),
            exp: now + LIFETIME,
            nbf: now.saturating_sub(1),
            name: Some(identity.to_owned()),
            video: VideoGrant { room: room.to_owned(), room_join: true, room_admin: true, ..VideoGrant::default() },
        })
    }

    /// A token that opens `room` for `identity`, who may see addresses.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn token(&self, room: &str, identity: &str) -> Result<String> {
        self.sign(&self.claims(room, identity)?)
    }

    /// Signs claims.
    ///
    /// # Errors
    /// They cannot be signed.
    pub fn sign(&self, claims: &Claims) -> Result<String> {
        sign(claims, self.secret.as_bytes()).context("signing a token")
    }
}
