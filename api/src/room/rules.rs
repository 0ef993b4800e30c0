//! What of a Room's spec goes together, in CEL.

use crate::schema;
use serde_json::{Value, json};

/// A room that is peer to peer and stays so.
const PAIR: &str = "self.topology == 'PeerToPeer' && self.capacity.upgrade == 'Never'";

/// Rules of `spec`.
pub(super) fn rules() -> Value {
    let when = |condition: &str, rule: &str| format!("!({condition}) || ({rule})");
    let expected = |most: &str| {
        format!("!has(self.placement.expected) || self.placement.expected.map(e, e.participants).sum() <= {most}")
    };
    json!([
        schema::rule(
            "self.topology == oldSelf.topology || oldSelf.topology == 'PeerToPeer'",
            "topology can change from PeerToPeer to MediaServer only: delete the Room and apply it again",
        ),
        schema::rule(
            &when(
                "self.topology == 'MediaServer' || self.capacity.upgrade == 'MediaServer'",
                &expected("(has(self.capacity.maxParticipants) ? self.capacity.maxParticipants : 50)"),
            ),
            "the participants of placement.expected add up to more than capacity.maxParticipants (unset: 50): lower them, or raise capacity.maxParticipants",
        ),
        schema::rule(
            &when(PAIR, &expected("2")),
            "placement.expected has more than the two participants of a PeerToPeer room: lower it, or set topology or capacity.upgrade to MediaServer",
        ),
        schema::rule(
            &when(PAIR, "!has(self.capacity.maxParticipants) || self.capacity.maxParticipants == 2"),
            "a PeerToPeer room takes two participants: leave capacity.maxParticipants unset, or set topology or capacity.upgrade to MediaServer",
        ),
        schema::rule(
            "self.topology == 'MediaServer' || !has(self.capacity.maxParticipants) || self.capacity.maxParticipants >= 2",
            "a PeerToPeer room takes at least its two participants: raise capacity.maxParticipants, or leave it unset",
        ),
        schema::rule(
            "self.topology == 'MediaServer' || self.placement.binding == 'Immediate'",
            "a PeerToPeer room is bound to no media pod: leave placement.binding unset",
        ),
        schema::rule(
            &when(
                PAIR,
                "self.placement.strategy == 'Nearest' && (!has(self.media.poolSelector.matchLabels) || self.media.poolSelector.matchLabels.size() == 0) && (!has(self.media.poolSelector.matchExpressions) || self.media.poolSelector.matchExpressions.size() == 0)",
            ),
            "media.poolSelector and placement.strategy choose a media pod, and a PeerToPeer room has none: leave them unset, or set topology or capacity.upgrade to MediaServer",
        ),
    ])
}
