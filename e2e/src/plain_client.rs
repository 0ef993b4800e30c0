//! A browser page that speaks plain WHIP and WHEP, without Plenum's own page and room socket.

use crate::browser::Browser;
use crate::wait::{Look, until};
use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const SCRIPT: &str = include_str!("plain_client.js");

/// One such page.
#[derive(Debug)]
pub struct PlainClient {
    browser: Browser,
}

/// A session of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct PeerId(String);

/// What `getStats` says of a session.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStats {
    /// Video frames decoded so far.
    pub frames_decoded: u64,
    /// Video frames sent so far.
    pub frames_sent: u64,
    /// Audio samples received so far.
    pub audio_received: u64,
    /// Audio packets sent so far.
    pub audio_sent: u64,
    /// `RTCPeerConnection.connectionState`.
    pub connection: String,
}

/// Headers of the answer that opened a session.
#[derive(Debug, Clone, Deserialize)]
pub struct PeerDetails {
    /// URL of the session.
    pub url: String,
    /// Entity tag of its ICE session.
    pub etag: Option<String>,
    /// Link header.
    pub link: Option<String>,
}

/// An answer to a request about a session.
#[derive(Debug, Clone, Deserialize)]
pub struct PeerAnswer {
    /// HTTP status.
    pub status: u16,
    /// ETag header.
    pub etag: Option<String>,
    /// Body.
    pub body: String,
}

impl PlainClient {
    /// Turns a browser into such a page, on the page that is loaded in it.
    ///
    /// # Errors
    /// The script does not run.
    pub async fn new(browser: Browser) -> Result<Self> {
        browser.run::<()>(SCRIPT, &[]).await?;
        Ok(Self { browser })
    }

    /// The browser.
    #[must_use]
    pub fn browser(&self) -> &Browser {
        &self.browser
    }

    /// Publishes camera and microphone.
    ///
    /// # Errors
    /// The server refuses; the message has its answer.
    pub async fn publish(&self, url: &str, token: &str) -> Result<PeerId> {
        self.browser.run("return plain.publish(...args)", &[json!(url), json!(token)]).await
    }

    /// Watches.
    ///
    /// # Errors
    /// The server refuses; the message has its answer.
    pub async fn watch(&self, url: &str, token: &str) -> Result<PeerId> {
        self.browser.run("return plain.watch(...args)", &[json!(url), json!(token)]).await
    }

    /// What `getStats` says.
    ///
    /// # Errors
    /// The page fails.
    pub async fn stats(&self, peer: &PeerId) -> Result<PeerStats> {
        self.browser.run("return plain.stats(...args)", &[json!(peer.0)]).await
    }

    /// Waits until `more` further video frames and some audio are decoded.
    ///
    /// # Errors
    /// The deadline passes.
    pub async fn decodes(&self, peer: &PeerId, more: u64, within: Duration) -> Result<()> {
        let before = self.stats(peer).await?;
        until(&format!("{more} more frames are decoded, and audio"), within, async || {
            let now = self.stats(peer).await?;
            let moved =
                now.frames_decoded >= before.frames_decoded + more && now.audio_received > before.audio_received;
            Ok(Look::when(moved, (), || format!("before {before:?}, now {now:?}")))
        })
        .await
    }

    /// Headers of the answer that opened a session.
    ///
    /// # Errors
    /// The page fails.
    pub async fn details(&self, peer: &PeerId) -> Result<PeerDetails> {
        self.browser.run("return plain.details(...args)", &[json!(peer.0)]).await
    }

    /// A request to the session's URL with its token.
    ///
    /// # Errors
    /// The page cannot send it (CORS, network).
    pub async fn request(&self, peer: &PeerId, method: &str, headers: Value, body: Option<&str>) -> Result<PeerAnswer> {
        self.browser.run("return plain.request(...args)", &[json!(peer.0), json!(method), headers, json!(body)]).await
    }

    /// Restarts ICE by PATCH.
    ///
    /// # Errors
    /// The page fails.
    pub async fn restart(&self, peer: &PeerId) -> Result<PeerAnswer> {
        self.browser.run("return plain.restart(...args)", &[json!(peer.0)]).await
    }

    /// Closes the browser.
    ///
    /// # Errors
    /// The WebDriver refuses.
    pub async fn close(self) -> Result<()> {
        self.browser.close().await
    }
}
