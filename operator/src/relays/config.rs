//! What a TURN pod is configured with, and how clients get to it. Pure.

use super::pool::{TurnPool, listener_port};
use super::surroundings::Surroundings;
use crate::pools::address::Outside;
use plenum_api::pool::ListenerProtocol;
use plenum_protocol::relay::{RelayConfig, RelayDoor, RelayPeers, RelaySecret};
use plenum_protocol::turn::RelayTransport;
use std::net::IpAddr;

/// What of a TURN pod its configuration depends on.
pub struct RelayPlace<'a> {
    /// Its own address.
    pub inside: IpAddr,
    /// What clients are told.
    pub outside: &'a Outside,
    /// It takes new allocations.
    pub accepting: bool,
}

/// The configuration of one TURN pod; `None` while its pool has no secret.
#[must_use]
pub fn config(
    place: &RelayPlace<'_>,
    pool: &TurnPool,
    secrets: &[RelaySecret],
    around: &Surroundings,
) -> Option<RelayConfig> {
    if secrets.is_empty() {
        return None;
    }
    let mut outside: Vec<IpAddr> = place.outside.addresses.iter().filter_map(|told| told.parse().ok()).collect();
    if outside.is_empty() {
        // A balancer with host names only: nobody but media pods, who answer to where packets come from, needs it.
        outside.push(place.inside);
    }
    Some(RelayConfig {
        outside_addresses: outside,
        realm: pool.realm.clone(),
        secrets: secrets.to_vec(),
        peers: RelayPeers {
            media: around.media.clone(),
            relays: around.relays.clone(),
            allow: pool.allow.clone(),
            deny: pool.deny.clone(),
            guarded: around.guarded.clone(),
        },
        quotas: pool.quotas.clone(),
        max_lifetime_seconds: pool.max_lifetime_seconds,
        accepting: place.accepting,
    })
}

/// The ways into a TURN pod: UDP, then TCP, then TLS.
#[must_use]
pub fn doors(pool: &TurnPool, outside: &Outside) -> Vec<RelayDoor> {
    let listeners = pool.listeners.iter();
    listeners
        .map(|listener| RelayDoor {
            transport: match listener.protocol {
                ListenerProtocol::UDP => RelayTransport::Udp,
                ListenerProtocol::TCP => RelayTransport::Tcp,
                ListenerProtocol::TLS => RelayTransport::Tls,
            },
            hosts: listener.hostname.clone().map_or_else(|| outside.told().to_vec(), |host| vec![host]),
            port: listener_port(listener),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::pool::tests::spec;
    use super::*;
    use plenum_api::pool::AddressSource;
    use serde_json::json;

    fn outside(addresses: &[&str], hosts: &[&str]) -> Outside {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Outside { addresses: list(addresses), hosts: list(hosts), source: AddressSource::NodeExternalIP }
    }

    #[test]
    fn doors_are_in_order_and_a_host_name_beats_addresses() {
        let tls = json!({ "name": "tls", "protocol": "TLS", "port": 443, "hostname": "turn.test", "tlsSecretRef": { "name": "x" } });
        let udp = json!({ "name": "udp", "protocol": "UDP", "port": 3478 });
        let pool = TurnPool::of(&spec("HostPort", json!({ "listeners": [tls, udp] }))).unwrap();
        let doors = doors(&pool, &outside(&["192.0.2.1", "2001:db8::1"], &[]));
        assert_eq!(
            doors.iter().map(|door| (door.transport, door.port)).collect::<Vec<_>>(),
            vec![(RelayTransport::Udp, 3478), (RelayTransport::Tls, 443),]
        );
        assert_eq!(doors[0].hosts, vec!["192.0.2.1", "2001:db8::1"]);
        assert_eq!(doors[1].hosts, vec!["turn.test"]);
    }

    #[test]
    fn a_pool_without_a_secret_configures_nobody() {
        let pool = TurnPool::of(&spec("LoadBalancer", json!({}))).unwrap();
        let told = outside(&[], &["lb.cloud.test"]);
        let place = RelayPlace { inside: "10.1.0.6".parse().unwrap(), outside: &told, accepting: true };
        let around = Surroundings::default();
        assert_eq!(config(&place, &pool, &[], &around), None);
        let made = config(&place, &pool, &[RelaySecret("a-good-secret".into())], &around).unwrap();
        assert_eq!(made.outside_addresses, vec!["10.1.0.6".parse::<IpAddr>().unwrap()]);
        assert_eq!(doors(&pool, &told)[0].hosts, vec!["lb.cloud.test"]);
    }
}
