//! From the derived CRDs to those that are installed: the conventions that derive macros do not know.

use crate::{RelayPool, Room, schema};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

/// The CRDs as they are installed, by name.
///
/// # Panics
/// Never at run time: the input is fixed at build time, and a unit test runs it.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let room = schema::rule(
        "self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",
        "the name of a Room must be a DNS label: at most 63 characters, no dots",
    );
    let pool = schema::rule(
        "self.metadata.name.size() <= 48 && !self.metadata.name.contains('.')",
        "the name of a RelayPool is part of its pods' names: at most 48 characters, no dots",
    );
    vec![finish(RelayPool::crd(), pool), finish(Room::crd(), room)]
}

#[expect(clippy::expect_used, reason = "fixed input, run by a unit test")]
fn finish(crd: CustomResourceDefinition, rule: Value) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(crd).expect("a CRD is JSON");
    for version in value.pointer_mut("/spec/versions").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema").and_then(Value::as_object_mut) {
            walk(schema);
            schema.insert("x-kubernetes-validations".into(), json!([rule]));
        }
    }
    serde_json::from_value(value).expect("a CRD is made of a CRD")
}

/// `null` equals omitted: no `nullable`, no default of null. Parents default to `{}` and let their fields default themselves.
fn walk(schema: &mut Map<String, Value>) {
    schema.remove("nullable");
    let parent = schema.contains_key("properties");
    match schema.get("default") {
        Some(Value::Null) => {
            schema.remove("default");
        }
        Some(Value::Object(_)) if parent => {
            schema.insert("default".into(), json!({}));
        }
        _ => {}
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key).and_then(Value::as_object_mut) {
            walk(inner);
        }
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(|properties| properties.values_mut()) {
        if let Some(inner) = property.as_object_mut() {
            walk(inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(schema: &Value, path: &str, see: &mut impl FnMut(&str, &Value)) {
        see(path, schema);
        for (name, child) in schema["properties"].as_object().into_iter().flatten() {
            visit(child, &format!("{path}.{name}"), see);
        }
        for key in ["items", "additionalProperties"] {
            if schema[key].is_object() {
                visit(&schema[key], &format!("{path}[]"), see);
            }
        }
    }

    fn each(see: &mut impl FnMut(&str, &Value)) {
        for crd in crds() {
            let schema =
                serde_json::to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap();
            for part in ["spec", "status"] {
                visit(&schema["properties"][part], &format!("{}.{part}", crd.spec.names.kind), see);
            }
        }
    }

    #[test]
    fn null_equals_omitted_everywhere() {
        each(&mut |path, schema| {
            assert!(schema.get("nullable").is_none(), "{path} is nullable");
            assert_ne!(schema.get("default"), Some(&Value::Null), "{path} defaults to null");
        });
    }

    #[test]
    fn every_list_map_and_string_has_a_bound() {
        each(&mut |path, schema| match schema["type"].as_str() {
            Some("array") => {
                assert!(schema["maxItems"].is_number(), "{path} has no maxItems");
                assert!(schema["x-kubernetes-list-type"].is_string(), "{path} has no list type");
            }
            Some("object") if schema["additionalProperties"].is_object() => {
                assert!(schema["maxProperties"].is_number(), "{path} has no maxProperties");
            }
            Some("string") => {
                let bound =
                    schema["maxLength"].is_number() || schema["enum"].is_array() || schema["format"].is_string();
                assert!(bound, "{path} has no maxLength");
            }
            Some("integer") => assert!(schema["minimum"].is_number(), "{path} has no minimum"),
            _ => {}
        });
    }

    #[test]
    fn every_field_is_documented() {
        each(&mut |path, schema| {
            if !path.ends_with("[]") && path.matches('.').count() > 1 {
                assert!(schema["description"].is_string(), "{path} has no description");
            }
        });
    }

    #[test]
    fn optional_parents_of_a_spec_default_to_an_empty_object() {
        for crd in crds() {
            let schema =
                serde_json::to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap();
            visit(&schema["properties"]["spec"], "spec", &mut |path, schema| {
                // What is unset means something else than what is empty.
                let unset = ["namespaces.selector", ".turn", "SecretRef", "[].ports"];
                let optional = path == "spec" || path.ends_with("[]") || unset.iter().any(|end| path.ends_with(end));
                if schema["properties"].is_object() && !optional {
                    assert_eq!(schema["default"], json!({}), "{path}");
                }
            });
        }
    }

    #[test]
    fn no_rule_touches_replicas() {
        each(&mut |path, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                assert!(!rule["rule"].as_str().unwrap().contains("replicas"), "{path}");
            }
        });
    }

    #[test]
    fn a_pool_scales_by_its_status() {
        let pool = crds().into_iter().find(|crd| crd.spec.names.kind == "RelayPool").unwrap();
        let scale = pool.spec.versions[0].subresources.clone().unwrap().scale.unwrap();
        assert_eq!(scale.spec_replicas_path, ".spec.replicas");
        assert_eq!(scale.status_replicas_path, ".status.replicas");
        assert_eq!(scale.label_selector_path.as_deref(), Some(".status.selector"));
        assert_eq!(pool.spec.names.short_names, Some(vec!["rlp".to_owned()]));
        assert_eq!(pool.spec.names.categories, Some(vec!["plenum".to_owned()]));
    }
}
