//! What the operator tells a media pod by its environment. Read once, at the start.

use plenum_runtime::node::{Environment, Pod, SettingsError};

/// The settings of a media node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What every pod is told.
    pub pod: Pod,
    /// UDP port of worker 0, the others follow; 0 (tests): any port each.
    pub media_port_base: u16,
}

impl Settings {
    /// From the environment, or wherever else `lookup` looks.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let environment = Environment(&lookup);
        let pod = environment.pod()?;
        let media_port_base = environment.port("PLENUM_MEDIA_PORT_BASE")?;
        if media_port_base.checked_add(pod.workers - 1).is_none() {
            let wanted = "so low that every worker has a port";
            return Err(SettingsError::malformed("PLENUM_MEDIA_PORT_BASE", media_port_base, wanted));
        }
        Ok(Self { pod, media_port_base })
    }

    /// The UDP port of a worker; 0: any.
    #[must_use]
    pub fn media_port(&self, worker: u16) -> u16 {
        match self.media_port_base {
            0 => 0,
            base => base.saturating_add(worker),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_base(base: &str) -> Result<Settings, SettingsError> {
        Settings::read(|name| {
            let value = match name {
                "PLENUM_POD_NAME" => "media-0-abcde",
                "PLENUM_POD_NAMESPACE" => "demo",
                "PLENUM_POD_UID" => "4a0e",
                "PLENUM_POD_IP" => "fd00::7",
                "PLENUM_NODE_NAME" => "eu-west-a",
                "PLENUM_WORKERS" => "2",
                "PLENUM_MEDIA_PORT_BASE" => base,
                "PLENUM_CONTROL_PORT" => "7443",
                "PLENUM_METRICS_PORT" => "9090",
                _ => return None,
            };
            Some(value.to_owned())
        })
    }

    #[test]
    fn the_workers_of_a_pod_have_ports_in_a_row() {
        let settings = with_base("7000").unwrap();
        assert_eq!((settings.pod.workers, settings.media_port(0), settings.media_port(1)), (2, 7000, 7001));
        assert_eq!(with_base("0").unwrap().media_port(1), 0);
        assert_eq!(with_base("65534").unwrap().media_port(1), 65_535);
    }

    #[test]
    fn a_base_without_a_port_for_every_worker_is_refused() {
        assert_eq!(with_base(""), Err(SettingsError::Missing("PLENUM_MEDIA_PORT_BASE")));
        for base in ["65535", "70000", "here"] {
            assert!(with_base(base).unwrap_err().to_string().contains("PLENUM_MEDIA_PORT_BASE"), "{base}");
        }
    }
}
