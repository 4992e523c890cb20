//! What is known about the person who is signed in, and about this session.

mod email;

use askama::Template;
use authz::{Authorized, Entity, PathParams, PolicySource, Resource, Routes};
use axum::response::IntoResponse;
use tenancy::{Entry, Read, Tx, UserId};
use web::{Page, Result, Shell, ShownEmail, moment};

use crate::Feature;
use crate::shell::{AccountNav, account};

authz::actions! {
    /// See the own account: who vouches for it, this session, the organizations one belongs to.
    ViewAccount: Read on Account;
    /// Show that the address which the provider gave is one's own.
    ProveEmail: Write on Account;
}

pub(crate) fn feature() -> Feature {
    let policies = PolicySource {
        name: "account",
        schema: include_str!("../../../../policies/account.cedarschema"),
        policies: include_str!("../../../../policies/account.cedar"),
        actions: ACTIONS,
        context: None,
    };
    let routes = Routes::new()
        .get("/account", show)
        .get("/account/email", email::ask)
        .post("/account/email", email::send)
        .post("/account/email/confirm", email::confirm);
    Feature { routes, policies: Some(policies), ..Feature::default() }
}

/// What is a person's own, outside any organization.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) owner: UserId,
}

impl Account {
    pub(crate) fn as_entity(owner: UserId) -> Entity {
        Entity::new("Account", owner).reference("owner", &Entity::new("User", owner))
    }
}

impl Resource for Account {
    type Plane = tenancy::Account;
    type View = ViewAccount;

    async fn load(_: &mut Tx<Read, tenancy::Account>, entry: &Entry, _: &PathParams) -> Result<Option<Self>> {
        Ok(entry.user.map(|owner| Self { owner }))
    }

    fn entity(&self) -> Entity {
        Self::as_entity(self.owner)
    }
}

#[derive(Template)]
#[template(path = "account/show.html")]
struct Show {
    shell: Shell,
    name: String,
    email: ShownEmail,
    issuer: String,
    subject: String,
    vouched: bool,
    signed_in_at: String,
    proved_with: String,
    session_expires: String,
    device: String,
    network: String,
    organizations_url: &'static str,
}

async fn show(ok: Authorized<ViewAccount>) -> impl IntoResponse {
    let who = ok.who();
    Page(Show {
        shell: account(who, AccountNav::Overview),
        name: who.name.clone(),
        email: ShownEmail::of_person(&who.email, who.email_verified),
        issuer: who.issuer.clone().unwrap_or_default(),
        subject: who.subject.clone().unwrap_or_default(),
        vouched: who.issuer.is_some(),
        signed_in_at: moment(who.auth_time),
        proved_with: crate::sessions::proved_with(&who.methods, who.passkey_at.is_some(), who.totp_at.is_some()),
        session_expires: moment(who.expires_at),
        device: who.device.clone(),
        network: who.network.clone(),
        organizations_url: "/organizations",
    })
}
