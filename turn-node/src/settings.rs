//! What the operator tells a TURN pod by its environment. Read once, at the start.

mod listeners;

pub use listeners::{Door, Listener};

use plenum_protocol::control::CONTROL_CERT_DIR;
use plenum_protocol::ports::PortRange;
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
        wanted: String,
    },
}

/// The settings of a TURN node.
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
    /// The pod's own addresses, one or one of each family: listeners and relay sockets bind to them, so that answers
    /// leave from where requests went to.
    pub addresses: Vec<IpAddr>,
    /// Workers, 1 to [`MAX_WORKERS`].
    pub workers: u16,
    /// What clients come in by.
    pub listeners: Vec<Listener>,
    /// UDP ports of relayed addresses, at least one per worker.
    pub relay_ports: PortRange,
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
        let relay_ports = PortRange { min: port("PLENUM_RELAY_PORT_MIN")?, max: port("PLENUM_RELAY_PORT_MAX")? };
        let count = (u32::from(relay_ports.max) + 1).saturating_sub(u32::from(relay_ports.min));
        if relay_ports.min == 0 || count < u32::from(workers) {
            let wanted = "so far above PLENUM_RELAY_PORT_MIN, which is at least 1, that every worker has a port";
            return Err(malformed("PLENUM_RELAY_PORT_MAX", relay_ports.max.to_string(), wanted));
        }
        Ok(Self {
            pod_name: text("PLENUM_POD_NAME")?,
            pod_namespace: text("PLENUM_POD_NAMESPACE")?,
            pod_uid: text("PLENUM_POD_UID")?,
            node_name: text("PLENUM_NODE_NAME")?,
            addresses: addresses(address, lookup("PLENUM_POD_IPS"))?,
            workers,
            listeners: listeners::read(&text(listeners::VARIABLE)?)?,
            relay_ports,
            control: SocketAddr::new(address, port("PLENUM_CONTROL_PORT")?),
            metrics: SocketAddr::new(address, port("PLENUM_METRICS_PORT")?),
            control_cert_dir: text("PLENUM_CONTROL_CERT_DIR").unwrap_or_else(|_| CONTROL_CERT_DIR.to_owned()).into(),
        })
    }
}

/// `first`, and the first of the other family in `all` (comma-separated, as the downward API gives `status.podIPs`).
fn addresses(first: IpAddr, all: Option<String>) -> Result<Vec<IpAddr>, SettingsError> {
    let all = all.unwrap_or_default();
    let wanted = "empty or IP addresses with commas between";
    let mut addresses = vec![first];
    for text in all.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let address: IpAddr = text.parse().map_err(|_| malformed("PLENUM_POD_IPS", all.clone(), wanted))?;
        if addresses.iter().all(|known| known.is_ipv4() != address.is_ipv4()) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn parse<T: FromStr>(variable: &'static str, value: String, wanted: &str) -> Result<T, SettingsError> {
    value.parse().map_err(|_| malformed(variable, value, wanted))
}

fn malformed(variable: &'static str, value: String, wanted: impl Into<String>) -> SettingsError {
    SettingsError::Malformed { variable, value, wanted: wanted.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "PLENUM_POD_NAME" => "turn-0-abcde",
            "PLENUM_POD_NAMESPACE" => "demo",
            "PLENUM_POD_UID" => "4a0e",
            "PLENUM_POD_IP" => "10.0.0.7",
            "PLENUM_POD_IPS" => "10.0.0.7,fd00::7",
            "PLENUM_NODE_NAME" => "eu-west-a",
            "PLENUM_WORKERS" => "2",
            "PLENUM_LISTENERS" => r#"[{"name":"udp","protocol":"UDP","port":3478}]"#,
            "PLENUM_RELAY_PORT_MIN" => "49152",
            "PLENUM_RELAY_PORT_MAX" => "65535",
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
        assert_eq!(settings.control.to_string(), "10.0.0.7:7443");
        assert_eq!(settings.control_cert_dir, PathBuf::from("/etc/plenum/control"));
        assert_eq!(settings.addresses, ["10.0.0.7".parse::<IpAddr>().unwrap(), "fd00::7".parse().unwrap()]);
        assert_eq!(settings.relay_ports, PortRange { min: 49_152, max: 65_535 });
        assert_eq!(settings.listeners.len(), 1);
    }

    #[test]
    fn a_pod_of_one_family_has_one_address() {
        for list in ["", "10.0.0.7", "10.0.0.7, 10.0.0.8"] {
            assert_eq!(with("PLENUM_POD_IPS", list).unwrap().addresses.len(), 1, "{list:?}");
        }
    }

    #[test]
    fn an_error_names_the_variable() {
        assert_eq!(with("PLENUM_POD_UID", ""), Err(SettingsError::Missing("PLENUM_POD_UID")));
        let error = with("PLENUM_WORKERS", "0").unwrap_err().to_string();
        assert_eq!(error, "the environment variable PLENUM_WORKERS is \"0\", and must be a number from 1 to 64");
        for (variable, value) in [
            ("PLENUM_RELAY_PORT_MAX", "49152"),
            ("PLENUM_RELAY_PORT_MAX", "70000"),
            ("PLENUM_POD_IP", "here"),
            ("PLENUM_POD_IPS", "there"),
            ("PLENUM_LISTENERS", "[]"),
        ] {
            assert!(with(variable, value).unwrap_err().to_string().contains(variable), "{variable}={value}");
        }
    }
}
