//! Request parameters of OAuth: form-encoded, each at most once.

use std::collections::BTreeMap;

use url::form_urlencoded;

/// Parameters by name. Empty ones count as absent (RFC 6749 3.1).
#[derive(Default)]
pub(super) struct Params(BTreeMap<String, String>);

/// A parameter was sent twice.
pub(super) struct RepeatedParameter;

impl Params {
    pub(super) fn parse(text: &str) -> Result<Params, RepeatedParameter> {
        let mut params = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if params.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(RepeatedParameter);
            }
        }
        params.retain(|_, value| !value.is_empty());
        Ok(Params(params))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The words of a space-separated list.
    pub(super) fn words(&self, name: &str) -> Vec<&str> {
        self.get(name).unwrap_or_default().split(' ').filter(|word| !word.is_empty()).collect()
    }
}

/// Decodes one form-encoded value.
pub(super) fn decode(text: &str) -> String {
    let text = format!("value={}", text.replace('&', "%26"));
    form_urlencoded::parse(text.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
