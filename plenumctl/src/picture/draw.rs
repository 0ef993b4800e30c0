//! A [`Picture`] as text: signaling dotted, media as thick arrows, by a relay where it goes by one, entities in brackets.

mod peers;

use super::Picture;
use crate::paint::{Paint, tame};
use plenum_protocol::flow::{CandidateType, Leg, LegRelay, LegRole, LegState, MediaPlace};
use std::collections::{BTreeMap, BTreeSet};

/// Longest name of a participant that is shown whole.
const NAME_WIDTH: usize = 24;
/// Longest name of a pod or place that is shown whole.
const POD_WIDTH: usize = 63;

/// Draws.
pub(crate) fn draw(picture: &Picture, paint: Paint) -> String {
    let mut text = heading(picture, paint);
    match &picture.media {
        _ if picture.peers.is_some() => text += "peer to peer: no media pod is needed\n",
        Ok(media) => place(&mut text, media, paint),
        Err(reason) => text += &format!("{}: {}\n", paint.entity("no media pod"), tame(reason, usize::MAX)),
    }
    match &picture.legs {
        Err(reason) => text += &format!("legs are not shown: {}\n", tame(reason, usize::MAX)),
        Ok(legs) if legs.is_empty() => {
            if let Some((gateway, region)) = &picture.gateway {
                text += &format!("answered by {}\n", paint.entity(&gateway_box(gateway, region.as_deref())));
            }
            text += "nobody sends or receives media\n";
        }
        Ok(legs) => {
            text.push('\n');
            signaling(&mut text, picture, legs, paint);
            text.push('\n');
            media(&mut text, legs, paint);
            peers::pairs(&mut text, legs, paint);
        }
    }
    text
}

fn heading(picture: &Picture, paint: Paint) -> String {
    let counts = picture.counts;
    let flow = match &picture.flow {
        Some((name, basis)) => format!("flow {name}, {basis}"),
        None => "no flow yet".to_owned(),
    };
    let title = paint.strong(&format!("Room {}", picture.room));
    let legs = format!("{} direct, {} relayed, {} colocated", counts.direct, counts.relayed, counts.colocated);
    format!("{title}  {flow}  legs: {legs}\n")
}

fn place(text: &mut String, media: &MediaPlace, paint: Paint) {
    let mut at = Vec::new();
    at.extend(media.node.as_ref().map(|node| format!("node {}", tame(node, POD_WIDTH))));
    at.push(format!("region {}", tame(&media.region, POD_WIDTH)));
    at.extend(media.zone.as_ref().map(|zone| format!("zone {}", tame(zone, POD_WIDTH))));
    *text += &format!("{}: {}\n", paint.entity(&format!("media pod {}", tame(&media.pod, POD_WIDTH))), at.join(", "));
}

/// Clients of one gateway run together, then into the gateway, then to the media pod or the home of the room.
fn signaling(text: &mut String, picture: &Picture, legs: &[Leg], paint: Paint) {
    let mut clients: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for leg in legs {
        clients.entry(&leg.gateway).or_default().insert((&leg.participant_name, leg.participant.as_str()));
    }
    let width = name_width(legs);
    let end = match &picture.peers {
        Some(home) => home_box(home.as_deref()),
        None => "[media pod]".to_owned(),
    };
    let region_of = |gateway: &str| {
        let answered = picture.gateway.as_ref().filter(|(name, _)| name == gateway);
        answered.and_then(|(_, region)| region.as_deref())
    };
    for (gateway, names) in clients {
        let last = names.len().saturating_sub(1);
        for (index, (name, _)) in names.iter().enumerate() {
            let bracketed = client_box(name);
            let dots = "┄".repeat(width - bracketed.chars().count() + 2);
            let joint = match (index, last) {
                (0, 0) => "┄┄┄",
                (0, _) => "┐",
                (index, last) if index == last => "┴┄┄",
                _ => "┤",
            };
            *text += &paint.entity(&bracketed);
            *text += &paint.signaling(&format!("{dots}{joint}"));
            if index == last {
                *text += &paint.entity(&gateway_box(gateway, region_of(gateway)));
                *text += &paint.signaling("┄┄┄");
                *text += &paint.entity(&end);
            }
            text.push('\n');
        }
    }
}

fn media(text: &mut String, legs: &[Leg], paint: Paint) {
    let width = name_width(legs);
    let mut order: Vec<&Leg> = legs.iter().filter(|leg| leg.role != LegRole::Peer).collect();
    order.sort_by_key(|leg| {
        (&leg.participant_name, &leg.participant, leg.role == LegRole::Subscriber, &leg.publication)
    });
    let ids = order.iter().map(|leg| leg.publication.as_str().chars().count()).max().unwrap_or_default();
    let relays = legs.iter().filter_map(|leg| leg.relay.as_ref()).map(|relay| relay_box(relay).chars().count()).max();
    for leg in order {
        let bracketed = client_box(&leg.participant_name);
        let fill = width - bracketed.chars().count() + 2;
        let verb = match leg.role {
            LegRole::Publisher => "sends",
            LegRole::Subscriber => "gets ",
            LegRole::Peer => continue,
        };
        *text += &paint.entity(&bracketed);
        *text += &way(leg, fill + 2, relays, paint);
        *text += &paint.entity("[media pod]");
        *text += format!("  {verb} {:ids$}  {}", leg.publication.as_str(), facts(leg)).trim_end();
        text.push('\n');
    }
}

/// From client to media pod. When any leg is relayed (the longest box of a relay has `relays` characters), all are as long.
fn way(leg: &Leg, length: usize, relays: Option<usize>, paint: Paint) -> String {
    let line = |length: usize| "━".repeat(length);
    let sends = leg.role == LegRole::Publisher;
    let arrow = |length: usize| if sends { format!("{}▶", line(length)) } else { format!("◀{}", line(length)) };
    let Some(widest) = relays else { return paint.media(&arrow(length)) };
    let Some(relay) = &leg.relay else { return paint.media(&arrow(length + widest + 7)) };
    let by = relay.transport.map_or_else(|| line(3), |transport| transport.to_string());
    let bracketed = relay_box(relay);
    let rest = widest - bracketed.chars().count();
    let first = if sends { format!("{}{by}━▶", line(length)) } else { format!("◀{}{by}━", line(length)) };
    format!("{}{}{}", paint.media(&first), paint.entity(&bracketed), paint.media(&arrow(rest + 2)))
}

/// Candidate types (client/node), protocol, round trip, bit rate, frames, client address.
fn facts(leg: &Leg) -> String {
    if leg.state == LegState::Connecting {
        return "connecting".to_owned();
    }
    let view = leg.client_view.as_ref();
    let client = view.and_then(|view| view.local_type).or(leg.client.candidate_type);
    let node = view.and_then(|view| view.remote_type).or(leg.node.candidate_type);
    let kinds = format!("{}/{}", kind(client), kind(node));
    let kbps = match leg.role {
        LegRole::Publisher => leg.receive_kbps,
        LegRole::Subscriber | LegRole::Peer => leg.send_kbps,
    };
    let rtt = leg.rtt_micros.or(view.and_then(|view| view.rtt_micros));
    let rtt = rtt.map_or("? ms".to_owned(), |micros| format!("{}.{} ms", micros / 1000, micros % 1000 / 100));
    let mut facts = format!("{kinds:<11} {:<3} {rtt:>9} {kbps:>6} kbit/s", tame(&leg.protocol, 8));
    if let Some(frames) = view.and_then(|view| view.frames) {
        facts += &format!("  {frames} frames");
    }
    if let (Some(address), Some(port)) = (&leg.client.address, leg.client.port) {
        let address = tame(address, POD_WIDTH);
        facts += &if address.contains(':') { format!("  [{address}]:{port}") } else { format!("  {address}:{port}") };
    }
    facts
}

fn kind(candidate: Option<CandidateType>) -> &'static str {
    match candidate {
        Some(CandidateType::Host) => "host",
        Some(CandidateType::Srflx) => "srflx",
        Some(CandidateType::Prflx) => "prflx",
        Some(CandidateType::Relay) => "relay",
        None => "?",
    }
}

fn client_box(name: &str) -> String {
    format!("[{}]", tame(name, NAME_WIDTH))
}

fn relay_box(relay: &LegRelay) -> String {
    format!("[TURN {}, {}]", tame(&relay.pod, POD_WIDTH), tame(&relay.region, POD_WIDTH))
}

fn gateway_box(name: &str, region: Option<&str>) -> String {
    let place = region.map(|region| format!(", {}", tame(region, POD_WIDTH))).unwrap_or_default();
    format!("[gateway {}{place}]", tame(name, POD_WIDTH))
}

fn home_box(name: Option<&str>) -> String {
    name.map_or_else(|| "[home]".to_owned(), |name| format!("[home: gateway {}]", tame(name, POD_WIDTH)))
}

fn name_width(legs: &[Leg]) -> usize {
    legs.iter().map(|leg| client_box(&leg.participant_name).chars().count()).max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
