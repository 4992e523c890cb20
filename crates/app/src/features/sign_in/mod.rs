//! Signing in with an identity provider (configured, or connected by an organization), a passkey or a link by email.
//! Signing out.

mod link;
mod organization;
mod pages;

use authz::Routes;

use crate::base::{Feature, FrameLink};

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("/sign-in", pages::choose)
        .post("/sign-in/passkey", pages::by_passkey)
        .post("/sign-in/passkey/options", pages::passkey_options)
        .get("/sign-in/organization", organization::show)
        .post("/sign-in/organization", organization::start)
        .get("/sign-in/link", link::show)
        .post("/sign-in/link", link::send)
        .get("/sign-in/link/confirm", link::confirm)
        .post("/sign-in/link/confirm", link::accept)
        .post("/sign-in/{provider}", pages::start)
        .get("/sign-in/{provider}/callback", pages::callback)
        .post("/sign-in/{provider}/back-channel-logout", pages::back_channel_logout)
        .post("/sign-out", pages::sign_out)
        .get("/signed-out", pages::signed_out);
    Feature::new("sign_in").routes(routes).frame_link(FrameLink::SignOut("/sign-out"))
}
