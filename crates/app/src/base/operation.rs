use authz::Action;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use web::FieldName;

/// An action that an API client can be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) action: &'static str,
    /// What a person reads for it.
    pub(crate) label: &'static str,
}

impl Scope {
    pub(crate) const fn of<A: Action>(label: &'static str) -> Self {
        Self { action: A::NAME, label }
    }
}

/// A schema of JSON Schema 2020-12, which is what `OpenAPI` 3.1 wants.
pub(crate) type Schema = fn() -> Value;

/// A header of an answer, and what it says.
pub(crate) type Header = (&'static str, &'static str);

/// What a route of the API says of itself, beside its handler. Path, method and scope come from the table of routes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    /// What it does, in a few words.
    pub(crate) summary: &'static str,
    /// What a caller has to know besides.
    pub(crate) description: &'static str,
    /// The query it reads: an object, of which each member is a parameter.
    pub(crate) query: Option<Schema>,
    /// The body it takes: media type and schema.
    pub(crate) takes: Option<(&'static str, Schema)>,
    /// Its answer where all is well: status, body, headers.
    pub(crate) answers: (u16, Option<Schema>, &'static [Header]),
    /// Refusals besides those of every route of its kind: status, reason, and the body where that is no problem document.
    pub(crate) refuses: &'static [(u16, &'static str, Option<Schema>)],
}

impl Operation {
    /// What most have in common.
    pub(crate) const NONE: Self =
        Self { summary: "", description: "", query: None, takes: None, answers: (200, None, &[]), refuses: &[] };
}

/// The schema of what is read into a `T`.
pub(crate) fn request_schema<T: JsonSchema>() -> Value {
    schema::<T>(SchemaSettings::draft2020_12())
}

/// The schema of what a `T` is written as.
pub(crate) fn answer_schema<T: JsonSchema>() -> Value {
    schema::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn schema<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let settings = settings.with(|settings| {
        // References of a schema would be read as references of the whole document.
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    anonymous(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        // The description of a type is for developers of this project. Operations have their own.
        object.remove("description");
    }
    schema
}

/// Without the names of our types, which are nobody's business.
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

/// The same schema of a form, in which this field is required.
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

/// The same schema of a form, without this field.
pub(crate) fn without(mut schema: Value, name: FieldName) -> Value {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove(name.as_str());
    }
    schema
}

/// Whether it is there is said elsewhere, so it is never null.
pub(crate) fn not_null(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let Some(Value::Array(kinds)) = object.get("type") else { return };
    let kind = kinds.iter().find(|kind| *kind != "null").cloned();
    object.extend(kind.map(|kind| ("type".to_owned(), kind)));
}

/// The members of an object of a schema: name, whether it has to be there, and its own schema.
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
