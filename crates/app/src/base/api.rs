use authz::{Guard, Guarded, Route, Routes};
use axum::handler::Handler;
use tenancy::Read;

use super::State;
use super::operation::Operation;

/// Routes of the API. Each one needs a description.
#[derive(Default)]
pub(crate) struct Api {
    pub(crate) routes: Routes<State>,
    operations: Vec<Operation>,
}

impl Api {
    pub(crate) fn get<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, State>,
        T: Guarded<Guard: Guard<Mode = Read>> + 'static,
    {
        Self { routes: self.routes.get(path, handler), ..self }.with(operation)
    }

    pub(crate) fn post<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, State>,
        T: Guarded + 'static,
    {
        Self { routes: self.routes.post(path, handler), ..self }.with(operation)
    }

    pub(crate) fn put<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, State>,
        T: Guarded + 'static,
    {
        Self { routes: self.routes.put(path, handler), ..self }.with(operation)
    }

    /// Adds `prefix` to every path.
    pub(crate) fn under(self, prefix: &str) -> Self {
        Self { routes: self.routes.under(prefix), ..self }
    }

    /// Returns each route with its description.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (Route, Operation)> {
        self.routes.table().into_iter().zip(self.operations.iter().copied())
    }

    fn with(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }
}
