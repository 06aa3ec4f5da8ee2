//! The parts that a schema is put together from.

use serde_json::{Map, Value, json};

use crate::words::Word;

/// A number in a string, or a range of them.
const RANGE: &str = "^\\s*(0[xX])?[0-9a-fA-F_]+(\\s*-\\s*(0[xX])?[0-9a-fA-F_]+)?\\s*$";

/// A table with these keys and no others.
pub(super) fn table(properties: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> = properties
        .iter()
        .map(|(key, schema)| ((*key).to_owned(), schema.clone()))
        .collect();
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The same with a description. Draft 7 ignores what stands beside a reference, and Taplo what
/// stands beside `allOf`.
pub(super) fn described(description: &str, schema: Value) -> Value {
    let mut schema = if schema.get("$ref").is_some() {
        json!({ "anyOf": [schema] })
    } else {
        schema
    };
    schema["description"] = description.into();
    schema
}

pub(super) fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{definition}") })
}

pub(super) fn any(schemas: &[Value]) -> Value {
    json!({ "anyOf": schemas })
}

pub(super) fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// A number, or a range in a string.
pub(super) fn range() -> Value {
    any(&[json!({ "type": "integer", "minimum": 0 }), pattern(RANGE)])
}

/// A name or a list of names.
pub(super) fn names() -> Value {
    let name = json!({ "type": "string" });
    any(&[name.clone(), json!({ "type": "array", "items": name })])
}

pub(super) fn words<W: Word>() -> Value {
    choice(W::ALL.iter().map(|word| (word.name(), word.meaning())))
}

/// One of some words; Taplo shows the meaning of each.
pub(super) fn choice<'w>(words: impl Iterator<Item = (&'w str, &'w str)>) -> Value {
    let (words, meanings): (Vec<&str>, Vec<&str>) = words.unzip();
    json!({
        "type": "string",
        "enum": words,
        "x-taplo": { "docs": { "enumValues": meanings } },
    })
}
