use audit::Actor;
use uuid::Uuid;
use web::Context;

/// Who does what a request does that no [`SignedIn`](crate::SignedIn) stands for yet.
pub(crate) fn actor(context: &Context, user: Option<Uuid>, session: Option<Uuid>) -> Actor {
    Actor {
        user: user.map(Into::into),
        session,
        client: None,
        elevation: None,
        request: context.request,
        network: context.client.network.clone(),
    }
}
