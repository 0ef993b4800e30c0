//! The page's store of ICE servers, in a real browser, when a room grows under its credentials. Needs no cluster.

use super::{local_browser, local_client};
use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("../src/ice_credentials.js");
const MODULE: &str = include_str!("../../web/ice-servers.js");

/// What became of one story.
#[derive(Debug, Deserialize)]
struct Story {
    /// Name that the first session with the media server has at its relay, and that later ones have.
    used: String,
    held: String,
    asked: usize,
    last: Value,
}

#[tokio::test]
async fn credentials_for_peers_are_not_taken_to_a_media_server() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let client = local_client("ice-servers-test", logs.path()).await?;
    let browser = local_browser(&client).await?;
    browser.run::<()>(SCRIPT, &[]).await?;
    for (before, there, in_flight, asked) in [
        ("peers", false, false, 2),
        ("peers", false, true, 2),
        ("peers", true, false, 3),
        // Two answers are under way, and neither is of use.
        ("peers", true, true, 4),
        // What was asked before the join serves: an ordinary join costs one request.
        ("media", false, false, 1),
        ("media", false, true, 1),
    ] {
        let how = json!({"before": before, "there": there, "inFlight": in_flight});
        let story: Story = browser.run("return iceCredentials.run(...args)", &[json!(MODULE), how.clone()]).await?;
        let right = story.used.ends_with(":media") && story.held.ends_with(":media");
        ensure!(right && story.last.get("participant").is_none_or(Value::is_null), "{how}: {story:?}");
        ensure!(story.asked == asked, "{how}: {story:?}");
    }
    browser.close().await
}
