//! `plenum-gateway`: see the library.

use anyhow::Context as _;
use clap::Parser as _;
use plenum_gateway::{Command, Settings, check, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    plenum_runtime::crypto::install();
    if let Some(Command::Check { url }) = &settings.command {
        return check(url).await;
    }
    plenum_runtime::telemetry::init("info").context("starting the log")?;
    run(settings).await
}
