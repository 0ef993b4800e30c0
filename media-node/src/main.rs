//! The media node's program: settings from the environment, then [`plenum_media_node::MediaNode`].

use anyhow::Context as _;
use plenum_media_node::MediaNode;
use plenum_media_node::settings::Settings;
use plenum_runtime::shutdown::Shutdown;
use plenum_runtime::telemetry;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    telemetry::init("info").context("setting up logs")?;
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    let shutdown = Shutdown::on_signals().context("installing signal handlers")?;
    MediaNode::bind(&settings).await?.run(shutdown).await?;
    Ok(())
}
