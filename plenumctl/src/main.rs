//! `plenumctl`, also installed as `kubectl-plenum`: where the media of a Room goes, join tokens, and why a Room is not ready.
//!
//! Reads the cluster with the person's own kubeconfig and asks a gateway; changes nothing.

mod cli;
mod cluster;
mod flow;
mod gateway;
mod mint;
mod paint;
mod picture;
mod rooms;
mod why;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _};
use cli::{Cli, Command};
use std::process::ExitCode;
use std::time::SystemTime;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("plenumctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let program = std::env::args().next().unwrap_or_default();
    let name = if program.ends_with("kubectl-plenum") { "kubectl plenum" } else { "plenumctl" };
    let cli = Cli::from_arg_matches(&Cli::command().bin_name(name).get_matches())?;
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("a TLS provider is installed already");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
    runtime.block_on(dispatch(cli))
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let cluster = cluster::Cluster::connect(cli.namespace.as_deref()).await?;
    match cli.command {
        Command::Flow(arguments) => flow::run(&cluster, &arguments).await?,
        Command::Token(arguments) => println!("{}", token(&cluster, &arguments).await?),
        Command::Rooms { all_namespaces } => {
            let rooms = cluster.rooms(all_namespaces).await?;
            print!("{}", rooms::table(&rooms, all_namespaces));
        }
        Command::Why { room } => {
            let room = cluster.room(&room).await?;
            print!("{}", why::explain(&room));
            return Ok(if why::is_ready(&room) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What `plenumctl token` prints: the token, or the page's URL with it.
async fn token(cluster: &cluster::Cluster, arguments: &cli::Token) -> anyhow::Result<String> {
    let key = cluster.api_key(arguments.key.as_deref()).await?;
    let wish = mint::Wish {
        room: &arguments.room,
        identity: &arguments.identity,
        name: arguments.name.as_deref(),
        admin: arguments.admin,
        ttl: arguments.ttl,
    };
    let token = mint::mint(&wish, &key, seconds_since_1970()?)?;
    if !arguments.url && arguments.base.is_none() {
        return Ok(token);
    }
    let base = match &arguments.base {
        Some(base) => base.clone(),
        None => public_base(cluster, &arguments.room).await?,
    };
    let base = base.trim_end_matches('/');
    Ok(format!("{base}/rooms/{}/{}#token={token}", cluster.namespace(), arguments.room))
}

/// What `status.signaling.url` starts with, before the path of the Room.
async fn public_base(cluster: &cluster::Cluster, name: &str) -> anyhow::Result<String> {
    let room = cluster.room(name).await?;
    let url = room.status.and_then(|status| status.signaling).map(|signaling| signaling.url);
    let path = format!("/v1/rooms/{}/{name}", cluster.namespace());
    let base = url.and_then(|url| url.strip_suffix(&path).map(str::to_owned));
    base.context("the Room's status has no signaling URL to make a page URL from: name a base with --base URL")
}

/// The time of this computer, for tokens.
fn seconds_since_1970() -> anyhow::Result<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(since.as_secs())
}
