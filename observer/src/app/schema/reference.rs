//! Reference of the JSON for people, in Markdown: a section for each type of the schema.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use observer::schema::ROOTS;

const HEAD: &str = "\
# The JSON of observer

Made from the doc comments of the model by `observer schema --format markdown`; not written by hand.
[schema.json](schema.json) (`observer schema`) says the same to programs, in JSON Schema.

Every document is one object on one line (NDJSON). Times are nanoseconds unless a field says otherwise,
counts are unsigned integers. **What is not known is `null`**, never 0 and never an empty list. A field is
always there unless its type says *optional*. Fields are added within a `schema_version`: take those that
you do not know.
";

/// The page on a schema that has all its types in `$defs`.
pub fn page(schema: &Value) -> String {
    let mut page = Page { text: HEAD.to_owned(), schema, named: Vec::new() };
    for root in &ROOTS {
        let name = root.type_name();
        if schema["$defs"].get(&name).is_none() {
            continue;
        }
        // Events have no command of their own.
        let code = if root.command.contains(' ') { "`" } else { "" };
        page.line(&format!("\n## {code}{}{code}\n", root.command));
        page.line(&format!("Each document is of the type {}.", link(&name)));
        page.named.push(name.clone());
        page.section(&name);
    }
    page.text
}

struct Page<'a> {
    text: String,
    schema: &'a Value,
    /// Types that have a section or will have one.
    named: Vec<String>,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        // Writing to a string does not fail.
        let _: std::fmt::Result = writeln!(self.text, "{line}");
    }

    /// The section of a type, followed by those of the types that it is the first to name.
    fn section(&mut self, name: &str) {
        let so_far = self.named.len();
        self.section_alone(name);
        for name in self.named.split_off(so_far) {
            if !self.named.contains(&name) {
                self.named.push(name.clone());
                self.section(&name);
            }
        }
    }

    fn section_alone(&mut self, name: &str) {
        let of = &self.schema["$defs"][name];
        self.line(&format!("\n### {name}\n\n{}", description(of)));
        self.fields(of);
        let variants = ["oneOf", "anyOf"].iter().find_map(|key| of[*key].as_array());
        let Some(variants) = variants.map(Vec::as_slice) else {
            if let Some(values) = of["enum"].as_array() {
                self.values(values.iter().map(|value| (value, String::new())));
            }
            return;
        };
        // Unit variants with a doc comment have a value each; those without share one.
        let plain = variants.iter().flat_map(|one| match (one.get("const"), &one["enum"]) {
            (Some(value), _) => vec![(value, description(one))],
            (None, Value::Array(all)) => all.iter().map(|one| (one, String::new())).collect(),
            _ => Vec::new(),
        });
        self.values(plain);
        for one in variants.iter().filter(|one| one["properties"].is_object()) {
            let tag = properties(one).find_map(|(field, of)| Some((field, of.get("const")?)));
            if let Some((field, value)) = tag {
                self.line(&format!("\n#### `{field}`: `{}`", bare(value)));
            }
            self.line(&format!("\n{}", description(one)));
            self.fields(one);
        }
    }

    /// The table of an object's fields, in the order of the model: optional ones come last.
    fn fields(&mut self, of: &Value) {
        let required: Vec<&str> =
            of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields: Vec<_> = properties(of).collect();
        if fields.is_empty() {
            return;
        }
        let place = |name: &str| required.iter().position(|one| *one == name);
        fields.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
        self.line("\n| field | type | meaning |\n| --- | --- | --- |");
        for (name, field) in fields {
            let optional = if place(name).is_none() { "optional " } else { "" };
            let kind = self.kind(field);
            self.line(&format!("| `{name}` | {optional}{kind} | {} |", cell(&description(field))));
        }
    }

    fn values<'b>(&mut self, values: impl Iterator<Item = (&'b Value, String)>) {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return;
        }
        self.line("\n| value | meaning |\n| --- | --- |");
        for (value, meaning) in values {
            self.line(&format!("| `{}` | {} |", bare(value), cell(&meaning)));
        }
    }

    /// The type of a field, in words.
    fn kind(&mut self, of: &Value) -> String {
        if let Some(value) = of.get("const") {
            return format!("`{}`", bare(value));
        }
        if let Some(path) = of["$ref"].as_str() {
            let name = path.rsplit('/').next().unwrap_or(path);
            self.named.push(name.to_owned());
            return link(name);
        }
        if let Some(any) = of["anyOf"].as_array() {
            let kinds: Vec<_> = any.iter().map(|one| self.kind(one)).collect();
            return kinds.join(" or ");
        }
        let kinds = match &of["type"] {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect::<Vec<_>>(),
        };
        let words: Vec<_> = kinds.into_iter().map(|kind| self.word(kind, of)).collect();
        words.join(" or ")
    }

    fn word(&mut self, kind: &str, of: &Value) -> String {
        match kind {
            "null" => "`null`".to_owned(),
            "array" => format!("array of {}", self.kind(&of["items"])),
            "object" if of["additionalProperties"].is_object() => {
                format!("map from string to {}", self.kind(&of["additionalProperties"]))
            }
            other => other.to_owned(),
        }
    }
}

fn properties(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of["properties"].as_object().into_iter().flat_map(Map::iter)
}

fn description(of: &Value) -> String {
    of["description"].as_str().unwrap_or_default().to_owned()
}

fn link(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}

/// A value without the quotation marks of a string.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A description that does not end the cell it stands in.
fn cell(text: &str) -> String {
    text.replace("\n\n", "<br>").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::page;

    #[test]
    fn fields_say_what_they_are_and_whether_they_are_always_there() {
        let event = json!({"description": "Event.", "type": "object",
            "properties": {"time": {"type": "string", "description": "Time."}}, "required": ["time"],
            "oneOf": [{"description": "Accepted.", "type": "object", "required": ["kind", "wait"],
                "properties": {"kind": {"const": "accepted"},
                    "wait": {"type": ["integer", "null"], "description": "A | B."}}}]});
        let report = json!({"description": "Report.", "type": "object",
            "required": ["b", "a", "events"], "properties": {
                "a": {"anyOf": [{"$ref": "#/$defs/Kind"}, {"type": "null"}], "description": "A."},
                "b": {"type": "object", "additionalProperties": {"type": "integer"}},
                "c": {"type": "number", "description": "C."},
                "events": {"type": "array", "items": {"$ref": "#/$defs/Event"}}}});
        let kind = json!({"description": "Kind.",
            "oneOf": [{"const": "one", "type": "string", "description": "The first."}]});
        let text = page(&json!({"$defs": {"Report": report, "Event": event, "Kind": kind}}));
        for line in [
            "| `b` | map from string to integer |  |",
            "| `a` | [Kind](#kind) or `null` | A. |",
            "| `c` | optional number | C. |",
            "| `events` | array of [Event](#event) |  |",
            "| `one` | The first. |",
            "| `time` | string | Time. |",
            "#### `kind`: `accepted`",
            "| `wait` | integer or `null` | A \\| B. |",
        ] {
            assert!(text.lines().any(|one| one == line), "no {line}: {text}");
        }
        let places = ["`b`", "`a`", "`events`", "`c`"].map(|name| text.find(&format!("| {name}")));
        assert!(places.is_sorted() && places[0].is_some(), "{text}");
    }
}
