//! What is known of any pod that is spoken with, whatever it does: its start, its silence, its death. Pure.

use super::health::DOUBT_AFTER;
use plenum_protocol::control::Known;
use plenum_protocol::ids::BootId;

/// What is known of any pod that is spoken with.
#[derive(Debug, Clone, Default)]
pub(super) struct Contact {
    /// Start of its process that answered last.
    pub(super) boot: Option<BootId>,
    /// It holds a configuration, from this leader or an earlier one.
    pub(super) configured: bool,
    /// Polls that failed in a row.
    pub(super) missed: u32,
    /// Called dead.
    pub(super) dead: bool,
    version: u64,
    whole: bool,
}

/// What all reports have.
pub(super) struct Heard {
    /// This start of the process.
    pub(super) boot: BootId,
    /// It has a configuration.
    pub(super) configured: bool,
    /// Version of its state.
    pub(super) version: u64,
    /// The report holds everything.
    pub(super) whole: bool,
}

/// What a ping told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pinged {
    /// Another start answered: what the former one had taken is gone.
    pub(super) restarted: bool,
    /// It came back from the dead.
    pub(super) revived: bool,
}

impl Contact {
    /// It answers.
    #[must_use]
    pub(super) fn answers(&self) -> bool {
        self.boot.is_some() && self.missed < DOUBT_AFTER && !self.dead
    }

    /// What it holds is known.
    #[must_use]
    pub(super) fn is_known(&self) -> bool {
        self.whole
    }

    /// Whether that start answered last.
    #[must_use]
    pub(super) fn is(&self, boot: &BootId) -> bool {
        self.boot.as_ref() == Some(boot)
    }

    /// What a request may build upon.
    #[must_use]
    pub(super) fn known(&self) -> Option<Known> {
        let boot_id = self.boot.clone().filter(|_| self.whole)?;
        Some(Known { boot_id, state_version: self.version })
    }

    /// A ping was answered.
    pub(super) fn pinged(&mut self, boot: BootId) -> Pinged {
        let restarted = !self.is(&boot);
        if restarted {
            *self = Self { boot: Some(boot), dead: self.dead, ..Self::default() };
        }
        self.missed = 0;
        Pinged { restarted, revived: std::mem::take(&mut self.dead) }
    }

    /// It started again, or was never spoken to: ask for everything.
    pub(super) fn forget(&mut self) {
        *self = Self { missed: self.missed, dead: self.dead, boot: self.boot.clone(), ..Self::default() };
    }

    /// A report came. True: it came back from the dead.
    pub(super) fn heard(&mut self, heard: Heard) -> bool {
        let Heard { boot, configured, version, whole } = heard;
        if !self.is(&boot) {
            *self = Self { boot: Some(boot), dead: self.dead, ..Self::default() };
        }
        self.configured = configured;
        self.version = version;
        self.whole |= whole;
        self.missed = 0;
        std::mem::take(&mut self.dead)
    }

    /// It is dead: what it held is not known any more.
    pub(super) fn died(&mut self) {
        self.dead = true;
        self.whole = false;
    }
}
