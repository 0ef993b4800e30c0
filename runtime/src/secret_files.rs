//! Files of mounted Secrets, which change while a process runs.

use crate::shutdown::Shutdown;
use std::error::Error;
use std::path::Path;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often they are read again.
const INTERVAL: Duration = Duration::from_secs(30);

/// Reads `dir` again and again by `reload`, which tells whether `what` changed, until `shutdown`. Files that do not fit
/// together (half-way through a change) are logged and read again.
pub(crate) async fn follow<E: Error + 'static>(
    what: &str,
    dir: &Path,
    shutdown: Shutdown,
    reload: impl Fn(&Path) -> Result<bool, E>,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = ticks.tick() => {}
        }
        match reload(dir) {
            Ok(true) => tracing::info!(dir = %dir.display(), "{what} was replaced"),
            Ok(false) => {}
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::warn!(error, dir = %dir.display(), "{what} stays the old one");
            }
        }
    }
}
