//! The gateways' public HTTP API, as a program that is no browser uses it.

use crate::http;
use anyhow::{Context, Result, ensure};
use plenum_protocol::flow::FlowReport;
use plenum_protocol::ice::{IceServers, IceServersRequest};
use reqwest::{Method, RequestBuilder};

/// One gateway URL.
#[derive(Debug, Clone)]
pub struct Door {
    http: reqwest::Client,
    base: String,
}

impl Door {
    /// The gateway at `base`.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(base: &str) -> Result<Self> {
        Ok(Self { http: http::client()?, base: base.trim_end_matches('/').to_owned() })
    }

    /// Base URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// URL of `rest` (`whip`, `whep`, `socket`, `flow`) of a room.
    #[must_use]
    pub fn room_url(&self, namespace: &str, room: &str, rest: &str) -> String {
        format!("{}/v1/rooms/{namespace}/{room}/{rest}", self.base)
    }

    /// URL of the demo page of a room, with the token where no server sees it, and the region that the client is told to
    /// be in.
    #[must_use]
    pub fn page_url(&self, namespace: &str, room: &str, token: &str, region: Option<&str>) -> String {
        let query = region.map(|region| format!("?region={region}")).unwrap_or_default();
        format!("{}/rooms/{namespace}/{room}{query}#token={token}", self.base)
    }

    /// Whether a gateway is there.
    pub async fn answers(&self) -> bool {
        self.request(Method::GET, "/").send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// A request to a path (beginning with `/`) of this gateway.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// `POST /v1/ice-servers`.
    ///
    /// # Errors
    /// It is refused, or not what the protocol says.
    pub async fn ice_servers(&self, token: &str, wish: &IceServersRequest) -> Result<IceServers> {
        let request = self.request(Method::POST, "/v1/ice-servers").bearer_auth(token).json(wish);
        let answer = request.send().await.context("asking for ICE servers")?;
        let status = answer.status();
        let body = answer.text().await.context("reading an answer")?;
        ensure!(status.is_success(), "POST /v1/ice-servers: {status} {body}");
        serde_json::from_str(&body).with_context(|| format!("parsing the ICE servers: {body}"))
    }

    /// `GET …/flow`.
    ///
    /// # Errors
    /// It is refused, or not what the protocol says.
    pub async fn flow(&self, namespace: &str, room: &str, token: &str) -> Result<FlowReport> {
        let url = self.room_url(namespace, room, "flow");
        let answer = self.http.get(&url).bearer_auth(token).send().await.with_context(|| format!("getting {url}"))?;
        let status = answer.status();
        let body = answer.text().await.context("reading an answer")?;
        ensure!(status.is_success(), "GET {url}: {status} {body}");
        serde_json::from_str(&body).with_context(|| format!("parsing the flow: {body}"))
    }
}
