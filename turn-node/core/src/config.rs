//! What a server is made with, and the checked form of the configuration that the operator pushes.

use crate::ledger::Ledger;
use crate::peers::{InvalidRule, PeerPolicy};
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::{RelayConfig, RelayQuotas};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// Longest REALM, in bytes: it is in every answer to the unauthenticated.
pub const MAX_REALM: usize = 64;

/// What a server needs to start.
#[derive(Clone)]
pub struct ServerConfig {
    /// Number of the worker, in its nonces and in logs.
    pub worker: u16,
    /// The allocations of the pod: one ledger for all its workers.
    pub ledger: Arc<Ledger>,
    /// The pod's own addresses that relay sockets bind to; the first of each family is used.
    pub bind: Vec<IpAddr>,
    /// Relay ports of this worker alone.
    pub ports: PortRange,
    /// Signs nonces; the same for all workers of a process.
    pub nonce_key: [u8; 32],
    /// Seed of everything random: relay ports, transactions, hashes. Another one for each worker.
    pub seed: [u8; 32],
    /// Bounds that no operator sets.
    pub limits: Limits,
}

impl ServerConfig {
    /// The part of `range` that `worker` of `workers` owns: consecutive, equal up to the remainder, without overlap.
    /// `None` when the range has fewer ports than there are workers.
    #[must_use]
    pub fn port_slice(range: PortRange, worker: u16, workers: u16) -> Option<PortRange> {
        let count = u32::from(range.max.checked_sub(range.min)?) + 1;
        if worker >= workers || count < u32::from(workers) {
            return None;
        }
        let at = |worker: u32| u16::try_from(u32::from(range.min) + count * worker / u32::from(workers));
        let (worker, last) = (u32::from(worker), worker + 1 == workers);
        let max = if last { range.max } else { at(worker + 1).ok()?.checked_sub(1)? };
        Some(PortRange { min: at(worker).ok()?, max })
    }
}

/// Shows neither key nor seed.
impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig").field("worker", &self.worker).field("ports", &self.ports).finish_non_exhaustive()
    }
}

/// Bounds of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Peers that one allocation may have permissions for at once.
    pub permissions: usize,
    /// Channels that one allocation may have at once.
    pub channels: usize,
    /// Answers to unauthenticated datagrams per second and source prefix (IPv4 /24, IPv6 /48).
    pub answers_per_prefix: u32,
    /// Answers to unauthenticated datagrams per second in all.
    pub answers: u32,
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
    /// How long a released relay port rests.
    pub port_rest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            permissions: 64,
            channels: 64,
            answers_per_prefix: 200,
            answers: 10_000,
            nonce_lifetime: Duration::from_secs(3_600),
            port_rest: Duration::from_secs(10),
        }
    }
}

/// A [`RelayConfig`] that was checked and prepared. Made once per push, shared by the workers of a pod.
pub struct CheckedConfig {
    pub(crate) realm: String,
    pub(crate) secrets: Vec<Vec<u8>>,
    pub(crate) outside_v4: Option<Ipv4Addr>,
    pub(crate) outside_v6: Option<Ipv6Addr>,
    pub(crate) peers: PeerPolicy,
    pub(crate) quotas: RelayQuotas,
    pub(crate) max_lifetime: Duration,
    pub(crate) accepting: bool,
}

impl CheckedConfig {
    /// Checks a configuration. `own` are the pod's own addresses: they, and the outside ones, are no peers.
    ///
    /// # Errors
    /// [`ConfigError`] names what is wrong with it.
    pub fn new(config: &RelayConfig, own: &[IpAddr]) -> Result<Self, ConfigError> {
        // Taken apart without `..`: a new field must be handled here.
        let RelayConfig { outside_addresses, realm, secrets, peers, quotas, max_lifetime_seconds, accepting } = config;
        if realm.is_empty() || realm.len() > MAX_REALM {
            return Err(ConfigError::Realm);
        }
        if secrets.is_empty() || secrets.len() > 2 || secrets.iter().any(|secret| secret.0.is_empty()) {
            return Err(ConfigError::Secrets);
        }
        if *max_lifetime_seconds == 0 {
            return Err(ConfigError::Lifetime);
        }
        let outside = outside_addresses.iter().map(IpAddr::to_canonical);
        let own: Vec<IpAddr> = own.iter().map(IpAddr::to_canonical).chain(outside.clone()).collect();
        Ok(Self {
            realm: realm.clone(),
            secrets: secrets.iter().map(|secret| secret.0.clone().into_bytes()).collect(),
            outside_v4: outside.clone().find_map(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None }),
            outside_v6: outside.clone().find_map(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None }),
            peers: PeerPolicy::new(peers, &own)?,
            quotas: quotas.clone(),
            max_lifetime: Duration::from_secs(u64::from(*max_lifetime_seconds)),
            accepting: *accepting,
        })
    }

    /// Whom relays may speak to.
    #[must_use]
    pub fn peers(&self) -> &PeerPolicy {
        &self.peers
    }

    /// The address that clients are told of a relay of this family.
    pub(crate) fn outside(&self, ipv4: bool) -> Option<IpAddr> {
        if ipv4 { self.outside_v4.map(IpAddr::V4) } else { self.outside_v6.map(IpAddr::V6) }
    }
}

/// Shows no secret.
impl fmt::Debug for CheckedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedConfig")
            .field("realm", &self.realm)
            .field("accepting", &self.accepting)
            .finish_non_exhaustive()
    }
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// REALM is empty or too long.
    #[error("the realm must have 1 to {MAX_REALM} bytes")]
    Realm,
    /// No secret, more than two, or an empty one.
    #[error("there must be one or two secrets, and none may be empty")]
    Secrets,
    /// No allocation could live.
    #[error("maxLifetimeSeconds must not be 0")]
    Lifetime,
    /// A list is too long, or a rule does not parse.
    #[error("reading the rules for peers: {0}")]
    Peers(#[from] InvalidRule),
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_protocol::relay::{RelayPeers, RelaySecret};
    use proptest::prelude::*;

    fn config() -> RelayConfig {
        RelayConfig {
            outside_addresses: vec!["::ffff:198.51.100.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            realm: "plenum".into(),
            secrets: vec![RelaySecret("north".into())],
            peers: RelayPeers::default(),
            quotas: RelayQuotas {
                allocations: 10,
                allocations_per_user: 10,
                allocations_per_address: 10,
                kbps_per_allocation: 0,
            },
            max_lifetime_seconds: 3_600,
            accepting: true,
        }
    }

    fn refusal(change: impl FnOnce(&mut RelayConfig)) -> ConfigError {
        let mut config = config();
        change(&mut config);
        CheckedConfig::new(&config, &[]).unwrap_err()
    }

    #[test]
    fn a_configuration_that_cannot_serve_is_refused() {
        assert_eq!(refusal(|it| it.realm.clear()), ConfigError::Realm);
        assert_eq!(refusal(|it| it.realm = "a".repeat(65)), ConfigError::Realm);
        assert_eq!(refusal(|it| it.secrets.clear()), ConfigError::Secrets);
        assert_eq!(refusal(|it| it.secrets.push(RelaySecret(String::new()))), ConfigError::Secrets);
        assert_eq!(refusal(|it| it.secrets = vec![RelaySecret("a".into()); 3]), ConfigError::Secrets);
        assert_eq!(refusal(|it| it.max_lifetime_seconds = 0), ConfigError::Lifetime);
    }

    #[test]
    fn outside_addresses_are_told_by_family_and_are_no_peers() {
        let checked = CheckedConfig::new(&config(), &[]).unwrap();
        assert_eq!(checked.outside(true), Some("198.51.100.1".parse().unwrap()));
        assert_eq!(checked.outside(false), Some("2001:db8::1".parse().unwrap()));
        assert!(checked.peers().judge_address(None, "198.51.100.1".parse().unwrap()).is_err());
    }

    #[test]
    fn secrets_are_not_printed() {
        assert!(!format!("{:?}", CheckedConfig::new(&config(), &[]).unwrap()).contains("north"));
    }

    proptest! {
        #[test]
        fn slices_cover_the_range_without_overlap(min in 1u16.., len in 0u16..20_000, workers in 1u16..40) {
            let range = PortRange { min, max: min.saturating_add(len) };
            let slices: Vec<_> = (0..workers).map_while(|it| ServerConfig::port_slice(range, it, workers)).collect();
            if range.max - range.min < workers - 1 {
                prop_assert!(slices.is_empty());
            } else {
                prop_assert_eq!(slices.len(), usize::from(workers));
                let mut next = u32::from(range.min);
                for slice in slices {
                    prop_assert!(slice.max >= slice.min);
                    prop_assert_eq!(u32::from(slice.min), next);
                    next = u32::from(slice.max) + 1;
                }
                prop_assert_eq!(next, u32::from(range.max) + 1);
            }
            prop_assert!(ServerConfig::port_slice(range, workers, workers).is_none());
        }
    }
}
