//! The example pools of `examples/pools.yaml`, moved to the regions that a cluster has.

use crate::workspace::Workspace;
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

/// One pool.
pub(crate) struct ExamplePool {
    manifest: Value,
}

impl ExamplePool {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        text_at(&self.manifest, "/metadata/name").unwrap_or_default()
    }

    fn region(&self) -> &str {
        text_at(&self.manifest, "/spec/region").unwrap_or_default()
    }

    /// The same pool elsewhere: a name that has its region has the other one.
    fn moved(&self, region: &str) -> Self {
        let name = self.name().replace(self.region(), region);
        let mut manifest = self.manifest.clone();
        for (pointer, value) in [("/metadata/name", name), ("/spec/region", region.to_owned())] {
            if let Some(field) = manifest.pointer_mut(pointer) {
                *field = Value::from(value);
            }
        }
        Self { manifest }
    }
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// All pools as they stand in the file.
fn pools(workspace: &Workspace) -> anyhow::Result<Vec<ExamplePool>> {
    let text = std::fs::read_to_string(workspace.path("examples/pools.yaml")).context("reading examples/pools.yaml")?;
    let documents: Vec<Value> =
        serde_yaml::Deserializer::from_str(&text).map(Value::deserialize).collect::<Result<_, _>>()?;
    for document in &documents {
        for pointer in ["/metadata/name", "/spec/region"] {
            text_at(document, pointer).with_context(|| format!("a pool of examples/pools.yaml lacks {pointer}"))?;
        }
    }
    Ok(documents.into_iter().map(|manifest| ExamplePool { manifest }).collect())
}

/// The pools of the example's first region for the first of `regions`, and so on; what is left over is left out.
pub(crate) fn pools_for(workspace: &Workspace, regions: &[String]) -> anyhow::Result<Vec<ExamplePool>> {
    if regions.is_empty() {
        bail!(
            "no node says which region it is in; label them, then run this again:\n  kubectl label nodes --all topology.kubernetes.io/region=home"
        );
    }
    let pools = pools(workspace)?;
    let mut known: Vec<&str> = Vec::new();
    for pool in &pools {
        if !known.contains(&pool.region()) {
            known.push(pool.region());
        }
    }
    let there = |pool: &ExamplePool| regions.get(known.iter().position(|region| *region == pool.region())?);
    Ok(pools.iter().filter_map(|pool| Some(pool.moved(there(pool)?))).collect())
}

/// As `kubectl apply` takes them.
pub(crate) fn manifests(pools: &[ExamplePool]) -> String {
    pools.iter().map(|pool| pool.manifest.to_string()).collect::<Vec<_>>().join("\n---\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_pools_follow_the_regions_of_the_cluster() {
        let workspace = Workspace::locate().unwrap();
        let all = pools(&workspace).unwrap();
        let moved = pools_for(&workspace, &["mars".to_owned()]).unwrap();
        assert!(!moved.is_empty() && moved.len() < all.len());
        for pool in &moved {
            assert_eq!(pool.region(), "mars");
            assert!(pool.name().contains("mars"), "{}", pool.name());
        }
        let regions = ["a", "b", "c"].map(str::to_owned);
        let moved = pools_for(&workspace, &regions).unwrap();
        assert_eq!(moved.len(), all.len());
        assert_eq!(manifests(&moved).split("\n---\n").count(), all.len());
        let none = pools_for(&workspace, &[]).err().unwrap();
        assert!(none.to_string().contains("topology.kubernetes.io/region"));
    }
}
