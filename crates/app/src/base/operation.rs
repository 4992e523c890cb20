use authz::Action;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use web::FieldName;

/// An action that an API client can get as a scope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) action: &'static str,
    /// The label that people see.
    pub(crate) label: &'static str,
}

impl Scope {
    pub(crate) const fn of<A: Action>(label: &'static str) -> Self {
        Self { action: A::NAME, label }
    }
}

/// A schema of JSON Schema 2020-12, as `OpenAPI` 3.1 requires.
pub(crate) type Schema = fn() -> Value;

/// A response header and its description.
pub(crate) type Header = (&'static str, &'static str);

/// The description of an API route, beside its handler. Path, method and scope come from the table of routes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    /// A summary in a few words.
    pub(crate) summary: &'static str,
    /// Further information that a caller needs.
    pub(crate) description: &'static str,
    /// The schema of the query: an object whose members are the parameters.
    pub(crate) query: Option<Schema>,
    /// The request body: media type and schema.
    pub(crate) request_body: Option<(&'static str, Schema)>,
    /// The response on success: status, body, headers.
    pub(crate) success: (u16, Option<Schema>, &'static [Header]),
    /// Refusals in addition to those of every route of its kind: status, reason, and the body if it is not a problem
    /// document.
    pub(crate) error_responses: &'static [(u16, &'static str, Option<Schema>)],
}

impl Operation {
    /// The defaults. Most operations change only a few of them.
    pub(crate) const DEFAULT: Self = Self {
        summary: "",
        description: "",
        query: None,
        request_body: None,
        success: (200, None, &[]),
        error_responses: &[],
    };
}

/// Returns the schema of a request body that is deserialized into `T`.
pub(crate) fn request_schema<T: JsonSchema>() -> Value {
    schema::<T>(SchemaSettings::draft2020_12())
}

/// Returns the schema of a response body that is serialized from `T`.
pub(crate) fn response_schema<T: JsonSchema>() -> Value {
    schema::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn schema<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let settings = settings.with(|settings| {
        // References of a schema would be resolved against the whole document.
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    anonymous(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        // The doc comment of a type is for developers of this project. Operations have their own descriptions.
        object.remove("description");
    }
    schema
}

/// Removes the names of our types, which callers do not need.
fn anonymous(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.get("title").is_some_and(Value::is_string) {
        object.remove("title");
    }
    for (key, value) in object {
        match (&**key, value) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(anonymous),
            ("items", value) => anonymous(value),
            ("anyOf" | "oneOf" | "allOf", Value::Array(all)) => all.iter_mut().for_each(anonymous),
            _ => {}
        }
    }
}

/// Returns the schema of a form with this field required.
pub(crate) fn requiring(mut schema: Value, name: FieldName) -> Value {
    let name = name.as_str();
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.push(name.into());
    }
    if let Some(property) = schema.pointer_mut(&format!("/properties/{name}")) {
        not_null(property);
    }
    schema
}

/// Returns the schema of a form without this field.
pub(crate) fn without(mut schema: Value, name: FieldName) -> Value {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove(name.as_str());
    }
    schema
}

/// Removes `null` from the types. Whether the value may be missing is described elsewhere.
pub(crate) fn not_null(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let Some(Value::Array(kinds)) = object.get("type") else { return };
    let kind = kinds.iter().find(|kind| *kind != "null").cloned();
    object.extend(kind.map(|kind| ("type".to_owned(), kind)));
}

/// Returns the members of an object schema: name, whether it is required, and its own schema.
pub(crate) fn members(schema: &Value) -> Vec<(String, bool, Map<String, Value>)> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, property)| {
            let mut property = property.clone();
            not_null(&mut property);
            let property = property.as_object().cloned().unwrap_or_default();
            (name.clone(), required.contains(&&**name), property)
        })
        .collect()
}
