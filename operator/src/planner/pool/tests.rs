use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn wish(replicas: usize) -> PoolWish {
    PoolWish { replicas, slots: 10, drain_seconds: 100, revision: "new".into() }
}

fn pod(name: &str, slot: u16, participants: i64) -> PoolPod {
    PoolPod {
        name: name.into(),
        slot: Some(slot),
        draining_since: None,
        terminating: false,
        finished: false,
        ready: true,
        unschedulable: false,
        lingers: participants > 0,
        revision: "new".into(),
        rooms: u32::from(participants > 0),
        participants,
        created: i64::from(slot),
    }
}

fn draining(pod: PoolPod, since: i64) -> PoolPod {
    PoolPod { draining_since: Some(since), ..pod }
}

fn drain(name: &str) -> PoolAction {
    PoolAction::Drain(name.into())
}

#[test]
fn missing_pods_are_made_in_the_lowest_slots_that_nothing_holds() {
    let leaving = PoolPod { terminating: true, ..pod("b", 1, 0) };
    let plan = plan_pool(&wish(3), &[pod("a", 0, 0), leaving], 0);
    assert_eq!(plan, vec![PoolAction::Create(2), PoolAction::Create(3)], "a terminating pod holds its slot");
}

#[test]
fn no_more_pods_are_made_than_there_are_slots() {
    let plan = plan_pool(&PoolWish { slots: 2, ..wish(5) }, &[pod("a", 1, 0)], 0);
    assert_eq!(plan, vec![PoolAction::Create(0)]);
}

#[test]
fn the_emptiest_pod_drains_first() {
    let pods = [pod("a", 0, 5), pod("b", 1, 1), pod("c", 2, 9)];
    assert_eq!(plan_pool(&wish(2), &pods, 0), vec![drain("b")]);
    let starting = PoolPod { ready: false, ..pod("d", 3, 0) };
    let pods = [pod("a", 0, 0), starting];
    assert_eq!(plan_pool(&wish(1), &pods, 0), vec![drain("d")], "a pod that does not serve goes before one that does");
}

#[test]
fn a_draining_pod_is_taken_back_before_a_new_one_is_made() {
    let pods = [pod("a", 0, 1), draining(pod("b", 1, 3), 0), draining(pod("c", 2, 7), 0)];
    let plan = plan_pool(&wish(4), &pods, 10);
    assert_eq!(plan, vec![PoolAction::Recall("c".into()), PoolAction::Recall("b".into()), PoolAction::Create(3)]);
}

#[test]
fn a_draining_pod_is_deleted_when_it_is_empty_or_its_time_is_up() {
    let delete = vec![PoolAction::Delete("b".into())];
    let at = |pod: PoolPod, now| plan_pool(&wish(0), &[pod], now);
    assert_eq!(at(draining(pod("b", 1, 0), 0), 0), delete, "no rooms");
    let empty_rooms = PoolPod { rooms: 2, lingers: true, ..draining(pod("b", 1, 0), 0) };
    assert_eq!(at(empty_rooms.clone(), 1), vec![], "its empty rooms are bound elsewhere first");
    assert_eq!(at(empty_rooms, EMPTY_GRACE_SECONDS), delete);
    let busy = draining(pod("b", 1, 5), 0);
    assert_eq!(at(busy.clone(), 100), vec![], "its rooms are bound elsewhere first");
    assert_eq!(at(busy, 100 + EXPIRED_GRACE_SECONDS), delete);
}

#[test]
fn a_pod_that_ended_for_good_is_deleted_and_replaced() {
    let plan = plan_pool(&wish(1), &[PoolPod { finished: true, ready: false, ..pod("a", 0, 0) }], 0);
    assert_eq!(plan, vec![PoolAction::Delete("a".into()), PoolAction::Create(1)]);
}

#[test]
fn old_pods_are_replaced_one_at_a_time_by_a_new_one_first() {
    let old = |name: &str, slot| PoolPod { revision: "old".into(), ..pod(name, slot, 4) };
    let two = [old("a", 0), old("b", 1)];
    assert_eq!(plan_pool(&wish(2), &two, 0), vec![PoolAction::Create(2)]);
    let three = [old("a", 0), old("b", 1), pod("c", 2, 0)];
    assert_eq!(plan_pool(&wish(2), &three, 0), vec![drain("b")], "the old one goes, not the new and empty one");
    let coming = [old("a", 0), old("b", 1), PoolPod { ready: false, ..pod("c", 2, 0) }];
    assert_eq!(plan_pool(&wish(2), &coming, 0), vec![], "no old one goes before the new one serves");
    let leaving = [old("a", 0), draining(old("b", 1), 0), pod("c", 2, 0)];
    assert_eq!(plan_pool(&wish(2), &leaving, 1), vec![], "one at a time");
    let full = PoolWish { slots: 2, ..wish(2) };
    assert_eq!(plan_pool(&full, &two, 0), vec![drain("b")], "no slot for a new one: an old one goes first");
}

#[test]
fn a_new_pod_that_does_not_come_up_stops_the_replacement() {
    let old = |name: &str, slot| PoolPod { revision: "old".into(), ..pod(name, slot, 4) };
    let broken = PoolPod { ready: false, ..pod("c", 2, 0) };
    assert_eq!(plan_pool(&wish(3), &[old("a", 0), old("b", 1), broken], 0), vec![]);
}

/// A pool that does what it is told, second by second.
#[derive(Default)]
struct Pool {
    pods: BTreeMap<String, PoolPod>,
    made: u32,
}

impl Pool {
    fn step(&mut self, wish: &PoolWish, now: i64) -> Vec<PoolAction> {
        let pods: Vec<PoolPod> = self.pods.values().cloned().collect();
        let plan = plan_pool(wish, &pods, now);
        for action in &plan {
            match action {
                PoolAction::Create(slot) => {
                    assert!(self.pods.values().all(|pod| pod.slot != Some(*slot)), "slot {slot} is held");
                    self.made += 1;
                    let name = format!("pod-{:03}", self.made);
                    self.pods.insert(name.clone(), pod(&name, *slot, 0));
                }
                PoolAction::Drain(name) => self.pods.get_mut(name).unwrap().draining_since = Some(now),
                PoolAction::Recall(name) => self.pods.get_mut(name).unwrap().draining_since = None,
                PoolAction::Delete(name) => drop(self.pods.remove(name)),
            }
        }
        plan
    }

    fn active(&self) -> usize {
        self.pods.values().filter(|pod| pod.draining_since.is_none()).count()
    }
}

proptest! {
    #[test]
    fn a_pool_reaches_its_size_and_rests(sizes in proptest::collection::vec(0usize..8, 1..6), people in 0i64..5) {
        let mut pool = Pool::default();
        let mut now = 0;
        for size in sizes {
            for _ in 0..5 {
                now += 1;
                pool.step(&wish(size), now);
                for (index, pod) in pool.pods.values_mut().enumerate() {
                    pod.participants = people * i64::try_from(index % 2).unwrap();
                }
            }
            prop_assert_eq!(pool.active(), size);
        }
        now += 200;
        pool.step(&wish(3), now);
        for _ in 0..3 {
            now += 200;
            pool.step(&wish(3), now);
        }
        prop_assert_eq!(pool.step(&wish(3), now + 1), vec![]);
        prop_assert_eq!(pool.pods.len(), 3);
    }

    #[test]
    fn scaling_down_touches_no_more_pods_than_it_must(count in 1u16..9, keep in 0usize..9) {
        let pods: Vec<PoolPod> = (0..count).map(|slot| pod(&format!("p{slot}"), slot, i64::from(slot))).collect();
        let plan = plan_pool(&wish(keep), &pods, 0);
        let drains = plan.iter().filter(|action| matches!(action, PoolAction::Drain(_))).count();
        prop_assert_eq!(drains, usize::from(count).saturating_sub(keep));
        for (index, action) in plan.iter().filter(|action| matches!(action, PoolAction::Drain(_))).enumerate() {
            prop_assert_eq!(action, &drain(&format!("p{index}")), "the emptiest go");
        }
    }

    #[test]
    fn a_draining_pod_with_people_is_never_deleted_early(people in 1i64..50, since in 0i64..100, now in 0i64..400) {
        let plan = plan_pool(&wish(0), &[draining(pod("a", 0, people), since)], now);
        prop_assert_eq!(plan.is_empty(), now - since < 100 + EXPIRED_GRACE_SECONDS);
    }
}

#[test]
fn an_old_pod_gives_way_when_its_replacement_finds_no_node() {
    let old = PoolPod { revision: "old".into(), ..pod("a", 0, 4) };
    let stuck = PoolPod { ready: false, unschedulable: true, ..pod("b", 1, 0) };
    assert_eq!(plan_pool(&wish(1), &[old.clone(), stuck.clone()], 0), vec![drain("a")]);
    assert_eq!(
        plan_pool(&wish(1), &[draining(old.clone(), 0), stuck.clone()], 50),
        vec![],
        "it has time for its calls"
    );
    let starting = PoolPod { unschedulable: false, ..stuck.clone() };
    assert_eq!(plan_pool(&wish(1), &[old.clone(), starting], 0), vec![], "a replacement that starts is waited for");
    let fresh = pod("c", 2, 4);
    assert_eq!(
        plan_pool(&wish(1), &[stuck, fresh], 0),
        vec![drain("b")],
        "a pod too many that finds no node goes first"
    );
}

#[test]
fn an_empty_relay_drains_until_gateways_have_heard_of_it() {
    let relay = PoolPod { lingers: true, ..draining(pod("a", 0, 0), 10) };
    assert_eq!(plan_pool(&wish(0), std::slice::from_ref(&relay), 11), vec![]);
    assert_eq!(plan_pool(&wish(0), &[relay], 12), vec![PoolAction::Delete("a".into())]);
}
