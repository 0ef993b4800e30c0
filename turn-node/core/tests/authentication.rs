//! Long-term credentials: who is let in, and what the others are told.

use crate::support::client::{Client, allocate_request, request};
use crate::support::world::{BEGIN, REALM, SECRET, World, address, relay_config, server_config};
use plenum_protocol::relay::RelaySecret;
use plenum_protocol::turn::{RelayTransport, Scope, password};
use plenum_turn_core::ClientId;
use rtc_stun::attributes::*;
use rtc_stun::message::*;
use std::time::Duration;

const PEERS: Option<Scope> = Some(Scope::Peers);

fn named(username: &str, secret: &str) -> Client {
    let id = ClientId { transport: RelayTransport::Udp, remote: address("192.0.2.10:1000"), stream: 0 };
    Client::new(id, username, &password(secret.as_bytes(), username))
}

#[test]
fn a_request_without_credentials_is_asked_for_them() {
    let mut world = World::new();
    let client = named("1700003600:SE_1:peers", SECRET);
    let answer = world.exchange(client.id, &allocate_request().bytes()).unwrap();
    assert_eq!((answer.code(), answer.text(ATTR_REALM).as_str()), (401, REALM));
    assert_eq!(answer.text(ATTR_NONCE).len(), 24);
    for kind in [ATTR_SOFTWARE, ATTR_FINGERPRINT, ATTR_MESSAGE_INTEGRITY] {
        assert!(!answer.has(kind), "{kind}");
    }
}

#[test]
fn wrong_and_expired_and_malformed_credentials_are_refused() {
    let mut world = World::new();
    let good = format!("{}:SE_1:peers", BEGIN + 1);
    for (what, username, secret) in [
        ("another secret", good.clone(), "south"),
        ("expired", format!("{}:SE_1:peers", BEGIN - 1), SECRET),
        ("another scope", format!("{}:SE_1:admin", BEGIN + 1), SECRET),
        ("no expiry", "SE_1:peers".to_owned(), SECRET),
        ("an empty name", String::new(), SECRET),
    ] {
        let mut client = named(&username, secret);
        let answer = client.allocate(&mut world);
        assert_eq!((answer.code(), answer.has(ATTR_NONCE)), (401, true), "{what}");
    }
    assert!(world.server.is_empty());
    assert!(named(&good, SECRET).allocate(&mut world).is_success());
}

#[test]
fn another_password_for_a_good_username_is_refused() {
    let mut world = World::new();
    let mut client = named(&format!("{}:SE_1:media", BEGIN + 9), SECRET);
    client.password = password(SECRET.as_bytes(), &format!("{}:SE_1:peers", BEGIN + 9));
    assert_eq!(client.allocate(&mut world).code(), 401, "a scope cannot be changed");
}

#[test]
fn what_is_missing_beside_a_signature_is_a_bad_request() {
    let mut world = World::new();
    let mut client = named("1700003600:SE_1:peers", SECRET);
    client.greet(&mut world);
    let whole = client.sign(allocate_request());
    for missing in [ATTR_USERNAME, ATTR_REALM, ATTR_NONCE] {
        let mut partial = allocate_request();
        for attribute in
            whole.message.attributes.0.iter().filter(|it| it.typ != missing && it.typ != ATTR_REQUESTED_TRANSPORT)
        {
            partial.message.add(attribute.typ, &attribute.value);
        }
        let answer = world.exchange(client.id, &partial.bytes()).unwrap();
        assert_eq!((answer.code(), answer.has(ATTR_REALM)), (400, false), "{missing}");
    }
}

#[test]
fn the_secret_before_is_good_until_it_is_gone() {
    let mut world = World::new();
    world.push(|config| config.secrets = vec![RelaySecret("new".into()), RelaySecret(SECRET.into())]);
    for (index, secret) in ["new", SECRET].into_iter().enumerate() {
        let mut client = named("1700003600:SE_1:peers", secret);
        client.id.remote.set_port(2_000 + index as u16);
        assert!(client.allocate(&mut world).is_success(), "{secret}");
    }
    world.push(|config| config.secrets = vec![RelaySecret("new".into())]);
    let mut late = named("1700003600:SE_1:peers", SECRET);
    assert_eq!(late.allocate(&mut world).code(), 401);
}

#[test]
fn an_allocation_outlives_its_secret_its_realm_and_its_expiry() {
    let mut world = World::new();
    let mut client = world.allocated();
    world.push(|config| {
        config.secrets = vec![RelaySecret("new".into())];
        config.realm = "elsewhere".into();
    });
    for _ in 0..12 {
        world.pass(Duration::from_secs(550));
        let mut answer = client.refresh(&mut world, 600);
        if answer.code() == 438 {
            client.nonce = answer.text(ATTR_NONCE);
            answer = client.refresh(&mut world, 600);
        }
        assert!(answer.is_success());
    }
    assert_eq!(client.bind(&mut world, 0x4000, "8.8.8.8:1").code(), 0);
}

#[test]
fn a_nonce_is_for_one_client_for_an_hour_and_for_one_worker() {
    let mut world = World::new();
    let mut client = world.allocated();
    let mut other = world.client(RelayTransport::Udp, "192.0.2.10:1001", "SE_1", PEERS);
    other.nonce = client.nonce.clone();
    assert_eq!(other.allocate(&mut world).code(), 438, "another port");
    for _ in 0..6 {
        world.pass(Duration::from_secs(599));
        assert!(client.refresh(&mut world, 600).is_success());
    }
    world.pass(Duration::from_secs(6));
    let answer = client.refresh(&mut world, 600);
    assert_eq!((answer.code(), answer.text(ATTR_REALM).as_str()), (438, REALM));
    client.nonce = answer.text(ATTR_NONCE);
    assert!(client.refresh(&mut world, 600).is_success(), "with the fresh one");

    let mut worker = server_config();
    worker.worker = 4;
    let mut elsewhere = World::with(worker, relay_config());
    let mut moved = Client::new(client.id, &client.username, &client.password);
    moved.nonce = client.nonce.clone();
    let answer = moved.allocate(&mut elsewhere);
    assert_eq!(answer.code(), 438);
    moved.nonce = answer.text(ATTR_NONCE);
    assert!(moved.allocate(&mut elsewhere).is_success());
}

#[test]
fn somebody_elses_allocation_cannot_be_touched() {
    let mut world = World::new();
    let client = world.allocated();
    let mut other = world.client(RelayTransport::Udp, "192.0.2.10:1000", "SE_2", PEERS);
    assert_eq!(other.refresh(&mut world, 0).code(), 441);
    assert_eq!(other.permit(&mut world, &["8.8.8.8:1"]).code(), 441);
    assert_eq!(other.bind(&mut world, 0x4000, "8.8.8.8:1").code(), 441);
    assert!(world.server.allocation(client.port()).is_some());
    assert_eq!(world.server.memory().permissions, 0);
}

#[test]
fn a_fingerprint_is_answered_by_one_and_a_wrong_one_by_nothing() {
    let mut world = World::new();
    let mut client = named("1700003600:SE_1:peers", SECRET);
    client.greet(&mut world);
    let signed = client.sign(allocate_request()).fingerprint();
    let answer = world.exchange(client.id, &signed.bytes()).unwrap();
    assert!(answer.is_success() && answer.has(ATTR_FINGERPRINT));
    let mut wrong = client.sign(request(METHOD_REFRESH)).fingerprint().bytes();
    *wrong.last_mut().unwrap() ^= 1;
    assert!(world.exchange(client.id, &wrong).is_none());
    assert_eq!(world.server.counters().drops.fingerprint, 1);
}
