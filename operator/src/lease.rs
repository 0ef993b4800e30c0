//! Leader election by a Lease, written with resourceVersion.
//!
//! The holder renews every two seconds; another one takes over when it has not seen a renewal for ten seconds by its own
//! clock. A leader trusts its own lease for eight seconds since it *began* its last successful renewal, by the monotonic
//! clock: frozen and thawed, it notices before its next write. `leaseTransitions` is the term of the leader.

mod decide;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use plenum_api::names;
use plenum_protocol::ids::Term;
use plenum_runtime::shutdown::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use decide::{Claim, LeaseSeen, claim};

/// A lease that nobody renewed for this long is free.
pub const DURATION: Duration = Duration::from_secs(10);
/// How long a leader trusts its own lease: less than [`DURATION`], so that it stops before another one starts.
pub const TRUST: Duration = Duration::from_secs(8);
/// Pause between renewals, and between looks of those who wait.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// This process does not lead (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process is not the leader any more")]
pub struct NotLeader;

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
    #[error("leading")]
    Lost(#[from] NotLeader),
}

/// The right to write, checked before every write.
#[derive(Debug)]
pub struct Leadership {
    term: Term,
    valid_until: Mutex<Instant>,
    revoked: AtomicBool,
}

impl Leadership {
    /// Leadership of `term`, trusted until `valid_until`.
    #[must_use]
    pub fn new(term: Term, valid_until: Instant) -> Self {
        Self { term, valid_until: Mutex::new(valid_until), revoked: AtomicBool::new(false) }
    }

    /// `leaseTransitions` of this leadership.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// Whether it still holds at `now`.
    ///
    /// # Errors
    /// [`NotLeader`].
    pub fn check(&self, now: Instant) -> Result<(), NotLeader> {
        let until = *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner);
        if now < until && !self.revoked.load(Ordering::Acquire) { Ok(()) } else { Err(NotLeader) }
    }

    /// Somebody has a newer term: never lead again.
    pub fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    fn extend(&self, until: Instant) {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// Takes part in the election.
pub struct Elector {
    api: Api<Lease>,
    identity: String,
    address: String,
}

impl Elector {
    /// `address` is what the Lease says of the leader's control endpoint.
    #[must_use]
    pub fn new(client: kube::Client, namespace: &str, identity: String, address: String) -> Self {
        Self { api: Api::namespaced(client, namespace), identity, address }
    }

    /// Waits until this process leads. `looked` is told after each look whether the API server answered.
    /// `None`: shutdown came first.
    pub async fn acquire(&self, shutdown: &Shutdown, looked: impl Fn(bool)) -> Option<(Leadership, Lease)> {
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
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shutdown.requested() => return None,
            }
        }
    }

    async fn try_acquire(&self, seen: &mut Option<LeaseSeen>) -> Result<Option<(Leadership, Lease)>, LeaseError> {
        let current = timed(self.api.get_opt(names::LEASE)).await?;
        let now = Instant::now();
        *seen = current.as_ref().map(|lease| LeaseSeen::of(lease, seen.take(), now));
        let transitions = match claim(seen.as_ref(), &self.identity, now, first_term()) {
            Claim::Wait => return Ok(None),
            Claim::Take { transitions } => transitions,
        };
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
            Ok(lease) => Ok(Some((Leadership::new(Term(transitions.into()), began + TRUST), lease))),
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renews until shutdown (`Ok`, with the last Lease) or until leadership is lost.
    ///
    /// # Errors
    /// Why it was lost.
    pub async fn hold(
        &self,
        leadership: &Leadership,
        mut lease: Lease,
        shutdown: &Shutdown,
    ) -> Result<Lease, LeaseError> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RENEW_EVERY) => {}
                () = shutdown.requested() => return Ok(lease),
            }
            leadership.check(Instant::now())?;
            let began = Instant::now();
            match self.renew(&lease).await {
                Ok(renewed) => {
                    leadership.extend(began + TRUST);
                    lease = renewed;
                }
                Err(error @ LeaseError::Taken(_)) => {
                    leadership.revoke();
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(error = %crate::errors::chain(&error), "renewing the lease failed");
                    leadership.check(Instant::now()).map_err(|NotLeader| error)?;
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
