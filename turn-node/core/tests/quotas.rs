//! Quotas: per user, per client address, per worker.

use crate::support::world::{World, relay_config, server_config};
use plenum_protocol::turn::{RelayTransport, Scope};

const PEERS: Option<Scope> = Some(Scope::Peers);

fn outcome(world: &mut World, remote: &str, session: &str) -> u16 {
    let mut client = world.client(RelayTransport::Udp, remote, session, PEERS);
    client.allocate(world).code()
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
fn a_worker_has_its_share_of_the_pods_allocations() {
    let mut config = server_config();
    config.workers = 4;
    let mut relay = relay_config();
    relay.quotas.allocations = 10;
    let mut world = World::with(config, relay);
    for index in 0..3 {
        assert_eq!(outcome(&mut world, &format!("192.0.2.{index}:1"), &format!("SE_{index}")), 0);
    }
    assert_eq!(outcome(&mut world, "192.0.2.9:1", "SE_9"), 486);
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
