//! Relay ports of one worker: chosen at random (RFC 6056), and rested before they are used again, so that packets
//! for the one who had a port do not reach the next.

use plenum_protocol::ports::PortRange;
use plenum_sansio::Random;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(crate) struct PortPool {
    free: Vec<u16>,
    /// With the moment when each is free again, in that order.
    resting: VecDeque<(Instant, u16)>,
    rest: Duration,
}

impl PortPool {
    pub(crate) fn new(ports: PortRange, rest: Duration) -> Self {
        // Port 0 means any: it is no relay port.
        let free: Vec<u16> = (ports.min.max(1)..=ports.max).collect();
        // All may rest at once.
        Self { resting: VecDeque::with_capacity(free.len()), free, rest }
    }

    /// A free port; an even one if so wished.
    pub(crate) fn take(&mut self, even: bool, random: &mut Random, now: Instant) -> Option<u16> {
        while let Some((_, port)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            self.free.push(port);
        }
        let at = random.below(self.free.len());
        if !even {
            return (!self.free.is_empty()).then(|| self.free.swap_remove(at));
        }
        let (before, from) = self.free.split_at_checked(at)?;
        let is_even = |port: &u16| port.is_multiple_of(2);
        let found = from.iter().position(is_even).map(|index| index + at).or_else(|| before.iter().position(is_even));
        found.map(|index| self.free.swap_remove(index))
    }

    /// Gives a port back.
    pub(crate) fn give(&mut self, port: u16, now: Instant) {
        self.resting.push_back((now + self.rest, port));
    }

    /// Ports that are free or rest.
    pub(crate) fn len(&self) -> usize {
        self.free.len() + self.resting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(min: u16, max: u16) -> (PortPool, Random, Instant) {
        let pool = PortPool::new(PortRange { min, max }, Duration::from_secs(10));
        (pool, Random::new(&[1; 32]), plenum_testing::some_moment())
    }

    #[test]
    fn every_port_is_given_once() {
        let (mut pool, mut random, now) = pool(50_000, 50_099);
        let mut ports: Vec<u16> = std::iter::from_fn(|| pool.take(false, &mut random, now)).collect();
        assert!(!ports.is_sorted(), "in no order that can be guessed");
        ports.sort_unstable();
        assert_eq!(ports, (50_000..50_100).collect::<Vec<_>>());
    }

    #[test]
    fn a_released_port_rests() {
        let (mut pool, mut random, now) = pool(50_000, 50_000);
        assert_eq!(pool.take(false, &mut random, now), Some(50_000));
        pool.give(50_000, now);
        assert_eq!(pool.take(false, &mut random, now + Duration::from_millis(9_999)), None);
        assert_eq!(pool.take(false, &mut random, now + Duration::from_secs(10)), Some(50_000));
    }

    #[test]
    fn even_ports_are_even_until_there_are_none() {
        let (mut pool, mut random, now) = pool(50_000, 50_009);
        let mut even: Vec<u16> = std::iter::from_fn(|| pool.take(true, &mut random, now)).collect();
        even.sort_unstable();
        assert_eq!(even, [50_000, 50_002, 50_004, 50_006, 50_008]);
        assert_eq!(pool.len(), 5);
    }

    #[test]
    fn the_last_port_of_all_can_be_used() {
        let (mut pool, mut random, now) = pool(65_535, 65_535);
        assert_eq!(pool.take(false, &mut random, now), Some(65_535));
    }
}
