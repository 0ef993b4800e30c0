//! What the operator tells every node by the environment of its pod. Read once, at the start.

use plenum_protocol::control::CONTROL_CERT_DIR;
use plenum_protocol::ids::BootId;
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

impl SettingsError {
    /// `variable` holds `value` and must be `wanted`.
    pub fn malformed(variable: &'static str, value: impl ToString, wanted: impl Into<String>) -> Self {
        Self::Malformed { variable, value: value.to_string(), wanted: wanted.into() }
    }
}

/// A pod of a pool, as its process is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// Kubernetes node.
    pub node: String,
    /// Worker threads, 1 to [`MAX_WORKERS`].
    pub workers: u16,
    /// Where the control API listens (TCP, mutual TLS).
    pub control: SocketAddr,
    /// Where probes and metrics listen (TCP, plain HTTP).
    pub metrics: SocketAddr,
    /// Directory of `tls.crt`, `tls.key`, `ca.crt`.
    pub control_cert_dir: PathBuf,
}

impl Pod {
    /// Logs who starts here, as `what`.
    pub fn log_start(&self, what: &str, boot_id: &BootId) {
        let Self { name, namespace, uid, node, .. } = self;
        tracing::info!(pod = name, namespace, uid, node, %boot_id, "{what}");
    }
}

/// Where variables are looked up. An empty one counts as not set.
pub struct Environment<'a>(pub &'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    /// A variable that may be missing.
    #[must_use]
    pub fn optional(&self, variable: &str) -> Option<String> {
        (self.0)(variable).filter(|value| !value.is_empty())
    }

    /// A variable that must be set.
    ///
    /// # Errors
    /// It is not.
    pub fn text(&self, variable: &'static str) -> Result<String, SettingsError> {
        self.optional(variable).ok_or(SettingsError::Missing(variable))
    }

    /// A variable that must be `wanted`.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn parsed<T: FromStr>(&self, variable: &'static str, wanted: &str) -> Result<T, SettingsError> {
        let text = self.text(variable)?;
        text.parse().map_err(|_| SettingsError::malformed(variable, text, wanted))
    }

    /// A variable that must be a port.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn port(&self, variable: &'static str) -> Result<u16, SettingsError> {
        self.parsed(variable, "a port number")
    }

    /// What every pod is told.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn pod(&self) -> Result<Pod, SettingsError> {
        let address: IpAddr = self.parsed("PLENUM_POD_IP", "an IP address")?;
        let wanted = "a number from 1 to 64";
        let workers = self.parsed("PLENUM_WORKERS", wanted)?;
        if !(1..=MAX_WORKERS).contains(&workers) {
            return Err(SettingsError::malformed("PLENUM_WORKERS", workers, wanted));
        }
        Ok(Pod {
            name: self.text("PLENUM_POD_NAME")?,
            namespace: self.text("PLENUM_POD_NAMESPACE")?,
            uid: self.text("PLENUM_POD_UID")?,
            node: self.text("PLENUM_NODE_NAME")?,
            workers,
            control: SocketAddr::new(address, self.port("PLENUM_CONTROL_PORT")?),
            metrics: SocketAddr::new(address, self.port("PLENUM_METRICS_PORT")?),
            control_cert_dir: self.optional("PLENUM_CONTROL_CERT_DIR").unwrap_or(CONTROL_CERT_DIR.to_owned()).into(),
        })
    }
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
            "PLENUM_CONTROL_PORT" => "7443",
            "PLENUM_METRICS_PORT" => "9090",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn with(variable: &str, value: &str) -> Result<Pod, SettingsError> {
        Environment(&|name| if name == variable { Some(value.to_owned()) } else { lookup(name) }).pod()
    }

    #[test]
    fn a_pods_environment_is_read() {
        let pod = Environment(&lookup).pod().unwrap();
        assert_eq!((pod.control.to_string(), pod.workers), ("[fd00::7]:7443".to_owned(), 2));
        assert_eq!(pod.control_cert_dir, PathBuf::from("/etc/plenum/control"));
        assert_eq!(with("PLENUM_CONTROL_CERT_DIR", "/x").unwrap().control_cert_dir, PathBuf::from("/x"));
    }

    #[test]
    fn an_error_names_the_variable() {
        assert_eq!(with("PLENUM_POD_UID", ""), Err(SettingsError::Missing("PLENUM_POD_UID")));
        for value in ["0", "65"] {
            let error = with("PLENUM_WORKERS", value).unwrap_err().to_string();
            let wanted = format!("{value:?}, and must be a number from 1 to 64");
            assert_eq!(error, format!("the environment variable PLENUM_WORKERS is {wanted}"));
        }
        for (variable, value) in [("PLENUM_POD_IP", "here"), ("PLENUM_CONTROL_PORT", "70000")] {
            assert!(with(variable, value).unwrap_err().to_string().contains(variable), "{variable}={value}");
        }
    }
}
