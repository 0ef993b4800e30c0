//! A client made with Pion (`e2e/foreign`): WHIP or WHEP by another implementation of WebRTC, in a client's network.

use crate::client::Client;
use crate::suite::Suite;
use crate::wait::{Look, until};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::watch;
use tokio::time::timeout;

/// Farewells to the gateway and the relay.
const FAREWELL: Duration = Duration::from_secs(10);

/// What it does in its room.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// WHIP: sends frames that can be told from any others.
    Publish,
    /// WHEP: receives the oldest publication.
    Watch,
}

/// Which way its media goes; there is no other for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the media node.
    Direct,
    /// By a relay that it reaches by this protocol: `udp`, `tcp` or `tls`.
    Relay(&'static str),
}

/// How it learns of relays.
#[derive(Debug, Clone, Copy)]
pub enum Learning {
    /// `POST /v1/ice-servers`.
    Post,
    /// `Link` headers of an `OPTIONS`.
    Link,
}

/// What it says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    /// Session at the media node.
    pub session: String,
    /// State of its peer connection.
    pub state: String,
    /// Sound.
    pub audio: Counts,
    /// Pictures.
    pub video: Counts,
    /// The selected pair, once there is one.
    pub pair: Option<ForeignPair>,
}

/// What was sent or received of one kind of media.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Counts {
    /// Packets received.
    pub packets: u64,
    /// Frames sent, or received whole.
    pub frames: u64,
    /// Frames received that are, to the byte, what a client of this kind sends.
    pub made: u64,
}

/// Its selected candidate pair.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForeignPair {
    /// `host`, `relay` …
    pub local_type: String,
    /// Own candidate's address: of a relayed pair, the relay's.
    pub local_address: String,
    /// Own candidate's port.
    pub local_port: u16,
    /// How it reaches the relay; empty without one.
    pub relay_protocol: String,
    /// Bytes sent, checks excluded.
    pub bytes_sent: u64,
    /// Bytes received, checks excluded.
    pub bytes_received: u64,
}

/// One such client. Dropping it ends the program without a farewell.
#[derive(Debug)]
pub struct ForeignClient {
    name: String,
    child: Child,
    stdin: ChildStdin,
    reports: watch::Receiver<Option<Report>>,
    log: PathBuf,
}

impl ForeignClient {
    /// Starts it in the network of `client`, at a WHIP or WHEP endpoint.
    ///
    /// # Errors
    /// The program is not there, or does not start.
    pub async fn start(
        suite: &Suite,
        client: &Client,
        (part, way, learning): (Part, Way, Learning),
        (url, token): (&str, &str),
    ) -> Result<Self> {
        let program = suite.env.foreign_client()?.display().to_string();
        let role = match part {
            Part::Publish => "publish",
            Part::Watch => "watch",
        };
        let way = match way {
            Way::Direct => "direct",
            Way::Relay(protocol) => protocol,
        };
        let learn = match learning {
            Learning::Post => "post",
            Learning::Link => "link",
        };
        let trust = format!("SSL_CERT_FILE={}", suite.authority.file().display());
        let mut words = vec!["env".to_owned(), trust, program];
        for (flag, value) in [("-role", role), ("-way", way), ("-learn", learn), ("-url", url), ("-token", token)] {
            words.extend([flag.to_owned(), value.to_owned()]);
        }
        let name = format!("foreign-{role}-{way}");
        let log = suite.env.artifacts.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let mut command = tokio::process::Command::from(client.command(&words)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let stdin = child.stdin.take().context("the program has no input")?;
        let lines = BufReader::new(child.stdout.take().context("the program has no output")?).lines();
        let (sender, reports) = watch::channel(None);
        tokio::spawn(follow(lines, sender));
        Ok(Self { name, child, stdin, reports, log })
    }

    /// Waits until a report is as wanted.
    ///
    /// # Errors
    /// The deadline passes, or the program ends.
    pub async fn reports(&mut self, what: &str, within: Duration, wanted: impl Fn(&Report) -> bool) -> Result<Report> {
        until(&format!("{}: {what}", self.name), within, async || {
            if let Some(status) = self.child.try_wait().context("looking after a process")? {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                anyhow::bail!("{} ended by itself: {status}: {said}", self.name);
            }
            let report = self.reports.borrow().clone();
            Ok(match report {
                Some(report) if wanted(&report) => Look::Done(report),
                seen => Look::NotYet(format!("{seen:?}")),
            })
        })
        .await
    }

    /// The last report.
    ///
    /// # Errors
    /// There is none yet.
    pub fn report(&self) -> Result<Report> {
        self.reports.borrow().clone().with_context(|| format!("{} has said nothing yet", self.name))
    }

    /// A publisher sends nothing more, and stays.
    ///
    /// # Errors
    /// The program is gone.
    pub async fn fall_silent(&mut self) -> Result<()> {
        self.stdin.write_all(b"silence\n").await.with_context(|| format!("telling {}", self.name))
    }

    /// Ends the session in good order.
    ///
    /// # Errors
    /// The gateway or the program did not agree.
    pub async fn end(self) -> Result<()> {
        let Self { name, mut child, stdin, log, .. } = self;
        drop(stdin);
        let ended = timeout(FAREWELL, child.wait()).await.with_context(|| format!("{name} does not end"))?;
        let status = ended.with_context(|| format!("waiting for {name}"))?;
        ensure!(status.success(), "{name}: {status}: {}", std::fs::read_to_string(&log).unwrap_or_default());
        Ok(())
    }
}

async fn follow(
    mut lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    sender: watch::Sender<Option<Report>>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(report) => _ = sender.send_replace(Some(report)),
            Err(error) => eprintln!("a foreign client says {line:?}: {error}"),
        }
    }
}
