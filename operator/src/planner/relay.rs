//! Which TURN pools a room's clients may use. The pod is chosen by a gateway when somebody joins.

use super::views::{RelayPoolView, ValidRoom};
use plenum_api::conditions::{Truth, Verdict};
use plenum_api::room::{MAX_RELAY_POOLS, RelayPolicy, RelayPoolRef, Topology};

/// The relays of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayPlan {
    /// Pools whose relays its clients may use, by namespace and name.
    pub pools: Vec<RelayPoolRef>,
    /// The condition RelayReady.
    pub verdict: Verdict,
    /// What `relay.policy` says.
    pub policy: RelayPolicy,
}

impl RelayPlan {
    /// Nobody can join, since everybody needs a relay and there is none.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.policy == RelayPolicy::Always && self.verdict.status != Truth::True
    }
}

/// Plans the relays of one room that runs as `topology`. `pools` are those of role TURN that are not being deleted, by
/// namespace and name.
#[must_use]
pub fn plan_relays(room: &ValidRoom, topology: Topology, pools: &[RelayPoolView]) -> RelayPlan {
    let wanted: Vec<&RelayPoolView> =
        pools.iter().filter(|relay| room.relay_selector.matches(&relay.pool.labels)).collect();
    let admits = |relay: &&RelayPoolView| relay.pool.admits(&room.namespace, &room.namespace_labels);
    let admitting: Vec<&RelayPoolView> = wanted.iter().filter(|relay| admits(relay)).copied().collect();
    let inside: Vec<&RelayPoolView> =
        admitting.iter().filter(|relay| room.allows(&relay.pool.region)).copied().collect();
    let ready: u32 = inside.iter().map(|relay| relay.ready).sum();
    let verdict = if room.relay_policy == RelayPolicy::Never {
        let whom = if topology == Topology::PeerToPeer { "each other" } else { "the media pod" };
        let message = format!("relay.policy is Never: clients reach {whom} themselves or not at all");
        Verdict::new(Truth::True, "NotRequired", message)
    } else if wanted.is_empty() {
        missing("NoRelayPool", no_pool(room, pools.len()), room)
    } else if admitting.is_empty() {
        missing("PoolNotPermitted", not_permitted(room, &wanted), room)
    } else if inside.is_empty() {
        missing("NoRelayPool", no_region(room, &admitting), room)
    } else if ready == 0 {
        let message = format!("RelayPool {} has no relay that is ready: wait, or scale it up", names(&inside));
        missing("NoReadyRelay", message, room)
    } else if topology == Topology::PeerToPeer && is_half_reachable(room, &inside) {
        Verdict::new(Truth::False, "RelayedAddressUnreachable", unreachable(&inside))
    } else {
        // No number: it would be written into every Room whenever a relay comes or goes.
        Verdict::new(Truth::True, "RelaysReady", format!("clients may use the relays of RelayPool {}", names(&inside)))
    };
    let refs = inside.iter().take(MAX_RELAY_POOLS).map(|relay| RelayPoolRef {
        namespace: relay.pool.namespace.clone(),
        name: relay.pool.name.clone(),
        region: relay.pool.region.clone(),
    });
    RelayPlan { pools: refs.collect(), verdict, policy: room.relay_policy }
}

/// One peer may need a relay while the other goes without: they meet only if the relayed address is one of the node.
fn is_half_reachable(room: &ValidRoom, inside: &[&RelayPoolView]) -> bool {
    let mut ready = inside.iter().filter(|relay| relay.ready > 0);
    room.relay_policy == RelayPolicy::Fallback && ready.all(|relay| !relay.reachable)
}

fn unreachable(inside: &[&RelayPoolView]) -> String {
    format!(
        "clients whose networks block each other meet only if both are relayed: relayed addresses of RelayPool {} are inside the cluster. Apply a RelayPool with role TURN and exposure.type HostNetwork, or set relay.policy to Always, so that both are relayed",
        names(inside)
    )
}

/// What it means for people depends on the policy.
fn missing(reason: &'static str, problem: String, room: &ValidRoom) -> Verdict {
    let meaning = if room.relay_policy == RelayPolicy::Always {
        "relay.policy is Always, so nobody can join"
    } else {
        "clients whose networks block UDP stay out"
    };
    Verdict::new(Truth::False, reason, format!("{meaning}: {problem}"))
}

fn no_pool(room: &ValidRoom, many: usize) -> String {
    if many == 0 {
        return "there is no RelayPool with role TURN in the cluster: apply one".to_owned();
    }
    if room.relay_selector.is_empty() {
        return "no RelayPool with role TURN can be used: look at their condition Accepted".to_owned();
    }
    format!("relay.poolSelector matches none of {many} RelayPools with role TURN: change it, or label a pool")
}

fn not_permitted(room: &ValidRoom, wanted: &[&RelayPoolView]) -> String {
    format!(
        "RelayPool {} does not admit Rooms of namespace {}: change the pool's allowedRooms.namespaces, or apply a RelayPool in this namespace",
        names(wanted),
        room.namespace
    )
}

fn no_region(room: &ValidRoom, admitting: &[&RelayPoolView]) -> String {
    let mut regions: Vec<&str> = admitting.iter().map(|relay| relay.pool.region.as_str()).collect();
    regions.dedup();
    format!(
        "placement.allowedRegions ({}) leaves no RelayPool with role TURN: those that admit this Room are in {}",
        room.allowed_regions.join(", "),
        regions.join(", ")
    )
}

fn names(relays: &[&RelayPoolView]) -> String {
    super::place::names(relays.iter().map(|relay| &relay.pool))
}

#[cfg(test)]
mod tests {
    use super::super::place::tests::{pool, room};
    use super::*;
    use plenum_api::pool::NamespacesFrom;
    use plenum_api::selector::Selector;
    use std::collections::BTreeMap;

    fn relays(ready: &[u32]) -> Vec<RelayPoolView> {
        let view = |(index, ready): (usize, &u32)| RelayPoolView {
            pool: pool(&format!("turn-{index}"), if index == 0 { "eu-west" } else { "us-east" }),
            ready: *ready,
            reachable: false,
        };
        ready.iter().enumerate().map(view).collect()
    }

    fn reason(room: &ValidRoom, fleet: &[RelayPoolView]) -> (&'static str, bool) {
        let plan = plan_relays(room, room.topology, fleet);
        (plan.verdict.reason, plan.blocks())
    }

    fn always() -> ValidRoom {
        ValidRoom { relay_policy: RelayPolicy::Always, ..room() }
    }

    #[test]
    fn without_relays_only_a_room_that_needs_them_is_blocked() {
        assert_eq!(reason(&room(), &relays(&[])), ("NoRelayPool", false));
        assert_eq!(reason(&always(), &relays(&[])), ("NoRelayPool", true));
        assert_eq!(reason(&always(), &relays(&[0])), ("NoReadyRelay", true));
        assert_eq!(reason(&always(), &relays(&[0, 1])), ("RelaysReady", false));
    }

    #[test]
    fn a_room_that_wants_none_still_has_them_for_stun() {
        let never = ValidRoom { relay_policy: RelayPolicy::Never, ..room() };
        let plan = plan_relays(&never, never.topology, &relays(&[1]));
        assert_eq!((plan.verdict.reason, plan.pools.len(), plan.blocks()), ("NotRequired", 1, false));
        assert_eq!(reason(&never, &relays(&[])), ("NotRequired", false));
    }

    #[test]
    fn pools_that_do_not_admit_the_room_are_not_its_own() {
        let mut fleet = relays(&[1, 1]);
        for relay in &mut fleet {
            relay.pool.allowed.from = NamespacesFrom::Same;
            relay.pool.namespace = "elsewhere".into();
        }
        let plan = plan_relays(&always(), Topology::MediaServer, &fleet);
        assert!(plan.pools.is_empty());
        assert_eq!(plan.verdict.reason, "PoolNotPermitted");
        assert!(plan.verdict.message.contains("allowedRooms.namespaces"), "{}", plan.verdict.message);
    }

    #[test]
    fn allowed_regions_bind_relays_too() {
        let eu = ValidRoom { allowed_regions: vec!["eu-west".into()], ..room() };
        let plan = plan_relays(&eu, eu.topology, &relays(&[1, 1]));
        assert_eq!(plan.pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), vec!["turn-0"]);
        let asia = ValidRoom { allowed_regions: vec!["asia".into()], ..room() };
        let plan = plan_relays(&asia, asia.topology, &relays(&[1, 1]));
        assert!(
            plan.verdict.message.contains("those that admit this Room are in eu-west, us-east"),
            "{}",
            plan.verdict.message
        );
    }

    #[test]
    fn relays_inside_the_cluster_cannot_serve_one_of_two_peers() {
        let pair = |policy| ValidRoom { topology: Topology::PeerToPeer, relay_policy: policy, ..room() };
        let inside = relays(&[1, 1]);
        let plan = plan_relays(&pair(RelayPolicy::Fallback), Topology::PeerToPeer, &inside);
        assert_eq!((plan.verdict.reason, plan.verdict.status), ("RelayedAddressUnreachable", Truth::False));
        assert!(!plan.blocks() && plan.pools.len() == 2, "who needs none, and pairs that both need one, meet");
        assert!(plan.verdict.message.contains("HostNetwork"), "{}", plan.verdict.message);
        assert_eq!(reason(&pair(RelayPolicy::Always), &inside), ("RelaysReady", false), "both are relayed");
        assert_eq!(reason(&pair(RelayPolicy::Never), &inside), ("NotRequired", false));
        assert_eq!(reason(&pair(RelayPolicy::Always), &relays(&[0])), ("NoReadyRelay", true));
        let mut outside = inside;
        outside[1].reachable = true;
        assert_eq!(reason(&pair(RelayPolicy::Fallback), &outside), ("RelaysReady", false));
        outside[1].ready = 0;
        assert_eq!(reason(&pair(RelayPolicy::Fallback), &outside), ("RelayedAddressUnreachable", false));
        let upgraded = plan_relays(&pair(RelayPolicy::Fallback), Topology::MediaServer, &outside);
        assert_eq!(upgraded.verdict.reason, "RelaysReady", "media pods are inside too");
    }

    #[test]
    fn a_selector_that_matches_nothing_is_named() {
        let match_labels = BTreeMap::from([("tier".to_owned(), "gold".to_owned())]);
        let picky = ValidRoom { relay_selector: Selector { match_labels, ..Selector::default() }, ..room() };
        let plan = plan_relays(&picky, picky.topology, &relays(&[1]));
        assert!(plan.verdict.message.contains("relay.poolSelector matches none"), "{}", plan.verdict.message);
    }
}
