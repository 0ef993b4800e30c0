//! What this process has written but may not have seen by its watch yet: reads must never go back in time.

use kube::{Resource, ResourceExt};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A written object that no watch has shown for this long is forgotten: it was deleted meanwhile.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Namespace and name.
pub type Key = (String, String);

/// Namespace and name of an object.
pub fn key_of<K: ResourceExt>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Namespace and name, to compare by.
fn name_of<K: Resource>(object: &K) -> (Option<&str>, Option<&str>) {
    let meta = object.meta();
    (meta.namespace.as_deref(), meta.name.as_deref())
}

/// Objects of one kind as this process wrote them last.
pub struct Overlay<K> {
    written: Mutex<HashMap<Key, (Arc<K>, Instant)>>,
}

impl<K> Default for Overlay<K> {
    fn default() -> Self {
        Self { written: Mutex::default() }
    }
}

impl<K: Resource<DynamicType = ()>> Overlay<K> {
    /// Remembers what was written.
    pub fn wrote(&self, object: Arc<K>, now: Instant) {
        self.lock().insert(key_of(object.as_ref()), (object, now));
    }

    /// A watch has shown `object`: forgets a written one that is not newer. Returns the newer of the two.
    pub fn seen(&self, object: Arc<K>) -> Arc<K> {
        let mut written = self.lock();
        let key = key_of(object.as_ref());
        match written.get(&key) {
            Some((own, _)) if is_newer(own.as_ref(), object.as_ref()) => own.clone(),
            Some(_) => {
                written.remove(&key);
                object
            }
            None => object,
        }
    }

    /// A watch has shown that `object` is deleted.
    pub fn gone(&self, object: &K) {
        let mut written = self.lock();
        let key = key_of(object);
        if written.get(&key).is_some_and(|(own, _)| own.uid() == object.uid()) {
            written.remove(&key);
        }
    }

    /// The newer of what a watch has shown and what was written.
    pub fn newest(&self, object: Arc<K>) -> Arc<K> {
        match self.lock().get(&key_of(object.as_ref())) {
            Some((own, _)) if is_newer(own.as_ref(), object.as_ref()) => own.clone(),
            _ => object,
        }
    }

    /// One that was written and that no watch has shown so far.
    pub fn unshown(&self, key: &Key, now: Instant) -> Option<Arc<K>> {
        let written = self.lock();
        let fresh = |at: &Instant| now.saturating_duration_since(*at) < FORGET_AFTER;
        written.get(key).filter(|(_, at)| fresh(at)).map(|(own, _)| own.clone())
    }

    /// All objects: `shown`, each as new as it is known, and those that were written and not shown yet.
    pub fn merged(&self, shown: Vec<Arc<K>>, now: Instant) -> Vec<Arc<K>> {
        let mut written = self.lock();
        written.retain(|_, (_, at)| now.saturating_duration_since(*at) < FORGET_AFTER);
        let mut rest: HashMap<Key, Arc<K>> = written.iter().map(|(key, (own, _))| (key.clone(), own.clone())).collect();
        let mut all: Vec<Arc<K>> = shown
            .into_iter()
            .map(|object| match rest.remove(&key_of(object.as_ref())) {
                Some(own) if is_newer(own.as_ref(), object.as_ref()) => own,
                _ => object,
            })
            .collect();
        all.extend(rest.into_values());
        all.sort_by(|a, b| name_of(a.as_ref()).cmp(&name_of(b.as_ref())));
        all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, (Arc<K>, Instant)>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resource versions of one kind in one API server are growing integers.
fn is_newer<K: ResourceExt>(a: &K, b: &K) -> bool {
    let version = |object: &K| object.resource_version().and_then(|text| text.parse::<u64>().ok());
    matches!((version(a), version(b)), (Some(a), Some(b)) if a > b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;

    fn pod(name: &str, version: &str) -> Arc<Pod> {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.into());
        pod.metadata.namespace = Some("a".into());
        pod.metadata.resource_version = Some(version.into());
        pod.metadata.uid = Some(format!("{name}-uid"));
        Arc::new(pod)
    }

    #[test]
    fn a_read_never_goes_behind_a_write() {
        let overlay = Overlay::default();
        let now = Instant::now();
        overlay.wrote(pod("x", "12"), now);
        assert_eq!(overlay.newest(pod("x", "9")).resource_version().unwrap(), "12");
        assert_eq!(overlay.newest(pod("x", "13")).resource_version().unwrap(), "13");
        assert_eq!(overlay.seen(pod("x", "12")).resource_version().unwrap(), "12");
        assert_eq!(overlay.newest(pod("x", "9")).resource_version().unwrap(), "9", "the watch has caught up");
    }

    #[test]
    fn a_created_object_is_there_before_its_watch_event() {
        let overlay = Overlay::default();
        let now = Instant::now();
        overlay.wrote(pod("new", "5"), now);
        assert_eq!(overlay.merged(vec![pod("old", "1")], now).len(), 2);
        let unshown = |name: &str, now| overlay.unshown(&("a".into(), name.into()), now).is_some();
        assert!(unshown("new", now) && !unshown("old", now) && !unshown("new", now + FORGET_AFTER));
        overlay.gone(&pod("new", "6"));
        assert_eq!(overlay.merged(vec![pod("old", "1")], now).len(), 1);
        overlay.wrote(pod("new", "7"), now);
        assert_eq!(overlay.merged(vec![], now + FORGET_AFTER).len(), 0, "forgotten when no watch ever shows it");
    }
}
