use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tenancy::Write;
use web::{
    DisplayEmail, Error, Field, FieldErrors, Form, FormOnce, Link, OneTimeKey, Page, Query, Result, Shell, format_date,
    see_other,
};

use super::member::{self, Member};
use super::owners::{Demotion, REMOVAL_LEAD, Removal};
use super::{
    ChangeMemberRole, ChangeOwnershipAlone, EndMemberSessions, GrantOwnership, ListMembers, MEMBER_LEFT,
    MEMBER_REMOVED, RemoveMember, ResetFactors,
};
use crate::base::{
    AnnouncementContext, ConfirmPage, Justification, JustificationFields, JustificationInput, Layout, ListQuery,
    Organization, Role, RoleChoice, SignedOut, StoredAction, unlinked,
};
use crate::features::approvals::{APPROVAL_LIMIT, OWNER_RULE, Request};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "members/list.html")]
struct List {
    shell: Shell,
    query: String,
    members: Vec<ListRow>,
    list_url: String,
    next_url: Option<String>,
    first_url: Option<String>,
    links: Vec<Link>,
}

struct ListRow {
    name: String,
    email: DisplayEmail,
    role: &'static str,
    since: String,
    is_you: bool,
    same_name: bool,
    change_url: Option<String>,
    remove_url: Option<String>,
    end_sessions_url: Option<String>,
    reset_url: Option<String>,
}

pub(super) async fn list(
    mut ok: Authorized<ListMembers>,
    layout: Layout,
    Query(find): Query<ListQuery>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let list_url = format!("{}/members", ok.on().url());
    let (found, next_url) = member::page(&mut tx, &find, &list_url).await?;
    let row = |member: Member| ListRow {
        change_url: ok.can::<ChangeMemberRole>(&member).then(|| url(ok.on(), &member, "role")),
        remove_url: ok.can::<RemoveMember>(&member).then(|| url(ok.on(), &member, "remove")),
        end_sessions_url: ok.can::<EndMemberSessions>(&member).then(|| url(ok.on(), &member, "end-sessions")),
        reset_url: (member.managed && ok.can::<ResetFactors>(&member)).then(|| url(ok.on(), &member, "reset-factors")),
        role: Role::label_of(&member.role),
        since: format_date(member.since),
        is_you: member.user == ok.who().user,
        same_name: member.same_name,
        name: member.name,
        email: DisplayEmail::of_person(&member.email, member.email_verified),
    };
    Ok(Page(List {
        shell: layout.organization(&ok),
        members: found.into_iter().map(row).collect(),
        next_url,
        first_url: find.first_url(&list_url),
        query: find.q,
        list_url,
        links: layout.links(&ok),
    }))
}

fn url(organization: &Organization, member: &Member, what: &str) -> String {
    format!("{}/members/{}/{what}", organization.url(), member.user)
}

pub(super) fn list_url(member: &Member) -> String {
    format!("/o/{}/members", member.organization)
}

struct RoleForm {
    role: Field,
    justification: JustificationFields,
}

impl RoleForm {
    fn has_errors(&self) -> bool {
        self.role.error.is_some() || self.justification.have_errors()
    }
}

#[derive(Template)]
#[template(path = "members/role.html")]
struct EditRole {
    shell: Shell,
    member_name: String,
    current_role: &'static str,
    /// Set if it needs approval, because the member is another owner.
    asks: Option<&'static str>,
    form: RoleForm,
    roles: Vec<RoleChoice>,
    action_url: String,
    cancel_url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleInput {
    #[serde(default)]
    role: String,
    reason: String,
    #[serde(default)]
    ticket: String,
}

impl EditRole {
    fn page<A: Action<On = Member>>(
        ok: &Authorized<A>,
        layout: &Layout,
        input: &RoleInput,
        errors: &FieldErrors,
    ) -> Self {
        Self {
            shell: layout.organization(ok),
            member_name: ok.on().name.clone(),
            current_role: Role::label_of(&ok.on().role),
            asks: (!ok.can::<ChangeOwnershipAlone>(ok.on())).then_some(OWNER_RULE),
            form: RoleForm {
                role: errors.field("role", &*input.role),
                justification: JustificationFields::of(&input.reason, &input.ticket, errors),
            },
            roles: Role::choices(ok.can::<GrantOwnership>(ok.on())),
            action_url: format!("{}/{}/role", list_url(ok.on()), ok.on().user),
            cancel_url: list_url(ok.on()),
        }
    }
}

pub(super) async fn edit_role(ok: Authorized<FormFor<ChangeMemberRole>>, layout: Layout) -> impl IntoResponse {
    let input = RoleInput { role: ok.on().role.clone(), reason: String::new(), ticket: String::new() };
    Page(EditRole::page(&ok, &layout, &input, &FieldErrors::default()))
}

pub(super) async fn change_role(
    mut ok: Authorized<ChangeMemberRole>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<RoleInput>,
) -> Result<Response> {
    let mut errors = FieldErrors::default();
    let role = errors.parse::<Role>("role", &input.role);
    if role.is_some_and(|role| role.key() == ok.on().role) {
        errors.add("role", "They have this role already.");
    }
    let justification = Justification::read(&mut errors, &input.reason, &input.ticket);
    let (Some(role), Some(justification), true) = (role, justification, errors.is_empty()) else {
        let page = EditRole::page(&ok, &layout, &input, &errors);
        return Err(errors.on_page(page));
    };
    if role == Role::Owner && !ok.authorize_also::<GrantOwnership>().await? {
        return Err(Error::Forbidden);
    }
    if !ok.authorize_also::<ChangeOwnershipAlone>().await? {
        let action = Demotion { member: ok.on().user, role: role.key().to_owned() };
        return ask(&mut ok, &authn, &layout, action, (&justification, key)).await;
    }
    let (url, text) = (list_url(ok.on()), format!("{} is now {}.", ok.on().name, role.label()));
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    let (member, organization) = (ok.on(), Organization::of(&ok.member()?.membership));
    let did = format!("has changed the role of {} to {}", unlinked(&member.name), role.label());
    let page = list_url(member);
    let doing = doing(&ok, &authn, &organization, &did, &page);
    member::change_role(&mut tx, member.subject(), role, justification.details(json!({})), &doing).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

/// Requests an action on an owner, to be approved.
async fn ask<A: Action<On = Member, Mode = Write>, P: StoredAction>(
    ok: &mut Authorized<A>,
    authn: &Authn,
    layout: &Layout,
    action: P,
    (justification, key): (&Justification, OneTimeKey),
) -> Result<Response> {
    authn.check_person_rate_limit(APPROVAL_LIMIT, ok.who()).await?;
    let membership = ok.member()?.membership.clone();
    let organization = Organization::of(&membership);
    let url = format!("{}/approvals", organization.url());
    let text = format!("{} stays an owner until this is approved. All owners and admins were told.", ok.on().name);
    let mut tx = one_time_key::begin(ok, key, &url, &text).await?;
    let (organization, member, hooks) = (&organization, Some(&*ok.on().name), &layout.registry().hooks);
    let request = Request { organization, action, member, justification, hooks, alone: false };
    request.submit(&mut tx, authn, ok.who(), &membership).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

/// What is done to the member of the path.
fn doing<'a, A: Action<On = Member>>(
    ok: &'a Authorized<A>,
    authn: &'a Authn,
    organization: &'a Organization,
    did: &'a str,
    page: &'a str,
) -> AnnouncementContext<'a> {
    AnnouncementContext { authn, who: ok.who(), organization, did, page, member: Some(ok.on().user) }
}

fn removal<A: Action<On = Member>>(
    ok: &Authorized<A>,
    layout: &Layout,
    justification: JustificationFields,
) -> ConfirmPage {
    let words = if ok.on().user == ok.who().user {
        let lead = "You will no longer be able to open it. What you added stays.";
        ("Leave this organization?".to_owned(), lead, "Leave")
    } else if ok.can::<ChangeOwnershipAlone>(ok.on()) {
        (format!("Remove {}?", ok.on().name), REMOVAL_LEAD, "Remove member")
    } else {
        (format!("Remove {}, an owner?", ok.on().name), OWNER_RULE, "Request approval")
    };
    ConfirmPage { once: true, ..confirm(ok, layout, words, "remove", justification) }
}

fn end_of_sessions<A: Action<On = Member>>(
    ok: &Authorized<A>,
    layout: &Layout,
    justification: JustificationFields,
) -> ConfirmPage {
    let lead = "They have to sign in again to get back into this organization. What they do in other organizations goes on, and so \
        do API clients that act as them. To keep them out, remove them from the organization.";
    confirm(
        ok,
        layout,
        (format!("Sign {} out everywhere?", ok.on().name), lead, "Sign out everywhere"),
        "end-sessions",
        justification,
    )
}

fn confirm<A: Action<On = Member>>(
    ok: &Authorized<A>,
    layout: &Layout,
    (heading, lead, button): (String, &'static str, &'static str),
    what: &str,
    justification: JustificationFields,
) -> ConfirmPage {
    let cancel_url = list_url(ok.on());
    let action_url = format!("{cancel_url}/{}/{what}", ok.on().user);
    ConfirmPage {
        shell: layout.organization(ok),
        heading,
        lead,
        button,
        ends: true,
        once: false,
        justification,
        action_url,
        cancel_url,
    }
}

pub(super) async fn confirm_removal(ok: Authorized<FormFor<RemoveMember>>, layout: Layout) -> impl IntoResponse {
    Page(removal(&ok, &layout, JustificationFields::empty()))
}

pub(super) async fn remove(
    mut ok: Authorized<RemoveMember>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<JustificationInput>,
) -> Result<Response> {
    let justification = input.read(|justification| removal(&ok, &layout, justification))?;
    if !ok.authorize_also::<ChangeOwnershipAlone>().await? {
        let action = Removal { member: ok.on().user };
        return ask(&mut ok, &authn, &layout, action, (&justification, key)).await;
    }
    let leaves = ok.on().user == ok.who().user;
    let (url, text) = if leaves {
        ("/organizations".to_owned(), "You have left the organization.".to_owned())
    } else {
        (list_url(ok.on()), format!("{} was removed.", ok.on().name))
    };
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    let organization = Organization::of(&ok.member()?.membership);
    let did = if leaves { "has left".to_owned() } else { format!("has removed {}", unlinked(&ok.on().name)) };
    // A removed member does not see the organization any more.
    let doing = doing(&ok, &authn, &organization, &did, "/organizations");
    let kind = if leaves { MEMBER_LEFT } else { MEMBER_REMOVED };
    member::remove(&mut tx, ok.on().subject(), kind, justification.details(json!({})), &doing).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

pub(super) async fn confirm_end_of_sessions(
    ok: Authorized<FormFor<EndMemberSessions>>,
    layout: Layout,
) -> impl IntoResponse {
    Page(end_of_sessions(&ok, &layout, JustificationFields::empty()))
}

pub(super) async fn end_sessions(
    mut ok: Authorized<EndMemberSessions>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<JustificationInput>,
) -> Result<Response> {
    let justification = input.read(|justification| end_of_sessions(&ok, &layout, justification))?;
    let mut tx = ok.begin().await?;
    let organization = Organization::of(&ok.member()?.membership);
    let did = format!("has signed {} out", unlinked(&ok.on().name));
    let doing = doing(&ok, &authn, &organization, &did, "/account/sessions");
    let signed_out = SignedOut { member: ok.on().user, by: ok.who().user, at: authn.clock().now() };
    member::end_sessions(&mut tx, signed_out, &ok.on().name, &layout.registry().hooks, &justification, &doing).await?;
    tx.commit().await?;
    Ok(see_other(&list_url(ok.on()), &format!("{} is signed out of this organization.", ok.on().name)))
}
