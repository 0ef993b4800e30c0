//! The line between two peers, and what each of them says of it.

use super::{client_box, kind, name_width, relay_box};
use crate::paint::{Paint, tame};
use plenum_protocol::flow::{Leg, LegBasis, LegRelay, LegRole, LegState};

/// One line per pair, then one per end.
pub(super) fn pairs(text: &mut String, legs: &[Leg], paint: Paint) {
    let mut left: Vec<&Leg> = legs.iter().filter(|leg| leg.role == LegRole::Peer).collect();
    left.sort_by_key(|leg| (&leg.session, &leg.participant_name, &leg.participant));
    let width = name_width(legs);
    for pair in left.chunk_by(|one, other| one.session == other.session) {
        if let [one, other] = pair {
            *text += &line(one, other, paint);
            text.push('\n');
        }
        for leg in pair {
            let bracketed = client_box(&leg.participant_name);
            let fill = " ".repeat(width - bracketed.chars().count() + 2);
            *text += format!("  {}{fill}{}", paint.entity(&bracketed), facts(leg)).trim_end();
            text.push('\n');
        }
    }
}

/// By the relay of either end, where it has one.
fn line(one: &Leg, other: &Leg, paint: Paint) -> String {
    let by = |relay: &LegRelay| relay.transport.map_or_else(|| "━━━".to_owned(), |transport| transport.to_string());
    let out = one.relay.as_ref().map(|relay| (format!("━━{}━", by(relay)), paint.entity(&relay_box(relay))));
    let back = other.relay.as_ref().map(|relay| (format!("━{}━━", by(relay)), paint.entity(&relay_box(relay))));
    let mut text = paint.entity(&client_box(&one.participant_name));
    if let Some((way, relay)) = out {
        text += &format!("{}{relay}", paint.media(&way));
    }
    text += &paint.media("━━⟷━━");
    if let Some((way, relay)) = back {
        text += &format!("{relay}{}", paint.media(&way));
    }
    text + &paint.entity(&client_box(&other.participant_name))
}

/// Candidate types (own/other), protocol, round trip, bytes, frames, and who says so.
fn facts(leg: &Leg) -> String {
    if leg.state == LegState::Connecting {
        return "connecting".to_owned();
    }
    let kinds = format!("{}/{}", kind(leg.client.candidate_type), kind(leg.node.candidate_type));
    let rtt =
        leg.rtt_micros.map_or("? ms".to_owned(), |micros| format!("{}.{} ms", micros / 1000, micros % 1000 / 100));
    let mut facts = format!("{kinds:<11} {:<3} {rtt:>9}", tame(&leg.protocol, 8));
    let view = leg.client_view.as_ref();
    if let Some((sent, received)) = view.and_then(|view| Some((view.bytes_sent?, view.bytes_received?))) {
        facts += &format!("  {sent} bytes out, {received} in");
    }
    if let Some(frames) = view.and_then(|view| view.frames) {
        facts += &format!("  {frames} frames");
    }
    facts
        + match leg.basis {
            LegBasis::Claimed => "  claimed",
            LegBasis::Confirmed => "  confirmed",
            LegBasis::Measured => "  measured",
        }
}
