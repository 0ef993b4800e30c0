//! Mutual TLS between operator, gateways and nodes: who somebody is says the DNS name in the certificate, never an address.
//!
//! TLS 1.3 only; both ends show a certificate of the operator's authority.

use crate::server::{self, Accept, AcceptError, Limits};
use crate::shutdown::Shutdown;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use http::Extensions;
use plenum_protocol::control::{GATEWAY_SAN, MAX_BODY, OPERATOR_SAN};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

mod identity;

pub use identity::{Identity, IdentityError};

/// Who is at the other end of a control connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Role {
    /// The operator's leader.
    Operator,
    /// A gateway.
    Gateway,
    /// A media pod of a namespace.
    Node {
        /// Kubernetes namespace.
        namespace: String,
    },
}

/// [`Role`] without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoleKind {
    /// The operator.
    Operator,
    /// A gateway.
    Gateway,
    /// A media pod.
    Node,
}

impl RoleKind {
    /// In plain words, with article.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "the operator",
            Self::Gateway => "a gateway",
            Self::Node => "a node",
        }
    }
}

impl Role {
    /// The role that a DNS name stands for, or `None`.
    #[must_use]
    pub fn from_san(san: &str) -> Option<Self> {
        match san {
            OPERATOR_SAN => Some(Self::Operator),
            GATEWAY_SAN => Some(Self::Gateway),
            _ => {
                let namespace = san.strip_prefix("node.")?.strip_suffix(".plenum.internal")?;
                let is_label = !namespace.is_empty() && !namespace.contains(['.', '*']);
                is_label.then(|| Self::Node { namespace: namespace.to_owned() })
            }
        }
    }

    /// Without details.
    #[must_use]
    pub fn kind(&self) -> RoleKind {
        match self {
            Self::Operator => RoleKind::Operator,
            Self::Gateway => RoleKind::Gateway,
            Self::Node { .. } => RoleKind::Node,
        }
    }
}

/// The caller's role: an extension of every request behind [`serve`], and an extractor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRole(pub Role);

/// Serves `router` to callers with a certificate of the authority until `shutdown`, with the default [`Limits`] and
/// bodies up to `plenum_protocol::control::MAX_BODY`.
pub async fn serve(listener: TcpListener, identity: Arc<Identity>, router: Router, shutdown: Shutdown) {
    serve_with(listener, identity, router, Limits::default(), shutdown).await;
}

/// [`serve`] with other limits.
pub async fn serve_with(
    listener: TcpListener,
    identity: Arc<Identity>,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) {
    let router = router.layer(DefaultBodyLimit::max(MAX_BODY));
    server::serve(listener, MutualAcceptor { identity, deadline: limits.handshake }, router, limits, shutdown).await;
}

struct MutualAcceptor {
    identity: Arc<Identity>,
    deadline: Duration,
}

impl Accept for MutualAcceptor {
    type Stream = TlsStream<TcpStream>;
    async fn accept(&self, tcp: TcpStream) -> Result<(Self::Stream, Extensions), AcceptError> {
        let stream = server::handshake(self.identity.server_config(), tcp, self.deadline).await?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let role = leaf.and_then(role_of).ok_or(AcceptError::NoRole)?;
        let mut learned = Extensions::new();
        learned.insert(PeerRole(role));
        Ok((stream, learned))
    }
}

/// The role of a certificate whose chain was verified: it must carry exactly one DNS name.
fn role_of(leaf: &CertificateDer<'_>) -> Option<Role> {
    let leaf = webpki::EndEntityCert::try_from(leaf).ok()?;
    let mut names = leaf.valid_dns_names();
    match (names.next(), names.next()) {
        (Some(name), None) => Role::from_san(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_name_stands_for_one_role_or_none() {
        assert_eq!(Role::from_san("operator.plenum.internal"), Some(Role::Operator));
        assert_eq!(Role::from_san("gateway.plenum.internal"), Some(Role::Gateway));
        assert_eq!(Role::from_san("node.a.plenum.internal"), Some(Role::Node { namespace: "a".into() }));
        for wrong in ["node..plenum.internal", "node.a.b.plenum.internal", "node.*.plenum.internal", "x", ""] {
            assert_eq!(Role::from_san(wrong), None, "{wrong}");
        }
    }
}
