//! What is drawn of a Room: from its status, and from a gateway's report when there is one. Pure.

pub(crate) mod draw;

use crate::why;
use plenum_api::Room;
use plenum_api::room::Topology;
use plenum_protocol::flow::{FlowReport, Leg, LegCounts, MediaPlace};

/// Which way signaling and media of a Room go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// `namespace/name`.
    pub(crate) room: String,
    /// Name and basis of the flow, once one is planned.
    pub(crate) flow: Option<(String, String)>,
    /// Connected legs by kind.
    pub(crate) counts: LegCounts,
    /// Name and region of the gateway that answered.
    pub(crate) gateway: Option<(String, Option<String>)>,
    /// It is peer to peer: no media pod is needed. Its home, when a gateway said so.
    pub(crate) peers: Option<Option<String>>,
    /// Where the media pod is, or why there is none.
    pub(crate) media: Result<MediaPlace, String>,
    /// The legs, or why they are not known.
    pub(crate) legs: Result<Vec<Leg>, String>,
}

/// What the Room's status alone knows.
pub(crate) fn of_status(room: &Room, namespace: &str) -> Picture {
    let name = room.metadata.name.as_deref().unwrap_or_default();
    let flow = room.status.as_ref().and_then(|status| status.flow.as_ref());
    let media = room.media_assignment().map(|assignment| MediaPlace {
        pod: assignment.pod.clone(),
        node: assignment.node.clone(),
        region: assignment.region.clone(),
        zone: assignment.zone.clone(),
    });
    Picture {
        room: format!("{namespace}/{name}"),
        flow: flow.map(|flow| (format!("{:?}", flow.name), format!("{:?}", flow.basis))),
        counts: flow.map_or_else(LegCounts::default, |flow| LegCounts {
            direct: flow.legs.direct,
            relayed: flow.legs.relayed,
            colocated: flow.legs.colocated,
        }),
        gateway: None,
        peers: (room.topology() == Topology::PeerToPeer).then_some(None),
        media: media.ok_or_else(|| why::unbound(room)),
        legs: Err("no gateway was asked".to_owned()),
    }
}

impl Picture {
    /// Takes over what a gateway says: it is fresher than the status.
    pub(crate) fn see(&mut self, report: FlowReport) {
        let FlowReport { room: _, flow, basis, counts, gateway, gateway_region, home, media, legs } = report;
        self.flow = Some((format!("{flow:?}"), format!("{basis:?}")));
        self.counts = counts;
        self.gateway = Some((gateway, gateway_region));
        if home.is_some() {
            self.peers = Some(home);
        }
        if let Some(media) = media {
            (self.media, self.peers) = (Ok(media), None);
        }
        self.legs = Ok(legs);
    }

    /// Notes why no gateway said anything.
    pub(crate) fn miss(&mut self, reason: String) {
        self.legs = Err(reason);
    }
}
