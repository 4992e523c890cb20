//! The description of the API (`OpenAPI` 3.1), generated from the table of routes.

use authz::{Public, Route};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use std::sync::{Arc, OnceLock};
use tokens::Tokens;
use web::Json;

use super::endpoint::CACHE_HEADERS;
use crate::base::{Header, Operation, Registry, members};

pub(super) const DOCUMENT: Operation = Operation {
    summary: "This description",
    description: "OpenAPI 3.1. It changes only when the program does.",
    success: (200, Some(|| json!({ "type": "object" })), &[]),
    ..Operation::DEFAULT
};

pub(super) async fn document(
    public: Public,
    State(tokens): State<Tokens>,
    State(registry): State<Arc<Registry>>,
) -> impl IntoResponse {
    drop(public);
    let mut document = DESCRIPTION.get_or_init(|| describe(&registry)).clone();
    let issuer = tokens.issuer();
    document["servers"] = json!([{ "url": issuer }]);
    document["externalDocs"] =
        json!({ "url": format!("{issuer}{}", super::page::PATH), "description": "How to use it" });
    document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]["tokenUrl"] =
        format!("{issuer}{}", super::TOKEN).into();
    (CACHE_HEADERS, Json(document))
}

/// The document has thousands of values and is the same for every request, so it is built once.
static DESCRIPTION: OnceLock<Value> = OnceLock::new();

/// Builds the document without the addresses of this installation.
fn describe(registry: &Registry) -> Value {
    let mut paths = Map::new();
    for (row, operation) in &registry.operations {
        let path = paths.entry(row.path.clone()).or_insert_with(|| json!({}));
        path[row.method.to_ascii_lowercase()] = describe_one(row, operation);
    }
    let scopes: Map<_, _> = registry.scopes.iter().map(|scope| (scope.action.to_owned(), scope.label.into())).collect();
    let refusals: Map<_, _> =
        REFUSALS.iter().map(|refusal| (refusal.name.to_owned(), problem(refusal.text, refusal.headers))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast API",
            "version": "1",
            "summary": "What people do on the pages, for programs.",
            "description": "A client does what it was given (its scopes), as far as the role it acts in may.",
        },
        "paths": paths,
        "components": {
            "schemas": { "Problem": problem_schema() },
            "responses": refusals,
            "securitySchemes": {
                "oauth2": {
                    "type": "oauth2",
                    "description": "A bearer token, for clients that need not prove a key.",
                    "flows": { "clientCredentials": { "tokenUrl": "", "scopes": scopes } },
                },
                "dpop": {
                    "type": "http",
                    "scheme": "DPoP",
                    "description": "An access token that is bound to a key, with a proof of that key in the header `DPoP` (RFC 9449).",
                },
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Signature",
                    "description": "For clients that sign their requests (RFC 9421). Goes with `Signature-Input`.",
                },
                "signature_input": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Signature-Input",
                    "description": "What `Signature` covers, and its parameters.",
                },
                "client": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Id and secret of the client. They may be in the body instead, as `client_id` and `client_secret`.",
                },
            },
        },
    })
}

fn describe_one(row: &Route, operation: &Operation) -> Value {
    let mut names = row.path.split('/').filter(|part| !part.is_empty());
    let mut parameters: Vec<Value> = names
        .clone()
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let schema = json!({ "type": "string", "format": "uuid" });
            json!({ "name": name, "in": "path", "required": true, "description": format!("Id of the {name}."), "schema": schema })
        })
        .collect();
    for (name, required, mut schema) in operation.query.map(|query| members(&query())).unwrap_or_default() {
        let description = schema.remove("description").unwrap_or_default();
        parameters.push(
            json!({ "name": name, "in": "query", "required": required, "description": description, "schema": schema }),
        );
    }
    let noun = names.rfind(|part| !part.starts_with('{')).unwrap_or_default();
    let mut described = json!({
        "operationId": if row.api { row.guard } else { noun },
        "summary": operation.summary,
        "tags": [if row.api { noun } else { "service" }],
        "parameters": parameters,
        "responses": responses(row, operation),
        "security": security(row, operation),
    });
    if !operation.description.is_empty() {
        described["description"] = operation.description.into();
    }
    if let Some((kind, schema)) = operation.request_body {
        described["requestBody"] = json!({ "required": true, "content": { kind: { "schema": schema() } } });
    }
    described
}

fn security(row: &Route, operation: &Operation) -> Value {
    if row.api {
        let scope = [row.guard];
        json!([{ "oauth2": scope }, { "dpop": scope }, { "signature": scope, "signature_input": scope }])
    } else if operation.request_body.is_some() {
        json!([{ "client": [] }, {}])
    } else {
        json!([])
    }
}

fn responses(row: &Route, operation: &Operation) -> Value {
    let (status, body, headers) = operation.success;
    let mut answer = json!({ "description": reason(status), "headers": described(headers) });
    if let Some(schema) = body {
        answer["content"] = json!({ "application/json": { "schema": schema() } });
    }
    let mut all = Map::from_iter([(status.to_string(), answer)]);
    for refusal in REFUSALS.iter().filter(|refusal| (refusal.when)(row, operation)) {
        let reference = json!({ "$ref": format!("#/components/responses/{}", refusal.name) });
        all.insert(refusal.key.to_owned(), reference);
    }
    for (status, text, schema) in operation.error_responses {
        let refused = match schema {
            Some(schema) => {
                json!({ "description": text, "content": { "application/json": { "schema": schema() } } })
            }
            None => problem(text, &[]),
        };
        all.insert(status.to_string(), refused);
    }
    Value::Object(all)
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

/// A refusal that several routes share.
struct Refusal {
    key: &'static str,
    name: &'static str,
    text: &'static str,
    headers: &'static [Header],
    /// Whether a route can respond with this refusal.
    when: fn(&Route, &Operation) -> bool,
}

const CHALLENGE: Header = ("WWW-Authenticate", "What is wrong, and what would be accepted.");
const RETRY: Header = ("Retry-After", "Seconds to wait.");

const REFUSALS: [Refusal; 10] = [
    Refusal {
        key: "400",
        name: "Malformed",
        text: "The body is not one JSON document.",
        headers: &[],
        when: |row, operation| row.api && operation.request_body.is_some(),
    },
    Refusal {
        key: "401",
        name: "Unauthorized",
        text: "No valid access token and no valid signature.",
        headers: &[CHALLENGE],
        when: |row, _| row.api,
    },
    Refusal {
        key: "403",
        name: "Forbidden",
        text: "The client or its token lacks the scope, which `WWW-Authenticate` then names; or the role it acts in does not allow \
               this; or it takes a person.",
        headers: &[CHALLENGE],
        when: |row, _| row.api,
    },
    Refusal {
        key: "404",
        name: "NotFound",
        text: "There is nothing here, or nothing that the client has access to.",
        headers: &[],
        when: |row, _| row.path.contains('{'),
    },
    Refusal {
        key: "413",
        name: "TooLarge",
        text: "The body is larger than 64 KiB.",
        headers: &[],
        when: |row, operation| row.api && operation.request_body.is_some(),
    },
    Refusal {
        key: "415",
        name: "UnsupportedType",
        text: "The body is not `application/json`.",
        headers: &[],
        when: |row, operation| row.api && operation.request_body.is_some(),
    },
    Refusal {
        key: "422",
        name: "Invalid",
        text: "A field or a parameter is unknown, missing, there twice or not acceptable. `errors` names the fields.",
        headers: &[],
        when: |row, operation| row.api && (operation.request_body.is_some() || operation.query.is_some()),
    },
    Refusal { key: "429", name: "TooManyRequests", text: "Too many requests.", headers: &[RETRY], when: |_, _| true },
    Refusal {
        key: "503",
        name: "Unavailable",
        text: "Too busy. If something was to be saved, look first whether it is there.",
        headers: &[RETRY],
        when: |_, _| true,
    },
    Refusal { key: "default", name: "Other", text: "Anything else.", headers: &[], when: |_, _| true },
];

fn problem(text: &str, headers: &[Header]) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    json!({
        "description": text,
        "headers": described(headers),
        "content": { "application/problem+json": { "schema": schema } },
    })
}

fn described(headers: &[Header]) -> Value {
    let header =
        |(name, text): &Header| ((*name).to_owned(), json!({ "description": text, "schema": { "type": "string" } }));
    Value::Object(headers.iter().map(header).collect())
}

/// The schema of a problem document (RFC 9457), as the edge writes it (`web/src/problem.rs`).
fn problem_schema() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance"],
        "properties": {
            "type": text,
            "title": text,
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What happened, in a sentence." },
            "instance": { "type": "string", "description": "The reference by which we find the request." },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": { "field": text, "message": text },
                },
            },
        },
    })
}
