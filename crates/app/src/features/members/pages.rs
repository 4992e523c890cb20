use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tenancy::Write;
use web::{
    Error, FieldErrors, Form, FormOnce, FormView, Input, Link, OneTimeKey, Page, Query, Result, Shell, filters,
    see_other,
};

use super::member::{self, Member};
use super::owners::{Demotion, REMOVAL_LEAD, Removal};
use super::{
    ChangeMemberRole, ChangeOwnershipAlone, EndMemberSessions, GrantOwnership, ListMembers, MEMBER_LEFT,
    MEMBER_REMOVED, RemoveMember, ResetFactors,
};
use crate::base::{
    ADDRESSES, AnnouncementContext, FormPage, Justification, Layout, ListQuery, MemberSignOut, Organization, Role,
    StoredAction,
};
use crate::features::approvals::{self, APPROVAL_LIMIT, ApprovalRequest, OWNER_RULE};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "members/list.html")]
struct MembersPage {
    shell: Shell,
    query: String,
    members: Vec<MemberRow>,
    list_url: String,
    next_url: Option<String>,
    first_url: Option<String>,
    links: Vec<Link>,
}

struct MemberRow {
    member: Member,
    /// Another member, or something else in the organization, has this name, or one that looks like it.
    same_name: bool,
    is_you: bool,
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
    let keys: Vec<_> = found.iter().filter_map(|member| member.name_key.clone()).collect();
    let in_use = layout.registry().hooks.names_in_use(&mut tx, &keys).await?;
    let row = |member: Member| MemberRow {
        same_name: member.same_name || member.name_key.as_ref().is_some_and(|key| in_use.contains(key)),
        change_url: ok.can::<ChangeMemberRole>(&member).then(|| url(ok.on(), &member, "role")),
        remove_url: ok.can::<RemoveMember>(&member).then(|| url(ok.on(), &member, "remove")),
        end_sessions_url: ok.can::<EndMemberSessions>(&member).then(|| url(ok.on(), &member, "end-sessions")),
        reset_url: (member.managed && ok.can::<ResetFactors>(&member)).then(|| url(ok.on(), &member, "reset-factors")),
        is_you: member.user == ok.who().user,
        member,
    };
    Ok(Page(MembersPage {
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

web::form! {
    pub(super) struct RoleForm {
        role: Role { label: "New role" },
        justification: Justification,
    }
}

fn role_page<A: Action<On = Member>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    let (member, alone) = (ok.on(), ok.can::<ChangeOwnershipAlone>(ok.on()));
    let then = if alone { "Takes effect immediately." } else { OWNER_RULE };
    FormPage {
        shell: layout.organization(ok),
        heading: format!("Change the role of {}", member.name),
        lead: format!("Their role is now {}. {then}", Role::label_of(&member.role)).into(),
        form: form.with(RoleForm::FIELD.role, |field| field.choices = Role::choices(ok.can::<GrantOwnership>(member))),
        button: if alone { "Change role" } else { "Request approval" },
        removes: false,
        once: true,
        action_url: format!("{}/{}/role", list_url(member), member.user),
        cancel_url: list_url(member),
    }
}

pub(super) async fn edit_role(ok: Authorized<FormFor<ChangeMemberRole>>, layout: Layout) -> impl IntoResponse {
    let form = Input::<RoleForm>::default().with(RoleForm::FIELD.role, &*ok.on().role);
    Page(role_page(&ok, &layout, form.view()))
}

pub(super) async fn change_role(
    mut ok: Authorized<ChangeMemberRole>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input<RoleForm>>,
) -> Result<Response> {
    let check = |form: &RoleForm, errors: &mut FieldErrors| {
        if form.role.key() == ok.on().role {
            errors.add(RoleForm::FIELD.role, "They have this role already.");
        }
    };
    let RoleForm { role, justification } = input.read_with(check, |form| role_page(&ok, &layout, form))?;
    if role == Role::Owner && !ok.authorize_also::<GrantOwnership>().await? {
        return Err(Error::Forbidden);
    }
    if !ok.authorize_also::<ChangeOwnershipAlone>().await? {
        let action = Demotion { member: ok.on().user, role: role.key().to_owned() };
        return request_approval(&mut ok, &authn, &layout, action, &justification, key).await;
    }
    let (url, text) = (list_url(ok.on()), format!("{} is now {}.", ok.on().name, role.label()));
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    let (member, organization) = (ok.on(), Organization::of(&ok.member()?.membership));
    let page = list_url(member);
    let doing = doing(&ok, &authn, &organization, &page);
    member::change_role(&mut tx, member.subject(), role, justification.details(json!({})), &doing).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

/// Requests an action on an owner, to be approved.
async fn request_approval<A: Action<On = Member, Mode = Write>, P: StoredAction>(
    ok: &mut Authorized<A>,
    authn: &Authn,
    layout: &Layout,
    action: P,
    justification: &Justification,
    key: OneTimeKey,
) -> Result<Response> {
    authn.check_person_rate_limit(APPROVAL_LIMIT, ok.who()).await?;
    let membership = ok.member()?.membership.clone();
    let organization = Organization::of(&membership);
    let url = approvals::list_url(&organization);
    let text = format!("{} stays an owner until this is approved. All owners and admins were told.", ok.on().name);
    let mut tx = one_time_key::begin(ok, key, &url, &text).await?;
    let (organization, member, hooks) = (&organization, Some(&*ok.on().name), &layout.registry().hooks);
    let request = ApprovalRequest { organization, action, member, justification, hooks, alone: false };
    request.submit(&mut tx, authn, ok.who(), &membership).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

/// The announcement of an action on the member of the path.
fn doing<'a, A: Action<On = Member>>(
    ok: &'a Authorized<A>,
    authn: &'a Authn,
    organization: &'a Organization,
    page: &'a str,
) -> AnnouncementContext<'a> {
    AnnouncementContext::new(authn, ok.who(), organization, page).about_member(ok.on().user)
}

fn removal<A: Action<On = Member>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    let page = confirm(ok, layout, "remove", form);
    if ok.on().user == ok.who().user {
        let lead = "You will no longer be able to open it. What you added stays.".into();
        FormPage { heading: "Leave this organization?".to_owned(), lead, button: "Leave", once: true, ..page }
    } else if ok.can::<ChangeOwnershipAlone>(ok.on()) {
        let heading = format!("Remove {}?", ok.on().name);
        FormPage { heading, lead: REMOVAL_LEAD.into(), button: "Remove member", once: true, ..page }
    } else {
        let heading = format!("Remove {}, an owner?", ok.on().name);
        FormPage { heading, lead: OWNER_RULE.into(), button: "Request approval", once: true, ..page }
    }
}

fn end_of_sessions<A: Action<On = Member>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    FormPage {
        heading: format!("Sign {} out everywhere?", ok.on().name),
        lead: "They have to sign in again to get back into this organization. What they do in other organizations \
               continues, and so do API clients that act as them. To keep them out, remove them from the organization."
            .into(),
        button: "Sign out everywhere",
        ..confirm(ok, layout, "end-sessions", form)
    }
}

/// What the pages have in common that take something from a member.
fn confirm<A: Action<On = Member>>(ok: &Authorized<A>, layout: &Layout, what: &str, form: FormView) -> FormPage {
    let cancel_url = list_url(ok.on());
    FormPage {
        shell: layout.organization(ok),
        heading: String::new(),
        lead: "".into(),
        form,
        button: "",
        removes: true,
        once: false,
        action_url: format!("{cancel_url}/{}/{what}", ok.on().user),
        cancel_url,
    }
}

pub(super) async fn confirm_removal(ok: Authorized<FormFor<RemoveMember>>, layout: Layout) -> impl IntoResponse {
    Page(removal(&ok, &layout, Input::<Justification>::default().view()))
}

pub(super) async fn remove(
    mut ok: Authorized<RemoveMember>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input<Justification>>,
) -> Result<Response> {
    let justification = input.read(|form| removal(&ok, &layout, form))?;
    if !ok.authorize_also::<ChangeOwnershipAlone>().await? {
        let action = Removal { member: ok.on().user };
        return request_approval(&mut ok, &authn, &layout, action, &justification, key).await;
    }
    let leaves = ok.on().user == ok.who().user;
    let (url, text) = if leaves {
        (ok.who().context().frame.start_page().to_owned(), "You have left the organization.".to_owned())
    } else {
        (list_url(ok.on()), format!("{} was removed.", ok.on().name))
    };
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    let organization = Organization::of(&ok.member()?.membership);
    // A removed member can no longer open the organization.
    let doing = doing(&ok, &authn, &organization, ok.who().context().frame.start_page());
    let kind = if leaves { MEMBER_LEFT } else { MEMBER_REMOVED };
    member::remove(&mut tx, ok.on().subject(), kind, justification.details(json!({})), &doing).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

pub(super) async fn confirm_end_of_sessions(
    ok: Authorized<FormFor<EndMemberSessions>>,
    layout: Layout,
) -> impl IntoResponse {
    Page(end_of_sessions(&ok, &layout, Input::<Justification>::default().view()))
}

pub(super) async fn end_sessions(
    mut ok: Authorized<EndMemberSessions>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<Input<Justification>>,
) -> Result<Response> {
    let justification = input.read(|form| end_of_sessions(&ok, &layout, form))?;
    let mut tx = ok.begin().await?;
    let organization = Organization::of(&ok.member()?.membership);
    let doing = doing(&ok, &authn, &organization, ADDRESSES.sessions);
    let signed_out = MemberSignOut { member: ok.on().user, by: ok.who().user, at: authn.clock().now() };
    member::end_sessions(&mut tx, signed_out, &ok.on().name, &layout.registry().hooks, &justification, &doing).await?;
    tx.commit().await?;
    Ok(see_other(&list_url(ok.on()), &format!("{} is signed out of this organization.", ok.on().name)))
}
