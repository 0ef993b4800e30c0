//! How tests run side by side: each in a lane, whose clients nobody else uses meanwhile. A test that hurts what all share
//! (a node, the leader, a gateway) has the cluster to itself. One that judges time asks for that when it comes to it:
//! meanwhile nobody else does anything, but calls that others have prepared go on.

use anyhow::{Context, Result};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};

/// How many tests run at once: they mostly wait, and two cores carry the browsers of two.
pub const LANES: usize = 2;

/// Whether a test bears others beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// It does.
    Shared,
    /// It kills, freezes or loads what others need.
    Alone,
}

/// All lanes.
#[derive(Debug)]
pub struct Lanes {
    /// Who may be there.
    places: Arc<Semaphore>,
    /// Who may do something.
    turns: Arc<Semaphore>,
    free: Arc<Mutex<Vec<usize>>>,
}

/// A lane, until it is dropped.
#[derive(Debug)]
pub struct Lane {
    number: usize,
    free: Arc<Mutex<Vec<usize>>>,
    turns: Arc<Semaphore>,
    turn: AsyncMutex<Option<OwnedSemaphorePermit>>,
    _place: OwnedSemaphorePermit,
}

impl Default for Lanes {
    fn default() -> Self {
        let all = || Arc::new(Semaphore::new(LANES));
        Self { places: all(), turns: all(), free: Arc::new(Mutex::new((0..LANES).rev().collect())) }
    }
}

impl Lanes {
    /// Waits for a lane, or for all of them; who came first goes first.
    ///
    /// # Errors
    /// Never in practice: there are as many lanes as places.
    pub async fn enter(&self, company: Company) -> Result<Lane> {
        let place = acquire(&self.places, company).await?;
        let turn = acquire(&self.turns, company).await?;
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().context("no lane is free")?;
        let (free, turns) = (self.free.clone(), self.turns.clone());
        Ok(Lane { number, free, turns, turn: AsyncMutex::new(Some(turn)), _place: place })
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, company: Company) -> Result<OwnedSemaphorePermit> {
    let count = match company {
        Company::Shared => 1,
        Company::Alone => u32::try_from(LANES)?,
    };
    semaphore.clone().acquire_many_owned(count).await.context("the lanes are closed")
}

impl Lane {
    /// Which one: less than [`LANES`].
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Waits until the others do nothing, or lets them go on. Those who wait for the same do nothing: nobody waits for ever.
    ///
    /// # Errors
    /// See [`Lanes::enter`].
    pub async fn change(&self, company: Company) -> Result<()> {
        let mut turn = self.turn.lock().await;
        turn.take();
        *turn = Some(acquire(&self.turns, company).await?);
        Ok(())
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
        drop(alone);
        assert!(lanes.enter(Company::Shared).now_or_never().is_some());
    }

    #[tokio::test]
    async fn two_that_want_the_cluster_get_it_one_after_the_other() {
        let lanes = Lanes::default();
        let one = lanes.enter(Company::Shared).await.unwrap();
        let other = lanes.enter(Company::Shared).await.unwrap();
        let (mut first, mut second) = (one.change(Company::Alone).boxed(), other.change(Company::Alone).boxed());
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        first.await.unwrap();
        assert!((&mut second).now_or_never().is_none());
        one.change(Company::Shared).now_or_never();
        second.await.unwrap();
        // They are both still there, so nobody may hurt the cluster.
        assert!(lanes.enter(Company::Alone).now_or_never().is_none());
    }
}
