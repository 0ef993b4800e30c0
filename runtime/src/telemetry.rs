//! Logs of a process: text on a terminal, JSON lines elsewhere, to standard error.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

/// Environment variable with the filter, in the syntax of `tracing_subscriber::EnvFilter`.
pub const FILTER_VARIABLE: &str = "PLENUM_LOG";

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is malformed.
    #[error("the log filter {filter:?} is malformed")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logs are set up already.
    #[error("logs are set up already")]
    Twice(#[source] TryInitError),
}

/// Sets up logs. `filter` is used when [`FILTER_VARIABLE`] is unset or empty, e.g. `info`.
///
/// # Errors
/// A malformed filter, or logs that are set up already.
pub fn init(filter: &str) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt as _;
    let filter =
        std::env::var(FILTER_VARIABLE).ok().filter(|text| !text.is_empty()).unwrap_or_else(|| filter.to_owned());
    let parsed = EnvFilter::try_new(&filter).map_err(|source| TelemetryError::Filter { filter, source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    let outcome = if std::io::stderr().is_terminal() {
        builder.finish().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
    };
    outcome.map_err(TelemetryError::Twice)
}
