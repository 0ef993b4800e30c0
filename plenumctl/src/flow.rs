//! `plenumctl flow`: what the Room's status knows, and the legs from a gateway when it may be asked.

use crate::cli;
use crate::cluster::Cluster;
use crate::gateway::Gateway;
use crate::mint::{self, Wish};
use crate::paint::Paint;
use crate::picture::{self, Picture, draw};
use anyhow::Context as _;
use plenum_api::Room;
use plenum_protocol::flow::FlowReport;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// How often `--watch` draws.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Life of a token that is minted for one look.
const LOOK_TTL: Duration = Duration::from_secs(60);
/// Cursor to the upper left, and everything below it cleared.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Draws once, or every second until interrupted.
pub(crate) async fn run(cluster: &Cluster, arguments: &cli::Flow) -> anyhow::Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let paint = if terminal && !no_color { Paint::Ansi } else { Paint::Plain };
    let gateway = Gateway::new().context("preparing to ask the gateway")?;
    let mut before = String::new();
    loop {
        let text = match look(cluster, &gateway, arguments).await {
            Ok(picture) => draw::draw(&picture, paint),
            // Whoever watches wants to see it come back.
            Err(error) if arguments.watch && !before.is_empty() => format!("not known now: {error:#}\n"),
            Err(error) => return Err(error),
        };
        // On a terminal the picture is drawn over; in a file only changes are of interest.
        if text != before {
            let clear = if arguments.watch && terminal { CLEAR } else { "" };
            let mut out = std::io::stdout().lock();
            write!(out, "{clear}{text}").and_then(|()| out.flush()).context("writing")?;
        }
        if !arguments.watch {
            return Ok(());
        }
        before = text;
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

async fn look(cluster: &Cluster, gateway: &Gateway, arguments: &cli::Flow) -> anyhow::Result<Picture> {
    let room = cluster.room(&arguments.room).await?;
    let mut picture = picture::of_status(&room, cluster.namespace());
    match ask(cluster, gateway, arguments, &room).await {
        Ok(report) => picture.see(report),
        Err(error) => picture.miss(format!("{error:#}")),
    }
    Ok(picture)
}

async fn ask(cluster: &Cluster, gateway: &Gateway, arguments: &cli::Flow, room: &Room) -> anyhow::Result<FlowReport> {
    let url = match &arguments.gateway {
        Some(base) => {
            format!("{}/v1/rooms/{}/{}", base.trim_end_matches('/'), cluster.namespace(), arguments.room)
        }
        None => {
            let signaling = room.status.as_ref().and_then(|status| status.signaling.as_ref());
            signaling
                .context("the Room's status has no signaling URL yet: name a gateway with --gateway URL")?
                .url
                .clone()
        }
    };
    let token = match &arguments.token {
        Some(token) => token.clone(),
        None => {
            let key = cluster.api_key(None).await.context("a join token is needed: give one with --token")?;
            let room = arguments.room.as_str();
            let wish = Wish { room, identity: "plenumctl", name: None, admin: true, ttl: LOOK_TTL };
            mint::mint(&wish, &key, crate::seconds_since_1970()?)?
        }
    };
    Ok(gateway.flow(&url, &token).await?)
}
