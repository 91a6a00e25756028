//! JSON Schema of what observer writes, made from the model and its doc comments.
//!
//! It describes documents as they are written: a field that is always there is `required`, also where its
//! value may be `null`. Readers must take fields that they do not know, so no object is closed.

use schemars::{
    JsonSchema, Schema, SchemaGenerator,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform as _},
};
use serde_json::{Map, Value, json};

use crate::model::{Comparison, Connection, Event, ListenerList, RecordingHeader, Report};

/// Kind of JSON document that observer writes.
pub struct Root {
    /// Name on the command line of `observer schema`.
    pub name: &'static str,
    /// Command that writes such documents.
    pub command: &'static str,
    /// Name of its type in `$defs`.
    type_name: fn() -> String,
    /// Reference to its type, which is thereby among the generator's definitions.
    refer: fn(&mut SchemaGenerator) -> Schema,
}

/// All kinds of documents: one row each.
pub const ROOTS: [Root; 6] = [
    Root::of::<Report>("report", "observer --format json"),
    Root::of::<Event>("event", "Events"),
    Root::of::<Connection>("connection", "observer trace --connection --format json"),
    Root::of::<ListenerList>("listeners", "observer listeners --format json"),
    Root::of::<RecordingHeader>("recording", "observer record"),
    Root::of::<Comparison>("comparison", "observer report --against --format json"),
];

impl Root {
    const fn of<T: JsonSchema>(name: &'static str, command: &'static str) -> Self {
        Self {
            name,
            command,
            type_name: || T::schema_name().into_owned(),
            refer: SchemaGenerator::subschema_for::<T>,
        }
    }

    /// Name of its type in the schema's `$defs`.
    #[must_use]
    pub fn type_name(&self) -> String {
        (self.type_name)()
    }
}

/// Names of the kinds of documents.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROOTS.iter().map(|root| root.name)
}

/// Schema of all kinds of documents, or of the one that is called `name`; `None` where none is.
#[must_use]
pub fn document(name: Option<&str>) -> Option<Value> {
    let chosen = ROOTS.iter().filter(|root| name.is_none_or(|name| root.name == name));
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut references: Vec<Schema> = chosen.map(|root| (root.refer)(&mut generator)).collect();
    let mut document = Map::from_iter([
        ("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema")),
        ("title".to_owned(), json!("JSON of observer")),
    ]);
    match references.len() {
        0 => return None,
        1 => document.extend(references.remove(0).ensure_object().clone()),
        _ => {
            document.insert("oneOf".to_owned(), json!(references));
        }
    }
    document.insert("$defs".to_owned(), Value::Object(generator.take_definitions(true)));
    let mut schema = Schema::from(document);
    RecursiveTransform(tidy).transform(&mut schema);
    Some(schema.to_value())
}

/// Joins the lines of each paragraph of a doc comment, and leaves out what observer never writes.
fn tidy(schema: &mut Schema) {
    // Defaults are those of reading older reports; observer writes the field.
    schema.remove("default");
    // A field that may be missing is missing where it would be `null`.
    let required = schema.get("required").cloned().unwrap_or_else(|| json!([]));
    for (name, field) in
        schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
    {
        if required.as_array().is_some_and(|all| !all.contains(&json!(name)))
            && let Some(Value::Array(kinds)) = field.get_mut("type")
        {
            kinds.retain(|kind| kind != "null");
        }
    }
    let Some(Value::String(text)) = schema.get_mut("description") else { return };
    let paragraphs: Vec<_> = text.split("\n\n").map(|one| one.replace('\n', " ")).collect();
    *text = paragraphs.join("\n\n");
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{ROOTS, document};

    fn all() -> Value {
        document(None).expect("there are kinds of documents")
    }

    fn required(of: &str) -> Vec<String> {
        serde_json::from_value(all()["$defs"][of]["required"].clone()).expect("names")
    }

    #[test]
    fn each_kind_is_there_and_alone() {
        let all = all();
        let roots = all["oneOf"].as_array().expect("oneOf");
        assert_eq!(roots.len(), ROOTS.len());
        for (root, reference) in ROOTS.iter().zip(roots) {
            let path = format!("#/$defs/{}", root.type_name());
            assert_eq!(reference["$ref"], *path);
            let alone = document(Some(root.name)).expect("it is one of them");
            assert_eq!(alone["$ref"], *path);
            assert!(alone["$defs"][root.type_name()].is_object() && alone.get("oneOf").is_none());
        }
        assert_eq!(document(Some("nothing")), None);
    }

    #[test]
    fn what_is_always_written_is_required_and_may_be_null() {
        let listener = required("Listener");
        assert_eq!(listener[..3], ["netns", "cookie", "inode"], "in the order of the model");
        // Fields that older reports lack are written all the same.
        assert!(listener.contains(&"incomplete".to_owned()), "{listener:?}");
        assert!(required("AcceptQueue").contains(&"used_percent".to_owned()));
        let cookie = &all()["$defs"]["Listener"]["properties"]["cookie"];
        assert_eq!(cookie["type"], serde_json::json!(["integer", "null"]));
        // What is left out where there is none of it is not.
        assert!(!required("Drops").contains(&"at_most".to_owned()));
        let most = &all()["$defs"]["Drops"]["properties"]["at_most"];
        assert_eq!(most["type"], serde_json::json!(["integer"]));
        assert!(!all().to_string().contains("\"default\""));
    }

    #[test]
    fn every_type_and_field_is_described_in_words_that_stand_alone() {
        for (name, of) in all()["$defs"].as_object().expect("types") {
            assert!(of["description"].is_string(), "{name}");
            for (field, of) in of["properties"].as_object().into_iter().flatten() {
                let said = of["description"].as_str().unwrap_or_default();
                assert!(said.ends_with('.'), "{name}.{field}: {said}");
                assert!(!said.contains("[`") && !said.contains('\n'), "{name}.{field}: {said}");
            }
        }
    }
}
