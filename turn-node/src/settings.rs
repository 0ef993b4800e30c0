//! What the operator tells a TURN pod by its environment. Read once, at the start.

mod listeners;

pub use listeners::{Door, Listener};

use plenum_protocol::ports::PortRange;
use plenum_runtime::node::{Environment, Pod, SettingsError};
use std::net::IpAddr;

/// The settings of a TURN node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What every pod is told.
    pub pod: Pod,
    /// The pod's own addresses, one or one of each family: listeners and relay sockets bind to them, so that answers
    /// leave from where requests went to.
    pub addresses: Vec<IpAddr>,
    /// What clients come in by.
    pub listeners: Vec<Listener>,
    /// UDP ports of relayed addresses, at least one per worker.
    pub relay_ports: PortRange,
}

impl Settings {
    /// From the environment, or wherever else `lookup` looks.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let environment = Environment(&lookup);
        let pod = environment.pod()?;
        let (min, max) = (environment.port("PLENUM_RELAY_PORT_MIN")?, environment.port("PLENUM_RELAY_PORT_MAX")?);
        if min == 0 || (u32::from(max) + 1).saturating_sub(u32::from(min)) < u32::from(pod.workers) {
            let wanted = "so far above PLENUM_RELAY_PORT_MIN, which is at least 1, that every worker has a port";
            return Err(SettingsError::malformed("PLENUM_RELAY_PORT_MAX", max, wanted));
        }
        Ok(Self {
            addresses: addresses(pod.control.ip(), environment.optional("PLENUM_POD_IPS"))?,
            listeners: listeners::read(&environment.text(listeners::VARIABLE)?)?,
            relay_ports: PortRange { min, max },
            pod,
        })
    }
}

/// `first`, and the first of the other family in `all` (comma-separated, as the downward API gives `status.podIPs`).
fn addresses(first: IpAddr, all: Option<String>) -> Result<Vec<IpAddr>, SettingsError> {
    let all = all.unwrap_or_default();
    let wanted = "empty or IP addresses with commas between";
    let mut addresses = vec![first];
    for text in all.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let address: IpAddr = text.parse().map_err(|_| SettingsError::malformed("PLENUM_POD_IPS", &all, wanted))?;
        if addresses.iter().all(|known| known.is_ipv4() != address.is_ipv4()) {
            addresses.push(address);
        }
    }
    Ok(addresses)
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
        assert_eq!(settings.pod.control.to_string(), "10.0.0.7:7443");
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
        for (variable, value) in [
            ("PLENUM_RELAY_PORT_MAX", "49152"),
            ("PLENUM_RELAY_PORT_MAX", "70000"),
            ("PLENUM_POD_IPS", "there"),
            ("PLENUM_LISTENERS", "[]"),
        ] {
            assert!(with(variable, value).unwrap_err().to_string().contains(variable), "{variable}={value}");
        }
    }
}
