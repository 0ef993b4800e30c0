//! Colours of a terminal: entities red, signaling green, media blue, as in the documentation's pictures.

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// ANSI escape sequences.
    Ansi,
    /// No colours.
    Plain,
}

impl Paint {
    /// People, gateways, media pods.
    pub(crate) fn entity(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Signaling.
    pub(crate) fn signaling(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Media.
    pub(crate) fn media(self, text: &str) -> String {
        self.wrap("34", text)
    }

    /// Headings.
    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// `text` without control characters, cut to `width` characters: names come from people that we do not know.
pub(crate) fn tame(text: &str, width: usize) -> String {
    let mut tamed: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if tamed.chars().count() > width {
        tamed = tamed.chars().take(width.saturating_sub(1)).chain(['…']).collect();
    }
    tamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(tame("\x1b[2Jann\n", 20), "?[2Jann?");
        assert_eq!(tame("abcdefgh", 5), "abcd…");
        assert_eq!(tame("abcde", 5), "abcde");
    }
}
