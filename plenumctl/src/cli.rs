//! The arguments.

use clap::{Args, Parser, Subcommand};
use std::time::Duration;

/// Longest life of a token.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Shows where the media of a Room goes, mints join tokens, and says why a Room is not ready.
#[derive(Debug, Parser)]
#[command(name = "plenumctl", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Namespace of the Room; unset: the kubeconfig's.
    #[arg(short, long, global = true)]
    pub(crate) namespace: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Draw which way signaling and media of a Room go.
    Flow(Flow),
    /// Mint a join token with an API key of the namespace (Secret plenum-api-keys).
    Token(Token),
    /// List Rooms.
    Rooms {
        /// Those of every namespace.
        #[arg(short = 'A', long)]
        all_namespaces: bool,
    },
    /// Say in plain words why a Room is ready or not; exits with 1 when it is not.
    Why {
        /// Name of the Room.
        room: String,
    },
}

/// Arguments of `flow`.
#[derive(Debug, Args)]
pub(crate) struct Flow {
    /// Name of the Room.
    pub(crate) room: String,
    /// Draw again every second until interrupted.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Base URL of a gateway, such as http://localhost:8080; unset: from the Room's status.
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<String>,
    /// Join token of the Room; unset: one is minted from Secret plenum-api-keys.
    #[arg(long, env = "PLENUM_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

/// Arguments of `token`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Name of the Room.
    pub(crate) room: String,
    /// Who joins with it.
    #[arg(long, default_value = "plenumctl")]
    pub(crate) identity: String,
    /// Display name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// May see client addresses in the flow.
    #[arg(long)]
    pub(crate) admin: bool,
    /// Lifetime, such as 90s, 30m or 2h; at most 24h.
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    pub(crate) ttl: Duration,
    /// Id of the API key; unset: the first in the Secret.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Print the URL of the Room's page with the token in its fragment.
    #[arg(long)]
    pub(crate) url: bool,
    /// Public base URL of the gateway, such as https://rooms.example; implies --url. Unset: from the Room's status.
    #[arg(long, value_name = "URL")]
    pub(crate) base: Option<String>,
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a lifetime: write 90s, 30m or 2h, at most 24h");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("" | "s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        _ => return Err(wrong()),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    let ttl = Duration::from_secs(count.checked_mul(unit).ok_or_else(wrong)?);
    if ttl.is_zero() || ttl > MAX_TTL { Err(wrong()) } else { Ok(ttl) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_lifetime_has_a_unit_and_a_bound() {
        assert_eq!(parse_ttl("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_ttl("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(parse_ttl("24h"), Ok(MAX_TTL));
        for wrong in ["", "0s", "25h", "1d", "h", "-1s", "1.5h", "99999999999999999999h", "ü"] {
            assert!(parse_ttl(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_namespace_may_stand_anywhere() {
        let cli = Cli::parse_from(["plenumctl", "flow", "demo", "-n", "team", "--watch"]);
        assert_eq!(cli.namespace.as_deref(), Some("team"));
    }
}
