//! The demo page in a browser, by what it says of itself (`window.plenum`) and what its `getStats` says.

use crate::browser::Browser;
use crate::client::Client;
use crate::door::Door;
use crate::wait::{Look, until, until_every};
use anyhow::{Context, Result, ensure};
use plenum_protocol::flow::FlowReport;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// How often frames are counted: it costs a page as much as its video to be asked at every turn.
const FRAMES: Duration = Duration::from_millis(150);

/// One participant's page.
#[derive(Debug)]
pub struct Page {
    browser: Browser,
    name: String,
}

/// What the page knows, statistics included.
#[derive(Debug, Clone, Deserialize)]
pub struct PageStats {
    /// `joining`, `joined`, `rejoining`, `left`, `ended`, `refused`.
    pub state: String,
    /// Why.
    pub detail: String,
    /// Own public id.
    pub participant: Option<String>,
    /// Everybody else.
    pub roster: Vec<RosterPerson>,
    /// What arrives, one per watched publication.
    pub inbound: Vec<Inbound>,
    /// What goes out, one per kind.
    pub outbound: Vec<Outbound>,
    /// Selected candidate pairs, one per session.
    pub pairs: Vec<Pair>,
}

/// Somebody else.
#[derive(Debug, Clone, Deserialize)]
pub struct RosterPerson {
    /// Public id.
    pub id: String,
    /// Identity of the token.
    pub identity: String,
}

/// One watched publication.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inbound {
    /// Session at the media node.
    pub session: String,
    /// What is watched.
    pub publication: String,
    /// Whose it is.
    pub participant: String,
    /// Video frames decoded so far.
    pub frames_decoded: u64,
    /// Freezes of the video so far.
    pub freeze_count: u64,
    /// How long they lasted together, in seconds.
    pub freeze_seconds: f64,
    /// Audio samples received so far.
    pub audio_samples: u64,
    /// Audio samples made up for what did not come.
    pub concealed: u64,
}

/// One sent track.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outbound {
    /// Session at the media node.
    pub session: String,
    /// `audio` or `video`.
    pub kind: String,
    /// Packets sent so far.
    pub packets_sent: u64,
}

/// A selected candidate pair.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// Session at the media node.
    pub session: String,
    /// Type of the own candidate.
    pub local_type: Option<String>,
    /// Type of the media node's candidate.
    pub remote_type: Option<String>,
    /// Its address.
    pub remote_address: Option<String>,
    /// Its port.
    pub remote_port: Option<u16>,
    /// `udp`.
    pub protocol: Option<String>,
    /// `udp`, `tcp` or `tls`: how it reaches its relay.
    pub relay_protocol: Option<String>,
    /// Own candidate's address.
    pub local_address: Option<String>,
    /// Own candidate's port: of a relayed pair, the relay's port.
    pub local_port: Option<u16>,
    /// Bytes sent on this pair.
    pub bytes_sent: u64,
    /// Bytes received on this pair.
    pub bytes_received: u64,
}

impl Pair {
    /// Whether it goes by a relay.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.local_type.as_deref() == Some("relay")
    }
}

/// One leg in the picture.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrawnLeg {
    /// Session at the media node.
    pub session: String,
    /// It is one of this page's own.
    pub mine: bool,
    /// `Connecting` or `Connected`.
    pub state: String,
    /// Gateway pod that opened it.
    pub gateway: String,
    /// Media pod.
    pub pod: Option<String>,
    /// Type of the client's candidate.
    pub local_type: Option<String>,
    /// Type of the node's candidate.
    pub remote_type: Option<String>,
    /// `udp`.
    pub protocol: Option<String>,
}

/// When things happened, in milliseconds since 1970.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// The first `join` was begun.
    pub join_started: f64,
    /// The room took us, last time.
    pub joined: Option<f64>,
    /// First frame of each publication.
    pub first_frame: BTreeMap<String, f64>,
    /// Each time that everything was over.
    pub rejoins: Vec<Rejoin>,
    /// Each time that a session looked for another path.
    pub ice_restarts: Vec<IceRestart>,
}

/// A session looked for another path.
#[derive(Debug, Clone, Deserialize)]
pub struct IceRestart {
    /// When.
    pub at: f64,
    /// Why.
    pub reason: String,
}

/// Everything was over, and what became of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Rejoin {
    /// When.
    pub at: f64,
    /// Why.
    pub reason: String,
    /// When the room took us again.
    pub joined: Option<f64>,
}

impl Page {
    /// Opens the page of a room and joins; does not wait. `hint` is the region that the page is told.
    ///
    /// # Errors
    /// The browser or the page cannot be opened.
    pub async fn open(
        client: &Client,
        door: &Door,
        origins: &[String],
        room: (&str, &str),
        token: &str,
        hint: Option<&str>,
    ) -> Result<Self> {
        let browser = client.browser(origins).await?;
        let page = Self { browser, name: client.name().to_owned() };
        page.browser.go(&door.page_url(room.0, room.1, token, hint)).await?;
        Ok(page)
    }

    /// Name of its client.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it knows.
    ///
    /// # Errors
    /// The page fails.
    pub async fn stats(&self) -> Result<PageStats> {
        self.browser.run("return plenum.stats()", &[]).await.with_context(|| format!("page of {}", self.name))
    }

    /// When things happened.
    ///
    /// # Errors
    /// The page fails.
    pub async fn timings(&self) -> Result<Timings> {
        self.browser.run("return plenum.timings", &[]).await
    }

    /// The last report of `…/flow` that it has.
    ///
    /// # Errors
    /// The page fails, or the report is not what the protocol says.
    pub async fn flow(&self) -> Result<Option<FlowReport>> {
        self.browser.run("return plenum.flow", &[]).await
    }

    /// The legs in its picture.
    ///
    /// # Errors
    /// The page fails.
    pub async fn drawn_legs(&self) -> Result<Vec<DrawnLeg>> {
        self.browser.run("return plenum.drawnLegs()", &[]).await
    }

    /// Sessions of the legs that the SVG really has lines for.
    ///
    /// # Errors
    /// The page fails.
    pub async fn lines(&self) -> Result<BTreeSet<String>> {
        let script = "return [...document.querySelectorAll('#picture line.media[data-session]')].map(line => line.dataset.session)";
        self.browser.run(script, &[]).await
    }

    /// Waits until it decodes `more` further frames, and audio, of each of `others` publications.
    ///
    /// # Errors
    /// The deadline passes.
    pub async fn decodes(&self, others: usize, more: u64, within: Duration) -> Result<()> {
        let mut before: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let what = format!("{} decodes {more} frames and audio of {others}", self.name);
        until_every(FRAMES, &what, within, async || {
            let stats = self.stats().await?;
            let done = stats.inbound.iter().filter(|inbound| {
                let (frames, samples) =
                    *before.entry(inbound.session.clone()).or_insert((inbound.frames_decoded, inbound.audio_samples));
                inbound.frames_decoded >= frames + more && inbound.audio_samples > samples
            });
            Ok(Look::when(done.count() == others && stats.inbound.len() == others, (), || format!("{stats:?}")))
        })
        .await
    }

    /// All text that it shows.
    ///
    /// # Errors
    /// The page fails.
    pub async fn text(&self) -> Result<String> {
        self.browser.run("return document.body.textContent", &[]).await
    }

    /// Selected pairs by session.
    ///
    /// # Errors
    /// The page fails.
    pub async fn pairs(&self) -> Result<BTreeMap<String, Pair>> {
        Ok(self.stats().await?.pairs.into_iter().map(|pair| (pair.session.clone(), pair)).collect())
    }

    /// Waits until exactly `others` other people are in its roster.
    ///
    /// # Errors
    /// The deadline passes.
    pub async fn sees(&self, others: usize, within: Duration) -> Result<()> {
        until(&format!("{} sees {others} others", self.name), within, async || {
            let stats = self.stats().await?;
            let right = stats.roster.len() == others && stats.inbound.len() == others;
            Ok(Look::when(right, (), || format!("{:?} and {} streams", stats.roster, stats.inbound.len())))
        })
        .await
    }

    /// The picture shows the legs that `getStats` shows: every own session, with its candidate types, and a line for each.
    ///
    /// # Errors
    /// It does not within the deadline; the message has both.
    pub async fn draws_what_stats_say(&self, legs: usize, within: Duration) -> Result<()> {
        until(&format!("{} draws {legs} legs", self.name), within, async || {
            let (stats, drawn, lines) = (self.stats().await?, self.drawn_legs().await?, self.lines().await?);
            let connected = drawn.iter().filter(|leg| leg.state == "Connected").count();
            let shown = || format!("drawn {drawn:?}, pairs {:?}, lines {lines:?}", stats.pairs);
            let own: Vec<_> = drawn.iter().filter(|leg| leg.mine).collect();
            let same = own.len() == stats.pairs.len()
                && stats.pairs.iter().all(|pair| own.iter().any(|leg| agrees(leg, pair)));
            let all_lines = drawn.iter().all(|leg| lines.contains(&leg.session)) && lines.len() == drawn.len();
            Ok(Look::when(same && all_lines && connected == legs, (), shown))
        })
        .await
    }

    /// What the body of an async function returns in the page.
    ///
    /// # Errors
    /// The page fails, or it returns another shape.
    pub async fn ask<T: DeserializeOwned>(&self, body: &str) -> Result<T> {
        self.browser.run(body, &[]).await.with_context(|| format!("page of {}", self.name))
    }

    /// Goes, as a person would who presses the button.
    ///
    /// # Errors
    /// The page fails.
    pub async fn leave(&self) -> Result<()> {
        self.browser.run("plenum.leave()", &[]).await
    }

    /// Time from the join to the first frame of the first publication, in milliseconds.
    ///
    /// # Errors
    /// No frame was there yet.
    pub async fn first_frame_millis(&self) -> Result<f64> {
        let timings = self.timings().await?;
        let first = timings.first_frame.values().copied().reduce(f64::min).context("no frame yet")?;
        ensure!(first >= timings.join_started, "a frame came before the join: {timings:?}");
        Ok(first - timings.join_started)
    }

    /// Writes console and picture into `directory`.
    ///
    /// # Errors
    /// The browser fails.
    pub async fn save(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory).context("making a directory")?;
        let console = self.browser.console().await?.join("\n");
        let stats = self.stats().await.map_or_else(|error| format!("{error:#}"), |stats| format!("{stats:#?}"));
        std::fs::write(directory.join(format!("page-{}.txt", self.name)), format!("{console}\n\n{stats}\n"))?;
        std::fs::write(directory.join(format!("page-{}.png", self.name)), self.browser.picture().await?)?;
        Ok(())
    }

    /// Closes the browser.
    ///
    /// # Errors
    /// The WebDriver refuses.
    pub async fn close(self) -> Result<()> {
        self.browser.close().await
    }
}

fn agrees(leg: &DrawnLeg, pair: &Pair) -> bool {
    leg.session == pair.session
        && leg.local_type == pair.local_type
        && leg.remote_type == pair.remote_type
        && leg.protocol == pair.protocol
}
