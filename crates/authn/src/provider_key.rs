use std::fmt;
use std::ops::Deref;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use tenancy::TenantId;
use web::Error;

use crate::Authn;

/// The prefix of the key of an organization's provider. The organization's id follows.
pub(crate) const PREFIX: &str = "o-";

/// The provider in the URL of a sign-in: a configured one, or an organization's. Each provider has only one spelling,
/// so its logout token finds the sign-ins that are stored under it. It is not checked yet whether the organization has
/// a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderKey {
    text: String,
    organization: Option<TenantId>,
}

impl ProviderKey {
    /// Returns the key of an organization's provider.
    #[must_use]
    pub fn of_organization(tenant: TenantId) -> Self {
        Self { text: format!("{PREFIX}{tenant}"), organization: Some(tenant) }
    }

    pub(crate) fn organization(&self) -> Option<TenantId> {
        self.organization
    }
}

impl Deref for ProviderKey {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ProviderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Authn {
    /// Parses a key. Returns `None` if no provider can have it.
    pub(crate) fn provider_key(&self, text: &str) -> Option<ProviderKey> {
        if self.0.providers.contains_key(text) {
            return Some(ProviderKey { text: text.to_owned(), organization: None });
        }
        text.strip_prefix(PREFIX)?.parse().ok().map(ProviderKey::of_organization)
    }
}

impl web::ReadsFields for ProviderKey {}

/// Reads the parameter in the path. The response is 404 if it is not a key.
impl<S> FromRequestParts<S> for ProviderKey
where
    Authn: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        #[expect(clippy::disallowed_types, reason = "the only place that reads keys of providers from a path")]
        let path =
            axum::extract::Path::<String>::from_request_parts(parts, state).await.map_err(|_| Error::NotFound)?;
        Authn::from_ref(state).provider_key(&path).ok_or(Error::NotFound)
    }
}
