//! A node's pod on loopback, and those who call it. Shared by the tests of the nodes.

use plenum_protocol::control::{GATEWAY_SAN, OPERATOR_SAN, node_san};
use plenum_protocol::problem::Code;
use plenum_runtime::ca::Authority;
use plenum_runtime::client::{CallError, ControlClient, Target};
use plenum_runtime::mtls::Identity;
use plenum_runtime::node::{NodeShell, Pod};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// What a node of namespace `demo` is told, and clients whose certificates it trusts.
pub(crate) struct Loopback {
    pub(crate) pod: Pod,
    pub(crate) operator: ControlClient,
    pub(crate) gateway: ControlClient,
    /// Of the control certificate.
    pub(crate) dir: TempDir,
}

impl Loopback {
    /// A pod with any free ports.
    pub(crate) fn new(name: &str, workers: u16) -> Self {
        plenum_runtime::crypto::install();
        let now = SystemTime::now();
        let authority = Authority::generate(now).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let own = authority.issue(&node_san("demo"), now).unwrap();
        for (name, text) in [("tls.crt", &own.cert), ("tls.key", &own.key), ("ca.crt", &own.ca)] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let client = |san| {
            let issued = authority.issue(san, now).unwrap();
            ControlClient::new(Arc::new(Identity::from_issued(&issued).unwrap()))
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let pod = Pod {
            name: name.into(),
            namespace: "demo".into(),
            uid: "pod-uid".into(),
            node: "here".into(),
            workers,
            control: any,
            metrics: any,
            control_cert_dir: dir.path().to_owned(),
        };
        Self { pod, operator: client(OPERATOR_SAN), gateway: client(GATEWAY_SAN), dir }
    }
}

/// Where a node hears calls.
pub(crate) fn target(shell: &NodeShell) -> Target {
    Target::new(shell.control_address().unwrap(), node_san("demo"))
}

/// `GET` on the probe port: the status line, the headers and the body.
pub(crate) async fn probe(metrics: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(metrics).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> Code {
    match outcome {
        Err(CallError::Problem(problem)) => problem.code,
        other => panic!("no problem but {other:?}"),
    }
}
