use std::sync::Arc;

use authn::Authn;
use authz::Authorizer;
use axum::extract::FromRef;
use tokens::Tokens;

use super::readiness::{Readiness, SecurityContact};
use super::registry::Registry;

/// The state that handlers can extract. It contains no database.
///
/// ```compile_fail,E0277
/// async fn list(_: authz::Public, axum::extract::State(db): axum::extract::State<tenancy::Db>) {}
/// let routes = authz::Routes::<app::State>::new().get("/contacts", list);
/// ```
#[derive(Clone, Debug)]
pub struct State {
    authn: Authn,
    authorizer: Authorizer,
    tokens: Tokens,
    readiness: Readiness,
    security: Arc<SecurityContact>,
    registry: Arc<Registry>,
}

impl State {
    /// Combines the parts that `main.rs` created.
    #[must_use]
    pub fn new(
        authn: Authn,
        authorizer: Authorizer,
        tokens: Tokens,
        readiness: Readiness,
        security: SecurityContact,
        registry: Registry,
    ) -> Self {
        let (security, registry) = (Arc::new(security), Arc::new(registry));
        Self { authn, authorizer, tokens, readiness, security, registry }
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }
}

macro_rules! part {
    ($($field:ident: $part:ty),+) => {$(
        impl FromRef<State> for $part {
            fn from_ref(state: &State) -> Self {
                state.$field.clone()
            }
        }
    )+};
}
part!(authn: Authn, authorizer: Authorizer, tokens: Tokens, readiness: Readiness, security: Arc<SecurityContact>, registry: Arc<Registry>);
