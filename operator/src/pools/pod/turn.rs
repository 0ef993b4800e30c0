//! What is particular to TURN pods: listeners, their certificates, relay ports. Pure.

use super::{Parts, SecretMount};
use crate::relays::pool::{TurnPool, listener_port};
use plenum_api::names;
use plenum_api::pool::{ExposureType, Listener, ListenerProtocol};
use serde_json::{Value, json};

/// Directory of a listener's certificate is this and the listener's name.
const TLS_DIR: &str = "/etc/plenum/tls";

/// What TURN pods are made from.
pub(in crate::pools) struct TurnPart {
    pub(in crate::pools) pool: TurnPool,
}

impl TurnPart {
    pub(super) fn parts(&self, slot: u16) -> Option<Parts> {
        let relay = self.pool.relay_ports(slot)?;
        let (control, metrics) = self.pool.control_ports(slot)?;
        let mut ports: Vec<Value> = self.pool.listeners.iter().map(|listener| self.port(listener)).collect();
        if self.pool.exposure == ExposureType::HostNetwork {
            // One port stands for all, so that the scheduler sees when two pods would share theirs.
            ports.push(json!({
                "name": names::PORT_RELAY, "protocol": "UDP", "containerPort": relay.min, "hostPort": relay.min,
            }));
        }
        let listeners: Value = self.pool.listeners.iter().map(|listener| self.listener(listener)).collect();
        Some(Parts {
            ports,
            control,
            metrics,
            environment: vec![
                ("PLENUM_LISTENERS", listeners.to_string()),
                ("PLENUM_RELAY_PORT_MIN", relay.min.to_string()),
                ("PLENUM_RELAY_PORT_MAX", relay.max.to_string()),
            ],
            fields: vec![("PLENUM_POD_IPS", "status.podIPs")],
            secrets: self.pool.listeners.iter().filter_map(certificate).collect(),
        })
    }

    /// A balancer reaches the pod's own port; otherwise clients come by the node's.
    fn port(&self, listener: &Listener) -> Value {
        let on_node = self.pool.exposure != ExposureType::LoadBalancer;
        json!({
            "name": names::listener_port_name(&listener.name),
            "protocol": transport(listener.protocol),
            "containerPort": self.pool.bound_port(listener),
            "hostPort": on_node.then(|| listener_port(listener)),
        })
    }

    fn listener(&self, listener: &Listener) -> Value {
        let protocol = match listener.protocol {
            ListenerProtocol::UDP => "UDP",
            ListenerProtocol::TCP => "TCP",
            ListenerProtocol::TLS => "TLS",
        };
        let mut value = json!({ "name": listener.name, "protocol": protocol, "port": self.pool.bound_port(listener) });
        if let (Some(mount), Some(object)) = (certificate(listener), value.as_object_mut()) {
            object.insert("tlsDir".to_owned(), mount.path.into());
        }
        value
    }
}

/// Kubernetes' word for the transport below.
pub(in crate::pools) fn transport(protocol: ListenerProtocol) -> &'static str {
    match protocol {
        ListenerProtocol::UDP => "UDP",
        ListenerProtocol::TCP | ListenerProtocol::TLS => "TCP",
    }
}

fn certificate(listener: &Listener) -> Option<SecretMount> {
    let secret = listener.tls_secret_ref.as_ref()?;
    Some(SecretMount {
        volume: format!("tls-{}", listener.name),
        secret: secret.name.clone(),
        path: format!("{TLS_DIR}/{}", listener.name),
    })
}
