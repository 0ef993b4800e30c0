//! What the measurement needs on the cluster, made before it and removed after it: a namespace, a warm pool, and a
//! kind that no operator knows.

use super::Arguments;
use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use plenum_api::{RelayPool, Room, conditions, names};
use serde_json::json;
use std::time::{Duration, Instant};

/// Longest wait for the pool, and for what is removed.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often a state is looked at that no watch is worth.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Group of the kind that no operator knows.
const RAW_GROUP: &str = "bench.rtc.plenum.dev";
/// Name of that kind's definition.
const RAW_CRD: &str = "rawrooms.bench.rtc.plenum.dev";

/// The namespace of a run, and what was made in it.
pub(crate) struct Stage {
    client: Client,
    namespace: String,
    /// The namespace is ours to remove.
    own: bool,
    region: Option<String>,
    replicas: i32,
    port: u16,
}

impl Stage {
    /// Nothing is made yet.
    pub(crate) fn new(client: Client, arguments: &Arguments) -> Self {
        let made = format!("plenum-bench-{}", std::process::id());
        Self {
            client,
            namespace: arguments.namespace.clone().unwrap_or(made),
            own: arguments.namespace.is_none(),
            region: arguments.region.clone(),
            replicas: arguments.replicas,
            port: arguments.port,
        }
    }

    /// The Rooms of the run's namespace.
    pub(crate) fn rooms(&self) -> Api<Room> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The objects that no operator knows.
    pub(crate) fn raw_objects(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &raw_kind())
    }

    /// Makes namespace, pool and kind, and waits until each can be used.
    pub(crate) async fn set_up(&self) -> anyhow::Result<()> {
        if self.own {
            self.make_namespace().await?;
            self.make_pool().await?;
        }
        self.make_kind().await
    }

    /// Removes what was made. Everything is tried, and the first failure told.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        let kind = self.remove_kind().await;
        let rest = if self.own { self.remove_namespace().await } else { self.remove_rooms().await };
        kind.and(rest)
    }

    /// The conditions of a Room, for a failure's message.
    pub(crate) async fn explain(&self, name: &str) -> String {
        let room = match self.rooms().get(name).await {
            Ok(room) => room,
            Err(error) => return format!("reading Room {name}: {error}"),
        };
        let conditions = room.status.map(|status| status.conditions).unwrap_or_default();
        if conditions.is_empty() {
            return "  no conditions: does the operator run?".to_owned();
        }
        let line = |c: &plenum_api::Condition| format!("  {}={} {}: {}", c.type_, c.status, c.reason, c.message);
        conditions.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    async fn make_namespace(&self) -> anyhow::Result<()> {
        eprintln!("namespace {}", self.namespace);
        let labels = [("pod-security.kubernetes.io/enforce".to_owned(), "privileged".to_owned())];
        let metadata =
            ObjectMeta { name: Some(self.namespace.clone()), labels: Some(labels.into()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &namespace).await.context("making the namespace")?;
        Ok(())
    }

    async fn make_pool(&self) -> anyhow::Result<()> {
        let region = match &self.region {
            Some(region) => region.clone(),
            None => self.some_region().await?,
        };
        eprintln!("a pool of {} pods in {region}", self.replicas);
        let pool: RelayPool = serde_json::from_value(json!({
            "apiVersion": "rtc.plenum.dev/v1alpha1",
            "kind": "RelayPool",
            "metadata": { "name": "bench" },
            "spec": {
                "role": "Media",
                "region": region,
                "replicas": self.replicas,
                "exposure": { "portRange": { "min": self.port, "max": u32::from(self.port) + 999 } },
                "capacity": { "perPod": { "participants": 100_000 } },
            },
        }))
        .context("writing the pool")?;
        let api: Api<RelayPool> = Api::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), &pool).await.context("making the pool")?;
        let start = Instant::now();
        loop {
            let status = api.get("bench").await.context("reading the pool")?.status.unwrap_or_default();
            if status.ready_replicas >= self.replicas {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let why = conditions::find(&status.conditions, conditions::READY);
                let why = why.map_or("it has no condition Ready", |ready| &ready.message);
                anyhow::bail!("{} of {} pods of the pool are ready: {why}", status.ready_replicas, self.replicas);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn some_region(&self) -> anyhow::Result<String> {
        let api: Api<Node> = Api::all(self.client.clone());
        let nodes = api.list(&ListParams::default()).await.context("listing nodes")?;
        let mut regions = nodes.items.iter().filter_map(|node| node.labels().get(names::TOPOLOGY_REGION));
        let found = regions.next().cloned();
        found.with_context(|| format!("no node has the label {}: give --region", names::TOPOLOGY_REGION))
    }

    async fn make_kind(&self) -> anyhow::Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let crd = serde_json::from_value(raw_crd()).context("writing the raw kind")?;
        match api.create(&PostParams::default(), &crd).await {
            Ok(_) => {}
            // Left behind by a run that was killed.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error).context("making the raw kind"),
        }
        let start = Instant::now();
        while let Err(error) = self.raw_objects().list(&ListParams::default().limit(1)).await {
            anyhow::ensure!(start.elapsed() < PATIENCE, "the raw kind cannot be used: {error}");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    async fn remove_kind(&self) -> anyhow::Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        match api.delete(RAW_CRD, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error).context("removing the raw kind"),
        }
    }

    async fn remove_rooms(&self) -> anyhow::Result<()> {
        let ours = ListParams::default().labels(&format!("{}=ready", super::rooms::LABEL));
        let removed = self.rooms().delete_collection(&DeleteParams::background(), &ours).await;
        removed.map(drop).context("removing the Rooms")
    }

    async fn remove_namespace(&self) -> anyhow::Result<()> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        match api.delete(&self.namespace, &DeleteParams::background()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(error).context("removing the namespace"),
        }
        let start = Instant::now();
        while api.get_opt(&self.namespace).await.context("waiting for the namespace to go")?.is_some() {
            anyhow::ensure!(start.elapsed() < PATIENCE, "namespace {} does not go", self.namespace);
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }
}

/// The kind that no operator knows.
pub(crate) fn raw_kind() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(RAW_GROUP, "v1", "RawRoom"), "rawrooms")
}

fn raw_crd() -> serde_json::Value {
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": RAW_CRD },
        "spec": {
            "group": RAW_GROUP,
            "scope": "Namespaced",
            "names": { "plural": "rawrooms", "singular": "rawroom", "kind": "RawRoom" },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": { "spec": open, "status": open },
                } },
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_kind_is_a_definition_with_a_status() {
        let crd: CustomResourceDefinition = serde_json::from_value(raw_crd()).unwrap();
        assert_eq!(crd.metadata.name.as_deref(), Some(RAW_CRD));
        assert!(crd.spec.versions[0].subresources.as_ref().unwrap().status.is_some());
        assert_eq!(raw_kind().api_version, "bench.rtc.plenum.dev/v1");
    }
}
