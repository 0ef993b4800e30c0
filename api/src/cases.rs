//! A passing and a failing case for every rule of the CRDs: run against kube's local CEL in unit tests, and against a
//! real API server by the end-to-end tests, which also check that the message says what to change.

mod pool;
mod room;
mod turn;

use serde_json::{Value, json};

/// What kind of check refuses a failing case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// A CEL rule of ours: the message is ours too.
    Rule,
    /// Bounds, patterns, enumerations, list types: only a real API server checks them.
    Schema,
}

/// Which kind of resource a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Room.
    Room,
    /// RelayPool.
    RelayPool,
}

/// One case: create `before` if it is set, then apply `object`.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is shown, as a sentence.
    pub name: &'static str,
    /// Kind of both objects.
    pub kind: Kind,
    /// What was there before; unset: `object` is created.
    pub before: Option<Value>,
    /// The object, without a namespace.
    pub object: Value,
    /// Which kind of check is exercised.
    pub check: Check,
    /// Part of the message of the refusal; unset: it is taken.
    pub refused: Option<&'static str>,
}

/// All cases.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut cases = room::cases();
    cases.extend(pool::cases());
    cases.extend(turn::cases());
    cases
}

impl Case {
    fn new(kind: Kind, check: Check, name: &'static str, spec: Value) -> Self {
        let mut object = kind.base();
        merge(&mut object, json!({ "spec": spec }));
        Self { name, kind, before: None, object, check, refused: None }
    }

    fn named(mut self, metadata_name: &str) -> Self {
        merge(&mut self.object, json!({ "metadata": { "name": metadata_name } }));
        self
    }

    fn after(mut self, spec: Value) -> Self {
        let mut before = self.kind.base();
        merge(&mut before, json!({ "spec": spec }));
        self.before = Some(before);
        self
    }

    fn refused(mut self, message: &'static str) -> Self {
        self.refused = Some(message);
        self
    }
}

impl Kind {
    fn base(self) -> Value {
        match self {
            Self::Room => json!({
                "apiVersion": "rtc.plenum.dev/v1alpha1",
                "kind": "Room",
                "metadata": { "name": "case" },
                "spec": { "topology": "MediaServer" },
            }),
            Self::RelayPool => json!({
                "apiVersion": "rtc.plenum.dev/v1alpha1",
                "kind": "RelayPool",
                "metadata": { "name": "case" },
                "spec": { "role": "Media", "region": "eu-west", "replicas": 0 },
            }),
        }
    }
}

/// JSON merge (RFC 7386), but `null` stays: a case may be about `null`.
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::cel::Validator;
    use std::collections::BTreeSet;

    fn schema_of(kind: Kind) -> Value {
        let name = format!("{kind:?}");
        let crd = crate::crds().into_iter().find(|crd| crd.spec.names.kind == name).unwrap();
        serde_json::to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap()
    }

    /// As the API server does: a default may have defaults inside (kube's own defaulting stops at the first).
    fn defaulted(schema: &Value, mut value: Value) -> Value {
        for (name, child) in schema["properties"].as_object().into_iter().flatten() {
            let Some(object) = value.as_object_mut() else { break };
            if let Some(inner) = object.remove(name).or_else(|| child.get("default").cloned()) {
                object.insert(name.clone(), defaulted(child, inner));
            }
        }
        value
    }

    fn messages(schema: &Value, found: &mut BTreeSet<String>) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            found.insert(rule["message"].as_str().unwrap().to_owned());
        }
        for child in schema["properties"].as_object().into_iter().flat_map(|map| map.values()) {
            messages(child, found);
        }
        if schema["items"].is_object() {
            messages(&schema["items"], found);
        }
    }

    #[test]
    fn every_case_of_a_rule_ends_as_it_says() {
        for case in all().into_iter().filter(|case| case.check == Check::Rule) {
            let schema = schema_of(case.kind);
            let object = defaulted(&schema, case.object);
            let before = case.before.map(|before| defaulted(&schema, before));
            let outcome = Validator::new().validate(&schema, &object, before.as_ref());
            match (outcome, case.refused) {
                (Ok(()), None) => {}
                (Ok(()), Some(message)) => panic!("{}: taken, but should say {message:?}", case.name),
                (Err(errors), None) => panic!("{}: {errors:?}", case.name),
                (Err(errors), Some(message)) => {
                    assert!(errors.iter().any(|error| error.message.contains(message)), "{}: {errors:?}", case.name);
                }
            }
        }
    }

    #[test]
    fn every_rule_has_a_case_that_fails_by_it() {
        let mut rules = BTreeSet::new();
        messages(&schema_of(Kind::Room), &mut rules);
        messages(&schema_of(Kind::RelayPool), &mut rules);
        let refusals: Vec<&str> = all().iter().filter_map(|case| case.refused).collect();
        for rule in rules {
            assert!(refusals.iter().any(|part| rule.contains(part)), "no failing case for {rule:?}");
        }
    }

    #[test]
    fn every_passing_case_deserialises() {
        for case in all().into_iter().filter(|case| case.refused.is_none()) {
            // The API server removes nulls before we read them.
            let object = without_nulls(case.object);
            match case.kind {
                Kind::Room => drop(serde_json::from_value::<crate::Room>(object).expect(case.name)),
                Kind::RelayPool => drop(serde_json::from_value::<crate::RelayPool>(object).expect(case.name)),
            }
        }
    }

    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Object(map) => Value::Object(
                map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
            ),
            other => other,
        }
    }
}
