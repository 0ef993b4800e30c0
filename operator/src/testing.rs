//! A leader with a clock that tests move, before an API server that holds one Room.

use crate::caches::Caches;
use crate::changes::Changes;
use crate::clock::Clock;
use crate::context::Context;
use crate::events::{EventQueue, Events};
use crate::identities::Identities;
use crate::lease::Leadership;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::nodes::Fleet;
use crate::overlay::Overlay;
use crate::relays::Relays;
use crate::rooms::{self, RoomError};
use crate::settings::Settings;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, put};
use clap::Parser as _;
use kube::runtime::controller::Action;
use plenum_api::{Room, RoomStatus};
use plenum_protocol::ids::RoomUid;
use plenum_runtime::client::ControlClient;
use plenum_runtime::shutdown::Shutdown;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

const ROOM: &str = "/apis/rtc.plenum.dev/v1alpha1/namespaces/a/rooms/r";

/// An API server with one Room, `a/r`.
#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<Held>>);

pub(crate) struct Held {
    pub(crate) room: Option<Room>,
    version: u64,
    /// Statuses that were written.
    pub(crate) writes: usize,
}

impl Server {
    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    /// Somebody changes the spec.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Room)) {
        let mut held = self.held();
        held.version += 1;
        let version = held.version;
        let room = held.room.as_mut().unwrap();
        edit(room);
        room.metadata.resource_version = Some(version.to_string());
        *room.metadata.generation.get_or_insert_default() += 1;
    }

    fn client(&self) -> kube::Client {
        let routes = Router::new()
            .route(&format!("{ROOM}/status"), put(write_status))
            .route(ROOM, delete(delete_room))
            .with_state(self.clone());
        kube::Client::new(routes, "a")
    }
}

fn conflict() -> Response {
    let status =
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Conflict", "code": 409 });
    (StatusCode::CONFLICT, status.to_string()).into_response()
}

async fn write_status(State(server): State<Server>, body: Bytes) -> Response {
    let new: Room = serde_json::from_slice(&body).unwrap();
    let mut held = server.held();
    held.version += 1;
    held.writes += 1;
    let version = held.version;
    match held.room.as_mut().filter(|room| room.metadata.resource_version == new.metadata.resource_version) {
        None => conflict(),
        Some(room) => {
            room.status = new.status;
            room.metadata.resource_version = Some(version.to_string());
            serde_json::to_string(room).unwrap().into_response()
        }
    }
}

async fn delete_room(State(server): State<Server>, body: Bytes) -> Response {
    let options: Value = serde_json::from_slice(&body).unwrap();
    let mut held = server.held();
    let metadata = held.room.as_ref().map(|room| room.metadata.clone()).unwrap_or_default();
    let meant = json!({ "uid": metadata.uid, "resourceVersion": metadata.resource_version });
    if options["preconditions"] != meant {
        return conflict();
    }
    held.room = None;
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }).to_string().into_response()
}

/// A leader.
pub(crate) struct World {
    pub(crate) context: Arc<Context>,
    pub(crate) server: Server,
    pub(crate) clock: Clock,
    pub(crate) events: EventQueue,
}

impl World {
    /// A Room with this spec was applied just now.
    pub(crate) fn new(spec: Value) -> Self {
        let room: Room = serde_json::from_value(json!({
            "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "Room", "spec": spec,
            "metadata": {
                "name": "r", "namespace": "a", "uid": "u", "generation": 1, "resourceVersion": "1",
                "creationTimestamp": k8s_openapi::jiff::Timestamp::now().to_string(),
            },
        }))
        .unwrap();
        Self::before(Server(Arc::new(Mutex::new(Held { room: Some(room), version: 1, writes: 0 }))), Clock::default())
    }

    /// Another leader, who knows nothing but what the API server has.
    pub(crate) fn succeeded(self) -> Self {
        Self::before(self.server, self.clock)
    }

    fn before(server: Server, clock: Clock) -> Self {
        plenum_runtime::crypto::install();
        let flags = "operator --pod-name o --namespace p --pod-ip 127.0.0.1 --public-url http://p --media-image m --turn-image t";
        let metrics = Arc::new(Metrics::new(&mut Registry::default()));
        let (events, queue) = Events::new(metrics.clone());
        let identities = Identities::fresh().unwrap();
        let context = Context {
            client: server.client(),
            settings: Settings::try_parse_from(flags.split(' ')).unwrap(),
            caches: Caches::new().0,
            clock: clock.clone(),
            ledger: Mutex::new(Ledger::default()),
            rooms: Overlay::default(),
            pools: Overlay::default(),
            pool_pace: crate::pools::Pace::default(),
            pods: Overlay::default(),
            fleet: Fleet::new(Shutdown::new()),
            relays: Relays::default(),
            leadership: Arc::new(Leadership::default()),
            control: ControlClient::new(identities.own()),
            changes: Changes::new().0,
            events,
            metrics,
            identities,
        };
        Self { context: Arc::new(context), server, clock, events: queue }
    }

    /// Reconciles the Room as the API server has it.
    pub(crate) async fn look(&self) -> Result<Action, RoomError> {
        let room = self.server.held().room.clone().unwrap();
        self.look_at(room).await
    }

    /// Reconciles the Room as it was.
    pub(crate) async fn look_at(&self, room: Room) -> Result<Action, RoomError> {
        self.context.leadership.renewed(Instant::now());
        rooms::reconcile(Arc::new(room), self.context.clone()).await
    }

    /// The status after some time, and how often it was written meanwhile.
    pub(crate) async fn after(&self, seconds: u64) -> (RoomStatus, usize) {
        let before = self.server.held().writes;
        self.clock.advance(Duration::from_secs(seconds));
        self.look().await.unwrap();
        let held = self.server.held();
        (held.room.clone().unwrap().status.unwrap(), held.writes - before)
    }

    pub(crate) fn uid(&self) -> RoomUid {
        "u".parse().unwrap()
    }
}
