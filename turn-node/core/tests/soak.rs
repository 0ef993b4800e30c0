//! Many random clients for a day: everything that was opened is closed, everything that was kept is forgotten.

use crate::support::client::Client;
use crate::support::world::{PUBLIC, World, relay_config, server_config};
use plenum_protocol::ports::PortRange;
use plenum_protocol::turn::{RelayTransport, Scope};
use plenum_testing::Dice;
use plenum_turn_core::Event;
use std::collections::BTreeSet;
use std::time::Duration;

const TRANSPORTS: [RelayTransport; 3] = [RelayTransport::Udp, RelayTransport::Tcp, RelayTransport::Tls];
const SCOPES: [Option<Scope>; 3] = [Some(Scope::Media), Some(Scope::Peers), None];

fn join(world: &mut World, dice: &mut Dice, index: u64) -> Client {
    let remote = format!("192.0.{}.{}:{}", dice.below(4), dice.below(250) + 1, 1_024 + index % 60_000);
    let session = format!("SE_{}", dice.below(60));
    let transport = *dice.pick(&TRANSPORTS);
    let scope = *dice.pick(&SCOPES);
    let mut client = world.client(transport, &remote, &session, scope);
    client.allocate(world);
    client
}

/// One thing that clients do.
fn act(world: &mut World, dice: &mut Dice, client: &mut Client) {
    let number = 0x4000 + dice.below(4) as u16;
    let peer = *dice.pick(&[PUBLIC, "8.8.4.4:53", "198.51.100.7:20000", "10.0.0.1:1"]);
    match dice.below(10) {
        0 => {
            let span = dice.below(4_000) as u32;
            if client.refresh(world, span).code() == 438 {
                client.nonce.clear();
            }
        }
        1 | 2 => {
            client.permit(world, &[peer]);
        }
        3 | 4 => {
            client.bind(world, number, peer);
        }
        5 => client.send(world, peer, b"data"),
        6 => world.gone(client),
        7 => {
            client.allocate(world);
        }
        _ => client.send_channel(world, number, b"data"),
    }
}

#[test]
fn a_day_of_coming_and_going_leaves_nothing_behind() {
    let mut config = server_config();
    config.ports = PortRange { min: 50_000, max: 50_299 };
    let mut relay = relay_config();
    relay.quotas.allocations = 250;
    relay.quotas.allocations_per_user = 10;
    relay.quotas.allocations_per_address = 8;
    let mut world = World::with(config, relay);
    let mut dice = Dice::new(20);
    let mut clients: Vec<Client> = Vec::new();
    for index in 0..30_000u64 {
        if clients.len() < 300 && dice.chance(30) {
            clients.push(join(&mut world, &mut dice, index));
        }
        if clients.is_empty() {
            continue;
        }
        let at = dice.below(clients.len() as u64) as usize;
        act(&mut world, &mut dice, &mut clients[at]);
        if dice.chance(10) {
            // It goes without a word; its stream is closed by the system.
            let gone = clients.swap_remove(at);
            if gone.id.is_stream() {
                world.gone(&gone);
            }
        }
        world.at_peers();
        world.at_clients();
        if index % 8 == 0 {
            world.pass(Duration::from_secs(dice.below(46)));
            world.check();
        }
    }
    assert!(world.io.opened > 2_000, "{} allocations", world.io.opened);
    world.pass(Duration::from_secs(4_000));
    world.check();
    let memory = world.server.memory();
    assert!(world.server.is_empty() && world.io.relays.is_empty());
    assert_eq!((memory.free_ports, memory.quota_entries), (300, 0), "no port is lost");
    assert_eq!(world.server.poll_timeout(), None);
    let mut open = BTreeSet::new();
    for event in &world.events {
        match event {
            Event::Allocated(state) => assert!(open.insert(state.port), "{} twice", state.port),
            Event::Ended { port } => assert!(open.remove(port), "{port} was not there"),
        }
    }
    assert!(open.is_empty(), "every end is told");
}
