//! The API server as the tests see it: typed objects, and waits that say what they saw.

use crate::wait::{Look, until};
use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config, Resource, ResourceExt};
use plenum_api::{RelayPool, Room, conditions, names};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

/// Who the tests' changes are attributed to.
const FIELD_MANAGER: &str = "plenum-e2e";

/// A connection to the API server.
#[derive(Clone)]
pub struct Kube {
    client: Client,
}

impl Kube {
    /// Connects as the kubeconfig says.
    ///
    /// # Errors
    /// The file or what it names cannot be used.
    pub async fn connect(kubeconfig: &Path) -> Result<Self> {
        crate::http::install_tls_provider();
        let file = Kubeconfig::read_from(kubeconfig).with_context(|| format!("reading {}", kubeconfig.display()))?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .context("reading the kubeconfig")?;
        Ok(Self { client: Client::try_from(config).context("making a Kubernetes client")? })
    }

    /// The client itself.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Objects of one kind in a namespace.
    #[must_use]
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), namespace)
    }

    /// All objects of one kind.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn all<K>(&self) -> Result<Vec<K>>
    where
        K: Resource + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        Ok(Api::<K>::all(self.client()).list(&ListParams::default()).await.context("listing objects")?.items)
    }

    /// Creates or replaces an object (server-side apply).
    ///
    /// # Errors
    /// The API server refuses; its message is in the error.
    pub async fn apply(&self, namespace: &str, object: Value) -> Result<DynamicObject> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let gvk = GroupVersionKind::gvk(group, version, &kind);
        let (resource, _) = kube::discovery::pinned_kind(&self.client, &gvk)
            .await
            .with_context(|| format!("finding the kind {kind}"))?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client(), namespace, &resource);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(&object))
            .await
            .with_context(|| format!("applying {kind} {namespace}/{name}"))
    }

    /// Applies a Room with this spec.
    ///
    /// # Errors
    /// See [`Self::apply`].
    pub async fn apply_room(&self, namespace: &str, name: &str, spec: Value) -> Result<()> {
        self.apply(namespace, custom("Room", name, spec)).await.map(drop)
    }

    /// Applies a RelayPool with this spec.
    ///
    /// # Errors
    /// See [`Self::apply`].
    pub async fn apply_pool(&self, namespace: &str, name: &str, spec: Value) -> Result<()> {
        self.apply(namespace, custom("RelayPool", name, spec)).await.map(drop)
    }

    /// Waits until an object satisfies `holds`.
    ///
    /// # Errors
    /// The deadline passes: the message has the object as it was last.
    pub async fn wait<K>(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        within: Duration,
        holds: impl Fn(&K) -> bool,
    ) -> Result<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug + serde::Serialize,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api(namespace);
        until(&format!("{namespace}/{name}: {what}"), within, async || {
            Ok(match api.get_opt(name).await.context("reading an object")? {
                Some(object) if holds(&object) => Look::Done(object),
                Some(object) => Look::NotYet(shown(&object)?),
                None => Look::NotYet("there is no such object".to_owned()),
            })
        })
        .await
    }

    /// Waits until the Room can be joined.
    ///
    /// # Errors
    /// See [`Self::wait`].
    pub async fn ready_room(&self, namespace: &str, name: &str, within: Duration) -> Result<Room> {
        self.wait(namespace, name, "Ready", within, |room: &Room| is_true(room, conditions::READY)).await
    }

    /// Waits until every wanted pod of the pool serves.
    ///
    /// # Errors
    /// See [`Self::wait`].
    pub async fn ready_pool(&self, namespace: &str, name: &str, within: Duration) -> Result<RelayPool> {
        self.wait(namespace, name, "Ready", within, |pool: &RelayPool| {
            pool.status.as_ref().is_some_and(|status| {
                status.observed_generation == pool.metadata.generation
                    && status.ready_replicas == pool.spec.replicas
                    && conditions::is_true(&status.conditions, conditions::READY)
            })
        })
        .await
    }

    /// The Room as it is.
    ///
    /// # Errors
    /// It is not there.
    pub async fn room(&self, namespace: &str, name: &str) -> Result<Room> {
        self.api(namespace).get(name).await.with_context(|| format!("reading Room {namespace}/{name}"))
    }

    /// Deletes an object and waits until it is gone.
    ///
    /// # Errors
    /// The API server refuses, or the object stays.
    pub async fn delete<K>(&self, namespace: &str, name: &str, within: Duration) -> Result<()>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api(namespace);
        let uid = api.get(name).await.with_context(|| format!("reading {namespace}/{name}"))?.uid();
        api.delete(name, &DeleteParams::default()).await.with_context(|| format!("deleting {namespace}/{name}"))?;
        until(&format!("{namespace}/{name} is gone"), within, async || {
            let found = api.get_opt(name).await.context("reading an object")?;
            Ok(Look::when(found.is_none_or(|object| object.uid() != uid), (), || "it is still there".to_owned()))
        })
        .await
    }

    /// Deletes a pod without waiting for its process: what a lost node looks like to everybody else.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn delete_pod_at_once(&self, namespace: &str, name: &str) -> Result<()> {
        let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.api::<Pod>(namespace).delete(name, &params).await.with_context(|| format!("deleting pod {name}")).map(drop)
    }

    /// Pods with these labels.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Pod>> {
        let params = ListParams::default().labels(labels);
        Ok(self.api::<Pod>(namespace).list(&params).await.with_context(|| format!("listing pods {labels}"))?.items)
    }

    /// Log of a pod's first container, its last `lines`.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn log(&self, pod: &Pod, lines: i64) -> Result<String> {
        let params = LogParams { tail_lines: Some(lines), ..LogParams::default() };
        let namespace = pod.namespace().unwrap_or_default();
        self.api::<Pod>(&namespace).logs(&pod.name_any(), &params).await.context("reading a log")
    }

    /// Messages of all events about an object with this reason.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn events(&self, namespace: &str, about: &str, reason: &str) -> Result<Vec<String>> {
        let params = ListParams::default().fields(&format!("involvedObject.name={about},reason={reason}"));
        let events = self.api::<Event>(namespace).list(&params).await.context("listing events")?.items;
        Ok(events.into_iter().filter_map(|event| event.message).collect())
    }

    /// Waits for an event about an object.
    ///
    /// # Errors
    /// None comes; the message has those that came.
    pub async fn event(&self, namespace: &str, about: &str, reason: &str, within: Duration) -> Result<String> {
        let api: Api<Event> = self.api(namespace);
        let params = ListParams::default().fields(&format!("involvedObject.name={about}"));
        until(&format!("an event {reason} about {namespace}/{about}"), within, async || {
            let events = api.list(&params).await.context("listing events")?.items;
            let found = events.iter().find(|event| event.reason.as_deref() == Some(reason));
            Ok(match found {
                Some(event) => Look::Done(event.message.clone().unwrap_or_default()),
                None => {
                    Look::NotYet(format!("{:?}", events.iter().map(|e| (&e.reason, &e.message)).collect::<Vec<_>>()))
                }
            })
        })
        .await
    }

    /// Text under a path of a pod's HTTP port, through the API server.
    ///
    /// # Errors
    /// The API server or the pod refuses.
    pub async fn pod_get(&self, namespace: &str, pod: &str, port: u16, path: &str) -> Result<String> {
        let uri = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path}");
        let request = http::Request::get(&uri).body(Vec::new()).context("making a request")?;
        self.client.request_text(request).await.with_context(|| format!("getting {uri}"))
    }

    /// Makes a namespace with these labels and waits until pods may be made in it.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn create_namespace(&self, name: &str, labels: Value) -> Result<()> {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}}))?;
        let api: Api<Namespace> = Api::all(self.client());
        // One of that name may still be on its way out, left by an earlier run.
        until(&format!("namespace {name} is made"), Duration::from_secs(60), async || {
            match api.create(&PostParams::default(), &namespace).await {
                Ok(_) => return Ok(Look::Done(())),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => bail!("creating namespace {name}: {error}"),
            }
            let found = api.get_opt(name).await.context("reading a namespace")?;
            let usable = found.is_some_and(|found| found.metadata.deletion_timestamp.is_none());
            Ok(Look::when(usable, (), || "it is being deleted".to_owned()))
        })
        .await?;
        self.wait(name, "default", "there for pods", Duration::from_secs(20), |_: &ServiceAccount| true).await.map(drop)
    }

    /// Begins to delete a namespace.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn delete_namespace(&self, name: &str) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.client());
        match api.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => bail!("deleting namespace {name}: {error}"),
        }
    }

    /// Waits until at least `count` pods with this `app.kubernetes.io/name` are ready, and none of them is leaving.
    ///
    /// # Errors
    /// The deadline passes.
    pub async fn pods_ready(&self, namespace: &str, app: &str, count: usize, within: Duration) -> Result<()> {
        until(&format!("{count} pods of {app} are ready"), within, async || {
            let pods = self.pods(namespace, &format!("{}={app}", names::LABEL_APP)).await?;
            let leaving = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some()).count();
            let ready = pods.iter().filter(|pod| crate::grants::is_ready(pod)).count();
            let seen = || format!("{ready} of {} ready, {leaving} leaving", pods.len());
            Ok(Look::when(leaving == 0 && ready >= count && ready == pods.len(), (), seen))
        })
        .await
    }

    /// Name of the operator pod that leads.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn leader(&self, namespace: &str) -> Result<String> {
        let lease: Lease = self.api(namespace).get(names::LEASE).await.context("reading the Lease")?;
        lease.spec.and_then(|spec| spec.holder_identity).filter(|holder| !holder.is_empty()).context("nobody leads")
    }

    /// Waits until every node is Ready.
    ///
    /// # Errors
    /// One is not.
    pub async fn nodes_ready(&self, within: Duration) -> Result<()> {
        until("every node is Ready", within, async || {
            let nodes = self.all::<Node>().await?;
            let bad: Vec<_> = nodes.iter().filter(|node| !node_ready(node)).map(ResourceExt::name_any).collect();
            Ok(Look::when(bad.is_empty(), (), || format!("not ready: {bad:?}")))
        })
        .await
    }
}

fn node_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|list| list.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}

/// Whether a condition of the Room is there, `True`, and of the present generation.
#[must_use]
pub fn is_true(room: &Room, kind: &str) -> bool {
    room.condition(kind).is_some_and(|c| c.status == "True" && c.observed_generation == room.metadata.generation)
}

/// Whether a condition of the Room has this status and reason, for the present generation.
#[must_use]
pub fn has_condition(room: &Room, kind: &str, status: &str, reason: &str) -> bool {
    room.condition(kind)
        .is_some_and(|c| c.status == status && c.reason == reason && c.observed_generation == room.metadata.generation)
}

/// Spec and status of an object, for messages.
fn shown<K: serde::Serialize>(object: &K) -> Result<String> {
    let mut value = serde_json::to_value(object).context("showing an object")?;
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Ok(value.to_string())
}

fn custom(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "rtc.plenum.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}
