//! What the operator tells a media pod by its environment. Read once, at the start.

use plenum_protocol::control::CONTROL_CERT_DIR;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Most workers of one pod.
pub const MAX_WORKERS: u16 = 64;

/// A variable that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not set, or empty.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// Set to something else.
    #[error("the environment variable {variable} is {value:?}, and must be {wanted}")]
    Malformed {
        /// Which one.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What it must hold.
        wanted: &'static str,
    },
}

/// The settings of a media node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of the pod.
    pub pod_name: String,
    /// Its namespace.
    pub pod_namespace: String,
    /// Its uid.
    pub pod_uid: String,
    /// Kubernetes node.
    pub node_name: String,
    /// Media workers, 1 to [`MAX_WORKERS`].
    pub workers: u16,
    /// UDP port of worker 0, the others follow; 0 (tests): any port each.
    pub media_port_base: u16,
    /// Where the control API listens (TCP, mutual TLS).
    pub control: SocketAddr,
    /// Where probes and metrics listen (TCP, plain HTTP).
    pub metrics: SocketAddr,
    /// Directory of `tls.crt`, `tls.key`, `ca.crt`.
    pub control_cert_dir: PathBuf,
}

impl Settings {
    /// From the process's environment.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn from_environment() -> Result<Self, SettingsError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// From anywhere.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let text = |name| lookup(name).filter(|value| !value.is_empty()).ok_or(SettingsError::Missing(name));
        let address: IpAddr = parse("PLENUM_POD_IP", text("PLENUM_POD_IP")?, "an IP address")?;
        let port = |name| parse::<u16>(name, text(name)?, "a port number");
        let workers_wanted = "a number from 1 to 64";
        let workers = parse("PLENUM_WORKERS", text("PLENUM_WORKERS")?, workers_wanted)?;
        if !(1..=MAX_WORKERS).contains(&workers) {
            return Err(malformed("PLENUM_WORKERS", workers.to_string(), workers_wanted));
        }
        let media_port_base = port("PLENUM_MEDIA_PORT_BASE")?;
        if media_port_base.checked_add(workers - 1).is_none() {
            let wanted = "so low that every worker has a port";
            return Err(malformed("PLENUM_MEDIA_PORT_BASE", media_port_base.to_string(), wanted));
        }
        Ok(Self {
            pod_name: text("PLENUM_POD_NAME")?,
            pod_namespace: text("PLENUM_POD_NAMESPACE")?,
            pod_uid: text("PLENUM_POD_UID")?,
            node_name: text("PLENUM_NODE_NAME")?,
            workers,
            media_port_base,
            control: SocketAddr::new(address, port("PLENUM_CONTROL_PORT")?),
            metrics: SocketAddr::new(address, port("PLENUM_METRICS_PORT")?),
            control_cert_dir: text("PLENUM_CONTROL_CERT_DIR").unwrap_or_else(|_| CONTROL_CERT_DIR.to_owned()).into(),
        })
    }
}

fn parse<T: FromStr>(variable: &'static str, value: String, wanted: &'static str) -> Result<T, SettingsError> {
    value.parse().map_err(|_| malformed(variable, value, wanted))
}

fn malformed(variable: &'static str, value: String, wanted: &'static str) -> SettingsError {
    SettingsError::Malformed { variable, value, wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "PLENUM_POD_NAME" => "media-0-abcde",
            "PLENUM_POD_NAMESPACE" => "demo",
            "PLENUM_POD_UID" => "4a0e",
            "PLENUM_POD_IP" => "fd00::7",
            "PLENUM_NODE_NAME" => "eu-west-a",
            "PLENUM_WORKERS" => "2",
            "PLENUM_MEDIA_PORT_BASE" => "7000",
            "PLENUM_CONTROL_PORT" => "7443",
            "PLENUM_METRICS_PORT" => "9090",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn with(variable: &str, value: &str) -> Result<Settings, SettingsError> {
        Settings::read(|name| if name == variable { Some(value.to_owned()) } else { lookup(name) })
    }

    #[test]
    fn a_pods_environment_is_read() {
        let settings = Settings::read(lookup).unwrap();
        assert_eq!(settings.control.to_string(), "[fd00::7]:7443");
        assert_eq!(settings.control_cert_dir, PathBuf::from("/etc/plenum/control"));
        assert_eq!((settings.workers, settings.media_port_base), (2, 7000));
    }

    #[test]
    fn an_error_names_the_variable() {
        assert_eq!(with("PLENUM_POD_UID", ""), Err(SettingsError::Missing("PLENUM_POD_UID")));
        let error = with("PLENUM_WORKERS", "0").unwrap_err().to_string();
        assert_eq!(error, "the environment variable PLENUM_WORKERS is \"0\", and must be a number from 1 to 64");
        assert!(with("PLENUM_MEDIA_PORT_BASE", "65535").unwrap_err().to_string().contains("PLENUM_MEDIA_PORT_BASE"));
        assert!(with("PLENUM_POD_IP", "here").unwrap_err().to_string().contains("PLENUM_POD_IP"));
    }
}
