//! SipHash with a secret seed, for maps whose keys the network chooses.

use siphasher::sip::SipHasher13;
use std::hash::BuildHasher;

/// The two halves of the seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeded(pub(crate) u64, pub(crate) u64);

impl BuildHasher for Seeded {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}
