use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, delete, get, post, put};
use tenancy::Read;
use tower_http::csrf::CsrfLayer;

use crate::guard::{Guard, Guarded};

/// The routes of a feature: method, path and handler. The first parameter of the handler is its guard.
///
/// A handler without a guard cannot be a route:
///
/// ```compile_fail,E0277
/// async fn list() -> &'static str { "everything" }
/// let routes = authz::Routes::<()>::new().get("/contacts", list);
/// ```
///
/// A GET route cannot have a guard that lets the handler write:
///
/// ```compile_fail,E0271
/// use authz::{Action, Authorized, Authorizer, Routes};
/// async fn delete<A: Action<Mode = tenancy::Write>>(ok: Authorized<A>) {}
/// fn routes<A: Action<Mode = tenancy::Write>>() -> Routes<Authorizer> {
///     Routes::new().get("/contacts/delete", delete::<A>)
/// }
/// ```
///
/// The state of the application gives no handler a database:
///
/// ```compile_fail,E0277
/// async fn list(_: authz::Public, axum::extract::State(db): axum::extract::State<tenancy::Db>) {}
/// let routes = authz::Routes::<authz::Authorizer>::new().get("/contacts", list);
/// ```
#[derive(Debug)]
pub struct Routes<S>(Vec<(Route, MethodRouter<S>)>);

/// A row of the table of routes. Tests iterate over it, and reviewers read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `GET`, `POST`, or for the API `PUT` and `DELETE`.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: String,
    /// The guard: the name of an action, or `SignedIn`, `Public`, `LogoutToken`.
    pub guard: &'static str,
    /// Whether it is a route of the API. Such a route accepts tokens and signatures, and no cookies.
    pub api: bool,
    /// The names of the fields that the handler reads from the form, or from the query if it has no form.
    pub fields: Vec<&'static str>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Creates an empty table.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a `GET` route. Its guard lets the handler read, but not write.
    #[must_use]
    pub fn get<H, T>(self, path: &str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: Guarded<Guard: Guard<Mode = Read>> + 'static,
    {
        self.add::<T>("GET", path, get(handler))
    }

    /// Adds a `POST` route. Requests from other sites are refused, unless the guard is a signed message of a service.
    #[must_use]
    pub fn post<H, T>(self, path: &str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: Guarded + 'static,
    {
        self.write::<T>("POST", path, post(handler))
    }

    /// Adds a `PUT` route.
    #[must_use]
    pub fn put<H, T>(self, path: &str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: Guarded + 'static,
    {
        self.write::<T>("PUT", path, put(handler))
    }

    /// Adds a `DELETE` route.
    #[must_use]
    pub fn delete<H, T>(self, path: &str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: Guarded + 'static,
    {
        self.write::<T>("DELETE", path, delete(handler))
    }

    fn write<T: Guarded>(self, method: &'static str, path: &str, route: MethodRouter<S>) -> Self {
        let route = if T::Guard::FROM_BROWSER {
            let shared: MethodRouter<S> = route.layer(from_fn(web::share_body));
            shared.layer(CsrfLayer::new())
        } else {
            route
        };
        self.add::<T>(method, path, route)
    }

    /// Adds a prefix to every path.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        for (row, _) in &mut self.0 {
            row.path.insert_str(0, prefix);
        }
        self
    }

    /// Adds the routes of another table.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Returns the table of routes.
    #[must_use]
    pub fn table(&self) -> Vec<Route> {
        self.0.iter().map(|(row, _)| row.clone()).collect()
    }

    /// Builds the router.
    pub fn into_router(self) -> Router<S> {
        self.0.into_iter().fold(Router::new(), |router, (row, route)| router.route(&row.path, route))
    }

    fn add<T: Guarded>(mut self, method: &'static str, path: &str, route: MethodRouter<S>) -> Self {
        let (path, fields) = (path.to_owned(), T::fields());
        self.0.push((Route { method, path, guard: T::Guard::NAME, api: T::Guard::API, fields }, route));
        self
    }
}
