//! Asking the operator's leader to bind a room that waits for its first participant.

use futures_util::future::BoxFuture;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use plenum_api::names::{ANNOTATION_ADDRESS, LEASE};
use plenum_protocol::control::OPERATOR_SAN;
use plenum_protocol::ids::RoomName;
use plenum_protocol::reach::BindRequest;
use plenum_runtime::client::{CallError, ControlClient, Target};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long the leader may take to take note.
const BIND_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the leader could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The Lease could not be read.
    #[error("reading Lease {LEASE}")]
    Lease(#[source] kube::Error),
    /// Nobody leads, or the leader does not say where it is.
    #[error("Lease {LEASE} names no control endpoint in annotation {ANNOTATION_ADDRESS}")]
    NoAddress,
    /// The leader refused or could not be reached.
    #[error("asking the leader to bind")]
    Call(#[from] CallError),
}

/// Finds the leader's control endpoint.
pub type LookUp = Box<dyn Fn() -> BoxFuture<'static, Result<SocketAddr, LeaderError>> + Send + Sync>;

/// The operator's leader, wherever it is.
pub struct Leader {
    look_up: LookUp,
    asking: Mutex<HashSet<RoomName>>,
}

impl Leader {
    /// A leader that `look_up` finds.
    #[must_use]
    pub fn new(look_up: LookUp) -> Self {
        Self { look_up, asking: Mutex::default() }
    }

    /// The leader that the Lease names.
    #[must_use]
    pub fn by_lease(leases: Api<Lease>) -> Self {
        Self::new(Box::new(move || {
            let leases = leases.clone();
            Box::pin(async move {
                let lease = leases.get(LEASE).await.map_err(LeaderError::Lease)?;
                lease_address(&lease).ok_or(LeaderError::NoAddress)
            })
        }))
    }

    /// Asks for a binding, unless somebody is asking for the same room right now.
    pub(crate) async fn ask(&self, client: &ControlClient, request: BindRequest) -> Result<(), LeaderError> {
        let Some(_guard) = Asking::begin(self, &request.room) else { return Ok(()) };
        let address = (self.look_up)().await?;
        let target = Target::new(address, OPERATOR_SAN);
        Ok(client.post(&target, "/v1/bind", &request, BIND_TIMEOUT).await?)
    }
}

struct Asking<'a> {
    leader: &'a Leader,
    room: RoomName,
}

impl<'a> Asking<'a> {
    fn begin(leader: &'a Leader, room: &RoomName) -> Option<Self> {
        let mut asking = leader.asking.lock().unwrap_or_else(PoisonError::into_inner);
        asking.insert(room.clone()).then(|| Self { leader, room: room.clone() })
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.leader.asking.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.room);
    }
}

fn lease_address(lease: &Lease) -> Option<SocketAddr> {
    let address = lease.metadata.annotations.as_ref()?.get(ANNOTATION_ADDRESS)?;
    address.strip_prefix("https://")?.trim_end_matches('/').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_names_the_leaders_endpoint() {
        let mut lease = Lease::default();
        assert_eq!(lease_address(&lease), None);
        let annotation = |text: &str| Some([(ANNOTATION_ADDRESS.to_owned(), text.to_owned())].into());
        lease.metadata.annotations = annotation("https://10.0.0.1:7443");
        assert_eq!(lease_address(&lease), Some("10.0.0.1:7443".parse().unwrap()));
        lease.metadata.annotations = annotation("http://10.0.0.1:7443");
        assert_eq!(lease_address(&lease), None);
    }
}
