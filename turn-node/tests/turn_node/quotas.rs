//! Quotas hold for the pod, however its clients spread over its workers.

use crate::client::Client;
use crate::datagrams::Datagrams;
use crate::harness::{Harness, config, peer, sync};
use plenum_protocol::relay::RelaySyncRequest;

/// Ports from which clients come to the first worker and to the second, so many of each: the kernel keeps a port with
/// its worker, and relay ports tell which one that is.
fn ports_of_workers(harness: &Harness, wanted: usize) -> [Vec<Datagrams>; 2] {
    let ports = harness.settings.relay_ports;
    let second = ports.min + (ports.max - ports.min) / 2;
    let mut found = [Vec::new(), Vec::new()];
    for number in 0..100 {
        let socket = Datagrams::connect(harness.listener("udp"));
        let mut client = Client::new(socket.again(), &format!("T_probe_{number}"));
        let worker = usize::from(client.allocate().unwrap().port() > second);
        client.release();
        if found[worker].len() < wanted {
            found[worker].push(socket);
        }
        if found.iter().all(|sockets| sockets.len() == wanted) {
            return found;
        }
    }
    panic!("a hundred ports came to one worker");
}

fn allocate(port: &Datagrams, session: &str) -> (Client, Option<u16>) {
    let mut client = Client::new(port.again(), session);
    let refused = client.allocate().err();
    (client, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_spreads_over_the_workers_has_the_quota_once() {
    let harness = Harness::with_peers(2, &[&peer()]).await;
    let [first, second] = ports_of_workers(&harness, 3);
    let mut tight = config(&[]);
    tight.quotas.allocations_per_user = 4;
    harness.sync(&RelaySyncRequest { config: Some(tight), ..sync(1) }).await.unwrap();
    let mut clients = Vec::new();
    for (port, expected) in first.iter().chain(&second[..1]).map(|port| (port, None)).chain([(&second[1], Some(486))]) {
        let (client, refused) = allocate(port, "T_1");
        assert_eq!(refused, expected, "{} are there", clients.len());
        clients.push(client);
    }
    assert_eq!(allocate(&second[2], "T_2").1, None, "another user's quota is another");
    clients[0].release();
    assert_eq!(allocate(&second[1], "T_1").1, None, "what the first worker gave up, the second may give");
    assert_eq!(allocate(&first[0], "T_1").1, Some(486));
    harness
        .scrape(&[
            "plenum_turn_quota_refusals_total{worker=\"0\"} 1",
            "plenum_turn_quota_refusals_total{worker=\"1\"} 1",
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_and_the_pod_have_their_quotas_once() {
    let harness = Harness::with_peers(2, &[&peer()]).await;
    let ports = ports_of_workers(&harness, 2);
    let limits: [fn(&mut plenum_protocol::relay::RelayQuotas); 2] =
        [|quotas| quotas.allocations_per_address = 3, |quotas| quotas.allocations = 3];
    for limit in limits {
        let mut tight = config(&[]);
        limit(&mut tight.quotas);
        harness.sync(&RelaySyncRequest { config: Some(tight), ..sync(1) }).await.unwrap();
        let all = ports.iter().flatten().enumerate();
        let (mut clients, refused): (Vec<Client>, Vec<Option<u16>>) =
            all.map(|(number, port)| allocate(port, &format!("T_{number}"))).unzip();
        assert_eq!(refused, [None, None, None, Some(486)]);
        clients[..3].iter_mut().for_each(Client::release);
    }
}
