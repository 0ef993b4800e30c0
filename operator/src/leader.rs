//! All that runs while this process leads: watches, reconcilers, polls, the control endpoint, renewals.

use crate::caches::{self, Caches};
use crate::changes::{Changes, Dispatcher};
use crate::context::Context;
use crate::control;
use crate::events::Events;
use crate::identities::{Identities, IdentityError};
use crate::lease::Leadership;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::nodes::Fleet;
use crate::overlay::Overlay;
use crate::settings::Settings;
use crate::{pools, rooms};
use futures_util::{FutureExt, Stream, StreamExt};
use kube::runtime::controller::{Config, applier};
use kube::runtime::reflector::ObjectRef;
use plenum_api::{RelayPool, Room};
use plenum_runtime::client::ControlClient;
use plenum_runtime::mtls;
use plenum_runtime::shutdown::Shutdown;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How many objects may wait for their reconciler.
const QUEUE: usize = 1_024;
/// How many pools are reconciled at once.
const POOL_WORKERS: u16 = 4;

/// Why leading could not begin.
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
    /// The watches ended before they had anything.
    #[error("the watches ended")]
    Watches,
}

/// Leads until `stop`.
///
/// # Errors
/// See [`LeadError`].
pub async fn lead(
    settings: Settings,
    client: kube::Client,
    leadership: Arc<Leadership>,
    metrics: Arc<Metrics>,
    stop: Shutdown,
) -> Result<(), LeadError> {
    let identities = Identities::load(&client, &settings.namespace, &leadership).await?;
    let address = settings.control_address();
    let listener = TcpListener::bind(address).await.map_err(|source| LeadError::Listen { address, source })?;
    let (changes, news) = Changes::new();
    let (caches, writers) = Caches::new();
    let mut tasks = caches::watch(&client, &settings.namespace, writers, &changes, &metrics, &stop);
    if !caches.ready().await {
        return Err(LeadError::Watches);
    }
    let (events, event_queue) = Events::new(metrics.clone());
    tasks.spawn(event_queue.run(client.clone(), settings.pod_name.clone(), stop.clone()));
    let context = Arc::new(Context {
        control: ControlClient::new(identities.own()),
        client,
        settings,
        caches,
        ledger: Mutex::new(Ledger::default()),
        rooms: Overlay::default(),
        pools: Overlay::default(),
        pool_pace: pools::Pace::default(),
        pods: Overlay::default(),
        fleet: Fleet::new(stop.clone()),
        leadership,
        changes,
        events,
        metrics,
        identities,
    });
    start(&mut tasks, &context, listener, news, &stop);
    stop.requested().await;
    tasks.shutdown().await;
    Ok(())
}

fn start(
    tasks: &mut JoinSet<()>,
    context: &Arc<Context>,
    listener: TcpListener,
    news: mpsc::Receiver<crate::changes::Change>,
    stop: &Shutdown,
) {
    let (room_sender, room_queue) = mpsc::channel(QUEUE);
    let (pool_sender, pool_queue) = mpsc::channel(QUEUE);
    tasks.spawn(Dispatcher::new(context.clone(), room_sender, pool_sender).run(news));
    tasks.spawn(reconcile_rooms(context.clone(), room_queue));
    tasks.spawn(reconcile_pools(context.clone(), pool_queue));
    tasks.spawn(mtls::serve(listener, context.identities.own(), control::router(context.clone()), stop.clone()));
    tasks.spawn(Identities::renew(context.clone(), stop.clone()));
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
