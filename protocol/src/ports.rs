//! Which ports a media pod uses, known before the pod has a node.
//!
//! A pod of slot `s` in a pool with `w` workers owns `w + 2` consecutive ports of the pool's range, so that the
//! scheduler sees every conflict as a hostPort.

use serde::{Deserialize, Serialize};

/// Control port of a media pod that has a network of its own (exposure HostPort), TCP.
pub const POD_CONTROL_PORT: u16 = 7443;
/// Metrics and probe port of a media pod that has a network of its own, TCP.
pub const POD_METRICS_PORT: u16 = 9090;

/// First and last port of a pool, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// First port.
    pub min: u16,
    /// Last port.
    pub max: u16,
}

/// How a media pod is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exposure {
    /// Own network; media ports are host ports.
    HostPort,
    /// The node's network.
    HostNetwork,
}

/// The ports of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotPorts {
    /// UDP port of worker 0; worker `i` has `media_base + i`.
    pub media_base: u16,
    /// Number of media ports (workers).
    pub workers: u16,
    /// TCP, mTLS control API.
    pub control: u16,
    /// TCP, probes and metrics.
    pub metrics: u16,
}

/// Ports per slot.
#[must_use]
pub fn stride(workers: u16) -> u16 {
    workers.saturating_add(2)
}

/// How many slots fit into `range`.
#[must_use]
pub fn slots(range: PortRange, workers: u16) -> u16 {
    if workers == 0 || range.max < range.min {
        return 0;
    }
    (range.max - range.min).saturating_add(1) / stride(workers)
}

/// The ports of `slot`, or `None` when the range has no such slot.
#[must_use]
pub fn slot_ports(range: PortRange, workers: u16, slot: u16, exposure: Exposure) -> Option<SlotPorts> {
    if slot >= slots(range, workers) {
        return None;
    }
    let media_base = range.min + slot * stride(workers);
    let (control, metrics) = match exposure {
        Exposure::HostPort => (POD_CONTROL_PORT, POD_METRICS_PORT),
        Exposure::HostNetwork => (media_base + workers, media_base + workers + 1),
    };
    Some(SlotPorts { media_base, workers, control, metrics })
}

/// Port that a TURN pod of its own network listens on for clients' `port`: never a privileged one.
#[must_use]
pub fn unprivileged(port: u16) -> u16 {
    if port < 1024 { port + 10_000 } else { port }
}

/// The part of a pool's relay ports that `slot` owns: `per_pod` ports; `None` when the range has no such slot.
#[must_use]
pub fn relay_ports(range: PortRange, per_pod: u16, slot: u16) -> Option<PortRange> {
    let min = u32::from(range.min) + u32::from(slot) * u32::from(per_pod);
    let max = min + u32::from(per_pod.checked_sub(1)?);
    let (min, max) = (u16::try_from(min).ok()?, u16::try_from(max).ok()?);
    (max <= range.max).then_some(PortRange { min, max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slots_never_overlap_and_stay_in_range(min in 1024u16.., len in 1u16..2000, workers in 1u16..16) {
            let range = PortRange { min, max: min.saturating_add(len) };
            let mut next = u32::from(range.min);
            for slot in 0..slots(range, workers) {
                let ports = slot_ports(range, workers, slot, Exposure::HostNetwork).unwrap();
                prop_assert_eq!(u32::from(ports.media_base), next);
                prop_assert!(ports.metrics <= range.max);
                next = u32::from(ports.metrics) + 1;
            }
            prop_assert!(slot_ports(range, workers, slots(range, workers), Exposure::HostPort).is_none());
        }

        #[test]
        fn relay_ports_of_two_slots_never_overlap(min in 1024u16.., len in 0u16..5000, per_pod in 0u16..2000, slot in 0u16..50) {
            let range = PortRange { min, max: min.saturating_add(len) };
            if let Some(next) = relay_ports(range, per_pod, slot + 1) {
                let ports = relay_ports(range, per_pod, slot).unwrap();
                prop_assert!(ports.min >= range.min && ports.max < next.min && next.max <= range.max);
            }
        }
    }
}
