//! What the leader says.

use crate::harness::{DEADLINE, Harness, code, config, relay, sync};
use plenum_protocol::control::{Known, NodeConfig, SyncReport, SyncRequest};
use plenum_protocol::ids::BootId;
use plenum_protocol::ports::PortRange;
use plenum_protocol::problem::Code;
use plenum_protocol::reach::Ping;
use plenum_protocol::relay::RelaySource;
use plenum_runtime::client::CallError;

#[tokio::test]
async fn a_leader_of_an_older_term_and_words_for_another_start_are_refused() {
    let harness = Harness::start().await;
    let report = harness.sync(&sync(5)).await.unwrap();
    assert!(!report.configured && report.whole);
    let ping: Ping = harness.gateway.get(&harness.target, "/v1/ping", DEADLINE).await.unwrap();
    assert_eq!(ping.boot_id, report.boot_id);
    let stale = SyncRequest { config: Some(config(true)), ..sync(4) };
    assert_eq!(code(harness.sync(&stale).await), Code::StaleTerm);
    let other = Known { boot_id: BootId::from_bits("", 1), state_version: 0 };
    let wrong = SyncRequest { known: Some(other), config: Some(config(true)), ..sync(5) };
    assert_eq!(code(harness.sync(&wrong).await), Code::WrongBoot);
    assert!(!harness.sync(&sync(5)).await.unwrap().configured, "a refused sync changed something");
    assert_eq!(
        code(harness.gateway.post::<_, SyncReport>(&harness.target, "/v1/sync", &sync(6), DEADLINE).await),
        Code::Forbidden
    );
}

#[tokio::test]
async fn a_bad_configuration_is_refused_and_names_what_is_wrong() {
    let harness = Harness::start().await;
    for addresses in [vec![], vec!["here".to_owned()], vec!["127.0.0.1".to_owned(); 9]] {
        let bad = NodeConfig { outside_addresses: addresses, ..config(true) };
        let Err(CallError::Problem(problem)) = harness.sync(&SyncRequest { config: Some(bad), ..sync(1) }).await else {
            panic!("taken")
        };
        assert_eq!(problem.code, Code::BadRequest);
        assert!(problem.detail.contains("outsideAddresses"), "{}", problem.detail);
    }
}

#[tokio::test]
async fn bad_relays_are_refused_and_change_nothing() {
    let harness = Harness::with_room().await;
    let ports = PortRange { min: 9, max: 8 };
    let long = "x".repeat(300);
    for bad in [RelaySource { ports, ..relay(1) }, RelaySource { pod: long, ..relay(1) }] {
        let bad = NodeConfig { relays: vec![bad], ..config(false) };
        let Err(CallError::Problem(problem)) = harness.sync(&SyncRequest { config: Some(bad), ..sync(1) }).await else {
            panic!("taken")
        };
        assert_eq!(problem.code, Code::BadRequest);
        assert!(problem.detail.contains("relays"), "{}", problem.detail);
    }
    harness.join("ann").await;
}
