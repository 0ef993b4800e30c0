//! A sequence of messages, datagrams and time to a server, by clients with credentials and by strangers.
//!
//! The input is a list of entries `kind, length (two bytes), bytes`. Kinds: to the server as it is, by a stranger, by
//! the client or by a stream; as the attributes of a signed request, whose method the kind also says; as the payload
//! of a peer. After each entry the server must have kept to its contract and its bounds.
#![no_main]

use aws_lc_rs::hmac;
use libfuzzer_sys::fuzz_target;
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::{RelayConfig, RelayPeers, RelayQuotas, RelaySecret};
use plenum_protocol::turn::{RelayTransport, password};
use plenum_turn_core::stun::write::{Writer, kind};
use plenum_turn_core::stun::{attribute, method};
use plenum_turn_core::{CheckedConfig, ClientId, Io, Ledger, Limits, OpenError, RelayId, Server, ServerConfig};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const UNIX: u64 = 1_700_000_000;
const USERNAME: &str = "1900000000:SE_1:peers";
const METHODS: [u16; 4] = [method::ALLOCATE, method::REFRESH, method::CREATE_PERMISSION, method::CHANNEL_BIND];

/// Checks that the server keeps to what it reserves and opens.
#[derive(Default)]
struct Owner {
    buffer: Vec<u8>,
    reserved: Option<usize>,
    last: Vec<u8>,
    relays: BTreeMap<RelayId, SocketAddr>,
}

impl Owner {
    fn reserve(&mut self, max_len: usize) -> Option<&mut [u8]> {
        self.buffer.resize(max_len, 0);
        self.reserved = Some(max_len);
        Some(&mut self.buffer)
    }

    fn commit(&mut self, len: usize) {
        assert!(len <= self.reserved.take().expect("commit follows reserve"));
        self.last = self.buffer[..len].to_vec();
    }
}

impl Io for Owner {
    fn to_client(&mut self, _client: ClientId, max_len: usize) -> Option<&mut [u8]> {
        self.reserve(max_len)
    }

    fn commit_client(&mut self, len: usize) {
        self.commit(len);
    }

    fn to_peer(&mut self, relay: RelayId, peer: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        assert!(self.relays.contains_key(&relay));
        // Whatever a client does, the inside is not reached.
        let std::net::IpAddr::V4(ip) = peer.ip() else { panic!("{peer}") };
        assert!(!ip.is_private() && !ip.is_loopback() && !ip.is_link_local() && !ip.is_multicast(), "{peer}");
        self.reserve(max_len)
    }

    fn commit_peer(&mut self, len: usize) {
        self.commit(len);
    }

    fn open_relay(&mut self, relay: RelayId, local: SocketAddr) -> Result<(), OpenError> {
        if local.port() % 5 == 0 {
            return Err(OpenError::InUse);
        }
        assert!(self.relays.insert(relay, local).is_none());
        Ok(())
    }

    fn close_relay(&mut self, relay: RelayId) {
        assert!(self.relays.remove(&relay).is_some());
    }

    fn close_client(&mut self, client: ClientId) {
        assert!(client.is_stream());
    }
}

fn server(now: Instant) -> Server {
    let ports = PortRange { min: 50_000, max: 50_019 };
    let bind = vec!["10.8.0.1".parse().expect("an address")];
    let (limits, nonce_key, seed, ledger) = (Limits::default(), [1; 32], [2; 32], Arc::new(Ledger::new(&[3; 32])));
    let mut server = Server::new(ServerConfig { worker: 0, ledger, bind, ports, nonce_key, seed, limits }, now);
    let config = RelayConfig {
        outside_addresses: vec!["198.51.100.1".parse().expect("an address")],
        realm: "fuzz".into(),
        secrets: vec![RelaySecret("secret".into())],
        peers: RelayPeers::default(),
        quotas: RelayQuotas {
            allocations: 10,
            allocations_per_user: 3,
            allocations_per_address: 3,
            kbps_per_allocation: 500,
        },
        max_lifetime_seconds: 7_200,
        accepting: true,
    };
    server.configure(Arc::new(CheckedConfig::new(&config, &[]).expect("a good configuration")));
    server
}

/// A message with `attributes` as they are, then credentials and a signature where there is a nonce.
fn message(kind: u16, attributes: &[u8], credentials: Option<(&[u8], &[u8; 16])>) -> Vec<u8> {
    let mut bytes = vec![0; 2_000];
    let transaction = *b"abcdefghijkl";
    let len = Writer::new(&mut bytes, kind, transaction).finish().expect("a header");
    bytes.truncate(len);
    bytes.extend(attributes.get(..attributes.len() / 4 * 4).unwrap_or_default());
    let Some((nonce, key)) = credentials else {
        let len = (bytes.len() - 20) as u16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        return bytes;
    };
    for (kind, value) in [
        (attribute::USERNAME, USERNAME.as_bytes()),
        (attribute::REALM, b"fuzz".as_slice()),
        (attribute::NONCE, nonce),
    ] {
        bytes.extend(kind.to_be_bytes());
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let len = (bytes.len() + 24 - 20) as u16;
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key), &bytes);
    bytes.extend([0, 8, 0, 20]);
    bytes.extend(tag.as_ref());
    bytes
}

/// A nonce for this client, out of the answer to a request without credentials.
fn nonce(server: &mut Server, now: Instant, client: ClientId, owner: &mut Owner) -> Option<Vec<u8>> {
    owner.last.clear();
    server.handle_client(now, UNIX, client, &message(METHODS[0], &[0, 25, 0, 4, 17, 0, 0, 0], None), owner);
    let answer = plenum_turn_core::stun::Message::parse(&owner.last).ok()?;
    answer.nonce.map(<[u8]>::to_vec)
}

fuzz_target!(|bytes: &[u8]| {
    use md5::{Digest, Md5};
    let start = Instant::now();
    let mut now = start;
    let mut server = server(now);
    let mut owner = Owner::default();
    let key: [u8; 16] = Md5::digest(format!("{USERNAME}:fuzz:{}", password(b"secret", USERNAME))).into();
    let id = |transport, port, stream| ClientId { transport, remote: ([192, 0, 2, 1], port).into(), stream };
    let clients = [id(RelayTransport::Udp, 1, 0), id(RelayTransport::Udp, 2, 0), id(RelayTransport::Tls, 3, 9)];
    let stranger = ClientId { transport: RelayTransport::Udp, remote: ([192, 0, 2, 66], 6).into(), stream: 0 };
    let peer = SocketAddr::from(([8, 8, 8, 8], 8));
    let nonces = clients.map(|client| nonce(&mut server, now, client, &mut owner).expect("a nonce"));
    let mut rest = bytes;
    while let [what, high, low, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len()).min(1_500);
        let (body, tail) = tail.split_at(len);
        rest = tail;
        let which = usize::from(what >> 4) % clients.len();
        let unix = UNIX + (now - start).as_secs();
        let mut give = |bytes: &[u8], from| server.handle_client(now, unix, from, bytes, &mut owner);
        match what & 0x0f {
            0 => give(body, stranger),
            1 => give(body, clients[which]),
            2 => give(&message(kind(method::SEND, 0x10), body, None), clients[which]),
            3 => {
                let relay = RelayId(u32::from(what >> 4) % 4);
                server.handle_peer(now, relay, peer, body, &mut owner);
            }
            4 => server.client_gone(now, clients[2], &mut owner),
            5 => now += Duration::from_secs(u64::from(u16::from_be_bytes([*high, *low]) % 1_200)),
            other => {
                let method = METHODS[usize::from(other) % METHODS.len()];
                give(&message(method, body, Some((&nonces[which], &key))), clients[which]);
            }
        }
        while server.poll_timeout().is_some_and(|due| due <= now) {
            server.handle_timeout(now, &mut owner);
        }
        while server.poll_event().is_some() {}
        let memory = server.memory();
        assert!(memory.allocations <= 3 && memory.allocations == owner.relays.len());
        assert!(memory.clients == memory.allocations && memory.timers == memory.allocations);
        assert!(memory.quota_entries <= 2 * memory.allocations);
        assert!(memory.permissions <= 64 * memory.allocations && memory.channels <= 64 * memory.allocations);
        assert_eq!(memory.free_ports + memory.relay_ports, 20);
    }
    server.handle_timeout(now + Duration::from_secs(8_000), &mut owner);
    assert!(server.is_empty() && owner.relays.is_empty());
});
