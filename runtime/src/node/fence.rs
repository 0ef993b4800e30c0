//! Whom a node obeys.

use plenum_protocol::control::Known;
use plenum_protocol::ids::{BootId, Term};
use plenum_protocol::problem::{Code, Problem};

/// Lets the words of a leader pass, unless one of a later term has spoken or another start of the node is meant.
#[derive(Debug, Default)]
pub struct Fence {
    /// Highest term of a leader that spoke.
    term: Term,
}

impl Fence {
    /// A leader of `term` speaks, who has seen `known`, to the start `boot_id` of the node.
    ///
    /// # Errors
    /// `stale-term` and `wrong-boot`; nothing may be done then.
    pub fn pass(&mut self, boot_id: &BootId, term: Term, known: Option<&Known>) -> Result<(), Problem> {
        if term < self.term {
            let detail = format!("a leader of term {} has spoken; this is term {}", self.term.0, term.0);
            return Err(Problem::new(Code::StaleTerm, detail));
        }
        if known.is_some_and(|known| known.boot_id != *boot_id) {
            return Err(Problem::new(Code::WrongBoot, "this is another start of the node: forget what it had"));
        }
        self.term = term;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_leader_passes_and_only_to_the_start_that_it_means() {
        let (own, other) = (BootId::from_bits("", 1), BootId::from_bits("", 2));
        let known = |boot_id: &BootId| Known { boot_id: boot_id.clone(), state_version: 7 };
        let mut fence = Fence::default();
        let mut pass = |term, known: Option<Known>| fence.pass(&own, Term(term), known.as_ref()).map_err(|no| no.code);
        assert_eq!(pass(5, None), Ok(()));
        assert_eq!(pass(4, None), Err(Code::StaleTerm));
        assert_eq!(pass(5, Some(known(&own))), Ok(()));
        assert_eq!(pass(9, Some(known(&other))), Err(Code::WrongBoot));
        assert_eq!(pass(6, None), Ok(()), "words for another start raised the term");
        assert_eq!(pass(5, Some(known(&own))), Err(Code::StaleTerm));
    }
}
