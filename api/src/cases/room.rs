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

pub(super) fn cases() -> Vec<Case> {
    let mut cases = rules();
    cases.extend(schemas());
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

fn schemas() -> Vec<Case> {
    vec![
        schema(
            "null equals omitted",
            json!({ "signaling": null, "media": { "maxBitrateKbps": null, "poolSelector": null }, "placement": { "allowedRegions": null } }),
        ),
        schema("a topology that this version does not run is refused", json!({ "topology": "PeerToPeer" }))
            .refused("supported values: \"MediaServer\""),
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
