//! What is the same around every page: who is signed in, and where they are.

use authn::SignedIn;
use authz::{Action, Authorized};
use web::{Acting, Link, Person, Place, Shell, ShownEmail};

use crate::activity::ViewActivity;
use crate::contacts::ListContacts;
use crate::members::Role;
use crate::organizations::{Organization, Workspace};

/// The entry of the navigation that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nav {
    Overview,
    Contacts,
    Members,
    Activity,
}

/// The entry of the account's navigation that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountNav {
    Overview,
    Passkeys,
    Authenticator,
    Sessions,
    Recovery,
}

/// The layout of a page outside any organization.
pub(crate) fn personal(who: &SignedIn) -> Shell {
    let person = Person { name: who.name.clone(), email: ShownEmail::of_person(&who.email, who.email_verified) };
    Shell { person: Some(person), ..who.context().shell() }
}

/// The layout of a page about the person's own account.
pub(crate) fn account(who: &SignedIn, current: AccountNav) -> Shell {
    let link = |nav, href: &str, label| Link { href: href.to_owned(), label, current: nav == current };
    let tabs = vec![
        link(AccountNav::Overview, "/account", "Account"),
        link(AccountNav::Passkeys, "/account/passkeys", "Passkeys"),
        link(AccountNav::Authenticator, "/account/authenticator", "Authenticator"),
        link(AccountNav::Sessions, "/account/sessions", "Sessions"),
        link(AccountNav::Recovery, "/account/recovery", "Recovery"),
    ];
    Shell { tabs, ..personal(who) }
}

/// The layout of a page in an organization.
pub(crate) fn shell<A: Action>(ok: &Authorized<A>, current: Nav) -> Shell {
    let mut shell = personal(ok.who());
    let Ok(member) = ok.member() else { return shell };
    let organization = Organization::of(&member.membership);
    let url = organization.url();
    let link = |nav, href, label| Link { href, label, current: nav == current };
    let mut links = vec![link(Nav::Overview, url.clone(), "Overview")];
    let workspace = Workspace::of(Some(&member.membership), member.workspace.as_ref());
    if let Some(workspace) = workspace.filter(|workspace| ok.can::<ListContacts>(workspace)) {
        links.push(link(Nav::Contacts, format!("{}/contacts", workspace.url()), "Contacts"));
    }
    links.push(link(Nav::Members, format!("{url}/members"), "Members"));
    if ok.can::<ViewActivity>(&organization) {
        links.push(link(Nav::Activity, format!("{url}/activity"), "Activity"));
    }
    let acting = member.membership.elevation.as_ref().map(|elevation| Acting {
        role: Role::label_of(&elevation.role),
        until: elevation.ends_at.format("%H:%M UTC").to_string(),
        url: format!("{url}/elevations"),
    });
    shell.place = Some(Place {
        acting,
        organization: organization.name,
        organization_url: url,
        role: Role::label_of(&member.membership.role).to_owned(),
        workspace_name: member.workspace.as_ref().map(|workspace| workspace.name.clone()),
    });
    shell.tabs = links;
    shell
}
