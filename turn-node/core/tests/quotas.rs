//! Quotas: of a user, of a client address, of a pod, however many servers share it.

use crate::support::client::Client;
use crate::support::world::{World, relay_config, server_config};
use plenum_protocol::relay::RelayConfig;
use plenum_protocol::turn::{RelayTransport, Scope};
use plenum_turn_core::{Ledger, ServerConfig};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const PEERS: Option<Scope> = Some(Scope::Peers);

fn outcome(world: &mut World, remote: &str, session: &str) -> u16 {
    let mut client = world.client(RelayTransport::Udp, remote, session, PEERS);
    client.allocate(world).code()
}

/// One of the servers of a pod.
fn worker(ledger: &Arc<Ledger>, relay: &RelayConfig) -> World {
    World::with(ServerConfig { ledger: Arc::clone(ledger), ..server_config() }, relay.clone())
}

#[test]
fn a_session_has_its_share_however_its_credentials_are_renewed() {
    let mut world = World::new();
    world.push(|config| config.quotas.allocations_per_user = 2);
    assert_eq!(outcome(&mut world, "192.0.2.1:1", "SE_1"), 0);
    world.unix += 100;
    assert_eq!(outcome(&mut world, "192.0.2.2:1", "SE_1"), 0);
    assert_eq!(outcome(&mut world, "192.0.2.3:1", "SE_1"), 486);
    assert_eq!(outcome(&mut world, "192.0.2.3:1", "SE_2"), 0);
    world.check();
}

#[test]
fn an_address_has_its_share() {
    let mut world = World::new();
    world.push(|config| config.quotas.allocations_per_address = 2);
    let expected = [
        ("192.0.2.1:1", 0),
        ("[::ffff:192.0.2.1]:2", 0),
        ("192.0.2.1:3", 486),
        ("192.0.2.2:1", 0),
        ("[2a00:1::1]:1", 0),
        ("[2a00:1::2]:1", 0),
        ("[2a00:1::ffff:0:0:3]:1", 486),
        ("[2a00:1:0:1::3]:1", 0),
    ];
    for (index, (remote, code)) in expected.into_iter().enumerate() {
        assert_eq!(outcome(&mut world, remote, &format!("SE_{index}")), code, "{remote}");
    }
}

#[test]
fn the_workers_of_a_pod_share_its_allocations_and_whoever_goes_leaves_its_place() {
    let ledger = Arc::new(Ledger::new(&[1; 32]));
    let mut relay = relay_config();
    relay.quotas.allocations = 5;
    relay.quotas.allocations_per_user = 3;
    let mut workers: Vec<World> = (0..3).map(|_| worker(&ledger, &relay)).collect();
    for (index, expected) in [0, 0, 0, 486].into_iter().enumerate() {
        let remote = format!("192.0.2.{}:1", index + 1);
        assert_eq!(outcome(&mut workers[index % 3], &remote, "SE_1"), expected, "{remote}");
    }
    assert_eq!(outcome(&mut workers[1], "192.0.2.5:1", "SE_2"), 0);
    assert_eq!(outcome(&mut workers[1], "192.0.2.6:1", "SE_3"), 0);
    assert_eq!(outcome(&mut workers[2], "192.0.2.7:1", "SE_4"), 486, "the pod is full");
    drop(workers.remove(1));
    assert_eq!(outcome(&mut workers[1], "192.0.2.8:1", "SE_1"), 0, "what the dead one had is free");
    assert_eq!(outcome(&mut workers[0], "192.0.2.9:1", "SE_1"), 486);
    drop(workers);
    assert!(ledger.is_empty() && ledger.entries() == 0);
}

#[test]
fn an_allocate_that_fails_takes_no_place() {
    let ledger = Arc::new(Ledger::new(&[1; 32]));
    let mut world = worker(&ledger, &relay_config());
    world.io.exhausted = true;
    assert_eq!(outcome(&mut world, "192.0.2.1:1", "SE_1"), 508);
    assert!(ledger.is_empty() && ledger.entries() == 0);
}

#[test]
fn what_ends_makes_room() {
    let mut world = World::new();
    world.push(|config| config.quotas.allocations_per_user = 1);
    for round in 0..20 {
        let mut client = world.client(RelayTransport::Udp, &format!("192.0.2.1:{}", round + 1), "SE_1", PEERS);
        assert_eq!(client.allocate(&mut world).code(), 0, "{round}");
        assert_eq!(outcome(&mut world, "192.0.2.2:9", "SE_1"), 486);
        client.refresh(&mut world, 0);
        world.check();
    }
}

const WORKERS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A new port of this address asks a worker for an allocation of this user.
    Allocate {
        worker: usize,
        user: u8,
        address: u8,
    },
    GiveBack(usize),
    Pass(u32),
    /// A worker starts anew.
    Die(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let allocate = (0..WORKERS, 0..3u8, 0..3u8);
    prop_oneof![
        10 => allocate.prop_map(|(worker, user, address)| Step::Allocate { worker, user, address }),
        3 => any::<usize>().prop_map(Step::GiveBack),
        1 => (0..500u32).prop_map(Step::Pass),
        1 => (0..WORKERS).prop_map(Step::Die),
    ]
}

/// An allocation that was granted.
struct Granted {
    worker: usize,
    user: u8,
    address: u8,
    client: Client,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_user_address_or_pod_exceeds_its_quota_whichever_worker_is_asked(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let ledger = Arc::new(Ledger::new(&[1; 32]));
        let mut relay = relay_config();
        (relay.quotas.allocations, relay.quotas.allocations_per_user, relay.quotas.allocations_per_address) = (7, 3, 4);
        let mut workers: Vec<World> = (0..WORKERS).map(|_| worker(&ledger, &relay)).collect();
        let mut granted: Vec<Granted> = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            match *step {
                Step::Allocate { worker, user, address } => {
                    let count = |same: &dyn Fn(&&Granted) -> bool| granted.iter().filter(same).count();
                    let (by_user, by_address) = (count(&|it| it.user == user), count(&|it| it.address == address));
                    let has_room = granted.len() < 7 && by_user < 3 && by_address < 4;
                    let world = &mut workers[worker];
                    let remote = format!("192.0.2.{address}:{}", 1_000 + index);
                    let mut client = world.client(RelayTransport::Udp, &remote, &format!("SE_{user}"), PEERS);
                    let code = client.allocate(world).code();
                    prop_assert_eq!(code, if has_room { 0 } else { 486 });
                    if has_room {
                        granted.push(Granted { worker, user, address, client });
                    }
                }
                Step::GiveBack(_) if granted.is_empty() => {}
                Step::GiveBack(which) => {
                    let Granted { worker, mut client, .. } = granted.swap_remove(which % granted.len());
                    prop_assert!(client.refresh(&mut workers[worker], 0).is_success());
                }
                Step::Pass(seconds) => {
                    workers.iter_mut().for_each(|it| it.pass(Duration::from_secs(u64::from(seconds))));
                }
                Step::Die(index) => {
                    workers[index] = worker(&ledger, &relay);
                    granted.retain(|it| it.worker != index);
                }
            }
            granted.retain(|it| workers[it.worker].server.knows(it.client.id));
            prop_assert_eq!(workers.iter().map(|it| it.server.len()).sum::<usize>(), granted.len());
        }
        workers.iter_mut().for_each(|it| it.pass(Duration::from_secs(4_000)));
        prop_assert!(ledger.is_empty() && ledger.entries() == 0);
    }
}
