//! Cases of Room.

use super::{Case, Check, Kind};
use serde_json::{Value, json};

fn rule(name: &'static str, spec: Value) -> Case {
    Case::new(Kind::Room, Check::Rule, name, spec)
}

fn schema(name: &'static str, spec: Value) -> Case {
    Case::new(Kind::Room, Check::Schema, name, spec)
}

fn selector(operator: &str, values: Value) -> Value {
    json!({ "media": { "poolSelector": { "matchExpressions": [{ "key": "tier", "operator": operator, "values": values }] } } })
}

fn expected(participants: i32) -> Value {
    json!({
        "capacity": { "maxParticipants": 10 },
        "placement": { "expected": [
            { "region": "eu-west", "participants": 5 },
            { "region": "us-east", "participants": participants },
        ] },
    })
}

fn lifecycle(field: &str, seconds: i32) -> Value {
    json!({ "lifecycle": { field: seconds } })
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = rules();
    cases.extend(peers());
    cases.extend(schemas());
    cases.extend(lifecycles());
    cases
}

fn rules() -> Vec<Case> {
    vec![
        rule("a room with nothing but its topology is taken", json!({})),
        rule("a room's name may have 63 characters", json!({})).named(&"a".repeat(63)),
        rule("a room's name may not have 64 characters", json!({}))
            .named(&"a".repeat(64))
            .refused("the name of a Room must be a DNS label"),
        rule("a room's name may have no dots", json!({})).named("a.b").refused("at most 63 characters, no dots"),
        rule("expected participants may fill the room", expected(5)),
        rule("expected participants may not overfill the room", expected(6)).refused("raise capacity.maxParticipants"),
        rule("operator In with values is taken", selector("In", json!(["gold"]))),
        rule("operator In without values is refused", selector("In", json!([])))
            .refused("In and NotIn need at least one entry"),
        rule("operator Exists without values is taken", selector("Exists", json!([]))),
        rule("operator Exists with values is refused", selector("Exists", json!(["gold"])))
            .refused("Exists and DoesNotExist take none"),
        rule("a room may be closed and opened again", json!({ "desiredState": "Open" }))
            .after(json!({ "desiredState": "Closed" })),
    ]
}

/// A peer-to-peer room with this in its spec.
fn pair(mut spec: Value) -> Value {
    spec["topology"] = json!("PeerToPeer");
    spec
}

/// One that gets a media server when a third person comes.
fn growing(mut spec: Value) -> Value {
    spec["capacity"]["upgrade"] = json!("MediaServer");
    pair(spec)
}

fn capacity(max_participants: i32) -> Value {
    json!({ "capacity": { "maxParticipants": max_participants } })
}

fn people(participants: i32) -> Value {
    json!({ "placement": { "expected": [{ "region": "eu-west", "participants": participants }] } })
}

fn peers() -> Vec<Case> {
    let strategy = json!({ "placement": { "strategy": "Spread" } });
    let binding = |binding: &str| json!({ "placement": { "binding": binding } });
    let change = |name, from: Value, to: Value| rule(name, to).after(from);
    vec![
        rule("a pair with nothing but its topology is taken", pair(json!({}))),
        rule(
            "a pair may be relayed always, within some regions",
            pair(json!({ "relay": { "policy": "Always" }, "placement": { "allowedRegions": ["eu-west"] } })),
        ),
        change("a pair may get a media server", pair(json!({})), json!({})),
        change("a pair that would grow by itself may get a media server", growing(json!({})), {
            json!({ "capacity": { "upgrade": "MediaServer" } })
        }),
        change("a room with a media server keeps it", json!({}), pair(json!({})))
            .refused("from PeerToPeer to MediaServer only"),
        rule("a pair may say that it takes two", pair(capacity(2))),
        rule("a pair does not take three", pair(capacity(3))).refused("leave capacity.maxParticipants unset"),
        rule("a pair that grows may take three", growing(capacity(3))),
        rule("a pair that grows does not take one", growing(capacity(1))).refused("at least its two participants"),
        rule("two may be expected of a pair", pair(people(2))),
        rule("three may not be expected of a pair", pair(people(3))).refused("more than the two participants"),
        rule("fifty may be expected of a pair that grows", growing(people(50))),
        rule("more than it takes may not be expected of a pair that grows", growing(people(51)))
            .refused("(unset: 50): lower them"),
        rule("binding Immediate equals unset in a pair", pair(binding("Immediate"))),
        rule("a pair is not bound by its first participant", pair(binding("WaitForFirstParticipant")))
            .refused("leave placement.binding unset"),
        rule("a pair chooses no media pod by strategy", pair(strategy.clone())).refused("choose a media pod"),
        rule("a pair that grows chooses one by strategy", growing(strategy)),
        rule("a pair chooses no media pod by expressions", pair(selector("Exists", json!([]))))
            .refused("choose a media pod"),
        rule(
            "a pair chooses no media pod by labels",
            pair(json!({ "media": { "poolSelector": { "matchLabels": { "tier": "gold" } } } })),
        )
        .refused("choose a media pod"),
        rule("a pair that grows chooses one by expressions", growing(selector("Exists", json!([])))),
    ]
}

fn schemas() -> Vec<Case> {
    vec![
        schema(
            "null equals omitted",
            json!({ "signaling": null, "media": { "maxBitrateKbps": null, "poolSelector": null }, "placement": { "allowedRegions": null } }),
        ),
        schema("a topology that does not exist is refused", json!({ "topology": "Mesh" }))
            .refused("supported values: \"PeerToPeer\", \"MediaServer\""),
        schema("an upgrade that does not exist is refused", json!({ "capacity": { "upgrade": "Always" } }))
            .refused("supported values: \"Never\", \"MediaServer\""),
        schema("signaling at the media node is refused", json!({ "signaling": { "mode": "Direct" } }))
            .refused("supported values: \"Gateway\""),
        schema(
            "relays always, of some pools, are taken",
            json!({ "relay": { "policy": "Always", "poolSelector": { "matchLabels": { "tier": "gold" } } } }),
        ),
        schema("null equals omitted in relay", json!({ "relay": { "policy": null, "poolSelector": null } })),
        schema("a relay policy that does not exist is refused", json!({ "relay": { "policy": "Sometimes" } }))
            .refused("Fallback"),
        schema("the lowest bit rate is taken", json!({ "media": { "maxBitrateKbps": 30 } })),
        schema("a bit rate below the lowest is refused", json!({ "media": { "maxBitrateKbps": 29 } }))
            .refused("greater than or equal to 30"),
        schema("10,000 participants are taken", json!({ "capacity": { "maxParticipants": 10_000 } })),
        schema("no participants at all are refused", json!({ "capacity": { "maxParticipants": 0 } }))
            .refused("greater than or equal to 1"),
        schema("10,001 participants are refused", json!({ "capacity": { "maxParticipants": 10_001 } }))
            .refused("less than or equal to 10000"),
        schema(
            "a region is expected once",
            json!({ "placement": { "expected": [
                { "region": "eu-west", "participants": 1 },
                { "region": "eu-west", "participants": 2 },
            ] } }),
        )
        .refused("Duplicate value"),
        schema("a region is allowed once", json!({ "placement": { "allowedRegions": ["eu-west", "eu-west"] } }))
            .refused("Duplicate value"),
        schema(
            "regions without blanks are taken",
            json!({ "placement": { "allowedRegions": ["eu-west", "us_east.1"] } }),
        ),
        schema("a region with a blank is refused", json!({ "placement": { "allowedRegions": ["eu west"] } }))
            .refused("should match"),
        schema("a binding that does not exist is refused", json!({ "placement": { "binding": "Never" } }))
            .refused("WaitForFirstParticipant"),
        schema("a strategy that does not exist is refused", json!({ "placement": { "strategy": "Random" } }))
            .refused("Packed"),
        schema(
            "every strategy is taken",
            json!({ "placement": { "strategy": "Spread", "binding": "WaitForFirstParticipant" } }),
        ),
    ]
}

fn lifecycles() -> Vec<Case> {
    const LONGEST: i32 = 31_536_000;
    vec![
        schema("an empty timeout of a second is taken", lifecycle("emptyTimeoutSeconds", 1)),
        schema("an empty timeout of nothing is refused", lifecycle("emptyTimeoutSeconds", 0))
            .refused("spec.lifecycle.emptyTimeoutSeconds"),
        schema("a departure timeout of a second is taken", lifecycle("departureTimeoutSeconds", 1)),
        schema("a departure timeout of nothing is refused", lifecycle("departureTimeoutSeconds", 0))
            .refused("spec.lifecycle.departureTimeoutSeconds"),
        schema("a longest duration of a year is taken", lifecycle("maxDurationSeconds", LONGEST)),
        schema("a longest duration of more than a year is refused", lifecycle("maxDurationSeconds", LONGEST + 1))
            .refused("spec.lifecycle.maxDurationSeconds"),
        schema("an ended room may be kept for a year", lifecycle("ttlSecondsAfterEnded", LONGEST)),
        schema("an ended room is kept for a year at most", lifecycle("ttlSecondsAfterEnded", LONGEST + 1))
            .refused("spec.lifecycle.ttlSecondsAfterEnded"),
        schema(
            "null equals omitted in lifecycle",
            json!({ "lifecycle": { "emptyTimeoutSeconds": null, "ttlSecondsAfterEnded": null } }),
        ),
    ]
}
