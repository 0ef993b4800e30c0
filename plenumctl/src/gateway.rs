//! The one call to a gateway: which way a Room's media goes now.

use plenum_protocol::flow::FlowReport;
use plenum_protocol::problem::Problem;
use std::time::Duration;

/// Longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 8 << 20;

/// Why the gateway gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    /// It could not be asked.
    #[error("asking the gateway at {url}")]
    Ask {
        /// Where.
        url: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// It refused.
    #[error("the gateway refused: {0}")]
    Refused(Problem),
    /// It refused without saying why.
    #[error("{url} answered HTTP {status}, not as a gateway does")]
    Status {
        /// Where.
        url: String,
        /// The status.
        status: u16,
    },
    /// The answer is too large.
    #[error("the answer of {0} is larger than {MAX_ANSWER} bytes")]
    TooLarge(String),
    /// The answer is no flow report.
    #[error("reading the answer of {url}")]
    Read {
        /// Where.
        url: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Asks gateways.
pub(crate) struct Gateway {
    http: reqwest::Client,
}

impl Gateway {
    /// A client that keeps its connections.
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { http })
    }

    /// `GET {room_url}/flow`, where `room_url` is a Room's `status.signaling.url`.
    pub(crate) async fn flow(&self, room_url: &str, token: &str) -> Result<FlowReport, GatewayError> {
        let url = format!("{}/flow", room_url.trim_end_matches('/'));
        // The URL of a failure is in our own message.
        let failed = |source: reqwest::Error| GatewayError::Ask { url: url.clone(), source: source.without_url() };
        let mut response = self.http.get(&url).bearer_auth(token).send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err(GatewayError::TooLarge(url));
            }
        }
        let status = response.status();
        if !status.is_success() {
            return Err(match serde_json::from_slice(&body) {
                Ok(problem) => GatewayError::Refused(problem),
                Err(_) => GatewayError::Status { url, status: status.as_u16() },
            });
        }
        serde_json::from_slice(&body).map_err(|source| GatewayError::Read { url, source })
    }
}
