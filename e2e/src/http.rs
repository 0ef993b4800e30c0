//! The HTTP client that all tests use, and how problem documents are read.

use anyhow::{Context, Result, ensure};
use plenum_protocol::problem::{CONTENT_TYPE, Code, Problem};
use reqwest::header;
use std::time::Duration;

/// Makes the TLS library usable; any number of times.
pub fn install_tls_provider() {
    // An error says that it is installed already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

/// A client with deadlines, without proxies, redirects and kept connections: each request may meet another replica.
///
/// # Errors
/// The TLS library cannot be set up.
pub fn client() -> Result<reqwest::Client> {
    install_tls_provider();
    reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(3))
        .no_proxy()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("making an HTTP client")
}

/// Reads an answer that must be a problem document with this code, and says the same status as its head.
///
/// # Errors
/// It is another one, or none.
pub async fn expect_problem(answer: reqwest::Response, code: Code) -> Result<Problem> {
    let status = answer.status();
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let body = answer.text().await.context("reading an answer")?;
    ensure!(kind.starts_with(CONTENT_TYPE), "expected a problem document ({code:?}), got {status} {kind}: {body}");
    let problem: Problem =
        serde_json::from_str(&body).with_context(|| format!("parsing a problem document: {body}"))?;
    ensure!(problem.code == code, "expected {code:?}, got {status} {problem:?}");
    ensure!(status.as_u16() == problem.status, "the head says {status}, the document {}", problem.status);
    ensure!(status.as_u16() / 100 == code.status() / 100, "{code:?} does not go with {status}");
    ensure!(!problem.detail.is_empty(), "{code:?} without a word of what was wrong");
    Ok(problem)
}
