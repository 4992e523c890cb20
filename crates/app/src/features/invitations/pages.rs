use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, Decision, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use mail::Mail;
use serde::Deserialize;
use web::{
    DisplayEmail, Email, Error, Field, FieldErrors, Form, FormOnce, NoFields, Page, Result, Shell, display_email,
    format_date, format_datetime, see_other,
};

use super::invitation::{self, Invitation};
use super::own::{self, OwnInvitation};
use super::{AcceptInvitation, InviteMember, InviteOwner, ListInvitations, ListOwnInvitations, RevokeInvitation};
use crate::base::{
    AnnouncementContext, ConfirmPage, DisplayActor, Justification, JustificationFields, JustificationInput, Layout,
    Organization, Role, RoleChoice, personal, unlinked,
};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "invitations/list.html")]
struct List {
    shell: Shell,
    invitations: Vec<ListRow>,
    more: bool,
    new_url: Option<String>,
}

struct ListRow {
    email: DisplayEmail,
    /// Why the invited person may not know of it.
    undelivered: Option<&'static str>,
    role: &'static str,
    inviter: DisplayActor,
    expires: String,
    revoke_url: Option<String>,
}

fn list_url(organization: &Organization) -> String {
    format!("{}/invitations", organization.url())
}

pub(super) async fn list(
    mut ok: Authorized<ListInvitations>,
    layout: Layout,
    State(authn): State<Authn>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let url = list_url(ok.on());
    let row = |invitation: Invitation| ListRow {
        revoke_url: ok.can::<RevokeInvitation>(&invitation).then(|| format!("{url}/{}/revoke", invitation.id)),
        role: Role::label_of(&invitation.role),
        expires: format_datetime(invitation.expires_at),
        inviter: DisplayActor::person(
            Some(invitation.inviter),
            Some(&invitation.inviter_email),
            Some(invitation.inviter_verified),
        ),
        email: DisplayEmail::of_nobody(&invitation.email),
        undelivered: if !invitation.notified {
            Some("No email sent")
        } else if invitation.undelivered {
            Some("Email not delivered")
        } else {
            None
        },
    };
    let (all, more) = invitation::all(&mut tx, authn.clock().now()).await?;
    let invitations = all.into_iter().map(row).collect();
    let new_url = ok.can::<InviteMember>(ok.on()).then(|| format!("{url}/new"));
    Ok(Page(List { shell: layout.organization(&ok), invitations, more, new_url }))
}

#[derive(Template)]
#[template(path = "invitations/new.html")]
struct New {
    shell: Shell,
    organization: String,
    form: InviteForm,
    roles: Vec<RoleChoice>,
    action_url: String,
}

struct InviteForm {
    email: Field,
    role: Field,
    justification: JustificationFields,
}

impl InviteForm {
    fn has_errors(&self) -> bool {
        self.email.error.is_some() || self.role.error.is_some() || self.justification.have_errors()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InviteInput {
    email: String,
    #[serde(default)]
    role: String,
    reason: String,
    #[serde(default)]
    ticket: String,
}

impl New {
    fn page<A: Action<On = Organization>>(
        ok: &Authorized<A>,
        layout: &Layout,
        input: &InviteInput,
        errors: &FieldErrors,
    ) -> Self {
        Self {
            shell: layout.organization(ok),
            organization: ok.on().name.clone(),
            form: InviteForm {
                email: errors.field("email", &*input.email),
                role: errors.field("role", &*input.role),
                justification: JustificationFields::of(&input.reason, &input.ticket, errors),
            },
            roles: Role::choices(ok.can::<InviteOwner>(ok.on())),
            action_url: list_url(ok.on()),
        }
    }
}

pub(super) async fn new(ok: Authorized<FormFor<InviteMember>>, layout: Layout) -> impl IntoResponse {
    Page(New::page(&ok, &layout, &InviteInput::default(), &FieldErrors::default()))
}

pub(super) async fn invite(
    mut ok: Authorized<InviteMember>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<InviteInput>,
) -> Result<Response> {
    let mut errors = FieldErrors::default();
    let email = errors.parse::<Email>("email", &input.email).map(|email| email.folded());
    let role = errors.parse::<Role>("role", &input.role);
    let justification = Justification::read(&mut errors, &input.reason, &input.ticket);
    let (Some(email), Some(role), Some(justification)) = (email, role, justification) else {
        let page = New::page(&ok, &layout, &input, &errors);
        return Err(errors.on_page(page));
    };
    if role == Role::Owner && !ok.authorize_also::<InviteOwner>().await? {
        return Err(Error::Forbidden);
    }
    authn.check_person_rate_limit(invitation::INVITATION_LIMIT, ok.who()).await?;
    let told = invitation::may_be_told(&authn, &email, ok.on().id).await?;
    let (inviter, by) = (ok.member()?.membership.clone(), ok.who().actor());
    let (url, mut text) = (list_url(ok.on()), format!("{} is invited.", display_email(&email)));
    if !told {
        text.push_str(
            " No email was sent: this address has had too many lately. Ask them to sign in and open Invitations.",
        );
    }
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    let now = authn.clock().now();
    if let Some(obstacle) = invitation::obstacle(&mut tx, &email, now).await? {
        errors.add("email", obstacle);
        let page = New::page(&ok, &layout, &input, &errors);
        return Err(errors.on_page(page));
    }
    let (did, page) = (format!("has invited somebody as {}", role.label()), list_url(ok.on()));
    let doing = AnnouncementContext {
        authn: &authn,
        who: ok.who(),
        organization: ok.on(),
        did: &did,
        page: &page,
        member: None,
    };
    let until = invitation::insert(&mut tx, (&email, role, told), &inviter, &justification, now, &doing).await?;
    if told {
        mail(&ok, role, &format_date(until), &authn.url("/invitations")).queue_to_address(&mut tx, &email, &by).await?;
    }
    tx.commit().await?;
    if told {
        invitation::count_told(&authn, &email, ok.on().id).await?;
    }
    Ok(see_other(&url, &text))
}

/// Nothing in it is secret. Other people can do nothing with it.
fn mail(ok: &Authorized<InviteMember>, role: Role, until: &str, url: &str) -> Mail {
    let (inviter, organization) = (unlinked(&ok.who().name), unlinked(&ok.on().name));
    let text = format!(
        "{inviter} invites you to join “{organization}” as {}.\n\n\
         To accept, sign in with an account that has the address this was sent to:\n\
         {url}\n\n\
         The invitation expires on {until}. If you weren't expecting this, you can ignore this email.\n",
        role.label(),
    );
    Mail { kind: "invitation", subject: "You are invited to an organization".to_owned(), text, valid_for: None }
}

fn revocation<A: Action<On = Invitation>>(
    ok: &Authorized<A>,
    layout: &Layout,
    justification: JustificationFields,
) -> ConfirmPage {
    let cancel_url = format!("/o/{}/invitations", ok.on().organization);
    ConfirmPage {
        shell: layout.organization(ok),
        heading: format!("Cancel the invitation for {}?", display_email(&ok.on().email)),
        lead: "The invitation can no longer be accepted. They are not notified, and you can invite them again.",
        button: "Cancel invitation",
        ends: true,
        once: false,
        justification,
        action_url: format!("{cancel_url}/{}/revoke", ok.on().id),
        cancel_url,
    }
}

pub(super) async fn confirm_revocation(ok: Authorized<FormFor<RevokeInvitation>>, layout: Layout) -> impl IntoResponse {
    Page(revocation(&ok, &layout, JustificationFields::empty()))
}

pub(super) async fn revoke(
    mut ok: Authorized<RevokeInvitation>,
    layout: Layout,
    Form(input): Form<JustificationInput>,
) -> Result<Response> {
    let justification = input.read(|justification| revocation(&ok, &layout, justification))?;
    let mut tx = ok.begin().await?;
    invitation::revoke(&mut tx, ok.on(), &justification, &ok.who().actor()).await?;
    tx.commit().await?;
    let to = format!("/o/{}/invitations", ok.on().organization);
    Ok(see_other(&to, &format!("{} is not invited any more.", display_email(&ok.on().email))))
}

#[derive(Template)]
#[template(path = "invitations/own.html")]
struct ListOwn {
    shell: Shell,
    invitations: Vec<OwnRow>,
    more: bool,
    email: DisplayEmail,
    email_verified: bool,
}

struct OwnRow {
    organization: String,
    role: &'static str,
    expires: String,
    /// `None` if the inviter may no longer do so.
    accept_url: Option<String>,
}

pub(super) async fn list_own(
    mut ok: Authorized<ListOwnInvitations>,
    State(authn): State<Authn>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let row = |own: OwnInvitation| OwnRow {
        accept_url: (ok.decision::<AcceptInvitation>(&own) != Decision::Deny)
            .then(|| format!("/invitations/{}/accept", own.id)),
        role: Role::label_of(&own.role),
        expires: format_datetime(own.expires_at),
        organization: own.organization_name,
    };
    let (all, more) = own::all(&mut tx, authn.clock().now()).await?;
    let invitations = all.into_iter().map(row).collect();
    let who = ok.who();
    let (email, email_verified) = (DisplayEmail::of_nobody(&who.email), who.email_verified);
    Ok(Page(ListOwn { shell: personal(who), invitations, more, email, email_verified }))
}

pub(super) async fn accept(
    mut ok: Authorized<AcceptInvitation>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let mut tx = ok.begin().await?;
    own::accept(&mut tx, ok.on(), ok.who().user, authn.clock().now(), &ok.who().actor()).await?;
    tx.commit().await?;
    let own = ok.on();
    Ok(see_other(&format!("/o/{}", own.organization), &format!("You’ve joined {}.", own.organization_name)))
}
