//! What a provider says of a person.

use serde_json::{Map, Value, json};

use super::Person;

/// Puts members in place, and takes away those that are to be left out.
pub(super) fn change(document: &mut Map<String, Value>, with: &Map<String, Value>) {
    for (name, value) in with {
        if value.is_null() {
            document.remove(name);
        } else {
            document.insert(name.clone(), value.clone());
        }
    }
}

/// The claims of a person that their scopes give.
pub(super) fn profile(person: &Person, scope: &str) -> Map<String, Value> {
    let granted = |wanted: &str| scope.split(' ').any(|word| word == wanted);
    let mut claims = Map::new();
    if granted("profile") {
        claims.insert("name".to_owned(), json!(person.name));
    }
    if granted("email") {
        claims.insert("email".to_owned(), json!(person.email));
        claims.insert("email_verified".to_owned(), json!(person.email_verified));
    }
    claims
}
