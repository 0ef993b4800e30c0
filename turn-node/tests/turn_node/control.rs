//! The control API, probes and the end.

use crate::client::{Client, connect};
use crate::harness::pod::code;
use crate::harness::{DEADLINE, Harness, config, outside, peer, sync};
use plenum_protocol::control::Known;
use plenum_protocol::ids::BootId;
use plenum_protocol::problem::Code;
use plenum_protocol::reach::Ping;
use plenum_protocol::relay::{PeerRule, RelayConfig, RelaySecret, RelaySyncReport, RelaySyncRequest};
use plenum_runtime::client::CallError;
use plenum_turn_node::{NodeError, StartError, TurnNode};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_of_an_older_term_and_words_for_another_start_are_refused() {
    let harness = Harness::start(1).await;
    let report = harness.sync(&sync(5)).await.unwrap();
    assert!(!report.configured && report.whole);
    let ping: Ping = harness.gateway.get(&harness.target, "/v1/ping", DEADLINE).await.unwrap();
    assert_eq!(ping.boot_id, report.boot_id);
    let stale = RelaySyncRequest { config: Some(config(&[])), ..sync(4) };
    assert_eq!(code(harness.sync(&stale).await), Code::StaleTerm);
    let other = Known { boot_id: BootId::from_bits("", 1), state_version: 0 };
    let wrong = RelaySyncRequest { known: Some(other), config: Some(config(&[])), ..sync(5) };
    assert_eq!(code(harness.sync(&wrong).await), Code::WrongBoot);
    assert!(!harness.sync(&sync(5)).await.unwrap().configured, "a refused sync changed something");
    assert_eq!(
        code(harness.gateway.post::<_, RelaySyncReport>(&harness.target, "/v1/sync", &sync(6), DEADLINE).await),
        Code::Forbidden
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_refused_and_names_what_is_wrong() {
    let harness = Harness::start(1).await;
    let good = config(&[]);
    let rule = |cidr: &str| PeerRule { cidr: cidr.into(), ports: None };
    let mut peers = good.peers.clone();
    peers.deny = vec![rule("10.0.0.0/8"), rule("nowhere")];
    let cases = [
        (RelayConfig { outside_addresses: vec![], ..good.clone() }, "outsideAddresses"),
        (RelayConfig { realm: String::new(), ..good.clone() }, "realm"),
        (RelayConfig { secrets: vec![], ..good.clone() }, "secrets"),
        (RelayConfig { secrets: vec![RelaySecret(String::new())], ..good.clone() }, "secrets"),
        (RelayConfig { max_lifetime_seconds: 0, ..good.clone() }, "maxLifetimeSeconds"),
        (RelayConfig { peers, ..good.clone() }, "nowhere"),
    ];
    for (bad, word) in cases {
        let request = RelaySyncRequest { config: Some(bad), ..sync(1) };
        let Err(CallError::Problem(problem)) = harness.sync(&request).await else { panic!("{word}: taken") };
        assert_eq!(problem.code, Code::BadRequest);
        assert!(problem.detail.contains(word), "{}", problem.detail);
    }
    assert!(!harness.sync(&sync(1)).await.unwrap().configured);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_is_ready_when_it_is_configured() {
    let harness = Harness::start(1).await;
    assert!(harness.probe("/livez").await.starts_with("HTTP/1.1 200"));
    assert!(harness.probe("/readyz").await.starts_with("HTTP/1.1 503"));
    harness.sync(&RelaySyncRequest { config: Some(config(&[])), ..sync(1) }).await.unwrap();
    assert!(harness.probe("/readyz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_never_share_a_port() {
    let harness = Harness::start(2).await;
    for (index, name) in ["udp", "tcp", "tls"].into_iter().enumerate() {
        let mut settings = harness.settings.clone();
        settings.listeners[index].port = harness.listener(name).port();
        let error = TurnNode::bind(&settings).await.map(drop).unwrap_err();
        assert!(matches!(error, NodeError::Start(StartError::Net(_))), "{name}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_brings_what_changed_since_the_last() {
    let peer = peer();
    let harness = Harness::with_peers(1, &[&peer]).await;
    let mut first = Client::new(connect(harness.listener("tcp")), "T_1");
    let gone = first.allocate().unwrap().port();
    let seen = harness.until(|report| report.load.allocations == 1).await;
    assert!(seen.whole);
    let mut second = Client::new(connect(harness.listener("tcp")), "T_2");
    let came = second.allocate().unwrap().port();
    first.release();
    harness.until(|report| report.load.allocations == 1 && report.allocations[0].port == came).await;
    let known = Some(Known { boot_id: seen.boot_id, state_version: seen.state_version });
    let report = harness.sync(&RelaySyncRequest { known, ..sync(1) }).await.unwrap();
    assert!(!report.whole);
    assert_eq!(report.ended, [gone]);
    assert_eq!(report.allocations.iter().map(|allocation| allocation.port).collect::<Vec<_>>(), [came]);
    assert_eq!(harness.query(vec![gone]).await.unwrap().allocations, []);
    assert_eq!(code(harness.query(vec![1; 1_001]).await), Code::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_node_takes_nothing_new_and_ends_with_its_last_allocation() {
    let peer = peer();
    let harness = Harness::with_peers(1, &[&peer]).await;
    let mut client = Client::new(connect(harness.listener("tcp")), "T_1");
    client.allocate().unwrap();
    harness.shutdown.trigger();
    let refused = async {
        loop {
            // The wish to stop may come after the first.
            let mut late = Client::new(connect(harness.listener("tcp")), "T_2");
            if late.allocate() == Err(508) {
                return;
            }
            late.release();
        }
    };
    tokio::time::timeout(DEADLINE, refused).await.unwrap();
    assert!(harness.probe("/readyz").await.starts_with("HTTP/1.1 503"));
    harness.sync(&RelaySyncRequest { config: Some(config(&[])), ..sync(1) }).await.unwrap();
    let mut late = Client::new(connect(harness.listener("tcp")), "T_3");
    assert_eq!(late.allocate(), Err(508), "a push made it take allocations again");
    harness.sync(&RelaySyncRequest { config: Some(config(&[&peer])), ..sync(1) }).await.unwrap();
    assert_eq!(client.bind(0x4000, outside(&peer)), None);
    assert!(!harness.running.is_finished());
    client.release();
    tokio::time::timeout(DEADLINE, harness.running).await.unwrap().unwrap().unwrap();
}
