//! Mints a join token at a gateway, as an application would: `POST /v1/tokens` with an API key, over HTTP on loopback.

use crate::deploy::ApiKey;
use crate::http;
use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// How long a token of the example lives.
const LIFETIME_SECONDS: u32 = 24 * 3600;

/// Who wants to go where.
pub(crate) struct Wanted<'a> {
    /// Namespace of the room.
    pub(crate) namespace: &'a str,
    /// Name of the room.
    pub(crate) room: &'a str,
    /// Identity in the token.
    pub(crate) identity: &'a str,
}

/// Asks the gateway at `port` of this machine for a token.
pub(crate) fn mint(port: u16, key: &ApiKey, wanted: &Wanted) -> anyhow::Result<String> {
    let body = json!({
        "namespace": wanted.namespace, "identity": wanted.identity, "ttlSeconds": LIFETIME_SECONDS,
        "video": {"room": wanted.room, "roomJoin": true},
    });
    let credentials = STANDARD.encode(format!("{}:{}", key.id, key.secret));
    let headers = [format!("Authorization: Basic {credentials}"), "Content-Type: application/json".to_owned()];
    token_of(&http::ask(port, "POST /v1/tokens", &headers, &body.to_string())?)
}

fn token_of(answer: &str) -> anyhow::Result<String> {
    let (head, body) = answer.split_once("\r\n\r\n").context("the gateway closed the connection without an answer")?;
    let status = head.lines().next().unwrap_or_default();
    if !matches!(status.split(' ').nth(1), Some("200" | "201")) {
        bail!("the gateway refused a token: {status}: {body}");
    }
    let json = body.get(body.find('{').unwrap_or(0)..=body.rfind('}').unwrap_or(0)).unwrap_or_default();
    let value: Value = serde_json::from_str(json).with_context(|| format!("reading the token from {body:?}"))?;
    Ok(value.get("token").and_then(Value::as_str).context("the gateway's answer has no token")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_read_from_the_answer() {
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"token\":\"a.b.c\",\"expiresAt\":\"x\"}";
        assert_eq!(token_of(answer).unwrap(), "a.b.c");
    }

    #[test]
    fn a_refusal_is_an_error_that_says_why() {
        let error = token_of("HTTP/1.1 401 Unauthorized\r\n\r\nno such key").unwrap_err().to_string();
        assert!(error.contains("no such key"), "{error}");
    }
}
