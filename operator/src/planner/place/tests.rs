use super::*;
use plenum_api::pool::{AllowedNamespaces, NamespacesFrom};
use plenum_api::room::{Binding, Lifecycle, RelayPolicy, Topology};
use plenum_api::selector::Selector;
use proptest::prelude::{Just, Strategy as _, prop_assert, prop_assert_eq, prop_oneof, proptest};

pub(in crate::planner) fn pool(name: &str, region: &str) -> PoolView {
    PoolView {
        namespace: "media".into(),
        name: name.into(),
        region: region.into(),
        labels: BTreeMap::from([("pool".to_owned(), name.to_owned())]),
        allowed: AllowedNamespaces { from: NamespacesFrom::All, selector: None },
        per_pod: 100,
    }
}

pub(in crate::planner) fn pod(name: &str, pool: &PoolView, used: i64) -> PodView {
    PodView {
        key: PodKey { namespace: pool.namespace.clone(), name: name.into() },
        pool: pool.name.clone(),
        region: pool.region.clone(),
        boot: Some("b".parse().unwrap()),
        state: PodState::Ready,
        starting: false,
        rooms: u32::from(used > 0),
        used,
    }
}

pub(in crate::planner) fn room() -> ValidRoom {
    ValidRoom {
        namespace: "app".into(),
        namespace_labels: BTreeMap::new(),
        topology: Topology::MediaServer,
        upgrade: false,
        selector: Selector::default(),
        relay_policy: RelayPolicy::Fallback,
        relay_selector: Selector::default(),
        allowed_regions: vec![],
        expected: BTreeMap::new(),
        strategy: Strategy::Nearest,
        binding: Binding::Immediate,
        lifecycle: Lifecycle::default(),
        open: true,
    }
}

fn expecting(people: &[(&str, i64)]) -> ValidRoom {
    let expected = people.iter().map(|(region, count)| ((*region).to_owned(), *count)).collect();
    ValidRoom { expected, ..room() }
}

/// Two pods in eu-west (one busier), one in us-east, one in eu-north.
fn fleet() -> FleetView {
    let (west, north, east) = (pool("west", "eu-west"), pool("north", "eu-north"), pool("east", "us-east"));
    let pods =
        vec![pod("west-0", &west, 50), pod("west-1", &west, 20), pod("north-0", &north, 0), pod("east-0", &east, 10)];
    FleetView { pools: vec![west, north, east], pods }.sorted()
}

fn chosen(room: &ValidRoom, fleet: &FleetView) -> String {
    place(room, fleet, None).unwrap().pod.name
}

fn refused(room: &ValidRoom, fleet: &FleetView) -> (UnplacedReason, String) {
    let unplaced = place(room, fleet, None).unwrap_err();
    (unplaced.reason, unplaced.message)
}

#[test]
fn rooms_go_to_the_region_of_most_people_then_to_the_least_loaded_pod() {
    let table: [(&[(&str, i64)], &str); 5] = [
        (&[("eu-west", 5)], "west-1"),
        (&[("us-east", 5), ("eu-west", 4)], "east-0"),
        (&[("eu-south", 3)], "north-0"),
        (&[("us-west", 3), ("eu-south", 2)], "east-0"),
        (&[], "north-0"),
    ];
    for (people, pod) in table {
        assert_eq!(chosen(&expecting(people), &fleet()), pod, "{people:?}");
    }
}

#[test]
fn packed_fills_the_fullest_pod_that_has_room_and_spread_takes_the_emptiest_anywhere() {
    let packed = ValidRoom { strategy: Strategy::Packed, ..expecting(&[("eu-west", 5)]) };
    assert_eq!(chosen(&packed, &fleet()), "west-0");
    let spread = ValidRoom { strategy: Strategy::Spread, ..expecting(&[("eu-west", 5)]) };
    assert_eq!(chosen(&spread, &fleet()), "north-0");
}

#[test]
fn the_first_participants_region_counts_where_nobody_is_expected() {
    assert_eq!(place(&room(), &fleet(), Some("us-east")).unwrap().pod.name, "east-0");
    let choice = place(&expecting(&[("eu-west", 1)]), &fleet(), Some("us-east")).unwrap();
    assert_eq!(choice.pod.name, "west-1", "expectations beat it");
}

#[test]
fn allowed_regions_are_obeyed_even_against_nearness() {
    let bound = ValidRoom { allowed_regions: vec!["us-east".into()], ..expecting(&[("eu-west", 5)]) };
    assert_eq!(chosen(&bound, &fleet()), "east-0");
    let nowhere = ValidRoom { allowed_regions: vec!["ap-south".into()], ..room() };
    let (reason, message) = refused(&nowhere, &fleet());
    assert_eq!(reason, UnplacedReason::RegionUnavailable);
    assert!(message.contains("ap-south") && message.contains("eu-north, eu-west, us-east"), "{message}");
}

#[test]
fn a_missing_pool_and_a_selector_that_matches_none_are_told_apart() {
    assert!(refused(&room(), &FleetView::default()).1.contains("apply one"));
    let selector = Selector { match_labels: BTreeMap::from([("pool".into(), "gold".into())]), ..Selector::default() };
    let (reason, message) = refused(&ValidRoom { selector, ..room() }, &fleet());
    assert_eq!(reason, UnplacedReason::NoPool);
    assert!(message.contains("matches none of 3 RelayPools"), "{message}");
}

#[test]
fn a_pool_admits_its_own_namespace_all_or_those_that_its_selector_matches() {
    let mut fleet = fleet();
    for pool in &mut fleet.pools {
        pool.allowed = AllowedNamespaces::default();
    }
    let (reason, message) = refused(&room(), &fleet);
    assert_eq!(reason, UnplacedReason::PoolNotPermitted);
    assert!(message.contains("does not admit Rooms of namespace app"), "{message}");
    assert!(place(&ValidRoom { namespace: "media".into(), ..room() }, &fleet, None).is_ok());
    let team = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    let selector = Some(Selector { match_labels: team.clone(), ..Selector::default() });
    fleet.pools[0].allowed = AllowedNamespaces { from: NamespacesFrom::Selector, selector };
    assert!(place(&ValidRoom { namespace_labels: team, ..room() }, &fleet, None).is_ok());
    assert!(place(&room(), &fleet, None).is_err());
}

#[test]
fn draining_leaving_lost_and_starting_pods_get_no_rooms() {
    for state in [PodState::NotReady, PodState::Draining, PodState::DrainExpired, PodState::Terminating, PodState::Lost]
    {
        let mut fleet = fleet();
        for pod in &mut fleet.pods {
            pod.state = state;
        }
        assert_eq!(refused(&room(), &fleet).0, UnplacedReason::PoolNotReady, "{state:?}");
    }
}

#[test]
fn a_full_pool_says_what_to_do() {
    let (reason, message) = refused(&expecting(&[("eu-west", 101)]), &fleet());
    assert_eq!(reason, UnplacedReason::InsufficientCapacity);
    assert!(message.contains("scale a RelayPool up"), "{message}");
}

#[test]
fn the_reason_names_region_and_pod() {
    let reason = place(&expecting(&[("eu-west", 2), ("us-east", 1)]), &fleet(), None).unwrap().reason;
    assert_eq!(
        reason,
        "region eu-west, where 2 of 3 participants are expected; pod west-1 is the least loaded of 2 that fit (20 % taken)"
    );
}

fn any_fleet() -> impl proptest::strategy::Strategy<Value = FleetView> {
    let states =
        prop_oneof![Just(PodState::Ready), Just(PodState::Draining), Just(PodState::Lost), Just(PodState::NotReady)];
    let pods = proptest::collection::vec((0usize..4, 0i64..130, states), 0..12);
    pods.prop_map(|pods| {
        let pools: Vec<PoolView> = ["eu-west", "eu-north", "us-east", "ap-south"]
            .iter()
            .enumerate()
            .map(|(index, region)| pool(&format!("p{index}"), region))
            .collect();
        let pods = pods
            .into_iter()
            .enumerate()
            .map(|(index, (owner, used, state))| PodView {
                state,
                ..pod(&format!("pod-{index:02}"), &pools[owner], used)
            })
            .collect();
        FleetView { pools, pods }.sorted()
    })
}

fn any_room() -> impl proptest::strategy::Strategy<Value = ValidRoom> {
    let regions = || proptest::sample::select(vec!["eu-west", "eu-north", "us-east", "ap-south", "sa-east"]);
    let expected = proptest::collection::btree_map(regions(), 1i64..20, 0..4);
    let allowed = proptest::collection::btree_set(regions(), 0..3);
    let strategies = prop_oneof![Just(Strategy::Nearest), Just(Strategy::Packed), Just(Strategy::Spread)];
    (expected, allowed, strategies).prop_map(|(expected, allowed, strategy)| ValidRoom {
        expected: expected.into_iter().map(|(region, people)| (region.to_owned(), people)).collect(),
        allowed_regions: allowed.into_iter().map(str::to_owned).collect(),
        strategy,
        ..room()
    })
}

proptest! {
    #[test]
    fn no_plan_exceeds_capacity_or_leaves_the_allowed_regions(rooms in proptest::collection::vec(any_room(), 1..40), fleet in any_fleet()) {
        let mut fleet = fleet;
        for room in rooms {
            let Ok(choice) = place(&room, &fleet, None) else { continue };
            let pod = fleet.pods.iter_mut().find(|pod| pod.key == choice.pod).unwrap();
            prop_assert_eq!(pod.state, PodState::Ready);
            prop_assert!(room.allowed_regions.is_empty() || room.allowed_regions.contains(&pod.region));
            pod.used += room.reserve();
            pod.rooms += 1;
            prop_assert!(pod.used <= 100);
        }
    }

    #[test]
    fn a_plan_does_not_depend_on_the_order_of_its_input(room in any_room(), fleet in any_fleet(), turn in 0usize..12) {
        let mut turned = fleet.clone();
        let pods = turned.pods.len().max(1);
        turned.pods.rotate_left(turn % pods);
        turned.pools.reverse();
        prop_assert_eq!(place(&room, &fleet, None), place(&room, &turned.sorted(), None));
    }

    #[test]
    fn a_room_that_fits_somewhere_is_placed(room in any_room(), fleet in any_fleet()) {
        let fits = fleet.pods.iter().any(|pod| {
            let allowed = room.allowed_regions.is_empty() || room.allowed_regions.contains(&pod.region);
            pod.state == PodState::Ready && allowed && pod.used + room.reserve() <= 100
        });
        prop_assert_eq!(place(&room, &fleet, None).is_ok(), fits);
    }
}
