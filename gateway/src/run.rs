//! The process: watches, servers, readiness, and the order in which they stop.

use crate::homes::{Homes, Slices};
use crate::identity::IdentityTable;
use crate::leader::Leader;
use crate::metrics::Counters;
use crate::peers::{Peers, PeersParts};
use crate::rates::Rates;
use crate::relays::Relays;
use crate::remote::{Gateway, Parts};
use crate::routes::Routes;
use crate::settings::Settings;
use crate::sockets::SocketPermits;
use crate::{ApiKeys, control, front, watches};
use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Node, Secret};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use plenum_api::names::{SECRET_GATEWAY_CONTROL, SECRET_RELAYS, TOPOLOGY_REGION};
use plenum_protocol::token::API_KEYS_SECRET;
use plenum_runtime::client::ControlClient;
use plenum_runtime::mtls::{self, Identity};
use plenum_runtime::probes::{self, Readiness};
use plenum_runtime::server::{Limits, PublicTls, serve_plain, serve_tls};
use plenum_runtime::shutdown::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long clients may take to get their last message at shutdown.
const DRAIN: Duration = Duration::from_secs(8);
/// Label of an EndpointSlice that names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// How long relays and the other gateways may keep this one from serving: most clients do without.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long `check` waits.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until SIGTERM, then drains.
///
/// # Errors
/// The API server cannot be used, or an address cannot be bound.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals().context("listening for signals")?;
    let (counters, readiness) = (Counters::new(), Readiness::new());
    let mut tasks = JoinSet::new();
    let probes_listener = bind(settings.metrics_address(), "probes and metrics").await?;
    let (ready, registry, stop) = (readiness.clone(), counters.registry(), shutdown.clone());
    tasks.spawn(async move { probes::serve_on(probes_listener, ready, registry, stop).await });

    let kube = Client::try_default().await.context("finding the API server")?;
    let tables = Tables::default();
    let watches = Watches::start(&kube, &settings, &tables, &mut tasks);
    let region = region(&kube, settings.node_name.as_deref()).await;
    let Some(identity) = watches.ready(&shutdown).await else { return Ok(()) };
    let Tables { routes, keys, relays, homes } = tables;
    tracing::info!(rooms = routes.len(), ?region, "watches are whole and the control certificate is there");

    // Servers and sockets outlive the signal by the drain delay.
    let closing = Shutdown::new();
    let client = ControlClient::new(Arc::clone(&identity));
    let sockets =
        SocketPermits::new(settings.max_sockets, settings.max_sockets_per_source, settings.max_sockets_per_room);
    let control_listener = bind(settings.control_address(), "the control endpoint").await?;
    let peers = Peers::new(PeersParts {
        pod: settings.pod_name.clone(),
        routes: routes.clone(),
        homes: homes.clone(),
        counters: counters.clone(),
        max_sockets: settings.max_sockets,
        closing: closing.clone(),
    });
    let (router, stop) = (control::control_router(client.clone(), &peers), closing.clone());
    tasks.spawn(async move { mtls::serve(control_listener, identity, router, stop).await });
    let gateway = Gateway::new(Parts {
        pod: settings.pod_name.clone(),
        region,
        keys,
        routes,
        homes,
        relays,
        leader: Leader::by_lease(Api::namespaced(kube, &settings.pod_namespace)),
        client,
        counters,
        requests: Rates::new(settings.requests_per_second_per_source),
        tokens: Rates::new(settings.tokens_per_second_per_source),
        ice_servers: Rates::new(settings.ice_servers_per_second_per_source),
        sockets: sockets.clone(),
        closing: closing.clone(),
    });
    let public = serve_public(&settings, gateway, closing.clone()).await?;
    readiness.set(true);
    tracing::info!(address = %settings.listen, "serving");

    shutdown.requested().await;
    tracing::info!("stopping: no new clients, then the rest");
    tokio::time::sleep(Duration::from_secs(settings.drain_delay_seconds)).await;
    closing.trigger();
    let drained = async { tokio::join!(sockets.drained(), peers.drained()) };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("some clients did not get their last message in time");
    }
    public.await.context("the public server")?;
    tasks.shutdown().await;
    Ok(())
}

/// What the watches feed.
#[derive(Default)]
struct Tables {
    routes: Routes,
    keys: ApiKeys,
    relays: Relays,
    homes: Homes,
}

/// What must be whole before anybody is served.
struct Watches {
    synced: Vec<watch::Receiver<bool>>,
    relays: watch::Receiver<bool>,
    homes: watch::Receiver<bool>,
    identity: watch::Receiver<Option<Arc<Identity>>>,
}

impl Watches {
    fn start(kube: &Client, settings: &Settings, tables: &Tables, tasks: &mut JoinSet<()>) -> Self {
        let mut synced = Vec::new();
        let mut sender = || {
            let (sender, receiver) = watch::channel(false);
            synced.push(receiver);
            sender
        };
        // The watches go on while clients drain: they end with the process.
        let forever = Shutdown::new();
        let config = Config::default();
        let (routes, keys) = (tables.routes.clone(), tables.keys.clone());
        tasks.spawn(watches::follow(Api::all(kube.clone()), config, routes, sender(), forever.clone()));
        let named = |name: &str| Config::default().fields(&format!("metadata.name={name}"));
        let config = named(API_KEYS_SECRET);
        tasks.spawn(watches::follow::<Secret>(Api::all(kube.clone()), config, keys, sender(), forever.clone()));
        let (table, identity) = IdentityTable::new();
        let own = || Api::namespaced(kube.clone(), &settings.pod_namespace);
        let config = named(SECRET_GATEWAY_CONTROL);
        tasks.spawn(watches::follow::<Secret>(own(), config, table, sender(), forever.clone()));
        let (whole, relays) = watch::channel(false);
        let config = named(SECRET_RELAYS);
        tasks.spawn(watches::follow::<Secret>(own(), config, tables.relays.clone(), whole, forever.clone()));
        let (whole, homes) = watch::channel(false);
        let slices = Slices::new(tables.homes.clone(), settings.control_address());
        let config = Config::default().labels(&format!("{SERVICE_LABEL}={}", settings.service));
        let api = Api::namespaced(kube.clone(), &settings.pod_namespace);
        tasks.spawn(watches::follow::<EndpointSlice>(api, config, slices, whole, forever));
        Self { synced, relays, homes, identity }
    }

    /// The identity, once everything is there; `None` when the stop came first.
    async fn ready(self, shutdown: &Shutdown) -> Option<Arc<Identity>> {
        let Self { synced, relays, homes, mut identity } = self;
        let everything = async {
            for mut receiver in synced {
                receiver.wait_for(|synced| *synced).await.ok()?;
            }
            let found = identity.wait_for(Option::is_some).await.ok()?.clone();
            let (with_relays, with_homes) = tokio::join!(whole_in_time(relays), whole_in_time(homes));
            if !with_relays {
                tracing::warn!(
                    secret = SECRET_RELAYS,
                    "the Secret cannot be read yet: clients get no relays until it can"
                );
            }
            if !with_homes {
                tracing::warn!(
                    "the EndpointSlices of the gateways cannot be read yet: peer-to-peer rooms do not open until they can"
                );
            }
            found
        };
        tokio::select! {
            () = shutdown.requested() => None,
            identity = everything => identity,
        }
    }
}

/// Whether a watch that is not waited for longer is whole.
async fn whole_in_time(mut watch: watch::Receiver<bool>) -> bool {
    matches!(tokio::time::timeout(PATIENCE, watch.wait_for(|whole| *whole)).await, Ok(Ok(_)))
}

async fn bind(address: std::net::SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("binding {address} for {what}"))
}

async fn serve_public(
    settings: &Settings,
    gateway: Gateway,
    closing: Shutdown,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let listener = bind(settings.listen, "clients").await?;
    let limits = Limits { connections: settings.max_connections, drain: DRAIN, ..Limits::default() };
    let router = front::router(gateway);
    let Some(dir) = settings.tls_dir.clone() else {
        return Ok(tokio::spawn(serve_plain(listener, router, limits, closing)));
    };
    let tls = Arc::new(PublicTls::from_dir(&dir).context("reading the public certificate")?);
    tokio::spawn(Arc::clone(&tls).follow_dir(dir, closing.clone()));
    Ok(tokio::spawn(serve_tls(listener, tls, router, limits, closing)))
}

/// Region label of this pod's node; a gateway works without.
async fn region(kube: &Client, node: Option<&str>) -> Option<String> {
    match Api::<Node>::all(kube.clone()).get(node?).await {
        Ok(node) => node.metadata.labels?.remove(TOPOLOGY_REGION),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "reading the own node; the region stays unknown");
            None
        }
    }
}

/// Fetches `url`.
///
/// # Errors
/// No answer, or another one than 2xx.
pub async fn check(url: &str) -> anyhow::Result<()> {
    // It asks whether somebody answers: the certificate is for the public name, and this image has no list of CAs.
    let client = reqwest::Client::builder().timeout(CHECK_TIMEOUT).tls_danger_accept_invalid_certs(true);
    let status = client
        .build()
        .context("making the client")?
        .get(url)
        .send()
        .await
        .with_context(|| format!("fetching {url}"))?
        .status();
    anyhow::ensure!(status.is_success(), "{url} answered {status}");
    Ok(())
}
