use audit::Actor;
use uuid::Uuid;
use web::Context;

/// The actor of a request before it has a [`SignedIn`](crate::SignedIn).
pub(crate) fn actor(context: &Context, user: Option<Uuid>, session: Option<Uuid>) -> Actor {
    Actor { user: user.map(Into::into), session, ..Actor::unknown(context.request, context.client.network.clone()) }
}
