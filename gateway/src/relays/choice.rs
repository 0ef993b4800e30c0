//! Which relay a client gets, and what it is told of it. Pure: randomness and time are arguments.

use plenum_api::room::{RelayPolicy, RelayPoolRef};
use plenum_protocol::ice::{IceServer, IceServers, IceTransportPolicy, RelayPlace};
use plenum_protocol::relay::Relay;
use plenum_protocol::turn::{RelayTransport, Scope, Username, password};

/// After so many seconds a client that got no relay may ask again.
const ASK_AGAIN_SECONDS: u64 = 60;

/// What a client needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need<'a> {
    /// Pools that the room may use.
    pub(crate) pools: &'a [RelayPoolRef],
    /// Regions near the client, the best first; one without a relay does not count.
    pub(crate) regions: [Option<&'a str>; 2],
    /// Pods that failed it: taken only when there is no other.
    pub(crate) avoid: &'a [String],
}

/// One of the relays near the client, by `random`.
pub(crate) fn choose<'a>(relays: &'a [Relay], need: &Need<'_>, random: u64) -> Option<&'a Relay> {
    let admitted = |relay: &&Relay| {
        need.pools.iter().any(|pool| pool.namespace == relay.namespace && pool.name == relay.pool)
            && relay.doors.iter().any(|door| !door.hosts.is_empty())
    };
    let mut found: Vec<&Relay> = relays.iter().filter(admitted).collect();
    narrow(&mut found, |relay| !need.avoid.contains(&relay.pod));
    for region in need.regions.into_iter().flatten() {
        if narrow(&mut found, |relay| relay.region == region) {
            break;
        }
    }
    let count = u64::try_from(found.len()).ok()?;
    found.get(usize::try_from(random.checked_rem(count)?).ok()?).copied()
}

/// Keeps those that `wanted` holds for, if there are any.
fn narrow(relays: &mut Vec<&Relay>, wanted: impl Fn(&Relay) -> bool) -> bool {
    let any = relays.iter().any(|relay| wanted(relay));
    if any {
        relays.retain(|relay| wanted(relay));
    }
    any
}

/// Whom credentials are for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket<'a> {
    /// Session in the username.
    pub(crate) session: &'a str,
    /// Which peers they reach.
    pub(crate) scope: Scope,
    /// From when on, seconds since 1970.
    pub(crate) now: u64,
}

/// The answer to a client of `relay`.
pub(crate) fn ice_servers(relay: Option<&Relay>, policy: RelayPolicy, ticket: Ticket<'_>) -> IceServers {
    let mut answer = IceServers {
        ice_servers: Vec::new(),
        ice_transport_policy: match policy {
            RelayPolicy::Never | RelayPolicy::Fallback => IceTransportPolicy::All,
            RelayPolicy::Always => IceTransportPolicy::Relay,
        },
        expires_at: ticket.now.saturating_add(ASK_AGAIN_SECONDS),
    };
    let Some(relay) = relay else { return answer };
    let stun = urls(relay, |transport| match transport {
        RelayTransport::Udp => Some(("stun", "")),
        RelayTransport::Tcp | RelayTransport::Tls => None,
    });
    if !stun.is_empty() {
        answer.ice_servers.push(IceServer { urls: stun, username: None, credential: None, relay: None });
    }
    if policy != RelayPolicy::Never {
        answer.expires_at = ticket.now.saturating_add(u64::from(relay.credential_ttl_seconds));
        answer.ice_servers.push(turn_server(relay, ticket, answer.expires_at));
    }
    answer
}

fn turn_server(relay: &Relay, ticket: Ticket<'_>, expires: u64) -> IceServer {
    let username = Username { expires, session: ticket.session, scope: Some(ticket.scope) }.to_string();
    let turn = |transport| {
        Some(match transport {
            RelayTransport::Udp => ("turn", "?transport=udp"),
            RelayTransport::Tcp => ("turn", "?transport=tcp"),
            RelayTransport::Tls => ("turns", "?transport=tcp"),
        })
    };
    IceServer {
        urls: urls(relay, turn),
        credential: Some(password(relay.secret.0.as_bytes(), &username)),
        username: Some(username),
        relay: Some(RelayPlace { pod: relay.pod.clone(), region: relay.region.clone() }),
    }
}

/// One URL per door and host, UDP first, for the transports that have a `(scheme, query)`.
fn urls(relay: &Relay, form: impl Fn(RelayTransport) -> Option<(&'static str, &'static str)>) -> Vec<String> {
    let mut doors: Vec<_> = relay.doors.iter().collect();
    doors.sort_by_key(|door| door.transport);
    let mut urls = Vec::new();
    for door in doors {
        let Some((scheme, query)) = form(door.transport) else { continue };
        for host in &door.hosts {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            urls.push(format!("{scheme}:{host}:{}{query}", door.port));
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relays::tests::relay;
    use plenum_protocol::relay::RelayDoor;
    use std::collections::BTreeSet;

    fn ticket(session: &str, now: u64) -> Ticket<'_> {
        Ticket { session, scope: Scope::Media, now }
    }

    fn pool(name: &str) -> RelayPoolRef {
        RelayPoolRef { namespace: "turn".into(), name: name.into(), region: "x".into() }
    }

    fn relays() -> Vec<Relay> {
        vec![relay("eu", "eu-0", "eu"), relay("eu", "eu-1", "eu"), relay("us", "us-0", "us"), relay("ap", "ap-0", "ap")]
    }

    /// The pods that may come out.
    fn chosen(pools: &[&str], regions: [Option<&str>; 2], avoid: &[&str]) -> BTreeSet<String> {
        let (relays, pools) = (relays(), pools.iter().map(|name| pool(name)).collect::<Vec<_>>());
        let avoid: Vec<String> = avoid.iter().map(|pod| (*pod).to_owned()).collect();
        let need = Need { pools: &pools, regions, avoid: &avoid };
        (0..20).filter_map(|random| choose(&relays, &need, random)).map(|relay| relay.pod.clone()).collect()
    }

    fn pods(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_client_gets_any_relay_of_its_region() {
        assert_eq!(chosen(&["eu", "us"], [None, Some("eu")], &[]), pods(&["eu-0", "eu-1"]));
        assert_eq!(chosen(&["eu", "us"], [Some("us"), Some("eu")], &[]), pods(&["us-0"]));
    }

    #[test]
    fn a_region_without_relays_falls_back_to_the_gateways_and_then_to_any() {
        assert_eq!(chosen(&["eu", "us"], [Some("moon"), Some("us")], &[]), pods(&["us-0"]));
        assert_eq!(chosen(&["eu", "us"], [Some("moon"), None], &[]), pods(&["eu-0", "eu-1", "us-0"]));
    }

    #[test]
    fn pools_that_the_room_may_not_use_are_not_chosen() {
        assert_eq!(chosen(&["us"], [Some("eu"), Some("eu")], &[]), pods(&["us-0"]));
        assert_eq!(chosen(&[], [None, None], &[]), pods(&[]));
        let foreign = RelayPoolRef { namespace: "other".into(), ..pool("eu") };
        let need = Need { pools: &[foreign], regions: [None, None], avoid: &[] };
        assert_eq!(choose(&relays(), &need, 0), None);
    }

    #[test]
    fn a_failed_relay_is_avoided_even_for_a_farther_one_but_beats_none() {
        assert_eq!(chosen(&["eu", "us"], [None, Some("eu")], &["eu-0"]), pods(&["eu-1"]));
        assert_eq!(chosen(&["eu", "us"], [None, Some("eu")], &["eu-0", "eu-1"]), pods(&["us-0"]));
        assert_eq!(chosen(&["us"], [None, None], &["us-0"]), pods(&["us-0"]));
    }

    #[test]
    fn a_relay_without_a_way_in_is_not_chosen() {
        let mut shut = relay("eu", "eu-0", "eu");
        shut.doors.clear();
        assert_eq!(choose(&[shut], &Need { pools: &[pool("eu")], regions: [None, None], avoid: &[] }, 0), None);
    }

    #[test]
    fn credentials_are_for_the_session_and_media_and_expire() {
        let relay = relay("eu", "eu-0", "eu");
        let answer = ice_servers(Some(&relay), RelayPolicy::Fallback, ticket("S_1", 1_000));
        assert_eq!((answer.expires_at, answer.ice_transport_policy), (1_600, IceTransportPolicy::All));
        let [stun, turn] = answer.ice_servers.as_slice() else { panic!("{answer:?}") };
        assert_eq!((stun.urls.as_slice(), &stun.username), (&["stun:192.0.2.7:3478".to_owned()][..], &None));
        let wanted = [
            "turn:192.0.2.7:3478?transport=udp",
            "turn:192.0.2.7:3478?transport=tcp",
            "turns:192.0.2.7:443?transport=tcp",
        ];
        assert_eq!(turn.urls, wanted);
        assert_eq!(turn.username.as_deref(), Some("1600:S_1:media"));
        assert_eq!(turn.credential, Some(password(b"hush", "1600:S_1:media")));
        assert_eq!(turn.relay, Some(RelayPlace { pod: "eu-0".into(), region: "eu".into() }));
    }

    #[test]
    fn doors_are_sorted_and_ipv6_is_bracketed() {
        let mut relay = relay("eu", "eu-0", "eu");
        let door = |transport, host: &str| RelayDoor { transport, hosts: vec![host.into()], port: 1 };
        relay.doors = vec![door(RelayTransport::Tls, "turn.test"), door(RelayTransport::Udp, "2001:db8::1")];
        let answer = ice_servers(Some(&relay), RelayPolicy::Always, ticket("S", 0));
        assert_eq!(answer.ice_transport_policy, IceTransportPolicy::Relay);
        assert_eq!(answer.ice_servers[0].urls, ["stun:[2001:db8::1]:1"]);
        let wanted = ["turn:[2001:db8::1]:1?transport=udp", "turns:turn.test:1?transport=tcp"];
        assert_eq!(answer.ice_servers[1].urls, wanted);
    }

    #[test]
    fn never_still_names_stun_and_nothing_more() {
        let relay = relay("eu", "eu-0", "eu");
        let answer = ice_servers(Some(&relay), RelayPolicy::Never, ticket("S", 100));
        assert_eq!((answer.ice_servers.len(), answer.ice_transport_policy), (1, IceTransportPolicy::All));
        assert!(answer.ice_servers[0].urls[0].starts_with("stun:") && answer.ice_servers[0].credential.is_none());
        let none = ice_servers(None, RelayPolicy::Always, ticket("S", 100));
        assert_eq!((none.ice_servers.len(), none.ice_transport_policy), (0, IceTransportPolicy::Relay));
        assert_eq!(none.expires_at, 160);
    }
}
