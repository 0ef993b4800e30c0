//! plenum-operator: waits for the Lease with everything ready, leads until it is lost or the process is to end.

use anyhow::{Context as _, anyhow};
use clap::Parser as _;
use plenum_operator::leader;
use plenum_operator::lease::{Elector, Leadership};
use plenum_operator::metrics::Metrics;
use plenum_operator::settings::Settings;
use plenum_runtime::shutdown::Shutdown;
use plenum_runtime::{crypto, probes, telemetry};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// How long the tasks of an operator may take to end before the Lease is given away.
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
    let leadership = Arc::new(Leadership::default());
    let control = Arc::new(OnceLock::new());
    let (name, namespace) = (settings.pod_name.clone(), settings.namespace.clone());
    let elector = Elector::new(client.clone(), &namespace, name, address, leadership.clone(), control.clone());

    let stop = Shutdown::new();
    let work = leader::run(settings, client, leadership, metrics.clone(), control, stop.clone());
    let mut work = tokio::spawn(work);
    let campaign = async {
        let Some(lease) = elector.acquire(&shutdown, |answered| readiness.set(answered)).await else { return Ok(None) };
        metrics.leader.set(1);
        elector.hold(lease, &shutdown).await.map(Some)
    };
    let held = tokio::select! {
        held = campaign => held.map_err(anyhow::Error::from),
        ended = &mut work => match ended.context("the operator's task")? {
            Ok(()) => Err(anyhow!("the operator's tasks ended by themselves")),
            Err(error) => Err(anyhow::Error::from(error)),
        },
    };
    metrics.leader.set(0);
    stop.trigger();
    let lease = held.context("this operator cannot go on; another one leads, and this one starts again")?;
    if tokio::time::timeout(WIND_DOWN, work).await.is_err() {
        tracing::warn!("the operator's tasks did not end in time");
    }
    if let Some(lease) = lease {
        elector.release(lease).await.context("releasing the lease")?;
        tracing::info!("released the lease");
    }
    probes.abort();
    Ok(())
}
