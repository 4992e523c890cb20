use std::iter;

use authn::{LogoutToken, SignedIn};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tenancy::{Mode, Read};
use web::{Context, Error, RateLimitKey, ReadsFields};

use crate::action::Action;
use crate::authorized::{Authorized, CallerKind};

mod sealed {
    pub trait Sealed {}
}

/// The first parameter of a handler, which protects the handler. Guards are [`Public`] (anybody), [`SignedIn`] (a live
/// session), [`Authorized<A>`] (the policies allowed `A`), `Authorized<A, ApiClient>` (the same for an API client), and
/// [`LogoutToken`] (a verified message from a provider).
pub trait Guard: sealed::Sealed {
    /// The name in the table of routes.
    const NAME: &'static str;
    /// Whether the request comes from a browser and must come from our own pages. This is false for messages from other
    /// services, which have a signature.
    const FROM_BROWSER: bool = true;
    /// Whether it accepts tokens and signatures of the API, and no cookies.
    const API: bool = false;
    /// Whether the handler may write. A GET route needs a guard that only reads.
    type Mode: Mode;
}

/// A guard that lets anybody send the request. It shows in the handler's signature that this is intended.
#[derive(Debug)]
pub struct Public {
    /// The request.
    pub context: Context,
}

impl<S: Send + Sync> FromRequestParts<S> for Public {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let context = Context::from_request_parts(parts, state).await?;
        context.check_rate_limit(RateLimitKey::Network)?;
        Ok(Self { context })
    }
}

impl sealed::Sealed for Public {}
impl Guard for Public {
    const NAME: &'static str = "Public";
    type Mode = Read;
}

impl sealed::Sealed for SignedIn {}
impl Guard for SignedIn {
    const NAME: &'static str = "SignedIn";
    type Mode = Read;
}

impl<A: Action, By: CallerKind> sealed::Sealed for Authorized<A, By> {}
impl<A: Action, By: CallerKind> Guard for Authorized<A, By> {
    const NAME: &'static str = A::GUARD;
    const FROM_BROWSER: bool = !By::API;
    const API: bool = By::API;
    type Mode = A::Mode;
}

impl sealed::Sealed for LogoutToken {}
impl Guard for LogoutToken {
    const NAME: &'static str = "LogoutToken";
    const FROM_BROWSER: bool = false;
    type Mode = Read;
}

/// A handler with a guard as its first parameter.
#[diagnostic::on_unimplemented(
    message = "this handler has no guard",
    note = "make its first parameter `Authorized<YourAction>`, `SignedIn`, or `Public` if anybody may reach it"
)]
pub trait Guarded {
    /// The guard.
    type Guard: Guard;

    /// Returns the fields that the other parameters read from the form or the query.
    fn fields() -> Vec<&'static str>;
}

// axum describes a handler `fn(G, A, B) -> R` by the tuple `(M, G, A, B)`. `M` tells how the last parameter is
// extracted.
macro_rules! guarded {
    ($($rest:ident),*) => {
        impl<M, G: Guard, $($rest: ReadsFields),*> Guarded for (M, G, $($rest),*) {
            type Guard = G;

            fn fields() -> Vec<&'static str> {
                iter::empty()$(.chain($rest::fields()))*.collect()
            }
        }
    };
}
guarded!();
guarded!(A);
guarded!(A, B);
guarded!(A, B, C);
guarded!(A, B, C, D);
