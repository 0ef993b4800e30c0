//! The TURN node's program: settings from the environment, then [`plenum_turn_node::TurnNode`].

use anyhow::Context as _;
use plenum_runtime::shutdown::Shutdown;
use plenum_runtime::telemetry;
use plenum_turn_node::TurnNode;
use plenum_turn_node::settings::Settings;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    telemetry::init("info").context("setting up logs")?;
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    let shutdown = Shutdown::on_signals().context("installing signal handlers")?;
    TurnNode::bind(&settings).await?.run(shutdown).await?;
    Ok(())
}
