use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, Resource as _};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use web::{Form, NoFields, Page, Result, Shell, format_datetime, see_other};

use super::approval::{self, Approval, Stage, list_url};
use super::{APPROVAL_APPROVED, APPROVAL_DECLINED};
use super::{Approve, Decline, ListApprovals, ViewApproval};
use crate::base::{AnnouncementContext, DisplayActor, Execution, Layout, Organization, Registry};

#[derive(Template)]
#[template(path = "approvals/list.html")]
struct List {
    shell: Shell,
    approvals: Vec<ListRow>,
    more: bool,
}

struct ListRow {
    id: String,
    title: String,
    consequences: &'static str,
    reason: String,
    ticket: String,
    requester: DisplayActor,
    requested: String,
    decider: Option<DisplayActor>,
    stage: &'static str,
    tone: &'static str,
    until: String,
    /// From when an owner approves it alone.
    single_approver_from: Option<String>,
    approve_url: Option<String>,
    decline_url: Option<String>,
    is_yours: bool,
}

pub(super) async fn list(
    mut ok: Authorized<ListApprovals>,
    layout: Layout,
    State(authn): State<Authn>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let now = authn.clock().now();
    let row = |approval: &Approval| {
        let (stage, tone, until) = match approval.stage(now) {
            Stage::Open(until) => ("Pending approval", "warning", format_datetime(until)),
            Stage::Approved => ("Approved", "success", String::new()),
            Stage::Declined => ("Declined", "plain", String::new()),
            Stage::Withdrawn => ("Withdrawn", "plain", String::new()),
            Stage::Lapsed => ("Expired", "plain", String::new()),
        };
        let is_open = !until.is_empty();
        let action = approval.action(layout.registry())?;
        let url = |what| format!("{}/{}/{what}", list_url(ok.on()), approval.id);
        Ok(ListRow {
            id: approval.id.to_string(),
            title: approval.title(&*action),
            consequences: action.consequences(),
            reason: approval.reason.clone(),
            ticket: approval.ticket.clone().unwrap_or_default(),
            requester: DisplayActor::person(
                Some(approval.requester.clone()),
                Some(&approval.requester_email),
                Some(approval.requester_verified),
            ),
            requested: format_datetime(approval.requested_at),
            decider: approval.decider.clone().map(|name| {
                DisplayActor::person(Some(name), approval.decider_email.as_deref(), approval.decider_verified)
            }),
            stage,
            tone,
            until,
            single_approver_from: approval.single_approver_from.filter(|_| is_open).map(format_datetime),
            approve_url: (is_open && ok.can::<Approve>(approval)).then(|| url("approve")),
            decline_url: (is_open && ok.can::<Decline>(approval)).then(|| url("decline")),
            is_yours: approval.requested_by == ok.who().user,
        })
    };
    let (all, more) = approval::find(&mut tx, None).await?;
    let approvals = all.iter().filter(|approval| ok.can::<ViewApproval>(approval)).map(row).collect::<Result<_>>()?;
    Ok(Page(List { shell: layout.organization(&ok), approvals, more }))
}

fn organization<A: Action<On = Approval>>(ok: &Authorized<A>) -> Result<Organization> {
    Ok(Organization::of(&ok.member()?.membership))
}

/// The decision and what it approves are one transaction: neither is without the other.
pub(super) async fn approve(
    mut ok: Authorized<Approve>,
    State(authn): State<Authn>,
    State(registry): State<Arc<Registry>>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let organization = organization(&ok)?;
    let mut tx = ok.begin().await?;
    let (who, now) = (ok.who(), authn.clock().now());
    let action = ok.on().action(&registry)?;
    let start_page = who.context().frame.start_page();
    let next = if action.ends_access_of(who.user) { start_page.to_owned() } else { organization.url() };
    let (note, target) = ("It is done.", ok.on().entity().to_string());
    let doing =
        AnnouncementContext { authn: &authn, who, organization: &organization, note, page: &next, member: None };
    let decided = approval::decide(&mut tx, (ok.on(), &registry), "approved", who.user, now).await?;
    let announcement = APPROVAL_APPROVED.announce(&mut tx, &doing, target, decided.details.clone()).await?;
    announcement.record(&mut tx).await?;
    let (member, details) = (ok.on().member.as_deref(), decided.details);
    let (authn, organization, hooks) = (&authn, &organization, &registry.hooks);
    let execution = Execution { authn, organization, member, details, who, hooks };
    decided.action.execute(&mut tx, execution).await?;
    tx.commit().await?;
    Ok(see_other(&next, &format!("Done: {}.", ok.on().title(&*action))))
}

pub(super) async fn decline(
    mut ok: Authorized<Decline>,
    State(authn): State<Authn>,
    State(registry): State<Arc<Registry>>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let organization = organization(&ok)?;
    let mut tx = ok.begin().await?;
    let (who, now) = (ok.who(), authn.clock().now());
    let (note, url) = ("Nothing was changed.", list_url(&organization));
    let doing = AnnouncementContext { authn: &authn, who, organization: &organization, note, page: &url, member: None };
    let decided = approval::decide(&mut tx, (ok.on(), &registry), "declined", who.user, now).await?;
    let target = ok.on().entity().to_string();
    APPROVAL_DECLINED.announce(&mut tx, &doing, target, decided.details).await?.record(&mut tx).await?;
    tx.commit().await?;
    Ok(see_other(&url, "Request declined. Nothing was changed."))
}
