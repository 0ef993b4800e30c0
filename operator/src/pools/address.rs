//! Which addresses clients are told for a pod. Pure.

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Node, Service};
use plenum_api::pool::{Address, AddressSource};
use std::net::IpAddr;

/// Most addresses of one pod.
const MAX_ADDRESSES: usize = 8;

/// Addresses for clients, and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// IPv4 or IPv6, at most 8; none where a balancer has only host names.
    pub addresses: Vec<String>,
    /// Host names of a balancer.
    pub hosts: Vec<String>,
    /// What was chosen.
    pub source: AddressSource,
}

/// There is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// The node has none of that type.
    #[error("node {node} has no {wanted} in its status: give it one, or change exposure.address.source")]
    Node {
        /// Name of the node.
        node: String,
        /// What it lacks.
        wanted: &'static str,
    },
    /// The balancer has none so far.
    #[error(
        "the cluster has given Service {service} no address so far: a cloud needs a minute for it; without a load balancer in the cluster use exposure.type HostPort, or address.source Static"
    )]
    Balancer {
        /// Name of the Service.
        service: String,
    },
}

/// Addresses of a pod on `node`. Unset source: ExternalIP, else InternalIP.
///
/// # Errors
/// [`NoAddress`].
pub fn of_node(address: &Address, node: &Node) -> Result<Outside, NoAddress> {
    let external = || of_type(node, "ExternalIP");
    let internal = || of_type(node, "InternalIP");
    let (addresses, source, wanted) = match address.source {
        Some(AddressSource::Static) => (address.addresses.clone(), AddressSource::Static, "address"),
        Some(AddressSource::NodeExternalIP) => (external(), AddressSource::NodeExternalIP, "ExternalIP"),
        Some(AddressSource::NodeInternalIP) => (internal(), AddressSource::NodeInternalIP, "InternalIP"),
        Some(AddressSource::LoadBalancer) => (Vec::new(), AddressSource::LoadBalancer, "balancer"),
        None if external().is_empty() => (internal(), AddressSource::NodeInternalIP, "ExternalIP or InternalIP"),
        None => (external(), AddressSource::NodeExternalIP, "ExternalIP"),
    };
    if addresses.is_empty() {
        return Err(NoAddress::Node { node: node.metadata.name.clone().unwrap_or_default(), wanted });
    }
    Ok(Outside { addresses, hosts: Vec::new(), source })
}

/// Addresses of all pods behind the Service `name`, once it has some.
///
/// # Errors
/// [`NoAddress`].
pub fn of_service(address: &Address, name: &str, service: Option<&Service>) -> Result<Outside, NoAddress> {
    if address.source == Some(AddressSource::Static) {
        return Ok(Outside { addresses: address.addresses.clone(), hosts: Vec::new(), source: AddressSource::Static });
    }
    let ingress = || service.into_iter().flat_map(ingress);
    let addresses: Vec<String> =
        ingress().filter_map(|ingress| ingress.ip.clone()).filter(|ip| ip.parse::<IpAddr>().is_ok()).collect();
    let hosts: Vec<String> = ingress().filter_map(|ingress| ingress.hostname.clone()).collect();
    if addresses.is_empty() && hosts.is_empty() {
        return Err(NoAddress::Balancer { service: name.to_owned() });
    }
    Ok(Outside { addresses, hosts, source: AddressSource::LoadBalancer })
}

/// Addresses that a balancer has.
pub fn of_balancer(service: &Service) -> impl Iterator<Item = IpAddr> {
    ingress(service).filter_map(|ingress| ingress.ip.as_ref()?.parse().ok())
}

fn ingress(service: &Service) -> impl Iterator<Item = &LoadBalancerIngress> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten().take(MAX_ADDRESSES)
}

impl Outside {
    /// What clients are told: host names of a balancer that has some, else addresses.
    #[must_use]
    pub fn told(&self) -> &[String] {
        if self.hosts.is_empty() { &self.addresses } else { &self.hosts }
    }
}

/// Addresses of a node of one type.
pub fn of_type(node: &Node, kind: &str) -> Vec<String> {
    let all = node.status.as_ref().and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    let mine = all.filter(|address| address.type_ == kind).map(|address| address.address.clone());
    mine.filter(|address| address.parse::<IpAddr>().is_ok()).take(MAX_ADDRESSES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(addresses: &[(&str, &str)]) -> Node {
        let list: Vec<_> =
            addresses.iter().map(|(kind, address)| json!({ "type": kind, "address": address })).collect();
        serde_json::from_value(json!({ "metadata": { "name": "n" }, "status": { "addresses": list } })).unwrap()
    }

    fn from(source: Option<AddressSource>) -> Address {
        Address { source, addresses: vec![] }
    }

    fn service(ingress: serde_json::Value) -> Service {
        serde_json::from_value(json!({ "status": { "loadBalancer": { "ingress": ingress } } })).unwrap()
    }

    #[test]
    fn an_unset_source_prefers_the_external_address() {
        let both = node(&[("InternalIP", "10.0.0.1"), ("ExternalIP", "192.0.2.1"), ("Hostname", "n")]);
        let chosen = of_node(&from(None), &both).unwrap();
        assert_eq!((chosen.addresses, chosen.source), (vec!["192.0.2.1".to_owned()], AddressSource::NodeExternalIP));
        let inner = node(&[("InternalIP", "10.0.0.1"), ("ExternalIP", "not-an-address")]);
        assert_eq!(of_node(&from(None), &inner).unwrap().source, AddressSource::NodeInternalIP);
    }

    #[test]
    fn a_missing_address_says_which_and_what_to_do() {
        let inner = node(&[("InternalIP", "10.0.0.1")]);
        let error = of_node(&from(Some(AddressSource::NodeExternalIP)), &inner).unwrap_err().to_string();
        assert!(
            error.contains("node n has no ExternalIP") && error.contains("change exposure.address.source"),
            "{error}"
        );
    }

    #[test]
    fn static_addresses_need_no_node_address_and_no_balancer() {
        let address = Address { source: Some(AddressSource::Static), addresses: vec!["198.51.100.7".into()] };
        assert_eq!(of_node(&address, &node(&[])).unwrap().addresses, vec!["198.51.100.7".to_owned()]);
        assert_eq!(of_service(&address, "s", None).unwrap().told(), ["198.51.100.7".to_owned()]);
    }

    #[test]
    fn a_balancer_without_an_address_is_told_in_plain_words() {
        for missing in [None, Some(service(json!([])))] {
            let error = of_service(&from(None), "plenum-turn-eu", missing.as_ref()).unwrap_err().to_string();
            assert!(error.contains("plenum-turn-eu no address so far"), "{error}");
        }
        let named = of_service(&from(None), "s", Some(&service(json!([{ "hostname": "lb.cloud.test" }])))).unwrap();
        assert_eq!((named.told(), named.addresses.len()), (["lb.cloud.test".to_owned()].as_slice(), 0));
        let plain = of_service(&from(None), "s", Some(&service(json!([{ "ip": "192.0.2.9" }])))).unwrap();
        assert_eq!((plain.told(), plain.source), (["192.0.2.9".to_owned()].as_slice(), AddressSource::LoadBalancer));
    }
}
