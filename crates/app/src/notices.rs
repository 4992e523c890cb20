//! Which events of an organization people hear of by mail, and who hears of each.
//!
//! An event in this table is recorded by its [`Announcement`] alone, which has queued the mails before: whoever loses their
//! role or their membership by what happens is still seen then, and hears of it.

use audit::{Actor, Event};
use authn::{Authn, SignedIn};
use mail::Mail;
use serde_json::Value;
use tenancy::{Tx, UserId, Write};
use web::Result;

use crate::Told;
use crate::organizations::Organization;

/// Who hears of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Every owner.
    Owners,
    /// Every owner and every admin.
    OwnersAndAdmins,
    /// The member whom it is about.
    Member,
}

/// An event that people hear of: its kind, the subject of the mail, and who gets it.
#[derive(Debug)]
pub(crate) struct Announced {
    pub(crate) kind: &'static str,
    subject: &'static str,
    audience: &'static [Audience],
}

use Audience::{Member, Owners, OwnersAndAdmins};

macro_rules! announced {
    ($($name:ident = $kind:literal, $subject:literal => [$($audience:ident),+];)+) => {
        $(pub(crate) const $name: Announced =
            Announced { kind: $kind, subject: $subject, audience: &[$($audience),+] };)+

        /// The whole table. What is not in it is told to nobody but by its own feature.
        pub(crate) const ANNOUNCED: &[Announced] = &[$($name),+];
    };
}

announced! {
    ROLE_CHANGED = "member.role_changed", "Somebody has another role" => [Owners, Member];
    MEMBER_REMOVED = "member.removed", "Somebody is no longer a member" => [Owners, Member];
    SESSIONS_ENDED = "member.sessions_ended", "A member was signed out" => [Member];
    FACTORS_RESET = "member.factors_reset", "The passkeys of a member were reset" => [Owners];
    SIGN_IN_CHANGED = "organization.sign_in_changed", "The rules for signing in have changed" => [OwnersAndAdmins];
    PROVIDER_CHANGED = "organization.provider_changed", "Your identity provider has changed" => [OwnersAndAdmins];
    PROVIDER_REMOVED = "organization.provider_removed", "Your identity provider was removed" => [OwnersAndAdmins];
    DOMAIN_PROVED = "domain.proved", "A domain was verified" => [OwnersAndAdmins];
    DOMAIN_REMOVED = "domain.removed", "A domain was removed" => [OwnersAndAdmins];
    DOMAIN_MISSING = "domain.record_missing", "The DNS record of a domain is gone" => [Owners];
    DOMAIN_WITHDRAWN = "domain.withdrawn", "A domain is not proved any more" => [Owners];
    PRIVILEGED_INVITATION = "invitation.privileged", "Somebody was invited to a privileged role" => [Owners];
    SERVICE_ACCOUNT_MADE = "service_account.made", "A service account was created" => [Owners];
    SERVICE_ACCOUNT_RENEWED = "service_account.secret_renewed", "A service account has a new secret" => [Owners];
    CLIENT_REVOKED = "api_client.revoked", "An API client was revoked" => [Member];
    ELEVATION_REQUESTED = "elevation.requested", "Somebody asks for a role" => [OwnersAndAdmins, Member];
    ELEVATION_APPROVED = "elevation.approved", "A role was approved" => [Owners, Member];
    ELEVATION_ENDED = "elevation.ended", "A role was ended" => [Owners, Member];
    ELEVATION_DECLINED = "elevation.declined", "A role was declined" => [Owners, Member];
    APPROVAL_REQUESTED = "approval.requested", "Something waits for a second person" => [OwnersAndAdmins];
    APPROVAL_APPROVED = "approval.approved", "It was approved and done" => [OwnersAndAdmins];
    APPROVAL_DECLINED = "approval.declined", "It was declined" => [OwnersAndAdmins];
}

/// What somebody does in an organization, as a mail says it.
#[derive(Clone, Copy)]
pub(crate) struct Doing<'a> {
    pub(crate) authn: &'a Authn,
    pub(crate) who: &'a SignedIn,
    pub(crate) organization: &'a Organization,
    /// What, after their name: "has removed Vera Viewer". Names in it are [`unlinked`]. What is only for members stands on
    /// the page and not in the mail.
    pub(crate) did: &'a str,
    /// The page that says more.
    pub(crate) page: &'a str,
    /// The member whom it is about.
    pub(crate) member: Option<UserId>,
}

/// An event whose mails are queued, and that is still to be recorded.
#[derive(Debug)]
#[must_use = "an event is recorded with its mails"]
pub(crate) struct Announcement(&'static str);

impl Announced {
    /// As the reviewed table has it.
    pub(crate) fn told(&self) -> Told {
        let audience = self.audience.iter().map(|audience| audience.name()).collect();
        Told { kind: self.kind, subject: self.subject, audience }
    }

    /// Queues the mails, to whoever is in the audience now. Comes before the change: after it they may be seen no more.
    pub(crate) async fn announce(&self, tx: &mut Tx<Write>, doing: &Doing<'_>) -> Result<Announcement> {
        self.queue(tx, &self.mail(doing), doing.member, &doing.who.actor()).await
    }

    /// The same for what the application does by itself, with words of its own.
    pub(crate) async fn announce_by(&self, tx: &mut Tx<Write>, mail: &Mail, by: &Actor) -> Result<Announcement> {
        self.queue(tx, mail, None, by).await
    }

    async fn queue(&self, tx: &mut Tx<Write>, mail: &Mail, member: Option<UserId>, by: &Actor) -> Result<Announcement> {
        let roles = self.audience.iter().flat_map(|audience| audience.roles()).map(|role| (*role).to_owned());
        let about = member.filter(|_| self.audience.contains(&Member));
        let people = sqlx::query_scalar!(
            r#"select user_id as "user: UserId" from tenant.memberships
                where role = any($1) or user_id = $2 order by user_id"#,
            &roles.collect::<Vec<_>>(),
            about.map(UserId::uuid),
        );
        for person in people.fetch_all(&mut **tx).await? {
            mail.queue_to(tx, person, by).await?;
        }
        Ok(Announcement(self.kind))
    }

    fn mail(&self, doing: &Doing<'_>) -> Mail {
        let (who, organization) = (unlinked(&doing.who.name), unlinked(&doing.organization.name));
        let (did, url) = (doing.did, doing.authn.url(doing.page));
        let text = format!("In “{organization}”, {who} {did}.\n\nMore about it, and what can be done:\n{url}\n");
        Mail { kind: self.kind, subject: self.subject.to_owned(), text, good_for: None }
    }
}

impl Audience {
    fn name(self) -> &'static str {
        match self {
            Owners => "owners",
            OwnersAndAdmins => "owners and admins",
            Member => "the member",
        }
    }

    fn roles(self) -> &'static [&'static str] {
        match self {
            Owners => &["owner"],
            OwnersAndAdmins => &["owner", "admin"],
            Member => &[],
        }
    }
}

impl Announcement {
    /// Records the event, after the change.
    pub(crate) async fn record(self, tx: &mut Tx<Write>, target: String, details: Value, by: &Actor) -> Result<()> {
        Ok(Event { kind: self.0, target, details }.record(tx, by).await?)
    }
}

/// A name that somebody chose, for a mail of ours: short, and with nothing that a mail program makes a link of.
pub(crate) fn unlinked(name: &str) -> String {
    let mut shown = String::new();
    for c in web::visible(name, 60).chars() {
        if shown.ends_with(['.', ':', '/', '@']) && !c.is_whitespace() {
            shown.push(' ');
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_link() {
        assert_eq!(unlinked("Refund: https://evil.example/x"), "Refund: https: / / evil. example/ x");
        assert_eq!(unlinked("St. Mary’s"), "St. Mary’s");
    }

    #[test]
    fn what_is_announced_is_an_event_of_a_feature_and_stands_once() {
        for announced in ANNOUNCED {
            assert!(crate::events().any(|(kind, _)| kind == announced.kind), "{}", announced.kind);
            let same = ANNOUNCED.iter().filter(|other| other.kind == announced.kind);
            assert_eq!(same.count(), 1, "{}", announced.kind);
        }
    }
}
