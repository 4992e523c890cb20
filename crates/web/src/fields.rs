use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use serde::de::DeserializeOwned;

use crate::field_names::names;
use crate::one_time_key::FIELD;
use crate::{Form, FormOnce, Json, Query, StrictQuery};

/// A handler parameter that reads fields of a form or parameters of a query, and lists their names. The table of routes
/// shows the names, and tests send them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which fields it reads",
    note = "implement `web::ReadsFields` for it; it has no fields if it reads neither the form nor the query"
)]
pub trait ReadsFields {
    /// The names of the fields.
    #[must_use]
    fn fields() -> Vec<&'static str> {
        Vec::new()
    }
}

impl<T> ReadsFields for State<T> {}
impl ReadsFields for HeaderMap {}
impl ReadsFields for OriginalUri {}
/// A JSON body has no form fields. The description of the API covers it.
impl<T> ReadsFields for Json<T> {}

impl<A: ReadsFields, B: ReadsFields> ReadsFields for (A, B) {
    fn fields() -> Vec<&'static str> {
        [A::fields(), B::fields()].concat()
    }
}

impl<T: ReadsFields> ReadsFields for Option<T> {
    fn fields() -> Vec<&'static str> {
        T::fields()
    }
}

impl<T: ReadsFields, E> ReadsFields for Result<T, E> {
    fn fields() -> Vec<&'static str> {
        T::fields()
    }
}

impl<T: DeserializeOwned> ReadsFields for Query<T> {
    fn fields() -> Vec<&'static str> {
        names::<T>().to_vec()
    }
}

impl<T: DeserializeOwned> ReadsFields for StrictQuery<T> {
    fn fields() -> Vec<&'static str> {
        names::<T>().to_vec()
    }
}

impl<T: DeserializeOwned> ReadsFields for Form<T> {
    fn fields() -> Vec<&'static str> {
        names::<T>().to_vec()
    }
}

impl<T: DeserializeOwned> ReadsFields for FormOnce<T> {
    fn fields() -> Vec<&'static str> {
        [names::<T>(), &[FIELD]].concat()
    }
}
