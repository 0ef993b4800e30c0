//! What is written down when a test fails: objects, events and logs, one directory per test.

use crate::env::Env;
use crate::kube::Kube;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use plenum_api::names;
use std::fs;
use std::path::{Path, PathBuf};

/// Log lines per pod.
const LINES: i64 = 2_000;

/// Writes everything about a failed test and returns the directory.
///
/// # Errors
/// The directory cannot be made; whatever else fails is written into it.
pub async fn write(env: &Env, kube: &Kube, test: &str, namespace: &str) -> Result<PathBuf> {
    let directory = env.artifacts.join(test.replace("::", "-"));
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("clearing {}", directory.display()))?;
    }
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    for (file, words) in [
        ("rooms.yaml", vec!["get", "rooms,relaypools", "-A", "-o", "yaml"]),
        ("pods.txt", vec!["get", "pods", "-A", "-o", "wide"]),
        ("pods.yaml", vec!["get", "pods", "-n", namespace, "-o", "yaml"]),
        ("nodes.txt", vec!["get", "nodes", "-o", "wide"]),
        ("events.txt", vec!["get", "events", "-A", "--sort-by=.lastTimestamp"]),
        ("lease.yaml", vec!["get", "lease", "-n", env.namespace.as_str(), "-o", "yaml"]),
    ] {
        let text = env.kubectl(&words).await.unwrap_or_else(|error| format!("{error:#}"));
        save(&directory, file, &text);
    }
    match kube.all::<Pod>().await {
        Ok(pods) => {
            for pod in pods.iter().filter(|pod| is_ours(env, pod)) {
                let text = kube.log(pod, LINES).await.unwrap_or_else(|error| format!("{error:#}"));
                save(&directory, &format!("{}-{}.log", pod.namespace().unwrap_or_default(), pod.name_any()), &text);
            }
        }
        Err(error) => save(&directory, "pods-error.txt", &format!("{error:#}")),
    }
    Ok(directory)
}

fn is_ours(env: &Env, pod: &Pod) -> bool {
    pod.namespace().as_deref() == Some(env.namespace.as_str()) || pod.labels().contains_key(names::LABEL_POOL)
}

fn save(directory: &Path, file: &str, text: &str) {
    if let Err(error) = fs::write(directory.join(file), text) {
        eprintln!("writing {file}: {error}");
    }
}
