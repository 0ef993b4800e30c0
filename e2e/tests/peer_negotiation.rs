//! The page's negotiation, on both sides at once, in a real browser: offers that meet, ICE restarts, broken signaling. Needs no
//! cluster.

use super::{local_browser, local_client};
use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::json;

const SCRIPT: &str = include_str!("../src/negotiation_rounds.js");
const MODULE: &str = include_str!("../../web/negotiation.js");
/// Each pair of connections is fresh; the seed decides what happens to it.
const PAIRS: u32 = 40;
const ROUNDS: u32 = 5;
/// Of two hundred rounds; the seeds give more of each.
const LEAST_GLARES: u32 = 100;
const LEAST_RESTARTS: u32 = 100;
const LEAST_BREAKS: u32 = 50;

/// What came to pass.
#[derive(Debug, Default, Deserialize)]
struct Log {
    rounds: u32,
    glares: u32,
    restarts: u32,
    breaks: u32,
    lost: u32,
}

#[tokio::test]
async fn both_sides_agree_a_hundred_times_whatever_meets_or_is_lost() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let client = local_client("negotiation-test", logs.path()).await?;
    let browser = local_browser(&client).await?;
    browser.run::<()>(SCRIPT, &[]).await?;
    let mut all = Log::default();
    for seed in 1..=PAIRS {
        let words = [json!(MODULE), json!(seed), json!(ROUNDS)];
        let log: Log = browser.run("return negotiationRounds.run(...args)", &words).await?;
        all.rounds += log.rounds;
        all.glares += log.glares;
        all.restarts += log.restarts;
        all.breaks += log.breaks;
        all.lost += log.lost;
    }
    eprintln!("{all:?}");
    ensure!(all.rounds == PAIRS * ROUNDS, "{all:?}");
    ensure!(all.glares >= LEAST_GLARES && all.restarts >= LEAST_RESTARTS, "{all:?}");
    ensure!(all.breaks >= LEAST_BREAKS && all.lost >= LEAST_BREAKS, "{all:?}");
    browser.close().await
}
