//! The schema of a form for the description of the API.

use serde_json::{Map, Value, json};

use super::FormFields;
use crate::{Control, FieldSpec, Presence};

/// Returns the schema of what a program sends for the form `F` (JSON Schema 2020-12). Sensitive fields are left out.
#[must_use]
pub fn schema_of_form<F: FormFields>() -> Value {
    let fields = || F::FIELDS.iter().filter(|field| !field.sensitive);
    let required: Vec<&str> =
        fields().filter(|field| field.presence == Presence::Required).map(|field| field.name.as_str()).collect();
    let properties: Map<String, Value> =
        fields().map(|field| (field.name.as_str().to_owned(), schema_of(field))).collect();
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn schema_of(field: &FieldSpec) -> Value {
    let mut schema = match field.control {
        _ if field.number => json!({ "type": "integer", "format": "int64" }),
        Control::Checkboxes => json!({ "type": "array", "items": { "type": "string" } }),
        _ => json!({ "type": "string" }),
    };
    if field.min > 0 {
        schema["minLength"] = field.min.into();
    }
    if field.max > 0 {
        schema["maxLength"] = field.max.into();
    }
    if !field.choices.is_empty() {
        schema["enum"] = field.choices.iter().map(|choice| choice.key).collect();
    }
    if !field.hint.is_empty() {
        schema["description"] = field.hint.into();
    }
    schema
}
