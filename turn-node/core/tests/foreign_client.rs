//! A client of another project, complete with its retransmissions and refreshes, over an hour.

use crate::support::client::provider;
use crate::support::world::{PUBLIC, REALM, SECRET, World, address};
use plenum_protocol::turn::{RelayTransport, Scope, password};
use plenum_turn_core::ClientId;
use rtc_shared::{TransportContext, TransportMessage, TransportProtocol};
use rtc_turn::client::{Client, ClientConfig, Event};
use sansio::Protocol;
use std::net::SocketAddr;
use std::time::Duration;

const SERVER: &str = "198.51.100.1:3478";
const LOCAL: &str = "192.0.2.10:1000";

struct Foreign {
    client: Client,
    id: ClientId,
    /// Every so many datagrams one is lost, each way.
    lossy: u32,
    count: u32,
    received: Vec<(SocketAddr, Vec<u8>)>,
    relayed: Option<SocketAddr>,
    errors: Vec<String>,
}

impl Foreign {
    fn new(world: &World, lossy: u32) -> Self {
        let username = world.username("SE_1", Some(Scope::Peers));
        let config = ClientConfig {
            turn_serv_addr: SERVER.into(),
            local_addr: address(LOCAL),
            transport_protocol: TransportProtocol::UDP,
            password: password(SECRET.as_bytes(), &username),
            username,
            realm: REALM.into(),
            ..ClientConfig::default()
        };
        let client = Client::new(config, provider().clone()).unwrap();
        let id = ClientId { transport: RelayTransport::Udp, remote: address(LOCAL), stream: 0 };
        Self { client, id, lossy, count: 0, received: Vec::new(), relayed: None, errors: Vec::new() }
    }

    fn is_lost(&mut self) -> bool {
        self.count += 1;
        self.lossy > 0 && self.count.is_multiple_of(self.lossy)
    }

    /// Exchanges what there is to exchange, for so long.
    fn run(&mut self, world: &mut World, span: Duration) {
        let end = world.now + span;
        while world.now < end {
            self.client.handle_timeout(world.now).unwrap();
            while let Some(out) = self.client.poll_write() {
                if !self.is_lost() {
                    world.deliver(self.id, &out.message);
                }
            }
            for bytes in world.at_clients() {
                if self.is_lost() {
                    continue;
                }
                let transport = TransportContext {
                    local_addr: address(LOCAL),
                    peer_addr: address(SERVER),
                    transport_protocol: TransportProtocol::UDP,
                    ecn: None,
                };
                let message = bytes.as_slice().into();
                self.client.handle_read(TransportMessage { now: world.now, transport, message }).unwrap();
            }
            self.take_events();
            world.pass(Duration::from_millis(50));
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::AllocateResponse(_, relayed) => self.relayed = Some(relayed),
                Event::DataIndicationOrChannelData(_, from, bytes) => self.received.push((from, bytes.to_vec())),
                Event::AllocateError(_, error) | Event::CreatePermissionError(_, error) => {
                    self.errors.push(error.to_string());
                }
                Event::TransactionTimeout(id) => self.errors.push(format!("{id:?} timed out")),
                _ => {}
            }
        }
    }
}

fn a_call(lossy: u32) {
    let mut world = World::new();
    let mut foreign = Foreign::new(&world, lossy);
    foreign.client.allocate(world.now).unwrap();
    foreign.run(&mut world, Duration::from_secs(5));
    let relayed = foreign.relayed.expect("an allocation");
    assert_eq!(Some(relayed.port()), world.server.allocations().next().map(|state| state.port));
    foreign.client.relay(relayed).unwrap().create_permission(world.now, address(PUBLIC)).unwrap();
    foreign.run(&mut world, Duration::from_secs(5));
    let mut echoed = 0;
    for _ in 0..360 {
        foreign.client.relay(relayed).unwrap().send_to(world.now, b"are you there", address(PUBLIC)).unwrap();
        foreign.run(&mut world, Duration::from_secs(5));
        for (to, payload) in world.at_peers() {
            assert_eq!((to, payload.as_slice()), (address(PUBLIC), b"are you there".as_slice()));
            world.peer_sends(relayed.port(), PUBLIC, b"yes");
            echoed += 1;
        }
        foreign.run(&mut world, Duration::from_secs(5));
    }
    assert!(echoed >= if lossy == 0 { 360 } else { 250 }, "{echoed}");
    assert!(foreign.received.len() >= if lossy == 0 { 360 } else { 250 }, "{}", foreign.received.len());
    assert!(foreign.received.iter().all(|(from, bytes)| *from == address(PUBLIC) && bytes == b"yes"));
    assert_eq!(foreign.errors, Vec::<String>::new());
    assert_eq!(world.server.len(), 1, "it was refreshed all the time");
    foreign.client.relay(relayed).unwrap().close(world.now).unwrap();
    foreign.run(&mut world, Duration::from_secs(5));
    assert!(world.server.is_empty());
    world.check();
}

#[test]
fn a_foreign_client_keeps_a_call_for_an_hour() {
    a_call(0);
}

#[test]
fn a_foreign_client_keeps_a_call_on_a_bad_line() {
    a_call(7);
}
