//! Relaying a packet allocates nothing: counted by the allocator itself.

mod support;

use plenum_protocol::turn::{RelayTransport, Scope};
use plenum_testing::Counting;
use plenum_turn_core::{ClientId, Io, OpenError, RelayId};
use rtc_stun::attributes::ATTR_DATA;
use rtc_stun::message::{CLASS_INDICATION, METHOD_SEND};
use std::net::SocketAddr;
use support::client::{Request, channel_data};
use support::world::{MEDIA, MEDIA_INSIDE, PUBLIC, World, address};

#[global_allocator]
static ALLOCATOR: Counting = Counting::by_thread();

/// An owner that allocates nothing either.
struct Flat {
    buffer: Vec<u8>,
    packets: u64,
}

impl Io for Flat {
    fn to_client(&mut self, _client: ClientId, max_len: usize) -> Option<&mut [u8]> {
        self.buffer.get_mut(..max_len)
    }

    fn commit_client(&mut self, _len: usize) {
        self.packets += 1;
    }

    fn to_peer(&mut self, _relay: RelayId, _peer: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        self.buffer.get_mut(..max_len)
    }

    fn commit_peer(&mut self, _len: usize) {
        self.packets += 1;
    }

    fn open_relay(&mut self, _relay: RelayId, _local: SocketAddr) -> Result<(), OpenError> {
        Err(OpenError::Refused)
    }

    fn close_relay(&mut self, _relay: RelayId) {}

    fn close_client(&mut self, _client: ClientId) {}
}

/// A client with a channel to `bound` and a permission for `permitted`; both send and hear a thousand packets.
fn relaying_allocates_nothing(
    transport: RelayTransport,
    scope: Scope,
    (bound, bound_inside): (&str, &str),
    (permitted, permitted_inside): (&str, &str),
) {
    let mut world = World::new();
    world.push(|config| config.quotas.kbps_per_allocation = 1_000_000);
    let mut client = world.client(transport, "192.0.2.10:1", "SE_1", Some(scope));
    assert!(client.allocate(&mut world).is_success());
    assert!(client.bind(&mut world, 0x4000, bound).is_success());
    assert!(client.permit(&mut world, &[permitted]).is_success());
    let relay = world.relay_of(client.port());
    let by_channel = channel_data(0x4000, &[1; 1_001], client.id.is_stream());
    let by_indication = Request::new(METHOD_SEND, CLASS_INDICATION).peer(address(permitted));
    let by_indication = by_indication.with(ATTR_DATA, &[2; 1_001]).bytes();
    let stray = address("203.0.113.9:9");
    let (bound, permitted) = (address(bound_inside), address(permitted_inside));
    let mut flat = Flat { buffer: vec![0; 2_000], packets: 0 };
    let before = ALLOCATOR.allocations();
    assert!(before > 100, "the counter counts");
    for _ in 0..1_000 {
        let (now, unix) = (world.now, world.unix);
        world.server.handle_client(now, unix, client.id, &by_channel, &mut flat);
        world.server.handle_client(now, unix, client.id, &by_indication, &mut flat);
        world.server.handle_peer(now, relay, bound, &[3; 1_001], &mut flat);
        world.server.handle_peer(now, relay, permitted, &[4; 1_001], &mut flat);
        world.server.handle_peer(now, relay, stray, &[5; 1_001], &mut flat);
    }
    let allocated = ALLOCATOR.allocations() - before;
    assert_eq!(flat.packets, 4_000, "{:?}", world.server.counters());
    assert_eq!(allocated, 0, "{allocated} allocations for {} packets", flat.packets);
    let relayed = world.server.counters().relayed(transport);
    assert_eq!((relayed.packets_to_peers, relayed.packets_to_clients), (2_000, 2_000));
}

#[test]
fn relaying_to_the_internet_allocates_nothing() {
    relaying_allocates_nothing(RelayTransport::Udp, Scope::Peers, (PUBLIC, PUBLIC), ("8.8.4.4:53", "8.8.4.4:53"));
}

#[test]
fn relaying_to_a_media_endpoint_allocates_nothing() {
    let other = ("198.51.100.7:20001", "10.0.0.7:20001");
    relaying_allocates_nothing(RelayTransport::Udp, Scope::Media, (MEDIA, MEDIA_INSIDE), other);
}

#[test]
fn relaying_for_a_stream_allocates_nothing_in_the_server() {
    relaying_allocates_nothing(RelayTransport::Tls, Scope::Peers, (PUBLIC, PUBLIC), ("8.8.4.4:53", "8.8.4.4:53"));
}
