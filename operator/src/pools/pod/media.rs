//! What is particular to media pods: a UDP host port per worker. Pure.

use super::Parts;
use plenum_api::names;
use plenum_protocol::ports::{self, Exposure, PortRange};
use serde_json::json;

/// What media pods are made from.
pub(in crate::pools) struct MediaPart {
    pub(in crate::pools) range: PortRange,
    pub(in crate::pools) workers: u16,
    pub(in crate::pools) exposure: Exposure,
}

impl MediaPart {
    pub(super) fn slots(&self) -> u16 {
        ports::slots(self.range, self.workers)
    }

    pub(super) fn parts(&self, slot: u16) -> Option<Parts> {
        let ports = ports::slot_ports(self.range, self.workers, slot, self.exposure)?;
        let media = |worker| {
            let port = ports.media_base + worker;
            json!({ "name": names::media_port_name(worker), "protocol": "UDP", "containerPort": port, "hostPort": port })
        };
        Some(Parts {
            ports: (0..ports.workers).map(media).collect(),
            control: ports.control,
            metrics: ports.metrics,
            environment: vec![("PLENUM_MEDIA_PORT_BASE", ports.media_base.to_string())],
            fields: Vec::new(),
            secrets: Vec::new(),
        })
    }
}
