//! What the operator is told at its start.

use clap::Parser;
use std::net::{IpAddr, SocketAddr};

/// Reconciles Rooms and RelayPools.
#[derive(Debug, Clone, Parser)]
#[command(name = "plenum-operator", version)]
pub struct Settings {
    /// Name of this pod: its identity in the Lease.
    #[arg(long, env = "PLENUM_POD_NAME")]
    pub pod_name: String,
    /// Namespace of this pod: of the Lease, the CA and the gateways.
    #[arg(long, env = "PLENUM_POD_NAMESPACE")]
    pub namespace: String,
    /// Address of this pod: the control endpoint, probes and metrics listen there.
    #[arg(long, env = "PLENUM_POD_IP")]
    pub pod_ip: IpAddr,
    /// Port of the control endpoint (mutual TLS, for gateways).
    #[arg(long, env = "PLENUM_CONTROL_PORT", default_value_t = 7443)]
    pub control_port: u16,
    /// Port of probes and metrics.
    #[arg(long, env = "PLENUM_METRICS_PORT", default_value_t = 9090)]
    pub metrics_port: u16,
    /// Base of the URLs that clients get (`https://rtc.example.org`).
    #[arg(long, env = "PLENUM_PUBLIC_URL", value_parser = public_url)]
    pub public_url: String,
    /// Image of media nodes where a RelayPool names none.
    #[arg(long, env = "PLENUM_MEDIA_IMAGE")]
    pub media_image: String,
    /// Image of TURN nodes where a RelayPool names none.
    #[arg(long, env = "PLENUM_TURN_IMAGE")]
    pub turn_image: String,
    /// When images of media and TURN nodes are pulled.
    #[arg(long, env = "PLENUM_IMAGE_PULL_POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub image_pull_policy: String,
    /// Log filter of media nodes.
    #[arg(long, env = "PLENUM_MEDIA_LOG", default_value = "info")]
    pub media_log: String,
    /// Log filter of TURN nodes.
    #[arg(long, env = "PLENUM_TURN_LOG", default_value = "info")]
    pub turn_log: String,
    /// Address of the API server, which no relay may reach.
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", default_value = "")]
    pub api_server: String,
    /// How many Rooms are reconciled at once.
    #[arg(long, env = "PLENUM_ROOM_WORKERS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub room_workers: u16,
}

impl Settings {
    /// Where the control endpoint listens.
    #[must_use]
    pub fn control_address(&self) -> SocketAddr {
        SocketAddr::new(self.pod_ip, self.control_port)
    }

    /// Where probes and metrics listen.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        SocketAddr::new(self.pod_ip, self.metrics_port)
    }
}

fn public_url(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let host = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && trimmed.len() <= 256 => Ok(trimmed.to_owned()),
        _ => Err("must be http://HOST or https://HOST, at most 256 characters".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_needs_a_scheme_and_a_host() {
        assert_eq!(public_url("https://rtc.example.org/"), Ok("https://rtc.example.org".to_owned()));
        assert!(public_url("rtc.example.org").is_err());
        assert!(public_url("https://").is_err());
    }
}
