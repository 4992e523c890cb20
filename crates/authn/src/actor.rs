use audit::Actor;
use uuid::Uuid;
use web::Context;

/// Returns the actor of a request that has no [`SignedIn`](crate::SignedIn) yet.
pub(crate) fn actor(context: &Context, user: Option<Uuid>, session: Option<Uuid>) -> Actor {
    Actor { user: user.map(Into::into), session, ..Actor::unknown(context.request, context.client.network.clone()) }
}
