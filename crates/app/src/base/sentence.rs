//! The sentence of an event, built from the names that were stored with it.

use serde_json::Value;
use web::{display_domain, display_email};

use super::Role;

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentencePart {
    pub(crate) text: String,
    /// Whether a person chose this text. Pages set it apart, so that nobody can forge the rest of the sentence with it.
    pub(crate) is_value: bool,
}

/// Fills the details into `sentence` in place of `{key}`. Returns `None` if a detail is missing.
///
/// ```text
/// changed {member}’s role from {from} to {to}
/// ```
pub(crate) fn fill_in(sentence: &str, details: &Value) -> Option<Vec<SentencePart>> {
    let mut parts = Vec::new();
    let mut push = |text: String, is_value| {
        if !text.is_empty() {
            parts.push(SentencePart { text, is_value });
        }
    };
    let mut rest = sentence;
    while let Some((before, (key, after))) = rest.split_once('{').and_then(|(b, a)| Some((b, a.split_once('}')?))) {
        push(before.to_owned(), false);
        let value = details.get(key).filter(|value| !value.is_null())?;
        push(value_text(key, value), true);
        rest = after;
    }
    push(rest.to_owned(), false);
    Some(parts)
}

/// Returns the keys in a sentence.
pub(crate) fn keys(sentence: &str) -> impl Iterator<Item = &str> {
    sentence.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(key, _)| key))
}

/// Formats a detail of an event as people read it.
pub(crate) fn value_text(key: &str, value: &Value) -> String {
    match (key, value) {
        ("email" | "recipient", Value::String(address)) => display_email(address),
        ("domain", Value::String(domain)) => display_domain(domain),
        ("role" | "from" | "to", Value::String(role)) => {
            Role::try_from(&**role).map_or_else(|_| role.clone(), |role| role.label().to_owned())
        }
        (_, Value::String(text)) => text.clone(),
        (_, Value::Array(items)) => items.iter().map(|item| value_text("", item)).collect::<Vec<_>>().join(", "),
        (_, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(sentence: &str, details: &Value) -> Option<String> {
        Some(fill_in(sentence, details)?.into_iter().map(|part| part.text).collect())
    }

    #[test]
    fn a_sentence_has_the_stored_names() {
        let details = json!({ "member": "Vera Viewer", "from": "editor", "to": "viewer" });
        let sentence = "changed {member}’s role from {from} to {to}";
        assert_eq!(text(sentence, &details).unwrap(), "changed Vera Viewer’s role from Editor to Viewer");
        assert_eq!(text(sentence, &json!({ "member": "Vera Viewer", "from": "editor" })), None);
        assert_eq!(text("left", &details).unwrap(), "left");
    }

    #[test]
    fn a_name_is_no_part_of_the_sentence_around_it() {
        let parts = fill_in("removed {member}", &json!({ "member": "{reason} by Olivia" })).unwrap();
        let [removed, name] = &parts[..] else { panic!("{parts:?}") };
        assert!(!removed.is_value && name.is_value);
        assert_eq!(name.text, "{reason} by Olivia");
    }
}
