//! Invariants over random histories, against a model that keeps what was granted in the plainest way.

use crate::support::client::Client;
use crate::support::world::{World, address, rule};
use plenum_protocol::turn::{RelayTransport, Scope};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

const PEERS: [&str; 6] = ["8.8.8.8:1", "8.8.8.8:2", "9.9.9.9:1", "198.51.100.7:20000", "10.0.0.7:20000", "127.0.0.1:1"];

#[derive(Debug, Clone)]
enum Step {
    Allocate(usize),
    Refresh(usize, u32),
    Permit(usize, usize),
    Bind(usize, u16, usize),
    Send(usize, usize),
    SendChannel(usize, u16),
    FromPeer(usize, usize),
    Pass(u32),
    Deny(bool),
    Gone(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (client, peer, number) = (0..4usize, 0..PEERS.len(), 0x4000..0x4003u16);
    prop_oneof![
        2 => client.clone().prop_map(Step::Allocate),
        1 => (client.clone(), prop_oneof![Just(0), 1..4_000u32]).prop_map(|(client, span)| Step::Refresh(client, span)),
        3 => (client.clone(), peer.clone()).prop_map(|(client, peer)| Step::Permit(client, peer)),
        3 => (client.clone(), number.clone(), peer.clone()).prop_map(|(client, number, peer)| Step::Bind(client, number, peer)),
        4 => (client.clone(), peer.clone()).prop_map(|(client, peer)| Step::Send(client, peer)),
        4 => (client.clone(), number).prop_map(|(client, number)| Step::SendChannel(client, number)),
        4 => (client.clone(), peer).prop_map(|(client, peer)| Step::FromPeer(client, peer)),
        2 => (0..400u32).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Deny),
        1 => client.prop_map(Step::Gone),
    ]
}

/// What one client was granted, and until when.
#[derive(Default)]
struct Granted {
    permissions: BTreeMap<IpAddr, Instant>,
    channels: BTreeMap<u16, (SocketAddr, Instant)>,
}

struct Model {
    world: World,
    clients: Vec<Client>,
    granted: Vec<Granted>,
    /// 8.8.8.8 is denied now.
    denied: bool,
}

impl Model {
    fn new() -> Self {
        let mut world = World::new();
        let scopes = [Some(Scope::Media), Some(Scope::Peers), None, Some(Scope::Peers)];
        let transports = [RelayTransport::Udp, RelayTransport::Udp, RelayTransport::Udp, RelayTransport::Tcp];
        let clients = (0..4)
            .map(|index| {
                let remote = format!("192.0.2.{}:1", index + 1);
                world.client(transports[index], &remote, &format!("SE_{index}"), scopes[index])
            })
            .collect();
        let granted = (0..4).map(|_| Granted::default()).collect();
        Self { world, clients, granted, denied: false }
    }

    /// As the policy of this world reads in words.
    fn admits(&self, client: usize, peer: SocketAddr) -> bool {
        let is_media = peer == address("198.51.100.7:20000") || peer == address("198.51.100.7:20001");
        match client {
            0 => is_media,
            _ => peer.ip() == address("9.9.9.9:1").ip() || (peer.ip() == address("8.8.8.8:1").ip() && !self.denied),
        }
    }

    fn is_permitted(&self, client: usize, peer: SocketAddr) -> bool {
        let until = self.granted[client].permissions.get(&peer.ip());
        until.is_some_and(|until| self.world.now < *until) && self.admits(client, peer)
    }

    fn lives(&self, client: usize) -> bool {
        self.world.server.knows(self.clients[client].id)
    }

    /// Whether the last request of this client succeeded, with a new nonce if it needs one.
    fn ask(&mut self, client: usize, what: impl Fn(&mut Client, &mut World) -> u16) -> bool {
        let it = &mut self.clients[client];
        let mut code = what(it, &mut self.world);
        if code == 438 {
            it.nonce.clear();
            code = what(it, &mut self.world);
        }
        code == 0
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Allocate(client) => {
                let before = self.lives(client);
                // Credentials are renewed as a gateway would.
                let scope = [Some(Scope::Media), Some(Scope::Peers), None, Some(Scope::Peers)][client];
                if !before {
                    let old = self.clients[client].id;
                    let fresh =
                        self.world.client(old.transport, &old.remote.to_string(), &format!("SE_{client}"), scope);
                    let nonce = std::mem::take(&mut self.clients[client].nonce);
                    self.clients[client] = Client { id: if old.is_stream() { fresh.id } else { old }, nonce, ..fresh };
                    self.granted[client] = Granted::default();
                }
                let granted = self.ask(client, |it, world| it.allocate(world).code());
                assert_eq!(granted, !before);
            }
            Step::Refresh(client, span) => {
                self.ask(client, |it, world| it.refresh(world, span).code());
            }
            Step::Permit(client, peer) => {
                if self.ask(client, |it, world| it.permit(world, &[PEERS[peer]]).code()) {
                    let until = self.world.now + Duration::from_secs(300);
                    self.granted[client].permissions.insert(address(PEERS[peer]).ip(), until);
                }
            }
            Step::Bind(client, number, peer) => {
                let to = address(PEERS[peer]);
                if self.ask(client, |it, world| it.bind(world, number, PEERS[peer]).code()) {
                    assert!(self.admits(client, to), "{to}");
                    let now = self.world.now;
                    self.granted[client].permissions.insert(to.ip(), now + Duration::from_secs(300));
                    self.granted[client].channels.insert(number, (to, now + Duration::from_secs(600)));
                }
            }
            Step::Send(client, peer) => {
                self.clients[client].send(&mut self.world, PEERS[peer], b"x");
                let sent = !self.world.at_peers().is_empty();
                let may = self.lives(client) && self.is_permitted(client, address(PEERS[peer]));
                assert_eq!(sent, may, "{step:?}");
            }
            Step::SendChannel(client, number) => {
                self.clients[client].send_channel(&mut self.world, number, b"x");
                let sent = !self.world.at_peers().is_empty();
                let bound = self.granted[client].channels.get(&number).filter(|(_, until)| self.world.now < *until);
                let may = self.lives(client) && bound.is_some_and(|(peer, _)| self.is_permitted(client, *peer));
                // Denied and allowed again: the channel is gone for good, so less may pass than the model thinks.
                assert!(may || !sent, "{step:?}");
            }
            Step::FromPeer(client, peer) if self.lives(client) => {
                let from = address(PEERS[peer]);
                self.world.at_clients();
                self.world.peer_sends(self.clients[client].port(), PEERS[peer], b"x");
                let heard = !self.world.at_clients().is_empty();
                // Media endpoints are heard from inside, and only there.
                let known = match PEERS[peer] {
                    "10.0.0.7:20000" if client == 0 => address("198.51.100.7:20000"),
                    _ => from,
                };
                let may = self.is_permitted(client, known) && (client != 0 || known != from);
                assert_eq!(heard, may, "{step:?}");
            }
            Step::FromPeer(..) => {}
            Step::Pass(seconds) => self.world.pass(Duration::from_secs(u64::from(seconds))),
            Step::Deny(denied) => {
                self.denied = denied;
                self.world
                    .push(|config| config.peers.deny = if denied { vec![rule("8.8.8.8/32")] } else { Vec::new() });
                if denied {
                    for granted in &mut self.granted {
                        granted.permissions.remove(&address("8.8.8.8:1").ip());
                    }
                }
            }
            Step::Gone(client) => {
                let it = Client::new(self.clients[client].id, "", "");
                self.world.gone(&it);
            }
        }
        self.world.io.closed_clients.clear();
        self.world.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn nothing_passes_without_a_permission_and_nothing_is_left_at_the_end(steps in proptest::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in &steps {
            model.take(step);
        }
        model.world.pass(Duration::from_secs(4_000));
        let memory = model.world.server.memory();
        prop_assert!(model.world.server.is_empty() && model.world.io.relays.is_empty());
        prop_assert_eq!((memory.free_ports, memory.quota_entries, memory.timers), (100, 0, 0));
        let begun = model.world.events.iter().filter(|event| matches!(event, plenum_turn_core::Event::Allocated(_))).count();
        prop_assert_eq!(model.world.events.len(), 2 * begun, "every begin has its end");
    }
}
