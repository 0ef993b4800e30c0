//! One test's own part: its namespace, its API key, and what is ended with it.

use crate::client::Client;
use crate::diagnosis;
use crate::grants;
use crate::invariants;
use crate::lanes::{Company, Lane};
use crate::suite::Suite;
use crate::tokens::ApiKey;
use crate::wait::{Look, until};
use anyhow::{Context, Result, anyhow, bail};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::json;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Longest time a test may take.
const TEST_TIMEOUT: Duration = Duration::from_secs(240);
/// How long the cluster may take to come to rest after a test.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The body of a test.
pub type Body = for<'a> fn(&'a Scene<'a>) -> LocalBoxFuture<'a, Result<()>>;

/// What a test works with.
pub struct Scene<'a> {
    /// What all tests share.
    pub suite: &'a Suite,
    /// Namespace of this test alone.
    pub namespace: String,
    lane: Lane,
    key: OnceCell<ApiKey>,
}

impl Scene<'_> {
    /// Runs a test in a lane: makes its namespace, runs it, checks the invariants, and deletes the namespace.
    ///
    /// # Errors
    /// The test, an invariant, or the clean-up failed.
    pub async fn play(suite: &Suite, test: &str, company: Company, body: Body) -> Result<()> {
        let lane = suite.lanes.enter(company).await?;
        let start = Instant::now();
        let short: String = test.rsplit("::").next().unwrap_or(test).chars().take(40).collect();
        let namespace = format!("e2e-{}-{:04x}", short.replace('_', "-").trim_end_matches('-'), rand::random::<u16>());
        suite.find_doors(1).await?;
        suite.kube.create_namespace(&namespace, json!({"plenum-e2e": "test"})).await?;
        let scene = Scene { suite, namespace: namespace.clone(), lane, key: OnceCell::new() };
        let outcome = Self::run_body(&scene, body).await;
        let outcome = match outcome {
            Ok(()) => Self::aftermath(suite).await.context("after the test"),
            failed => failed,
        };
        if outcome.is_err() {
            match diagnosis::write(&suite.env, &suite.kube, test, &namespace).await {
                Ok(directory) => eprintln!("{test}: what was seen is in {}", directory.display()),
                Err(error) => eprintln!("{test}: nothing could be written down: {error:#}"),
            }
        }
        suite.kube.delete_namespace(&namespace).await.context("cleaning up")?;
        eprintln!("{test}: {:.1} s", start.elapsed().as_secs_f32());
        outcome
    }

    async fn run_body(scene: &Scene<'_>, body: Body) -> Result<()> {
        let caught = AssertUnwindSafe(body(scene)).catch_unwind();
        match tokio::time::timeout(TEST_TIMEOUT, caught).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                Err(anyhow!("panicked: {}", text.unwrap_or_default()))
            }
            Err(_) => bail!("not done within {} s", TEST_TIMEOUT.as_secs()),
        }
    }

    async fn aftermath(suite: &Suite) -> Result<()> {
        suite.epochs.check()?;
        invariants::settle(&suite.kube, &suite.env.namespace, SETTLE_TIMEOUT).await?;
        grants::settle(&suite.kube, SETTLE_TIMEOUT).await
    }

    /// The API key of this namespace; the first caller makes it and waits until every gateway knows it.
    ///
    /// # Errors
    /// The gateways do not take it.
    pub async fn key(&self) -> Result<&ApiKey> {
        self.key
            .get_or_try_init(async || {
                let key = ApiKey::create(&self.suite.kube, &self.namespace).await?;
                self.wait_for_key(&key).await?;
                Ok(key)
            })
            .await
    }

    /// Each URL may stand for several replicas, so one good answer is not enough.
    async fn wait_for_key(&self, key: &ApiKey) -> Result<()> {
        let wanted = 4 * self.suite.door_count();
        let mut good = 0;
        until("every gateway knows the API key", Duration::from_secs(20), async || {
            let door = self.suite.door(good)?;
            let body = json!({
                "namespace": self.namespace, "identity": "probe", "ttlSeconds": 60, "video": {"room": "probe", "roomJoin": true},
            });
            let request = door.request(reqwest::Method::POST, "/v1/tokens").basic_auth(key.id(), Some(key.secret()));
            let status = match request.json(&body).send().await {
                Ok(answer) => answer.status(),
                Err(error) => return Ok(Look::NotYet(format!("{:#}", anyhow::Error::new(error)))),
            };
            good = if status.is_success() { good + 1 } else { 0 };
            Ok(Look::when(good >= wanted, (), || format!("{status} after {good} good answers")))
        })
        .await
    }

    /// Waits until no other test does anything: what is as fast as it must be is judged without them.
    ///
    /// # Errors
    /// Never in practice.
    pub async fn alone(&self) -> Result<()> {
        self.lane.change(Company::Alone).await
    }

    /// Lets others go on.
    ///
    /// # Errors
    /// Never in practice.
    pub async fn share(&self) -> Result<()> {
        self.lane.change(Company::Shared).await
    }

    /// The client `number` of `region`, which no other test uses at this time.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn client(&self, region: &str, number: usize) -> Result<Arc<Client>> {
        self.suite.client(self.lane.number(), region, number).await
    }

    /// A join token for `identity` in `room` of this namespace.
    ///
    /// # Errors
    /// See [`Self::key`].
    pub async fn token(&self, room: &str, identity: &str) -> Result<String> {
        self.key().await?.token(room, identity)
    }
}
