//! Which addresses clients are told for a pod. Pure.

use k8s_openapi::api::core::v1::Node;
use plenum_api::pool::{Address, AddressSource};
use std::net::IpAddr;

/// Most addresses of one pod.
const MAX_ADDRESSES: usize = 8;

/// Addresses for clients, and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// IPv4 or IPv6, 1 to 8.
    pub addresses: Vec<String>,
    /// What was chosen.
    pub source: AddressSource,
}

/// The node has no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {node} has no {wanted} in its status: give it one, or change exposure.address.source")]
pub struct NoAddress {
    node: String,
    wanted: &'static str,
}

/// Addresses of a pod on `node`. Unset source: ExternalIP, else InternalIP.
///
/// # Errors
/// [`NoAddress`].
pub fn outside(address: &Address, node: &Node) -> Result<Outside, NoAddress> {
    let external = || of_type(node, "ExternalIP");
    let internal = || of_type(node, "InternalIP");
    let (addresses, source, wanted) = match address.source {
        Some(AddressSource::Static) => (address.addresses.clone(), AddressSource::Static, "address"),
        Some(AddressSource::NodeExternalIP) => (external(), AddressSource::NodeExternalIP, "ExternalIP"),
        Some(AddressSource::NodeInternalIP) => (internal(), AddressSource::NodeInternalIP, "InternalIP"),
        None if external().is_empty() => (internal(), AddressSource::NodeInternalIP, "ExternalIP or InternalIP"),
        None => (external(), AddressSource::NodeExternalIP, "ExternalIP"),
    };
    if addresses.is_empty() {
        return Err(NoAddress { node: node.metadata.name.clone().unwrap_or_default(), wanted });
    }
    Ok(Outside { addresses, source })
}

fn of_type(node: &Node, kind: &str) -> Vec<String> {
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

    #[test]
    fn an_unset_source_prefers_the_external_address() {
        let both = node(&[("InternalIP", "10.0.0.1"), ("ExternalIP", "192.0.2.1"), ("Hostname", "n")]);
        let chosen = outside(&from(None), &both).unwrap();
        assert_eq!((chosen.addresses, chosen.source), (vec!["192.0.2.1".to_owned()], AddressSource::NodeExternalIP));
        let inner = node(&[("InternalIP", "10.0.0.1"), ("ExternalIP", "not-an-address")]);
        assert_eq!(outside(&from(None), &inner).unwrap().source, AddressSource::NodeInternalIP);
    }

    #[test]
    fn a_missing_address_says_which_and_what_to_do() {
        let inner = node(&[("InternalIP", "10.0.0.1")]);
        let error = outside(&from(Some(AddressSource::NodeExternalIP)), &inner).unwrap_err().to_string();
        assert!(
            error.contains("node n has no ExternalIP") && error.contains("change exposure.address.source"),
            "{error}"
        );
    }

    #[test]
    fn static_addresses_need_no_node_address() {
        let address = Address { source: Some(AddressSource::Static), addresses: vec!["198.51.100.7".into()] };
        assert_eq!(outside(&address, &node(&[])).unwrap().addresses, vec!["198.51.100.7".to_owned()]);
    }
}
