//! Every document in `examples/` is what the types say, with no field that they would drop. (That the API server takes
//! them is shown on a cluster.)

use plenum_api::{RelayPool, Room};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn every_example_is_what_the_types_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for document in serde_yaml::Deserializer::from_str(&text) {
            seen += 1;
            let value = Value::deserialize(document).unwrap();
            assert_eq!(faithful(&value), Ok(()), "{}", path.display());
        }
    }
    assert!(seen >= 5, "examples/ has {seen} documents");
}

#[test]
fn a_field_that_would_be_dropped_is_named() {
    let room = json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "Room", "metadata": {"name": "x"},
        "spec": {"topology": "MediaServer", "capacity": {"maxPeople": 3}},
    });
    let refusal = faithful(&room).unwrap_err();
    assert!(refusal.contains("maxPeople"), "{refusal}");
}

#[test]
fn a_kind_of_somebody_else_is_refused() {
    assert!(faithful(&json!({"kind": "Deployment"})).is_err());
}

fn faithful(document: &Value) -> Result<(), String> {
    match document.get("kind").and_then(Value::as_str) {
        Some("Room") => round_trip::<Room>(document),
        Some("RelayPool") => round_trip::<RelayPool>(document),
        Some(kind) => Err(format!("kind {kind} is not one of Plenum's")),
        None => Err("a document has no kind".to_owned()),
    }
}

fn round_trip<T: DeserializeOwned + Serialize>(document: &Value) -> Result<(), String> {
    let typed: T = serde_json::from_value(document.clone()).map_err(|error| error.to_string())?;
    let back = serde_json::to_value(typed).map_err(|error| error.to_string())?;
    missing(document, &back, String::new()).map_or(Ok(()), |path| Err(format!("the API type has no field {path}")))
}

/// The first path of `wanted` that `got` does not have with the same value.
fn missing(wanted: &Value, got: &Value, path: String) -> Option<String> {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => wanted.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match got.get(key) {
                Some(found) => missing(value, found, path),
                None => Some(path),
            }
        }),
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            wanted.iter().zip(got).enumerate().find_map(|(index, (a, b))| missing(a, b, format!("{path}[{index}]")))
        }
        (wanted, got) => (wanted != got).then_some(path),
    }
}
