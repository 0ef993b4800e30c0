//! The ready gateways, from the EndpointSlices of their Service. A pod that ends is not ready any more.

use super::{Homes, Replicas};
use crate::watches::Table;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Most endpoints of one slice: the API server takes no more.
const MAX_ENDPOINTS: usize = 1_000;

/// Slices by name, and where their sum goes.
pub(crate) struct Slices {
    homes: Homes,
    /// Control port: the same at every gateway.
    port: u16,
    /// A pod of two families is called at one of this.
    ipv4: bool,
    slices: BTreeMap<String, Vec<(String, IpAddr)>>,
}

impl Slices {
    /// Gateways whose control endpoints are like the `own` one.
    pub(crate) fn new(homes: Homes, own: SocketAddr) -> Self {
        Self { homes, port: own.port(), ipv4: own.is_ipv4(), slices: BTreeMap::new() }
    }

    fn take(&mut self, slice: &EndpointSlice) {
        if let Some(name) = &slice.metadata.name {
            self.slices.insert(name.clone(), ready(slice));
        }
    }

    fn publish(&self) {
        let mut replicas = Replicas::new();
        let own_family = |address: &IpAddr| address.is_ipv4() == self.ipv4;
        // The own family comes last, and stays.
        for wanted in [false, true] {
            let found = self.slices.values().flatten().filter(|(_, address)| own_family(address) == wanted);
            replicas.extend(found.map(|(pod, address)| (pod.clone(), SocketAddr::new(*address, self.port))));
        }
        self.homes.replace(replicas);
    }
}

impl Table<EndpointSlice> for Slices {
    fn apply(&mut self, slice: EndpointSlice) {
        self.take(&slice);
        self.publish();
    }

    fn remove(&mut self, slice: EndpointSlice) {
        if let Some(name) = &slice.metadata.name {
            self.slices.remove(name);
        }
        self.publish();
    }

    fn replace(&mut self, slices: Vec<EndpointSlice>) {
        self.slices.clear();
        slices.iter().for_each(|slice| self.take(slice));
        self.publish();
    }
}

/// Ready pods with their address. Endpoints that are no pods, or no addresses, do not count.
fn ready(slice: &EndpointSlice) -> Vec<(String, IpAddr)> {
    let endpoints = slice.endpoints.iter().take(MAX_ENDPOINTS);
    endpoints
        .filter_map(|endpoint| {
            // Unset means ready, says the API.
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"))?;
            let address = endpoint.addresses.first()?.parse().ok()?;
            ready.then(|| Some((pod.name.clone()?, address)))?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slice(name: &str, endpoints: &[(&str, &str, Option<bool>)]) -> EndpointSlice {
        let endpoint = |(pod, address, ready): &(&str, &str, Option<bool>)| {
            json!({
                "addresses": [address],
                "conditions": ready.map_or_else(|| json!({}), |ready| json!({"ready": ready, "serving": true})),
                "targetRef": {"kind": "Pod", "name": pod},
            })
        };
        let endpoints: Vec<_> = endpoints.iter().map(endpoint).collect();
        let whole = json!({"metadata": {"name": name}, "addressType": "IPv4", "endpoints": endpoints});
        serde_json::from_value(whole).unwrap()
    }

    fn table(own: &str) -> (Slices, Homes) {
        let homes = Homes::new();
        (Slices::new(homes.clone(), own.parse().unwrap()), homes)
    }

    fn known(homes: &Homes) -> Vec<String> {
        homes.follow().borrow().iter().map(|(pod, address)| format!("{pod} {address}")).collect()
    }

    #[test]
    fn ready_pods_of_all_slices_count() {
        let (mut table, homes) = table("10.0.0.1:7443");
        let first = slice("x", &[("g-0", "10.0.0.1", Some(true)), ("g-1", "10.0.0.2", None)]);
        table.replace(vec![first, slice("y", &[("g-2", "10.0.0.3", Some(true)), ("g-3", "10.0.0.4", Some(false))])]);
        assert_eq!(known(&homes), ["g-0 10.0.0.1:7443", "g-1 10.0.0.2:7443", "g-2 10.0.0.3:7443"]);
    }

    #[test]
    fn a_pod_that_ends_is_no_home_any_more() {
        let (mut table, homes) = table("10.0.0.1:7443");
        table.apply(slice("x", &[("g-0", "10.0.0.1", Some(true)), ("g-1", "10.0.0.2", Some(true))]));
        table.apply(slice("x", &[("g-0", "10.0.0.1", Some(true)), ("g-1", "10.0.0.2", Some(false))]));
        assert_eq!(known(&homes), ["g-0 10.0.0.1:7443"]);
        table.remove(slice("x", &[]));
        assert!(known(&homes).is_empty());
    }

    #[test]
    fn a_pod_of_two_families_is_called_at_the_own_one() {
        let both = || vec![slice("x", &[("g-0", "10.0.0.1", None)]), slice("y", &[("g-0", "2001:db8::1", None)])];
        let (mut four, homes) = table("10.0.0.9:7443");
        four.replace(both());
        assert_eq!(known(&homes), ["g-0 10.0.0.1:7443"]);
        let (mut six, homes) = table("[2001:db8::9]:7443");
        six.replace(both());
        assert_eq!(known(&homes), ["g-0 [2001:db8::1]:7443"]);
    }

    #[test]
    fn what_is_no_pod_or_no_address_is_passed_over() {
        let (mut table, homes) = table("10.0.0.1:7443");
        let odd = json!({"metadata": {"name": "x"}, "addressType": "FQDN", "endpoints": [
            {"addresses": ["gateway.example"], "targetRef": {"kind": "Pod", "name": "g-0"}},
            {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Node", "name": "n"}},
            {"addresses": ["10.0.0.1"]},
            {"addresses": [], "targetRef": {"kind": "Pod", "name": "g-1"}},
        ]});
        table.apply(serde_json::from_value(odd).unwrap());
        assert!(known(&homes).is_empty());
    }
}
