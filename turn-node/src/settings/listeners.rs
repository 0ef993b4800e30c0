//! The listeners of a TURN pod, as the operator writes them into the environment.

use plenum_protocol::turn::RelayTransport;
use plenum_runtime::node::SettingsError;
use serde::Deserialize;
use std::path::PathBuf;

pub(super) const VARIABLE: &str = "PLENUM_LISTENERS";
/// Most listeners of a pod.
const MAX_LISTENERS: usize = 16;

/// How clients speak at a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls {
        /// Directory of `tls.crt` and `tls.key`, read again when they change.
        dir: PathBuf,
    },
}

impl Door {
    /// The transport that it stands for.
    #[must_use]
    pub fn transport(&self) -> RelayTransport {
        match self {
            Self::Udp => RelayTransport::Udp,
            Self::Tcp => RelayTransport::Tcp,
            Self::Tls { .. } => RelayTransport::Tls,
        }
    }
}

/// One way into the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the pool.
    pub name: String,
    /// How clients speak.
    pub door: Door,
    /// Port that the process binds; 0 (tests): any.
    pub port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    name: String,
    protocol: RelayTransport,
    port: u16,
    #[serde(default)]
    tls_dir: Option<PathBuf>,
}

/// Reads the variable's JSON.
pub(super) fn read(text: &str) -> Result<Vec<Listener>, SettingsError> {
    let refuse = |wanted: String| SettingsError::malformed(VARIABLE, text, wanted);
    let written: Vec<Written> =
        serde_json::from_str(text).map_err(|error| refuse(format!("a JSON list of listeners ({error})")))?;
    if written.is_empty() || written.len() > MAX_LISTENERS {
        return Err(refuse(format!("a list of 1 to {MAX_LISTENERS} listeners")));
    }
    let mut listeners = Vec::with_capacity(written.len());
    for Written { name, protocol, port, tls_dir } in written {
        let door = match (protocol, tls_dir) {
            (RelayTransport::Udp, None) => Door::Udp,
            (RelayTransport::Tcp, None) => Door::Tcp,
            (RelayTransport::Tls, Some(dir)) => Door::Tls { dir },
            (RelayTransport::Tls, None) => return Err(refuse(format!("with a tlsDir for {name}"))),
            (_, Some(_)) => return Err(refuse(format!("without a tlsDir for {name}, which is not TLS"))),
        };
        listeners.push(Listener { name, door, port });
    }
    let udp = |listener: &Listener| listener.door == Door::Udp;
    for (index, one) in listeners.iter().enumerate() {
        let same = |other: &&Listener| udp(other) == udp(one) && other.port == one.port && one.port != 0;
        if let Some(other) = listeners.get(index + 1..).unwrap_or_default().iter().find(same) {
            return Err(refuse(format!("with different ports for {} and {}", one.name, other.name)));
        }
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_as_the_operator_writes_them() {
        let text = r#"[{"name":"udp","protocol":"UDP","port":3478},{"name":"tcp","protocol":"TCP","port":3478},
            {"name":"tls","protocol":"TLS","port":10443,"tlsDir":"/etc/plenum/tls/tls"}]"#;
        let listeners = read(text).unwrap();
        let transports: Vec<_> = listeners.iter().map(|listener| listener.door.transport()).collect();
        assert_eq!(transports, [RelayTransport::Udp, RelayTransport::Tcp, RelayTransport::Tls]);
        assert_eq!(listeners[2].door, Door::Tls { dir: "/etc/plenum/tls/tls".into() });
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        for (text, word) in [
            ("{}", "JSON"),
            ("[]", "1 to 16"),
            (r#"[{"name":"a","protocol":"QUIC","port":1}]"#, "QUIC"),
            (r#"[{"name":"a","protocol":"UDP","port":1,"host":"x"}]"#, "host"),
            (r#"[{"name":"a","protocol":"TLS","port":1}]"#, "tlsDir for a"),
            (r#"[{"name":"a","protocol":"TCP","port":1,"tlsDir":"/x"}]"#, "not TLS"),
            (
                r#"[{"name":"a","protocol":"TCP","port":1},{"name":"b","protocol":"TLS","port":1,"tlsDir":"/x"}]"#,
                "a and b",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(VARIABLE) && error.contains(word), "{error}");
        }
    }
}
