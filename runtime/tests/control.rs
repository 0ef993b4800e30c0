//! Mutual TLS on loopback: who gets in, who does not, and what happens while certificates change.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use futures_util::{SinkExt as _, StreamExt as _};
use plenum_protocol::control::{GATEWAY_SAN, OPERATOR_SAN, node_san};
use plenum_protocol::problem::Code;
use plenum_runtime::ca::Authority;
use plenum_runtime::client::{CallError, ControlClient, MAX_RESPONSE, Message, Target, TransportError};
use plenum_runtime::http::{JsonBody, ProblemResponse, require_role};
use plenum_runtime::mtls::{self, Identity, PeerRole, Role, RoleKind};
use plenum_runtime::server::Limits;
use plenum_runtime::shutdown::Shutdown;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(10);

fn authority() -> Authority {
    Authority::generate(SystemTime::now()).unwrap()
}

fn identity(authority: &Authority, san: &str) -> Arc<Identity> {
    Arc::new(Identity::from_issued(&authority.issue(san, SystemTime::now()).unwrap()).unwrap())
}

async fn who(PeerRole(role): PeerRole) -> JsonBody<String> {
    JsonBody(format!("{role:?}"))
}

async fn operator_only(
    PeerRole(role): PeerRole,
    JsonBody(words): JsonBody<Vec<String>>,
) -> Result<JsonBody<usize>, ProblemResponse> {
    require_role(&role, &[RoleKind::Operator])?;
    Ok(JsonBody(words.len()))
}

async fn echo(upgrade: axum::extract::WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

fn router() -> axum::Router {
    use axum::routing::{get, post};
    axum::Router::new()
        .route("/who", get(who))
        .route("/words", post(operator_only).patch(operator_only))
        .route("/gone", axum::routing::delete(|| async { http::StatusCode::NO_CONTENT }))
        .route("/huge", get(|| async { vec![b' '; MAX_RESPONSE + 1] }))
        .route("/plain", get(|| async { (http::StatusCode::BAD_GATEWAY, "no document") }))
        .route("/never", get(std::future::pending::<()>))
        .route("/port", get(|peer: axum::extract::ConnectInfo<SocketAddr>| async move { JsonBody(peer.0.port()) }))
        .route("/socket", get(echo))
}

struct Server {
    addr: SocketAddr,
    identity: Arc<Identity>,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(identity: Arc<Identity>, limits: Limits) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), identity, limits)
    }

    fn start_on(listener: TcpListener, identity: Arc<Identity>, limits: Limits) -> Self {
        let addr = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let serving = mtls::serve_with(listener, Arc::clone(&identity), router(), limits, shutdown.clone());
        Self { addr, identity, shutdown, task: tokio::spawn(serving) }
    }

    async fn of_namespace(authority: &Authority, namespace: &str) -> Self {
        Self::start(identity(authority, &node_san(namespace)), Limits::default()).await
    }

    fn as_node(&self, namespace: &str) -> Target {
        Target::new(self.addr, node_san(namespace))
    }
}

fn client(authority: &Authority, san: &str) -> ControlClient {
    ControlClient::new(identity(authority, san))
}

#[tokio::test]
async fn a_caller_is_known_by_the_name_in_its_certificate() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "team").await;
    for (san, role) in [
        (OPERATOR_SAN.to_owned(), Role::Operator),
        (GATEWAY_SAN.to_owned(), Role::Gateway),
        (node_san("other"), Role::Node { namespace: "other".into() }),
    ] {
        let answer: String = client(&authority, &san).get(&server.as_node("team"), "/who", SOON).await.unwrap();
        assert_eq!(answer, format!("{role:?}"));
    }
}

#[tokio::test]
async fn a_call_for_the_operator_is_refused_to_a_gateway_with_a_problem_document() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "team").await;
    let (to, words) = (server.as_node("team"), ["a", "b"]);
    let counted: usize = client(&authority, OPERATOR_SAN).post(&to, "/words", &words, SOON).await.unwrap();
    assert_eq!(counted, 2);
    let counted: usize = client(&authority, OPERATOR_SAN).patch(&to, "/words", &words, SOON).await.unwrap();
    assert_eq!(counted, 2);
    let refused = client(&authority, GATEWAY_SAN).post::<_, usize>(&to, "/words", &words, SOON).await.unwrap_err();
    let CallError::Problem(problem) = refused else { panic!("{refused:?}") };
    assert_eq!((problem.code, problem.status), (Code::Forbidden, 403));
    assert_eq!(problem.detail, "this call is for the operator, and the caller is a gateway");
}

#[tokio::test]
async fn an_empty_answer_reads_as_nothing() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "team").await;
    client(&authority, GATEWAY_SAN).delete(&server.as_node("team"), "/gone", SOON).await.unwrap();
    let missing = client(&authority, GATEWAY_SAN).delete(&server.as_node("team"), "/nothing", SOON).await;
    let Err(CallError::Problem(problem)) = missing else { panic!("{missing:?}") };
    assert_eq!((problem.code, problem.status), (Code::Other, 404));
}

#[tokio::test]
async fn a_caller_of_another_authority_is_refused() {
    let (authority, stranger) = (authority(), authority());
    let server = Server::of_namespace(&authority, "team").await;
    // The stranger trusts the server's authority, so that only the server can refuse.
    let own = stranger.issue(OPERATOR_SAN, SystemTime::now()).unwrap();
    let identity = Identity::from_pem(&own.cert, &own.key, authority.cert_pem()).unwrap();
    let outcome = ControlClient::new(Arc::new(identity)).get::<String>(&server.as_node("team"), "/who", SOON).await;
    assert!(matches!(outcome, Err(CallError::Transport(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let (authority, stranger) = (authority(), authority());
    let own = stranger.issue(&node_san("team"), SystemTime::now()).unwrap();
    // The server trusts the client's authority, so that only the client can refuse.
    let identity = Identity::from_pem(&own.cert, &own.key, authority.cert_pem()).unwrap();
    let server = Server::start(Arc::new(identity), Limits::default()).await;
    let outcome = client(&authority, OPERATOR_SAN).get::<String>(&server.as_node("team"), "/who", SOON).await;
    assert!(matches!(outcome, Err(CallError::Transport(TransportError::Tls(..)))), "{outcome:?}");
}

#[tokio::test]
async fn a_node_of_another_namespace_cannot_stand_in() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "mallory").await;
    let client = client(&authority, GATEWAY_SAN);
    for expected in [server.as_node("team"), Target::new(server.addr, OPERATOR_SAN)] {
        let outcome = client.get::<String>(&expected, "/who", SOON).await;
        assert!(matches!(outcome, Err(CallError::Transport(TransportError::Tls(..)))), "{outcome:?}");
        let outcome = client.websocket(&expected, "/socket", SOON).await.map(drop);
        assert!(matches!(outcome, Err(CallError::Transport(TransportError::Tls(..)))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_names_no_role_is_refused() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "team").await;
    let outcome = client(&authority, "else.plenum.internal").get::<String>(&server.as_node("team"), "/who", SOON).await;
    assert!(matches!(outcome, Err(CallError::Transport(_))), "{outcome:?}");
}

/// TLS as `config`, one request, and what comes back.
async fn raw_request(addr: SocketAddr, config: rustls::ClientConfig, san: String) -> std::io::Result<Vec<u8>> {
    use tokio::io::AsyncWriteExt as _;
    let tcp = TcpStream::connect(addr).await?;
    let name = rustls::pki_types::ServerName::try_from(san).unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

fn builder(authority: &Authority, version: &'static rustls::SupportedProtocolVersion) -> rustls::ClientConfig {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(authority.cert_pem().as_bytes()).unwrap()).unwrap();
    rustls::ClientConfig::builder_with_provider(plenum_runtime::crypto::provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "team").await;
    let config = builder(&authority, &rustls::version::TLS13);
    let outcome = raw_request(server.addr, config, node_san("team")).await;
    assert!(outcome.unwrap_err().to_string().contains("CertificateRequired"));
}

#[tokio::test]
async fn an_old_tls_version_is_refused() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "team").await;
    let config = builder(&authority, &rustls::version::TLS12);
    let outcome = raw_request(server.addr, config, node_san("team")).await;
    assert!(outcome.unwrap_err().to_string().contains("ProtocolVersion"));
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "team").await;
    let client = client(&authority, OPERATOR_SAN);
    let first: u16 = client.get(&server.as_node("team"), "/port", SOON).await.unwrap();
    let second: u16 = client.clone().get(&server.as_node("team"), "/port", SOON).await.unwrap();
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced_without_an_error() {
    let authority = authority();
    let first = Server::of_namespace(&authority, "team").await;
    let (client, to) = (client(&authority, OPERATOR_SAN), first.as_node("team"));
    let before: u16 = client.get(&to, "/port", SOON).await.unwrap();
    first.shutdown.trigger();
    tokio::time::timeout(SOON, first.task).await.unwrap().unwrap();
    let listener = TcpListener::bind(first.addr).await.unwrap();
    let _second = Server::start_on(listener, identity(&authority, &node_san("team")), Limits::default());
    assert_ne!(client.get::<u16>(&to, "/port", SOON).await.unwrap(), before);
}

#[tokio::test]
async fn a_certificate_is_swapped_while_everything_runs() {
    let (old, new) = (authority(), authority());
    let server = Server::of_namespace(&old, "team").await;
    let own = identity(&old, OPERATOR_SAN);
    let client = ControlClient::new(Arc::clone(&own));
    let to = server.as_node("team");
    let before: u16 = client.get(&to, "/port", SOON).await.unwrap();
    let issued = new.issue(&node_san("team"), SystemTime::now()).unwrap();
    assert!(server.identity.replace(&issued).unwrap());
    assert!(!server.identity.replace(&issued).unwrap());
    // The open connection lives on; a new one needs the new authority.
    assert_eq!(client.get::<u16>(&to, "/port", SOON).await.unwrap(), before);
    let fresh = ControlClient::new(identity(&old, OPERATOR_SAN)).get::<u16>(&to, "/port", SOON).await;
    assert!(matches!(fresh, Err(CallError::Transport(_))), "{fresh:?}");
    assert!(own.replace(&new.issue(OPERATOR_SAN, SystemTime::now()).unwrap()).unwrap());
    assert_ne!(client.get::<u16>(&to, "/port", SOON).await.unwrap(), before);
}

#[tokio::test]
async fn an_identity_is_read_from_a_directory_and_a_half_changed_one_is_not_used() {
    let (old, new) = (authority(), authority());
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let (first, second) = (old.issue(OPERATOR_SAN, SystemTime::now()), new.issue(OPERATOR_SAN, SystemTime::now()));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(Identity::from_dir(dir.path()).is_err());
    write("tls.crt", &first.cert);
    write("tls.key", &first.key);
    write("ca.crt", &first.ca);
    let own = Arc::new(Identity::from_dir(dir.path()).unwrap());
    let server = Server::of_namespace(&old, "team").await;
    let to = server.as_node("team");
    assert!(!own.reload(dir.path()).unwrap());
    write("tls.crt", &second.cert);
    assert!(own.reload(dir.path()).is_err());
    ControlClient::new(Arc::clone(&own)).get::<u16>(&to, "/port", SOON).await.unwrap();
    write("tls.key", &second.key);
    write("ca.crt", &second.ca);
    assert!(own.reload(dir.path()).unwrap());
    assert!(ControlClient::new(own).get::<u16>(&to, "/port", SOON).await.is_err());
}

#[tokio::test]
async fn bodies_are_bounded_in_both_directions() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "team").await;
    let (client, to) = (client(&authority, OPERATOR_SAN), server.as_node("team"));
    let large = ["x".repeat(plenum_protocol::control::MAX_BODY)];
    let outcome = client.post::<_, usize>(&to, "/words", &large, SOON).await.unwrap_err();
    assert_eq!(outcome.code(), Some(Code::TooLarge), "{outcome:?}");
    let outcome = client.get::<String>(&to, "/huge", SOON).await;
    assert!(matches!(outcome, Err(CallError::Transport(TransportError::TooLarge))), "{outcome:?}");
}

#[tokio::test]
async fn a_body_of_another_shape_is_refused_and_says_where() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "team").await;
    let (client, to) = (client(&authority, OPERATOR_SAN), server.as_node("team"));
    let outcome = client.post::<_, usize>(&to, "/words", &7, SOON).await.unwrap_err();
    let CallError::Problem(problem) = outcome else { panic!("{outcome:?}") };
    assert_eq!(problem.code, Code::BadRequest);
    assert!(problem.detail.contains("expected a sequence at line 1"), "{}", problem.detail);
    let outcome = client.get::<u16>(&to, "/plain", SOON).await.unwrap_err();
    assert_eq!(outcome.code(), Some(Code::Other));
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over_and_its_connection_is_not_used_again() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "team").await;
    let (client, to) = (client(&authority, OPERATOR_SAN), server.as_node("team"));
    let before: u16 = client.get(&to, "/port", SOON).await.unwrap();
    let outcome = client.get::<()>(&to, "/never", Duration::from_millis(100)).await;
    assert!(matches!(outcome, Err(CallError::Timeout(_))), "{outcome:?}");
    assert_ne!(client.get::<u16>(&to, "/port", SOON).await.unwrap(), before);
}

#[tokio::test]
async fn a_websocket_runs_over_the_same_tls_and_its_refusal_is_told() {
    let authority = authority();
    let server = Server::of_namespace(&authority, "team").await;
    let (client, to) = (client(&authority, GATEWAY_SAN), server.as_node("team"));
    let mut socket = client.websocket(&to, "/socket", SOON).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    let outcome = client.websocket(&to, "/nothing", SOON).await.map(drop).unwrap_err();
    let CallError::Problem(problem) = outcome else { panic!("{outcome:?}") };
    assert_eq!(problem.status, 404);
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_dropped_in_time() {
    let authority = authority();
    let hasty = Limits { handshake: Duration::from_millis(50), connections: 1, ..Limits::default() };
    let server = Server::start(identity(&authority, &node_san("team")), hasty).await;
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    // The one place is taken by the silent client; a call gets its turn when that one is dropped.
    client(&authority, OPERATOR_SAN).get::<u16>(&server.as_node("team"), "/port", SOON).await.unwrap();
    let read = tokio::time::timeout(SOON, silent.read(&mut [0; 16])).await.unwrap();
    assert_eq!(read.unwrap_or_default(), 0);
}

#[tokio::test]
async fn a_stopping_server_lets_requests_end_but_not_for_ever() {
    let authority = authority();
    let short = Limits { drain: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start(identity(&authority, &node_san("team")), short).await;
    let (client, to) = (client(&authority, OPERATOR_SAN), server.as_node("team"));
    let _port: u16 = client.get(&to, "/port", SOON).await.unwrap();
    let hanging = tokio::spawn({
        let (client, to) = (client.clone(), to.clone());
        async move { client.get::<()>(&to, "/never", SOON).await }
    });
    server.shutdown.trigger();
    tokio::time::timeout(SOON, server.task).await.unwrap().unwrap();
    assert!(hanging.await.unwrap().is_err());
    assert!(client.get::<u16>(&to, "/port", SOON).await.is_err());
}
