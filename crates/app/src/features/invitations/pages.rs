use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, Decision, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use mail::Mail;
use tenancy::{Tx, Write};
use web::{
    DisplayEmail, Email, Error, Form, FormOnce, FormView, Input, NoFields, Page, Result, Shell, display_email, filters,
    see_other,
};

use super::invitation::{self, Invitation, NewInvitation};
use super::own::{self, OwnInvitation};
use super::{AcceptInvitation, InviteMember, InviteOwner, ListInvitations, ListOwnInvitations, RevokeInvitation};
use crate::base::{AnnouncementContext, FormPage, Justification, Layout, Organization, Role, personal, unlinked};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "invitations/list.html")]
struct InvitationsPage {
    shell: Shell,
    invitations: Vec<InvitationRow>,
    more: bool,
    new_url: Option<String>,
}

struct InvitationRow {
    invitation: Invitation,
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
    let row = |invitation: Invitation| InvitationRow {
        revoke_url: ok.can::<RevokeInvitation>(&invitation).then(|| format!("{url}/{}/revoke", invitation.id)),
        invitation,
    };
    let (all, more) = invitation::all(&mut tx, authn.clock().now()).await?;
    let invitations = all.into_iter().map(row).collect();
    let new_url = ok.can::<InviteMember>(ok.on()).then(|| format!("{url}/new"));
    Ok(Page(InvitationsPage { shell: layout.organization(&ok), invitations, more, new_url }))
}

web::form! {
    pub(super) struct InvitationForm {
        email: Email {},
        role: Role {},
        justification: Justification,
    }
}

fn form_page<A: Action<On = Organization>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    let url = list_url(ok.on());
    FormPage {
        shell: layout.organization(ok),
        heading: format!("Invite member to {}", ok.on().name),
        lead: "They get an email, and can join within seven days with an account that has this email address.".into(),
        form: form
            .with(InvitationForm::FIELD.role, |field| field.choices = Role::choices(ok.can::<InviteOwner>(ok.on()))),
        button: "Send invitation",
        removes: false,
        once: true,
        action_url: url.clone(),
        cancel_url: url,
    }
}

pub(super) async fn new(ok: Authorized<FormFor<InviteMember>>, layout: Layout) -> impl IntoResponse {
    Page(form_page(&ok, &layout, Input::<InvitationForm>::default().view()))
}

pub(super) async fn invite(
    mut ok: Authorized<InviteMember>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input<InvitationForm>>,
) -> Result<Response> {
    let InvitationForm { email, role, justification } = input.read(|form| form_page(&ok, &layout, form))?;
    let email = email.folded();
    if role == Role::Owner && !ok.authorize_also::<InviteOwner>().await? {
        return Err(Error::Forbidden);
    }
    authn.check_person_rate_limit(invitation::INVITATION_LIMIT, ok.who()).await?;
    let notifies = invitation::count_email(&authn, &email, ok.on().id).await?;
    let inviter = ok.member()?.membership.clone();
    let (url, text) = (list_url(ok.on()), success_text(&email, notifies));
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    if let Some(obstacle) = invitation::obstacle(&mut tx, &email, authn.clock().now()).await? {
        return Err(input.refuse(InvitationForm::FIELD.email, obstacle, |form| form_page(&ok, &layout, form)));
    }
    let doing = AnnouncementContext::new(&authn, ok.who(), ok.on(), &url);
    let new = NewInvitation { email: &email, role, inviter: &inviter, notifies };
    let expires_at = invitation::insert(&mut tx, new, &justification, &doing).await?;
    if notifies {
        queue_mail(&mut tx, &doing, &email, role, expires_at).await?;
    }
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

fn success_text(email: &str, notifies: bool) -> String {
    let invited = format!("{} is invited.", display_email(email));
    if notifies {
        return invited;
    }
    format!(
        "{invited} No email was sent: this address has had too many lately. Ask them to sign in and open Invitations."
    )
}

async fn queue_mail(
    tx: &mut Tx<Write>,
    doing: &AnnouncementContext<'_>,
    email: &str,
    role: Role,
    until: DateTime<Utc>,
) -> Result<()> {
    let mail = InvitationMail {
        inviter: unlinked(&doing.who.name),
        organization: unlinked(&doing.organization.name),
        role: role.label(),
        until,
        url: doing.authn.url("/invitations"),
    };
    Ok(Mail::of("invitation", &mail)?.queue_to_address(tx, email, &doing.who.actor()).await?)
}

/// The email. It holds no secret: only the owner of the address can accept the invitation.
#[derive(Template)]
#[template(path = "mail/invitation.txt")]
struct InvitationMail {
    inviter: String,
    organization: String,
    role: &'static str,
    until: DateTime<Utc>,
    url: String,
}

fn revocation<A: Action<On = Invitation>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    let cancel_url = format!("/o/{}/invitations", ok.on().organization);
    FormPage {
        shell: layout.organization(ok),
        heading: format!("Cancel the invitation for {}?", display_email(&ok.on().email)),
        lead: "The invitation can no longer be accepted. They are not notified, and you can invite them again.".into(),
        form,
        button: "Cancel invitation",
        removes: true,
        once: false,
        action_url: format!("{cancel_url}/{}/revoke", ok.on().id),
        cancel_url,
    }
}

pub(super) async fn confirm_revocation(ok: Authorized<FormFor<RevokeInvitation>>, layout: Layout) -> impl IntoResponse {
    Page(revocation(&ok, &layout, Input::<Justification>::default().view()))
}

pub(super) async fn revoke(
    mut ok: Authorized<RevokeInvitation>,
    layout: Layout,
    Form(input): Form<Input<Justification>>,
) -> Result<Response> {
    let justification = input.read(|form| revocation(&ok, &layout, form))?;
    let mut tx = ok.begin().await?;
    invitation::revoke(&mut tx, ok.on(), &justification, &ok.who().actor()).await?;
    tx.commit().await?;
    let to = format!("/o/{}/invitations", ok.on().organization);
    Ok(see_other(&to, &format!("The invitation of {} was canceled.", display_email(&ok.on().email))))
}

#[derive(Template)]
#[template(path = "invitations/own.html")]
struct OwnInvitationsPage {
    shell: Shell,
    invitations: Vec<OwnInvitationRow>,
    more: bool,
    email: DisplayEmail,
    email_verified: bool,
}

struct OwnInvitationRow {
    invitation: OwnInvitation,
    /// `None` if the inviter may no longer do so.
    accept_url: Option<String>,
}

pub(super) async fn list_own(
    mut ok: Authorized<ListOwnInvitations>,
    State(authn): State<Authn>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let row = |invitation: OwnInvitation| OwnInvitationRow {
        accept_url: (ok.decision::<AcceptInvitation>(&invitation) != Decision::Deny)
            .then(|| format!("/invitations/{}/accept", invitation.id)),
        invitation,
    };
    let (all, more) = own::all(&mut tx, authn.clock().now()).await?;
    let invitations = all.into_iter().map(row).collect();
    let who = ok.who();
    let (email, email_verified) = (DisplayEmail::of_nobody(&who.email), who.email_verified);
    Ok(Page(OwnInvitationsPage { shell: personal(who), invitations, more, email, email_verified }))
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
    Ok(see_other(&Organization::url_of(own.organization), &format!("You’ve joined {}.", own.organization_name)))
}
