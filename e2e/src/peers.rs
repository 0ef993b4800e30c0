//! Peer-to-peer rooms: their specs, and what their pages show.

use crate::call::Call;
use crate::page::Page;
use crate::scene::Scene;
use crate::wait::{Look, until};
use anyhow::{Context, Result, ensure};
use plenum_api::Room;
use plenum_api::room::{Basis, FlowName};
use plenum_protocol::flow::{self, FlowReport, LegBasis, LegRole, LegState};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// `status.flow` is written at most every ten seconds after the first time.
const STATUS: Duration = Duration::from_secs(25);
/// Pages tell the room of their legs every second, and read its report every other.
const SHOWN: Duration = Duration::from_secs(15);
const FRAME_CLOCK: &str = include_str!("frame_clock.js");

/// Spec of a peer-to-peer Room whose clients have the relays of this test.
#[must_use]
pub fn peer_room(scene: &Scene<'_>, policy: &str) -> Value {
    json!({
        "topology": "PeerToPeer",
        "relay": {"policy": policy, "poolSelector": {"matchLabels": {"only-of": scene.namespace}}},
    })
}

/// What a frame clock says.
#[derive(Debug, Clone, Deserialize)]
pub struct Frames {
    /// The longest time without a picture, in milliseconds.
    pub longest: f64,
    /// From the last picture of one session to the first of the next, in milliseconds.
    pub handover: Option<f64>,
    /// How many pictures there were.
    pub frames: u64,
    /// When none came for a while.
    pub pauses: Vec<Pause>,
}

/// A time without a picture.
#[derive(Debug, Clone, Deserialize)]
pub struct Pause {
    /// Milliseconds since 1970.
    pub at: f64,
    /// How long, in milliseconds.
    pub millis: f64,
    /// Another session brought the picture after it.
    pub other: bool,
}

impl Page {
    /// Begins to note when pictures of `name` come, whichever session brings them.
    ///
    /// # Errors
    /// The page fails.
    pub async fn watch_frames(&self, name: &str) -> Result<()> {
        self.ask(&format!("{FRAME_CLOCK} frameClock.start({})", json!(name))).await
    }

    /// What was noted since.
    ///
    /// # Errors
    /// Nobody began.
    pub async fn frames(&self) -> Result<Frames> {
        self.ask("return frameClock.read()").await
    }

    /// Pods of the relays in its picture, in the order of the line.
    ///
    /// # Errors
    /// The page fails.
    pub async fn drawn_relays(&self) -> Result<Vec<String>> {
        self.ask("return [...document.querySelectorAll('#picture .relay')].map(box => box.dataset.relay)").await
    }

    /// Gateways in its picture, and whether each is said to be the room's home.
    ///
    /// # Errors
    /// The page fails.
    pub async fn drawn_homes(&self) -> Result<usize> {
        let script = "return [...document.querySelectorAll('#picture .what')].filter(word => word.textContent.includes('home')).length";
        self.ask(script).await
    }

    /// Most video that it lets its peer connection send, in bits a second.
    ///
    /// # Errors
    /// It has no peer connection, or sends no video.
    pub async fn video_limit(&self) -> Result<Option<f64>> {
        let script = "const [pc] = plenum.peers.values(); const video = pc.getSenders().find(s => s.track?.kind === 'video'); \
             return video.getParameters().encodings[0].maxBitrate ?? null";
        self.ask(script).await
    }

    /// Marks its peer connections, so that they are known again; says how many there are.
    ///
    /// # Errors
    /// The page fails.
    pub async fn mark_peers(&self) -> Result<usize> {
        self.ask("for (const pc of plenum.peers.values()) pc.marked = true; return plenum.peers.size").await
    }

    /// How many marked peer connections it still has.
    ///
    /// # Errors
    /// The page fails.
    pub async fn marked_peers(&self) -> Result<usize> {
        self.ask("return [...plenum.peers.values()].filter(pc => pc.marked).length").await
    }

    /// Restarts ICE of its peer connection and waits until both sides agreed: signaling works.
    ///
    /// # Errors
    /// They do not agree in time.
    pub async fn renegotiates(&self, within: Duration) -> Result<()> {
        let ufrag = "const [pc] = plenum.peers.values(); \
             const ufrag = () => pc.signalingState === 'stable' ? /ice-ufrag:(\\S+)/.exec(pc.currentLocalDescription.sdp)[1] : '';";
        let before: String =
            self.ask(&format!("{ufrag} const before = ufrag(); pc.restartIce(); return before")).await?;
        until(&format!("{} and the other agree on new ICE credentials", self.name()), within, async || {
            let now: String = self.ask(&format!("{ufrag} return ufrag()")).await?;
            Ok(Look::when(!now.is_empty() && now != before, (), || format!("{before}, then {now:?}")))
        })
        .await
    }

    /// The picture has both legs of the pair, a line between the two, and the home of the room.
    ///
    /// # Errors
    /// It has not in time; the message says what it has.
    pub async fn draws_pair(&self, relays: usize) -> Result<()> {
        until(&format!("{} draws a pair with {relays} relays", self.name()), SHOWN, async || {
            let (stats, drawn, lines) = (self.stats().await?, self.drawn_legs().await?, self.lines().await?);
            let (boxes, homes) = (self.drawn_relays().await?, self.drawn_homes().await?);
            let pair = stats.pairs.first().map(|pair| pair.session.clone());
            let both = drawn.len() == 2 && drawn.iter().all(|leg| Some(&leg.session) == pair.as_ref());
            let own = drawn.iter().filter(|leg| leg.mine && leg.state == "Connected").count();
            let right = both && own == 1 && lines.iter().eq(pair.iter()) && boxes.len() == relays && homes == 1;
            let seen =
                || format!("{drawn:?}, lines {lines:?}, relays {boxes:?}, {homes} homes, pairs {:?}", stats.pairs);
            Ok(Look::when(right, (), seen))
        })
        .await
    }
}

/// The Room's status and the gateways' report say how the pair runs: each leg named by both sides.
///
/// # Errors
/// They do not in time.
pub async fn pair_observed(scene: &Scene<'_>, call: &Call<'_>, relayed: bool) -> Result<FlowReport> {
    let (name, wire) = match relayed {
        false => (FlowName::PeerToPeer, flow::FlowName::PeerToPeer),
        true => (FlowName::PeerToPeerRelayed, flow::FlowName::PeerToPeerRelayed),
    };
    scene
        .suite
        .kube
        .wait(&scene.namespace, &call.room, &format!("flow {name:?}, Observed"), STATUS, |room: &Room| {
            room.status.as_ref().and_then(|status| status.flow.as_ref()).is_some_and(|flow| {
                flow.name == name && flow.basis == Basis::Observed && flow.legs.direct + flow.legs.relayed == 2
            })
        })
        .await?;
    let room = call.state().await?;
    ensure!(room.media_assignment().is_none(), "a peer-to-peer room has a media pod: {:?}", room.status);
    until("both sides confirm each leg", STATUS, async || {
        let report = call.flow().await?;
        let [one, other] = report.legs.as_slice() else {
            return Ok(Look::NotYet(format!("{:?}", report.legs)));
        };
        let crossed = one.peer.as_ref() == Some(&other.participant) && other.peer.as_ref() == Some(&one.participant);
        let sound = report.legs.iter().all(|leg| {
            leg.role == LegRole::Peer && leg.state == LegState::Connected && leg.basis == LegBasis::Confirmed
        });
        let right = crossed && sound && one.session == other.session && report.flow == wire && report.home.is_some();
        let seen = format!("{report:?}");
        Ok(Look::when(right, report, || seen))
    })
    .await
}

/// Pod that is the room's home now.
///
/// # Errors
/// No gateway says.
pub async fn home(call: &Call<'_>) -> Result<String> {
    call.flow().await?.home.context("the report names no home")
}
