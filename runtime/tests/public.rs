//! Plain HTTP and public TLS on loopback: probes, metrics, bounds, a certificate that changes.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use plenum_runtime::ca::Authority;
use plenum_runtime::probes::{self, Metrics, Readiness};
use plenum_runtime::server::{Limits, PublicTls, serve_plain, serve_tls};
use plenum_runtime::shutdown::Shutdown;
use prometheus_client::metrics::counter::Counter;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(addr: SocketAddr, path: &str) -> String {
    ask(TcpStream::connect(addr).await.unwrap(), path).await
}

#[tokio::test]
async fn readiness_changes_and_liveness_does_not() {
    let (readiness, shutdown) = (Readiness::new(), Shutdown::new());
    let (listener, addr) = listener().await;
    tokio::spawn(probes::serve_on(listener, readiness.clone(), Metrics::default(), shutdown.clone()));
    assert!(get(addr, "/readyz").await.starts_with("HTTP/1.1 503"));
    assert!(get(addr, "/livez").await.starts_with("HTTP/1.1 200"));
    readiness.set(true);
    assert!(get(addr, "/readyz").await.starts_with("HTTP/1.1 200"));
    shutdown.trigger();
    assert!(get(addr, "/readyz").await.ends_with("stopping\n"));
    assert!(get(addr, "/livez").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let (metrics, counter) = (Metrics::default(), Counter::<u64>::default());
    metrics.lock().unwrap().register("plenum_things", "Things that were done", counter.clone());
    counter.inc();
    let (listener, addr) = listener().await;
    tokio::spawn(probes::serve_on(listener, Readiness::new(), metrics, Shutdown::new()));
    let answer = get(addr, "/metrics").await;
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    assert!(answer.contains("plenum_things_total 1\n") && answer.ends_with("# EOF\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_sends_no_request_is_closed() {
    let (listener, addr) = listener().await;
    let limits = Limits { header: Duration::from_millis(50), ..Limits::default() };
    tokio::spawn(serve_plain(listener, axum::Router::new(), limits, Shutdown::new()));
    let mut slow = TcpStream::connect(addr).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), slow.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection was left open");
}

fn trusting(authority: &Authority) -> Arc<rustls::ClientConfig> {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(authority.cert_pem().as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(plenum_runtime::crypto::provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn get_tls(addr: SocketAddr, authority: &Authority, path: &str) -> std::io::Result<String> {
    let name = rustls::pki_types::ServerName::try_from("rooms.example").unwrap();
    let tcp = TcpStream::connect(addr).await?;
    let stream = tokio_rustls::TlsConnector::from(trusting(authority)).connect(name, tcp).await?;
    Ok(ask(stream, path).await)
}

#[tokio::test]
async fn a_public_certificate_is_swapped_while_the_server_runs() {
    let now = SystemTime::now();
    let (old, new) = (Authority::generate(now).unwrap(), Authority::generate(now).unwrap());
    let (first, second) = (old.issue("rooms.example", now).unwrap(), new.issue("rooms.example", now).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let write = |cert: &str, key: &str| {
        std::fs::write(dir.path().join("tls.crt"), cert).unwrap();
        std::fs::write(dir.path().join("tls.key"), key).unwrap();
    };
    write(&first.cert, &first.key);
    let tls = Arc::new(PublicTls::from_dir(dir.path()).unwrap());
    let (listener, addr) = listener().await;
    let router = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
    tokio::spawn(serve_tls(listener, Arc::clone(&tls), router, Limits::default(), Shutdown::new()));
    assert!(get_tls(addr, &old, "/").await.unwrap().ends_with("hello"));
    assert!(!tls.reload(dir.path()).unwrap());
    write(&second.cert, &first.key);
    assert!(tls.reload(dir.path()).is_err());
    assert!(get_tls(addr, &old, "/").await.is_ok());
    write(&second.cert, &second.key);
    assert!(tls.reload(dir.path()).unwrap());
    assert!(get_tls(addr, &old, "/").await.is_err());
    assert!(get_tls(addr, &new, "/").await.unwrap().ends_with("hello"));
}
