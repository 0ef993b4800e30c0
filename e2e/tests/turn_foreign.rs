//! Clients that know nothing of Plenum use its relays: coturn's own test client, by every transport, and with bad credentials.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use plenum_api::{Condition, RelayPool, conditions, names};
use plenum_e2e::client::Client;
use plenum_e2e::process::OwnedProcess;
use plenum_e2e::relays::{apply_pool, credential, listen_for_tls, make_pool, node_address, shared_secret, turn_spec};
use plenum_e2e::scene::Scene;
use plenum_e2e::turn_client::{Attribute, Credential, TurnClient};
use plenum_protocol::turn::Scope;
use serde_json::json;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Output;
use std::time::Duration;
use tokio::time::timeout;

/// Where `turnutils_peer` echoes.
const PEER_PORT: u16 = 3_480;
/// Messages of each client.
const MESSAGES: u32 = 50;
/// Its messages are 20 ms apart.
const PATIENCE: Duration = Duration::from_secs(30);
/// The chart's value `operator.turnAuthSecrets` names it when the tests are run.
const READABLE: &str = "foreign-turn";
const SOON: Duration = Duration::from_secs(30);
const PORT: u16 = 13_400;
const TLS_PORT: u16 = 13_401;

/// Runs coturn's client at a client of the cluster.
struct Foreign<'a> {
    scene: &'a Scene<'a>,
    client: &'a Client,
    server: IpAddr,
    peer: IpAddr,
}

impl Foreign<'_> {
    async fn run(&self, credential: &Credential, port: u16, flags: &[&str]) -> Result<Output> {
        let program = self.scene.suite.env.coturn("turnutils_uclient").display().to_string();
        let fixed = [
            ("-u", credential.username.clone()),
            ("-w", credential.password.clone()),
            ("-e", self.peer.to_string()),
            ("-r", PEER_PORT.to_string()),
            ("-p", port.to_string()),
            ("-n", MESSAGES.to_string()),
        ];
        let mut words = vec![program];
        words.extend(flags.iter().map(|flag| (*flag).to_owned()));
        words.extend(fixed.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        words.push(self.server.to_string());
        let mut command = tokio::process::Command::from(self.client.command(&words)?);
        command.kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.context("the foreign client does not end")?;
        output.context("running the foreign client")
    }

    /// Every message came back.
    async fn relays(&self, credential: &Credential, port: u16, flags: &[&str]) -> Result<()> {
        let output = self.run(credential, port, flags).await.with_context(|| format!("{flags:?}"))?;
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        ensure!(output.status.success(), "{flags:?}: {}: {text}", output.status);
        let counted = |mark: &str| -> Option<u32> {
            let (_, rest) = text.rsplit_once(mark)?;
            rest.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty())?.parse().ok()
        };
        let (sent, received) = (counted("tot_send_msgs="), counted("tot_recv_msgs="));
        ensure!(
            sent.is_some_and(|sent| sent >= MESSAGES) && sent == received,
            "{flags:?}: {sent:?} sent, {received:?} back: {text}"
        );
        eprintln!("{flags:?}: {sent:?} messages");
        Ok(())
    }
}

pub(crate) async fn foreign_clients_relay_by_udp_tcp_and_tls(scene: &Scene<'_>) -> Result<()> {
    let suite = scene.suite;
    let (client, far) = (scene.client("eu-west", 0).await?, scene.client("us-east", 0).await?);
    let peer = far.address()?;
    let (server, secret) = foreign_pool(scene, peer).await?;
    let log = File::create(suite.env.artifacts.join("turnutils-peer.log")).context("making a log")?;
    let program = suite.env.coturn("turnutils_peer").display().to_string();
    let words = [program, "-L".to_owned(), peer.to_string(), "-p".to_owned(), PEER_PORT.to_string()];
    let mut echo = OwnedProcess::start(far.command(&words)?, "turnutils_peer", &log)?;
    let foreign = Foreign { scene, client: &client, server, peer };
    let authority = suite.authority.file().display().to_string();
    // Both forms of a foreign issuer's username.
    let named = credential(&secret, "someone", None, 600)?;
    let runs = [
        // Channels, then Send indications.
        (PORT, vec!["-c"]),
        (PORT, vec!["-c", "-s"]),
        (PORT, vec!["-c", "-t"]),
        (PORT, vec!["-c", "-t", "-s"]),
        (TLS_PORT, vec!["-c", "-t", "-S", "-E", authority.as_str()]),
        (TLS_PORT, vec!["-c", "-t", "-S", "-s", "-E", authority.as_str()]),
        // Several allocations at once, with large messages.
        (PORT, vec!["-c", "-m", "8", "-l", "1200"]),
    ];
    scene.alone().await?;
    try_join_all(runs.iter().map(|(port, flags)| foreign.relays(&named, *port, flags))).await?;
    scene.share().await?;
    echo.check_running()?;
    let stranger = Credential { password: "wrong".to_owned(), ..named };
    let refused = foreign.run(&stranger, PORT, &["-c"]).await?;
    ensure!(!refused.status.success(), "a wrong password relays");
    Ok(())
}

pub(crate) async fn a_turn_secret_that_the_operator_may_not_read_is_named(scene: &Scene<'_>) -> Result<()> {
    let mut spec = turn_spec("eu-west", 1, 13_420);
    spec["turn"]["authSecretRef"] = json!({"name": "unlisted"});
    apply_pool(scene, "blind", spec).await?;
    let pool = scene
        .suite
        .kube
        .wait(&scene.namespace, "blind", "Ready=False, NoAuthSecret", SOON, |pool: &RelayPool| {
            ready(pool).is_some_and(|ready| ready.status == "False" && ready.reason == "NoAuthSecret")
        })
        .await?;
    let message = ready(&pool).map(|ready| ready.message.as_str()).unwrap_or_default();
    ensure!(
        message.contains("unlisted") && message.contains("operator.turnAuthSecrets"),
        "the message does not say what to do: {message:?}"
    );
    Ok(())
}

fn ready(pool: &RelayPool) -> Option<&Condition> {
    pool.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == conditions::READY)
}

/// A pool for foreign clients that may speak to `peer`: its address and its secret, which somebody else made.
async fn foreign_pool(scene: &Scene<'_>, peer: IpAddr) -> Result<(IpAddr, Vec<u8>)> {
    let shared = format!("{:032x}", rand::random::<u128>());
    let auth = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": READABLE},
        "stringData": {names::KEY_CURRENT: shared},
    });
    scene.suite.kube.apply(&scene.namespace, auth).await?;
    let mut spec = turn_spec("eu-west", 1, PORT);
    spec["turn"]["authSecretRef"] = json!({"name": READABLE});
    listen_for_tls(scene, &mut spec, TLS_PORT).await?;
    spec["turn"]["peers"] = json!({"allow": [{"cidr": format!("{peer}/32")}]});
    let pods = make_pool(scene, "foreign", spec).await?;
    let pod = pods.first().context("a ready pool has a pod")?;
    Ok((node_address(pod)?, shared.into_bytes()))
}

pub(crate) async fn bad_turn_credentials_allocate_nothing(scene: &Scene<'_>) -> Result<()> {
    let pods = make_pool(scene, "turn", turn_spec("eu-west", 1, 13_410)).await?;
    let server = SocketAddr::new(node_address(pods.first().context("a ready pool has a pod")?)?, 13_410);
    let secret = shared_secret(scene).await?;
    let scoped = |scope: Option<Scope>, seconds: i64| credential(&secret, "someone", scope, seconds);
    let forged = credential(b"another secret", "someone", Some(Scope::Media), 600)?;
    let mut renamed = scoped(Some(Scope::Media), 600)?;
    renamed.username = renamed.username.replace(":media", ":peers");
    let mut extended = scoped(Some(Scope::Media), -60)?;
    extended.username = extended.username.replacen(|c: char| c.is_ascii_digit(), "9", 1);
    let shapeless = |username: &str| Credential {
        username: username.to_owned(),
        password: plenum_protocol::turn::password(&secret, username),
    };
    for (what, credential) in [
        ("another secret", forged),
        ("a wrong password", Credential { password: "x".to_owned(), ..scoped(None, 600)? }),
        ("an expired one", scoped(Some(Scope::Media), -60)?),
        ("an expired one of a foreign issuer", scoped(None, -60)?),
        ("a scope that was not signed", renamed),
        ("an expiry that was not signed", extended),
        ("a scope that is none", shapeless("9999999999:someone:root")),
        ("no expiry", shapeless("someone")),
    ] {
        let answer = ask(server, credential, Vec::new()).await.with_context(|| what.to_owned())?;
        ensure!(answer == Err(401), "{what}: {answer:?}");
    }
    for scope in [Some(Scope::Media), Some(Scope::Peers), None] {
        let answer = ask(server, scoped(scope, 600)?, Vec::new()).await?;
        ensure!(answer.is_ok_and(|relayed| relayed.is_ipv4()), "a good one of scope {scope:?}: {answer:?}");
    }
    let answer = ask(server, scoped(None, 600)?, vec![Attribute::Ipv6]).await?;
    ensure!(answer == Err(440), "an IPv6 address of a relay without one: {answer:?}");
    Ok(())
}

/// Asks for an allocation, and ends it.
async fn ask(server: SocketAddr, credential: Credential, wishes: Vec<Attribute>) -> Result<Result<SocketAddr, u16>> {
    let socket = UdpSocket::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)).context("making a socket")?;
    let mut client = TurnClient::new(socket, server, credential)?;
    let answer = client.allocate(wishes).await?;
    if answer.is_ok() {
        let ended = client.refresh(0).await?;
        ensure!(ended == Ok(0), "ending an allocation: {ended:?}");
    }
    Ok(answer)
}
