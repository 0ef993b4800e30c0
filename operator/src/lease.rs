//! Leader election by a Lease, written with resourceVersion. `leaseTransitions` is the term of the leader.
//!
//! The holder renews every second, and writes only within [`TRUST`] of the *beginning* of its last successful renewal, by
//! the monotonic clock. Another one takes over when it has seen no renewal for [`DURATION`] by its own clock; or for
//! [`DESERTED_AFTER`], when the holder misses its probes too. [`TRUST`] is shorter than both: terms do not overlap.

mod decide;
mod leadership;
mod probe;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use plenum_api::names;
use plenum_protocol::ids::Term;
use plenum_runtime::client::ControlClient;
use plenum_runtime::shutdown::Shutdown;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, sleep_until, timeout_at};

pub use decide::{Claim, LeaseSeen, claim};
pub use leadership::{Leadership, NotLeader};

/// A lease that nobody renewed for this long is free.
pub const DURATION: Duration = Duration::from_secs(10);
/// A lease that nobody renewed for this long is free when its holder misses its probes too.
pub const DESERTED_AFTER: Duration = Duration::from_secs(2);
/// How long a leader may write after its last renewal: less than [`DESERTED_AFTER`], so that it stops before another
/// one starts, with time for what is on its way.
pub const TRUST: Duration = Duration::from_millis(1_700);
/// A leader that could not renew for this long gives up.
pub const GIVE_UP: Duration = Duration::from_secs(8);
/// Between renewals.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);
/// Between looks, and probes of the leader, of those who wait.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Why an election step failed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The API server refused or could not be reached.
    #[error("the API server on Lease {}", names::LEASE)]
    Api(#[from] kube::Error),
    /// No answer in time.
    #[error("no answer from the API server on Lease {} within {CALL_TIMEOUT:?}", names::LEASE)]
    Timeout,
    /// Another one has it.
    #[error("the lease is held by {0:?}")]
    Taken(String),
    /// It ran out, or a media pod knows a newer leader.
    #[error("the lease was not renewed for {GIVE_UP:?}, or there is a newer leader")]
    Lost,
}

/// Takes part in the election.
pub struct Elector {
    api: Api<Lease>,
    identity: String,
    address: String,
    leadership: Arc<Leadership>,
    /// With what the leader is probed, once there is a certificate and this process could take over at once.
    control: Arc<OnceLock<ControlClient>>,
}

impl Elector {
    /// `address` is what the Lease says of the leader's control endpoint; `leadership` is taken when the Lease is.
    #[must_use]
    pub fn new(
        client: kube::Client,
        namespace: &str,
        identity: String,
        address: String,
        leadership: Arc<Leadership>,
        control: Arc<OnceLock<ControlClient>>,
    ) -> Self {
        Self { api: Api::namespaced(client, namespace), identity, address, leadership, control }
    }

    /// Waits until this process leads. `looked` is told after each look whether the API server answered.
    /// `None`: shutdown came first.
    pub async fn acquire(&self, shutdown: &Shutdown, looked: impl Fn(bool)) -> Option<Lease> {
        let mut seen: Option<LeaseSeen> = None;
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(Some(won)) => {
                    looked(true);
                    return Some(won);
                }
                Ok(None) => looked(true),
                Err(error) => {
                    looked(false);
                    tracing::warn!(error = %crate::errors::chain(&error), "looking at the lease failed");
                }
            }
            tokio::select! {
                () = self.wait(seen.as_mut()) => {}
                () = shutdown.requested() => return None,
            }
        }
    }

    /// Probes the leader, and waits for the time of the next look.
    async fn wait(&self, mut seen: Option<&mut LeaseSeen>) {
        let looked = Instant::now();
        if let Some(seen) = seen.as_deref_mut()
            && let (Some(leader), Some(control)) = (seen.leader.clone(), self.control.get())
        {
            let next = self.next_look(Some(seen), looked);
            if let Ok(answered) = timeout_at(next.into(), probe::answers(control, &leader)).await {
                seen.probed(answered);
            }
        }
        sleep_until(self.next_look(seen.as_deref(), looked).into()).await;
    }

    /// Soon, and at the moment in which the lease becomes free if that is sooner.
    fn next_look(&self, seen: Option<&LeaseSeen>, looked: Instant) -> Instant {
        let next = looked + LOOK_EVERY;
        seen.map(|seen| seen.free_from(&self.identity))
            .filter(|free| *free > looked)
            .map_or(next, |free| free.min(next))
    }

    async fn try_acquire(&self, seen: &mut Option<LeaseSeen>) -> Result<Option<Lease>, LeaseError> {
        let current = timed(self.api.get_opt(names::LEASE)).await?;
        let now = Instant::now();
        *seen = current.as_ref().map(|lease| LeaseSeen::of(lease, seen.take(), now));
        let transitions = match claim(seen.as_ref(), &self.identity, now, first_term()) {
            Claim::Wait => return Ok(None),
            Claim::Take { transitions } => transitions,
        };
        tracing::info!(former = seen.as_ref().map(|seen| seen.holder.as_str()), transitions, "taking the lease");
        let began = Instant::now();
        let written = match current {
            None => {
                timed(self.api.create(&PostParams::default(), &self.lease(ObjectMeta::default(), transitions, None)))
                    .await
            }
            Some(old) => {
                let lease = self.lease(old.metadata, transitions, None);
                timed(self.api.replace(names::LEASE, &PostParams::default(), &lease)).await
            }
        };
        match written {
            Ok(lease) => {
                self.leadership.take(Term(transitions.into()), began);
                Ok(Some(lease))
            }
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renews until shutdown (`Ok`, with the last Lease) or until leadership is lost.
    ///
    /// # Errors
    /// Why it was lost.
    pub async fn hold(&self, mut lease: Lease, shutdown: &Shutdown) -> Result<Lease, LeaseError> {
        let mut ticks = tokio::time::interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.requested() => return Ok(lease),
            }
            let began = Instant::now();
            if self.leadership.is_lost(began) {
                return Err(LeaseError::Lost);
            }
            match self.renew(&lease).await {
                Ok(renewed) => {
                    self.leadership.extend(began);
                    lease = renewed;
                }
                Err(error @ LeaseError::Taken(_)) => {
                    self.leadership.revoke();
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(error = %crate::errors::chain(&error), "renewing the lease failed");
                }
            }
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        match self.write_renewal(lease).await {
            // Metadata may change under a lease; the spec is the holder's.
            Err(error) if is_conflict(&error) => {
                let current = timed(self.api.get(names::LEASE)).await?;
                if holding(&current) == holding(lease) {
                    self.write_renewal(&current).await
                } else {
                    Err(LeaseError::Taken(holding(&current).0.unwrap_or_default()))
                }
            }
            other => other,
        }
    }

    async fn write_renewal(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        let acquired = lease.spec.as_ref().and_then(|spec| spec.acquire_time.clone());
        let next = self.lease(lease.metadata.clone(), holding(lease).1.unwrap_or(0), acquired);
        timed(self.api.replace(names::LEASE, &PostParams::default(), &next)).await
    }

    /// Gives the lease away, so that another one can lead at once.
    ///
    /// # Errors
    /// When the API server does not take it; the lease then runs out by itself.
    pub async fn release(&self, lease: Lease) -> Result<(), LeaseError> {
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let mut free = self.lease(lease.metadata, transitions, None);
        if let Some(spec) = free.spec.as_mut() {
            spec.holder_identity = None;
        }
        timed(self.api.replace(names::LEASE, &PostParams::default(), &free)).await.map(drop)
    }

    fn lease(&self, mut metadata: ObjectMeta, transitions: i32, acquired: Option<MicroTime>) -> Lease {
        let now = MicroTime(Timestamp::now());
        metadata.name = Some(names::LEASE.to_owned());
        metadata.managed_fields = None;
        metadata.annotations.get_or_insert_default().insert(names::ANNOTATION_ADDRESS.to_owned(), self.address.clone());
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}

async fn timed<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, LeaseError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(LeaseError::Timeout),
    }
}

/// Term of the first holder of a new Lease: seconds since 2026. A Lease that somebody deleted must not start again at
/// a term that media pods have seen already.
fn first_term() -> i32 {
    const START_OF_2026: i64 = 1_767_225_600;
    i32::try_from(Timestamp::now().as_second().saturating_sub(START_OF_2026)).unwrap_or(i32::MAX / 2).max(1)
}

/// Holder and transitions: together they name one leadership.
fn holding(lease: &Lease) -> (Option<String>, Option<i32>) {
    let spec = lease.spec.as_ref();
    (spec.and_then(|spec| spec.holder_identity.clone()), spec.and_then(|spec| spec.lease_transitions))
}

fn is_conflict(error: &LeaseError) -> bool {
    matches!(error, LeaseError::Api(kube::Error::Api(status)) if status.code == 409)
}
