//! Kinds of events, and which of them people are notified of by email.
//!
//! A feature declares its kinds with [`events!`] and registers them. An announced event can only be recorded through its
//! [`Announcement`], which has queued the emails before the change: a member who loses their role or their membership by the
//! change still gets one.

use askama::Template;
use audit::{Actor, Event};
use authn::{Authn, SignedIn};
use mail::Mail;
use serde_json::Value;
use tenancy::{Plane, TenantId, Tx, UserId, Write};
use web::{Error, Result};

use super::Organization;
use super::sentence::{SentencePart, fill_in, keys};

/// A kind of event that features record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventKind {
    /// As the log has it: the thing, a dot, and what happened to it.
    pub(crate) name: &'static str,
    /// What people choose it by: "Changed a role".
    pub(crate) label: &'static str,
    /// What it says of one event, after the name of the actor, with details in braces: "changed {member}’s role to {to}".
    pub(crate) sentence: &'static str,
}

impl EventKind {
    /// Kinds of this prefix are about tokens, and listed apart: programs cause them, thousands an hour.
    /// `audit.events.about_token` says the same.
    pub(crate) const TOKEN_PREFIX: &str = "api_token.";

    pub(crate) const fn new(name: &'static str, label: &'static str, sentence: &'static str) -> Self {
        Self { name, label, sentence }
    }

    /// What an event of this name says. The log is older than the code: it may have kinds that no feature records any more,
    /// or events without a detail that is in the sentence today.
    pub(crate) fn sentence_of(known: &[Self], name: &str, details: &Value) -> Vec<SentencePart> {
        let kind = known.iter().find(|kind| kind.name == name);
        let label = kind.map_or(name, |kind| kind.label);
        kind.and_then(|kind| fill_in(kind.sentence, details))
            .unwrap_or_else(|| vec![SentencePart { text: format!("– {label}"), is_value: false }])
    }

    pub(crate) fn is_about_tokens(&self) -> bool {
        self.name.starts_with(Self::TOKEN_PREFIX)
    }

    /// As a feature registers it.
    pub(crate) const fn declared(self) -> DeclaredEvent {
        DeclaredEvent { kind: self, email: None }
    }

    /// The same with emails to `audience`, who get them with this subject.
    pub(crate) const fn announced(self, subject: &'static str, audience: &'static [Audience]) -> EmailedEventKind {
        EmailedEventKind { event: self, subject, audience }
    }

    /// Records one in the transaction of what it is about.
    pub(crate) async fn record<P: Plane>(
        self,
        tx: &mut Tx<Write, P>,
        target: String,
        details: Value,
        by: &Actor,
    ) -> Result<()> {
        Ok(self.event(target, details)?.record(tx, by).await?)
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
        Ok(self.event(target, details)?.record_in(tx, Some(organization), by).await?)
    }

    /// An event without a detail that is in its sentence is refused, and with it the change: the first test of the change
    /// finds it.
    fn event(self, target: String, details: Value) -> Result<Event> {
        match keys(self.sentence).find(|key| details.get(*key).is_none_or(Value::is_null)) {
            Some(key) => Err(Error::internal(format!("the event {} has no detail `{key}`", self.name))),
            None => Ok(Event { kind: self.name, target, details }),
        }
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
pub(crate) struct EmailedEventKind {
    event: EventKind,
    subject: &'static str,
    audience: &'static [Audience],
}

/// A kind of event as a feature registers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeclaredEvent {
    pub(crate) kind: EventKind,
    /// Subject of the emails, and who gets them.
    pub(crate) email: Option<(&'static str, &'static [Audience])>,
}

/// Declares the kinds of events of a feature as constants, and `EVENTS`, the list of them for [`Feature::events`].
///
/// ```text
/// events! {
///     INVOICE_CREATED: "invoice.created", "Created an invoice", "created the invoice {number}";
///     INVOICE_VOIDED: "invoice.voided", "Voided an invoice", "voided the invoice {number}",
///         email "An invoice was voided" to [Owners];
/// }
/// ```
///
/// [`Feature::events`]: super::Feature::events
macro_rules! events {
    ($($name:ident: $kind:literal, $label:literal, $sentence:literal
       $(, email $subject:literal to [$($audience:ident),+])?;)+) => {
        $($crate::base::events!(@const $name, $kind, $label, $sentence $(, $subject, [$($audience),+])?);)+
        const EVENTS: &[$crate::base::DeclaredEvent] = &[$($name.declared()),+];
    };
    (@const $name:ident, $kind:literal, $label:literal, $sentence:literal) => {
        const $name: $crate::base::EventKind = $crate::base::EventKind::new($kind, $label, $sentence);
    };
    (@const $name:ident, $kind:literal, $label:literal, $sentence:literal, $subject:literal, [$($audience:ident),+]) => {
        const $name: $crate::base::EmailedEventKind = $crate::base::EventKind::new($kind, $label, $sentence)
            .announced($subject, &[$($crate::base::Audience::$audience),+]);
    };
}
pub(crate) use events;

/// What somebody does in an organization, for the email about it.
#[derive(Clone, Copy)]
pub(crate) struct AnnouncementContext<'a> {
    pub(crate) authn: &'a Authn,
    pub(crate) who: &'a SignedIn,
    pub(crate) organization: &'a Organization,
    /// A sentence on what comes next. Most events say enough, and have none.
    pub(crate) note: &'a str,
    /// The page that says more.
    pub(crate) page: &'a str,
    /// The affected member.
    pub(crate) member: Option<UserId>,
}

impl<'a> AnnouncementContext<'a> {
    /// What `who` does in the organization. `page` says more.
    pub(crate) fn new(authn: &'a Authn, who: &'a SignedIn, organization: &'a Organization, page: &'a str) -> Self {
        Self { authn, who, organization, note: "", page, member: None }
    }

    /// The same with a sentence on what comes next.
    pub(crate) fn with_note(self, note: &'a str) -> Self {
        Self { note, ..self }
    }

    /// The same, if it affects a member.
    pub(crate) fn about_member(self, member: impl Into<Option<UserId>>) -> Self {
        Self { member: member.into(), ..self }
    }
}

/// An event whose emails are queued, and which still has to be recorded.
#[derive(Debug)]
#[must_use = "an event is recorded with its mails"]
pub(crate) struct Announcement {
    event: Event,
    by: Actor,
}

/// What somebody did in an organization.
#[derive(Template)]
#[template(path = "mail/announcement.txt")]
struct AnnouncementMail<'a> {
    subject: &'a str,
    organization: String,
    who: String,
    did: String,
    note: &'a str,
    url: String,
}

impl EmailedEventKind {
    /// As a feature registers it.
    pub(crate) const fn declared(self) -> DeclaredEvent {
        DeclaredEvent { kind: self.event, email: Some((self.subject, self.audience)) }
    }

    /// As the log has it.
    pub(crate) const fn name(self) -> &'static str {
        self.event.name
    }

    /// Queues the emails to the current audience. They say the sentence of the event. Call it before a change after which some
    /// of the audience may not be visible.
    pub(crate) async fn announce(
        &self,
        tx: &mut Tx<Write>,
        doing: &AnnouncementContext<'_>,
        target: String,
        details: Value,
    ) -> Result<Announcement> {
        let (event, by) = (self.event.event(target, details)?, doing.who.actor());
        self.queue(tx, &self.mail(doing, &event.details)?, doing.member, &by).await?;
        Ok(Announcement { event, by })
    }

    /// The same for changes that the application makes by itself, with an email of its own.
    pub(crate) async fn announce_by(
        &self,
        tx: &mut Tx<Write>,
        mail: &Mail,
        by: Actor,
        target: String,
        details: Value,
    ) -> Result<Announcement> {
        let event = self.event.event(target, details)?;
        self.queue(tx, mail, None, &by).await?;
        Ok(Announcement { event, by })
    }

    async fn queue(&self, tx: &mut Tx<Write>, mail: &Mail, member: Option<UserId>, by: &Actor) -> Result<()> {
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
        Ok(())
    }

    fn mail(&self, doing: &AnnouncementContext<'_>, details: &Value) -> Result<Mail> {
        let template = AnnouncementMail {
            subject: self.subject,
            organization: unlinked(&doing.organization.name),
            who: unlinked(&doing.who.name),
            did: in_an_email(self.event.sentence, details)?,
            note: doing.note,
            url: doing.authn.url(doing.page),
        };
        Ok(Mail::of(self.event.name, &template)?)
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
    pub(crate) async fn record(self, tx: &mut Tx<Write>) -> Result<()> {
        Ok(self.event.record(tx, &self.by).await?)
    }
}

/// The sentence of an event, for an email. Names in it are [`unlinked`], and nobody's address is: an email may be kept where
/// the organization has no say.
fn in_an_email(sentence: &str, details: &Value) -> Result<String> {
    let mut details = details.clone();
    if let Some(email) = details.get_mut("email") {
        *email = "somebody".into();
    }
    let parts =
        fill_in(sentence, &details).ok_or_else(|| Error::internal("an event lacks a detail of its sentence"))?;
    Ok(parts.into_iter().map(|part| if part.is_value { unlinked(&part.text) } else { part.text }).collect())
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
    fn an_email_says_the_sentence_of_the_event_and_no_address() {
        let details = serde_json::json!({ "email": "vera@example.com", "role": "admin", "by": "evil.example" });
        let said = in_an_email("invited {email} as {role} for {by}", &details).unwrap();
        assert_eq!(said, "invited somebody as Admin for evil. example");
        assert!(in_an_email("removed {member}", &details).is_err());
    }

    #[test]
    fn a_name_is_no_link() {
        assert_eq!(unlinked("Refund: https://evil.example/x"), "Refund: https: / / evil. example/ x");
        assert_eq!(unlinked("St. Mary’s"), "St. Mary’s");
    }
}
