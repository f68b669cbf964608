//! The description of the API, held against a golden file.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::collections::BTreeSet;
use std::path::Path;

use mayfly_api::{Access, ROUTES};
use serde_json::{Value, json};

fn description() -> Value {
    serde_json::to_value(mayfly_api::openapi()).unwrap()
}

/// Whoever changes the API sees here what changes for its clients. `UPDATE_GOLDEN=1` writes the file anew.
#[test]
fn the_description_is_the_golden_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi.json");
    let made = serde_json::to_string_pretty(&description()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap();
    let differs = made.lines().zip(golden.lines()).position(|(made, golden)| made != golden);
    assert!(made == golden, "the API changed, first in line {differs:?}: look at it, then UPDATE_GOLDEN=1");
}

#[test]
fn every_route_is_described_once() {
    let description = description();
    assert_eq!(description["openapi"], "3.1.0");
    let described: BTreeSet<_> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let listed: BTreeSet<_> =
        ROUTES.iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    assert_eq!(described, listed);
    assert_eq!(listed.len(), ROUTES.len());
}

/// Every operation says what it is, who may call it and what can go wrong; every schema has an example somewhere.
#[test]
fn operations_are_complete() {
    let description = description();
    let mut ids = BTreeSet::new();
    for route in ROUTES {
        let operation = &description["paths"][route.path][route.method.to_lowercase()];
        let what = format!("{} {}", route.method, route.path);
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{what}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{what}");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{what}");
        let responses = operation["responses"].as_object().unwrap();
        for status in ["400", "500", "503"] {
            assert!(responses.contains_key(status), "{what}");
        }
        let asks = matches!(route.access, Access::Keys(_) | Access::Session);
        assert_eq!(operation["security"].as_array().is_some_and(|all| all[0] != json!({})), asks, "{what}");
        assert_eq!(operation["x-roles"].as_array().map(Vec::len), route.roles().map(<[_]>::len), "{what}");
        let parameters = operation["parameters"].as_array().unwrap();
        let keyed = parameters.iter().any(|it| it["name"] == "idempotency-key" && it["required"] == true);
        let has_no_key = matches!(route.access, Access::Stranger { once: false } | Access::Wallet);
        let ordered = route.method == "POST" && !has_no_key;
        assert_eq!(keyed, ordered, "{what}");
    }
    resolve(&description, &description);
}

/// Every reference leads somewhere.
fn resolve(description: &Value, value: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(description.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|value| resolve(description, value));
        }
        Value::Array(values) => values.iter().for_each(|value| resolve(description, value)),
        _ => {}
    }
}
