//! What all tests of one run share: connections, client namespaces, and a pair of pools that nobody changes.

use crate::client::Client;
use crate::door::Door;
use crate::env::Env;
use crate::epochs::EpochWatch;
use crate::grants;
use crate::kube::Kube;
use crate::lanes::Lanes;
use crate::trust::Authority;
use crate::wait::{Look, until};
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};

/// Namespace of the shared pools.
pub const SHARED_NAMESPACE: &str = "plenum-e2e";
/// Label of the shared pools, for Rooms that select them.
pub const SHARED_LABEL: (&str, &str) = ("plenum-e2e", "shared");
/// Regions of the shared pools, and the first host port of each: the tests' own pools use others.
pub const SHARED_POOLS: [(&str, i32); 2] = [("eu-west", 20_000), ("us-east", 20_100)];

/// Shared by all tests.
pub struct Suite {
    /// Where everything is.
    pub env: Env,
    /// The API server.
    pub kube: Kube,
    doors: RwLock<Vec<Door>>,
    /// What must never happen.
    pub epochs: EpochWatch,
    /// Whom browsers trust.
    pub authority: Authority,
    /// Where tests run side by side.
    pub lanes: Lanes,
    clients: Mutex<Vec<Arc<Client>>>,
    pools: OnceCell<()>,
}

impl Suite {
    /// Connects.
    ///
    /// # Errors
    /// The environment or the cluster is not usable.
    pub async fn start() -> Result<Self> {
        let env = Env::read()?;
        let kube = Kube::connect(&env.kubeconfig).await?;
        let epochs = EpochWatch::start(&kube);
        let authority = Authority::new(&env.certutil)?;
        Ok(Self {
            env,
            kube,
            doors: RwLock::default(),
            epochs,
            authority,
            lanes: Lanes::default(),
            clients: Mutex::default(),
            pools: OnceCell::new(),
        })
    }

    /// Finds the gateways again, at least `count` URLs that answer: pods come and go, and a node port may lead to the
    /// pods of its own node only.
    ///
    /// # Errors
    /// The deadline passes.
    pub async fn find_doors(&self, count: usize) -> Result<()> {
        let doors = until(&format!("{count} gateways answer"), Duration::from_secs(60), async || {
            let pods = self.kube.pods(&self.env.namespace, "app.kubernetes.io/name=plenum-gateway").await?;
            let serving = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none() && grants::is_ready(pod);
            let hosts: Vec<_> =
                pods.iter().filter(serving).filter_map(|pod| pod.status.as_ref()?.host_ip.clone()).collect();
            let on_host = |url: &&String| hosts.iter().any(|host| url.contains(&format!("//{host}:")));
            let mut urls: Vec<_> = self.env.gateway_urls.iter().filter(on_host).collect();
            // On another cluster the URLs may be those of a balancer.
            if urls.is_empty() {
                urls = self.env.gateway_urls.iter().collect();
            }
            // A node that was dead a moment ago still shows its pods as they were.
            let mut doors = Vec::new();
            for url in urls {
                let door = Door::new(url)?;
                if door.answers().await {
                    doors.push(door);
                }
            }
            let seen = format!("{} answer of {hosts:?}", doors.len());
            Ok(Look::when(doors.len() >= count, doors, || seen))
        })
        .await?;
        *self.doors.write().unwrap_or_else(PoisonError::into_inner) = doors;
        Ok(())
    }

    /// How many gateway URLs there are.
    #[must_use]
    pub fn door_count(&self) -> usize {
        self.doors.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A gateway URL; any number is taken, so that callers need not know how many there are.
    ///
    /// # Errors
    /// There is none.
    pub fn door(&self, number: usize) -> Result<Door> {
        let doors = self.doors.read().unwrap_or_else(PoisonError::into_inner);
        doors.iter().cycle().nth(number).cloned().context("no gateway was found")
    }

    /// All gateway URLs that were found.
    #[must_use]
    pub fn doors(&self) -> Vec<Door> {
        self.doors.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A gateway URL that is not an address of `node`.
    ///
    /// # Errors
    /// There is none.
    pub async fn door_not_on(&self, node: &str) -> Result<Door> {
        let api: Api<Node> = Api::all(self.kube.client());
        let found = api.get(node).await.with_context(|| format!("reading node {node}"))?;
        let addresses: Vec<_> = found.status.and_then(|status| status.addresses).unwrap_or_default();
        let on_it = |door: &&Door| addresses.iter().any(|a| door.base().contains(&format!("//{}:", a.address)));
        let doors = self.doors.read().unwrap_or_else(PoisonError::into_inner);
        doors.iter().find(|door| !on_it(door)).cloned().with_context(|| format!("every gateway is on {node}"))
    }

    /// Origins of all gateway URLs.
    #[must_use]
    pub fn origins(&self) -> &[String] {
        &self.env.gateway_urls
    }

    /// The client `number` of `region` in a lane, made when it is first asked for and kept for the run.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) async fn client(&self, lane: usize, region: &str, number: usize) -> Result<Arc<Client>> {
        let name = format!("e2e{lane}-{region}-{number}");
        let mut clients = self.clients.lock().await;
        if let Some(client) = clients.iter().find(|client| client.name() == name) {
            return Ok(client.clone());
        }
        let env = &self.env;
        let client = match env.cluster() {
            Some(cluster) => Client::in_namespace(&cluster, env, self.authority.home(), &name, region).await?,
            None => Client::on_this_machine(&name, &env.chromedriver, &env.chromium, &env.artifacts).await?,
        };
        let client = Arc::new(client);
        clients.push(client.clone());
        Ok(client)
    }

    /// Waits until the shared pools serve; the first caller makes them.
    ///
    /// # Errors
    /// They do not become ready.
    pub async fn shared_pools(&self) -> Result<()> {
        self.pools.get_or_try_init(async || self.make_pools().await).await.map(drop)
    }

    async fn make_pools(&self) -> Result<()> {
        self.kube.create_namespace(SHARED_NAMESPACE, json!({})).await?;
        for (region, port) in SHARED_POOLS {
            let mut pool = json!({
                "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
                "metadata": {"name": region, "labels": {SHARED_LABEL.0: SHARED_LABEL.1}},
                "spec": pool_spec(region, 1, port),
            });
            pool["spec"]["allowedRooms"] = json!({"namespaces": {"from": "All"}});
            self.kube.apply(SHARED_NAMESPACE, pool).await?;
        }
        for (region, _) in SHARED_POOLS {
            self.kube.ready_pool(SHARED_NAMESPACE, region, Duration::from_secs(60)).await?;
        }
        Ok(())
    }

    /// Ends what the run made, client namespaces excepted: they go when the suite is dropped.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn finish(&self) -> Result<()> {
        if self.pools.initialized() {
            self.kube.delete_namespace(SHARED_NAMESPACE).await?;
        }
        Ok(())
    }
}

/// Spec of a pool with a hundred host ports of its own.
#[must_use]
pub fn pool_spec(region: &str, replicas: i32, first_port: i32) -> Value {
    json!({
        "role": "Media", "region": region, "replicas": replicas,
        "exposure": {"portRange": {"min": first_port, "max": first_port + 99}},
    })
}

/// Spec of a Room that the shared pools may serve.
#[must_use]
pub fn room_spec(region: &str) -> Value {
    json!({
        "topology": "MediaServer",
        "media": {"poolSelector": {"matchLabels": {SHARED_LABEL.0: SHARED_LABEL.1}}},
        "placement": {"expected": [{"region": region, "participants": 3}]},
    })
}
