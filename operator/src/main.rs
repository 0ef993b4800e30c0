//! plenum-operator: waits for the Lease, leads until it is lost or the process is to end.

use anyhow::{Context as _, anyhow};
use clap::Parser as _;
use plenum_operator::leader;
use plenum_operator::lease::Elector;
use plenum_operator::metrics::Metrics;
use plenum_operator::settings::Settings;
use plenum_runtime::shutdown::Shutdown;
use plenum_runtime::{crypto, probes, telemetry};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the tasks of a leader may take to end before the Lease is given away.
const WIND_DOWN: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    telemetry::init("info,kube_client=warn,kube_runtime=warn")?;
    crypto::install();
    let shutdown = Shutdown::on_signals().context("installing signal handlers")?;

    let mut registry = prometheus_client::registry::Registry::default();
    let metrics = Arc::new(Metrics::new(&mut registry));
    let readiness = probes::Readiness::new();
    let probes =
        probes::serve(settings.metrics_address(), readiness.clone(), Arc::new(Mutex::new(registry)), shutdown.clone());
    let probes = tokio::spawn(probes);

    let client = kube::Client::try_default().await.context("finding the API server")?;
    let address = format!("https://{}", settings.control_address());
    let elector = Elector::new(client.clone(), &settings.namespace, settings.pod_name.clone(), address);
    let ready = |answered| readiness.set(answered);
    let Some((leadership, lease)) = elector.acquire(&shutdown, ready).await else { return Ok(()) };
    let leadership = Arc::new(leadership);
    metrics.leader.set(1);
    tracing::info!(term = leadership.term().0, "leading");

    let stop = Shutdown::new();
    let mut leading = tokio::spawn(leader::lead(settings, client, leadership.clone(), metrics.clone(), stop.clone()));
    let held = tokio::select! {
        held = elector.hold(&leadership, lease, &shutdown) => held.map_err(anyhow::Error::from),
        ended = &mut leading => match ended.context("the leader's task")? {
            Ok(()) => Err(anyhow!("the leader's tasks ended by themselves")),
            Err(error) => Err(anyhow::Error::from(error)),
        },
    };
    metrics.leader.set(0);
    stop.trigger();
    let lease = held.context("leading ended; another operator takes over, and this one starts again")?;
    if !leading.is_finished() && tokio::time::timeout(WIND_DOWN, leading).await.is_err() {
        tracing::warn!("the leader's tasks did not end in time");
    }
    elector.release(lease).await.context("releasing the lease")?;
    tracing::info!("released the lease");
    probes.abort();
    Ok(())
}
