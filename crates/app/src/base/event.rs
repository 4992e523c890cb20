//! Kinds of events, and which of them people are notified of by email.
//!
//! A feature declares its kinds and registers them. Only its [`Announcement`] records an announced event. The emails are queued
//! before the change, so a member who loses their role or membership by it is still in the audience.

use audit::{Actor, Event};
use authn::{Authn, SignedIn};
use mail::Mail;
use serde_json::Value;
use tenancy::{Plane, TenantId, Tx, UserId, Write};
use web::Result;

use super::Organization;

/// A kind of event that features record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventKind {
    /// Its name in the log: the thing, a dot, and what happened to it.
    pub(crate) name: &'static str,
    /// The sentence that people read, after the name of the actor.
    pub(crate) summary: &'static str,
}

impl EventKind {
    pub(crate) const fn new(name: &'static str, summary: &'static str) -> Self {
        Self { name, summary }
    }

    /// What a person reads for the kind of this name, which may be one that no feature records any more.
    pub(crate) fn summary_of(known: &[Self], name: &str) -> &'static str {
        known.iter().find(|kind| kind.name == name).map_or("Something else", |kind| kind.summary)
    }

    /// The same with emails to `audience`, who get them with this subject.
    pub(crate) const fn announced(self, subject: &'static str, audience: &'static [Audience]) -> Announced {
        Announced { event: self, subject, audience }
    }

    /// Records one in the transaction of what it is about.
    pub(crate) async fn record<P: Plane>(
        self,
        tx: &mut Tx<Write, P>,
        target: String,
        details: Value,
        by: &Actor,
    ) -> Result<()> {
        Ok(Event { kind: self.name, target, details }.record(tx, by).await?)
    }

    /// The same for an organization that the transaction is not bound to.
    pub(crate) async fn record_in<P: Plane>(
        self,
        tx: &mut Tx<Write, P>,
        organization: TenantId,
        target: String,
        details: Value,
        by: &Actor,
    ) -> Result<()> {
        Ok(Event { kind: self.name, target, details }.record_in(tx, Some(organization), by).await?)
    }
}

/// Who is notified of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Every owner.
    Owners,
    /// Every owner and every admin.
    OwnersAndAdmins,
    /// The affected member.
    Member,
}

/// A kind of event that people are notified of by email.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced {
    pub(crate) event: EventKind,
    pub(crate) subject: &'static str,
    pub(crate) audience: &'static [Audience],
}

/// What somebody does in an organization, for the email about it.
#[derive(Clone, Copy)]
pub(crate) struct AnnouncementContext<'a> {
    pub(crate) authn: &'a Authn,
    pub(crate) who: &'a SignedIn,
    pub(crate) organization: &'a Organization,
    /// The rest of the sentence after their name: "has removed Vera Viewer". Names in it are [`unlinked`]. Details for members
    /// only are on the page and not in the email.
    pub(crate) did: &'a str,
    /// The page that says more.
    pub(crate) page: &'a str,
    /// The affected member.
    pub(crate) member: Option<UserId>,
}

/// An event whose emails are queued, and which still has to be recorded.
#[derive(Debug)]
#[must_use = "an event is recorded with its mails"]
pub(crate) struct Announcement(EventKind);

impl Announced {
    /// Queues the emails to the current audience. Call it before the change, after which some of them may not be visible.
    pub(crate) async fn announce(&self, tx: &mut Tx<Write>, doing: &AnnouncementContext<'_>) -> Result<Announcement> {
        self.queue(tx, &self.mail(doing), doing.member, &doing.who.actor()).await
    }

    /// The same for changes that the application makes by itself, with an email of its own.
    pub(crate) async fn announce_by(&self, tx: &mut Tx<Write>, mail: &Mail, by: &Actor) -> Result<Announcement> {
        self.queue(tx, mail, None, by).await
    }

    async fn queue(&self, tx: &mut Tx<Write>, mail: &Mail, member: Option<UserId>, by: &Actor) -> Result<Announcement> {
        let roles = self.audience.iter().flat_map(|audience| audience.roles()).map(|role| (*role).to_owned());
        let about = member.filter(|_| self.audience.contains(&Audience::Member));
        let people = sqlx::query_scalar!(
            r#"select user_id as "user: UserId" from tenant.memberships
                where role = any($1) or user_id = $2 order by user_id"#,
            &roles.collect::<Vec<_>>(),
            about.map(UserId::uuid),
        );
        for person in people.fetch_all(&mut **tx).await? {
            mail.queue_to(tx, person, by).await?;
        }
        Ok(Announcement(self.event))
    }

    fn mail(&self, doing: &AnnouncementContext<'_>) -> Mail {
        let (who, organization) = (unlinked(&doing.who.name), unlinked(&doing.organization.name));
        let (did, url) = (doing.did, doing.authn.url(doing.page));
        let text = format!("In “{organization}”, {who} {did}.\n\nMore about it, and what can be done:\n{url}\n");
        Mail { kind: self.event.name, subject: self.subject.to_owned(), text, valid_for: None }
    }
}

impl Audience {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Owners => "owners",
            Self::OwnersAndAdmins => "owners and admins",
            Self::Member => "the member",
        }
    }

    fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Owners => &["owner"],
            Self::OwnersAndAdmins => &["owner", "admin"],
            Self::Member => &[],
        }
    }
}

impl Announcement {
    /// Records the event, after the change.
    pub(crate) async fn record(self, tx: &mut Tx<Write>, target: String, details: Value, by: &Actor) -> Result<()> {
        self.0.record(tx, target, details, by).await
    }
}

/// A name that somebody chose, for one of our emails: short, and without text that an email program turns into a link.
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
}
