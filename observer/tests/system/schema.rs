//! docs/schema.json, against which every document that a test gets is held.
//!
//! The file is what is published; a unit test holds it against what the program prints.

use std::sync::LazyLock;

use anyhow::{Context, anyhow, ensure};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::{Need, Outcome, Test};

static REPORT: LazyLock<Validator> = LazyLock::new(|| validator("Report"));
static EVENT: LazyLock<Validator> = LazyLock::new(|| validator("Event"));
static CONNECTION: LazyLock<Validator> = LazyLock::new(|| validator("Connection"));
static RECORDING: LazyLock<Validator> = LazyLock::new(|| validator("RecordingHeader"));
static COMPARISON: LazyLock<Validator> = LazyLock::new(|| validator("Comparison"));
static LISTENERS: LazyLock<Validator> = LazyLock::new(|| validator("ListenerList"));

pub fn tests() -> Vec<Test> {
    vec![Test::new("schema::is_no_sieve", Need::Nothing, is_strict)]
}

/// A report in a line of JSON.
pub fn parse_report(line: &str) -> anyhow::Result<Value> {
    parse(line, &REPORT)
}

/// An event in a line of JSON.
pub fn parse_event(line: &str) -> anyhow::Result<Value> {
    parse(line, &EVENT)
}

/// The story of a connection in a line of JSON.
pub fn parse_connection(line: &str) -> anyhow::Result<Value> {
    parse(line, &CONNECTION)
}

/// The first line of a recording.
pub fn parse_header(line: &str) -> anyhow::Result<Value> {
    parse(line, &RECORDING)
}

/// What `observer report --against --format json` printed.
pub fn parse_comparison(text: &str) -> anyhow::Result<Value> {
    parse(text, &COMPARISON)
}

/// What `observer listeners --format json` printed.
pub fn parse_listeners(text: &str) -> anyhow::Result<Value> {
    parse(text, &LISTENERS)
}

fn parse(text: &str, schema: &Validator) -> anyhow::Result<Value> {
    let document = serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))?;
    if let Some(error) = schema.iter_errors(&document).next() {
        return Err(anyhow!("not as docs/schema.json says: {}: {error}", error.instance_path()));
    }
    Ok(document)
}

/// For documents of this type, without fields that the schema does not know.
fn validator(name: &str) -> Validator {
    let text = include_str!("../../../docs/schema.json");
    let whole: Value = serde_json::from_str(text).expect("docs/schema.json is JSON");
    let mut types = whole["$defs"].clone();
    types.as_object_mut().into_iter().flatten().for_each(|(_, one)| close(one));
    let schema = json!({"$ref": format!("#/$defs/{name}"), "$defs": types});
    jsonschema::validator_for(&schema).expect("docs/schema.json is a schema")
}

/// Readers take fields that they do not know; a test does not, so that none is without a description.
fn close(of: &mut Value) {
    if of["properties"].is_object() {
        of["unevaluatedProperties"] = Value::Bool(false);
    }
}

/// A field that is missing, of another type or unknown is an error.
fn is_strict() -> Outcome {
    let known = json!({"le": 1, "count": 2});
    let bucket = validator("Bucket");
    ensure!(bucket.is_valid(&known), "{known}");
    for (field, value) in [("le", json!("1")), ("count", Value::Null), ("other", json!(1))] {
        let mut changed = known.clone();
        changed[field] = value;
        ensure!(!bucket.is_valid(&changed), "{changed}");
    }
    ensure!(!bucket.is_valid(&json!({"le": 1})), "a field that is missing");
    let report = json!({"schema_version": 1});
    ensure!(parse_report(&report.to_string()).is_err(), "{report}");
    Ok(())
}
