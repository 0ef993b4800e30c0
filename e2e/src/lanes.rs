//! How tests run side by side: each in a lane, whose clients nobody else uses meanwhile. A test that hurts what all share
//! (a node, the leader, a gateway) has the cluster to itself; so has one that judges time, until it has judged.

use anyhow::{Context, Result};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many tests run at once: they mostly wait, and two cores carry the browsers of two.
pub const LANES: usize = 2;

/// Whether a test bears others beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// It does.
    Shared,
    /// It kills, freezes or loads what others need, or says how fast something is.
    Alone,
}

/// All lanes.
#[derive(Debug)]
pub struct Lanes {
    places: Arc<Semaphore>,
    free: Arc<Mutex<Vec<usize>>>,
}

/// A lane, until it is dropped.
#[derive(Debug)]
pub struct Lane {
    number: usize,
    free: Arc<Mutex<Vec<usize>>>,
    places: Mutex<OwnedSemaphorePermit>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(LANES)), free: Arc::new(Mutex::new((0..LANES).rev().collect())) }
    }
}

impl Lanes {
    /// Waits for a lane, or for all of them; who came first goes first.
    ///
    /// # Errors
    /// Never in practice: there are as many lanes as places.
    pub async fn enter(&self, company: Company) -> Result<Lane> {
        let places = match company {
            Company::Shared => 1,
            Company::Alone => u32::try_from(LANES)?,
        };
        let places = self.places.clone().acquire_many_owned(places).await.context("the lanes are closed")?;
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().context("no lane is free")?;
        Ok(Lane { number, free: self.free.clone(), places: Mutex::new(places) })
    }
}

impl Lane {
    /// Which one: less than [`LANES`].
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Lets others in from now on.
    pub fn share(&self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let others = places.num_permits().saturating_sub(1);
        drop(places.split(others));
    }
}

impl Drop for Lane {
    // The number is back before the place is: fields drop after this.
    fn drop(&mut self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn lanes_differ_and_a_test_alone_waits_for_all() {
        let lanes = Lanes::default();
        let mut held = Vec::new();
        for _ in 0..LANES {
            held.push(lanes.enter(Company::Shared).await.unwrap());
        }
        let mut numbers: Vec<_> = held.iter().map(Lane::number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..LANES).collect::<Vec<_>>());
        held.pop();
        assert!(lanes.enter(Company::Alone).now_or_never().is_none());
        drop(held);
        let alone = lanes.enter(Company::Alone).await.unwrap();
        assert!(lanes.enter(Company::Shared).now_or_never().is_none());
        alone.share();
        let beside = lanes.enter(Company::Shared).now_or_never().unwrap().unwrap();
        assert_ne!(beside.number(), alone.number());
        alone.share();
        assert!(lanes.enter(Company::Alone).now_or_never().is_none());
        drop((alone, beside));
        assert!(lanes.enter(Company::Alone).now_or_never().is_some());
    }
}
