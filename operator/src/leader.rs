//! All that runs in an operator: watches and polls from its start; reconcilers and the control endpoint once it leads.

use crate::caches::{self, Caches};
use crate::changes::{Changes, Dispatcher};
use crate::clock::Clock;
use crate::context::Context;
use crate::control;
use crate::events::Events;
use crate::identities::{Identities, IdentityError};
use crate::lease::Leadership;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::nodes::Fleet;
use crate::overlay::Overlay;
use crate::relays::{Keeper, Relays};
use crate::settings::Settings;
use crate::{peers, pools, rooms};
use futures_util::{FutureExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use kube::runtime::controller::{Config, applier};
use kube::runtime::reflector::ObjectRef;
use plenum_api::{RelayPool, Room};
use plenum_runtime::client::ControlClient;
use plenum_runtime::mtls;
use plenum_runtime::shutdown::Shutdown;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How many objects may wait for their reconciler.
const QUEUE: usize = 1_024;
/// How many pools are reconciled at once.
const POOL_WORKERS: u16 = 4;
/// Between looks for a CA.
const CA_EVERY: Duration = Duration::from_millis(500);

/// Why an operator cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    /// Certificates.
    #[error("preparing certificates")]
    Identities(#[from] IdentityError),
    /// The control endpoint.
    #[error("listening on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Pods of pools could not be read.
    #[error("reading the pods of pools")]
    Pods(#[source] kube::Error),
    /// The watches ended before they had anything.
    #[error("the watches ended")]
    Watches,
}

/// Watches and polls from the start, so that a takeover needs nothing that is not there; leads once `leadership` is
/// taken, until `stop`. `control` is filled when this process could take over at once.
///
/// # Errors
/// See [`LeadError`].
pub async fn run(
    settings: Settings,
    client: kube::Client,
    leadership: Arc<Leadership>,
    metrics: Arc<Metrics>,
    control: Arc<OnceLock<ControlClient>>,
    stop: Shutdown,
) -> Result<(), LeadError> {
    let Some(identities) = identities(&client, &settings.namespace, &leadership, &stop).await? else { return Ok(()) };
    let (changes, mut news) = Changes::new();
    let (caches, writers) = Caches::new();
    let mut tasks = caches::watch(&client, &settings.namespace, writers, &changes, &metrics, &stop);
    if !caches.ready().await {
        return Err(LeadError::Watches);
    }
    let (events, event_queue) = Events::new(metrics.clone());
    tasks.spawn(event_queue.run(client.clone(), settings.pod_name.clone(), stop.clone()));
    let context = Arc::new(Context {
        control: control.get_or_init(|| ControlClient::new(identities.own())).clone(),
        client,
        settings,
        caches,
        clock: Clock::default(),
        ledger: Mutex::new(Ledger::default()),
        rooms: Overlay::default(),
        pools: Overlay::default(),
        pool_pace: pools::Pace::default(),
        pods: Overlay::default(),
        fleet: Fleet::new(stop.clone()),
        relays: Relays::default(),
        leadership,
        changes,
        events,
        metrics,
        identities,
    });
    tasks.spawn(Identities::renew(context.clone(), stop.clone()));
    let dispatcher = dispatcher(&mut tasks, &context);
    tokio::select! {
        () = dispatcher.stand_by(&mut news) => {}
        () = stop.requested() => return Ok(()),
    }
    let identities = async { context.identities.begin(&context).await.map_err(LeadError::from) };
    let keeper = async { Ok(Keeper::begin(context.clone()).await) };
    let ((), (), keeper) = tokio::try_join!(identities, catch_up(&context), keeper)?;
    listen(&mut tasks, &context, &stop).await?;
    tasks.spawn(dispatcher.run(news, keeper));
    tasks.spawn(peers::follow(context.clone()));
    stop.requested().await;
    tasks.shutdown().await;
    Ok(())
}

/// Those who wait need the CA that a leader made, and wait for that too. `None`: `stop` came first.
async fn identities(
    client: &kube::Client,
    namespace: &str,
    leadership: &Leadership,
    stop: &Shutdown,
) -> Result<Option<Identities>, LeadError> {
    loop {
        match Identities::load(client, namespace, leadership).await {
            Ok(identities) => return Ok(Some(identities)),
            Err(IdentityError::NotLeader(_)) => tracing::debug!("no leader has made a CA so far"),
            Err(error) if leadership.check(Instant::now()).is_ok() => return Err(error.into()),
            Err(error) => tracing::warn!(error = %crate::errors::chain(&error), "preparing certificates failed"),
        }
        tokio::select! {
            () = tokio::time::sleep(CA_EVERY) => {}
            () = stop.requested() => return Ok(None),
        }
    }
}

/// Starts the reconcilers; they have nothing to do before the dispatcher runs.
fn dispatcher(tasks: &mut JoinSet<()>, context: &Arc<Context>) -> Dispatcher {
    let (room_sender, room_queue) = mpsc::channel(QUEUE);
    let (pool_sender, pool_queue) = mpsc::channel(QUEUE);
    tasks.spawn(reconcile_rooms(context.clone(), room_queue));
    tasks.spawn(reconcile_pools(context.clone(), pool_queue));
    Dispatcher::new(context.clone(), room_sender, pool_sender)
}

/// A pod that the former leader made a moment ago may not have come by the watch yet: it would be made twice.
async fn catch_up(context: &Context) -> Result<(), LeadError> {
    let api: Api<Pod> = Api::all(context.client.clone());
    let of_pools = ListParams::default().labels(&caches::pods_of_pools());
    let now = Instant::now();
    for pod in api.list(&of_pools).await.map_err(LeadError::Pods)? {
        let shown = context.caches.pods.get(&ObjectRef::from_obj(&pod));
        if shown.is_none_or(|shown| shown.resource_version() != pod.resource_version()) {
            context.pods.wrote(Arc::new(pod), now);
        }
    }
    Ok(())
}

async fn listen(tasks: &mut JoinSet<()>, context: &Arc<Context>, stop: &Shutdown) -> Result<(), LeadError> {
    let address = context.settings.control_address();
    let listener = TcpListener::bind(address).await.map_err(|source| LeadError::Listen { address, source })?;
    tasks.spawn(mtls::serve(listener, context.identities.own(), control::router(context.clone()), stop.clone()));
    Ok(())
}

async fn reconcile_rooms(context: Arc<Context>, queue: mpsc::Receiver<ObjectRef<Room>>) {
    let config = Config::default().concurrency(context.settings.room_workers);
    let store = context.caches.rooms.clone();
    let reconcile = |room, context| rooms::reconcile(room, context).boxed();
    applier(reconcile, rooms::on_error, context, store, stream(queue), config)
        .for_each(|result| {
            if let Err(error) = result {
                tracing::debug!(error = %crate::errors::chain(&error), "a Room was not reconciled");
            }
            std::future::ready(())
        })
        .await;
}

async fn reconcile_pools(context: Arc<Context>, queue: mpsc::Receiver<ObjectRef<RelayPool>>) {
    let config = Config::default().concurrency(POOL_WORKERS);
    let store = context.caches.pools.clone();
    let reconcile = |pool, context| pools::reconcile(pool, context).boxed();
    applier(reconcile, pools::on_error, context, store, stream(queue), config)
        .for_each(|result| {
            if let Err(error) = result {
                tracing::debug!(error = %crate::errors::chain(&error), "a RelayPool was not reconciled");
            }
            std::future::ready(())
        })
        .await;
}

fn stream<T>(queue: mpsc::Receiver<T>) -> impl Stream<Item = Result<T, Infallible>> {
    futures_util::stream::unfold(queue, |mut queue| async move {
        let next = queue.recv().await?;
        Some((Ok(next), queue))
    })
}
