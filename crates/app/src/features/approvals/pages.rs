use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, Resource as _};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use web::{Form, NoFields, Page, Result, Shell, filters, see_other};

use super::approval::{self, Approval, Stage, list_url};
use super::{APPROVAL_APPROVED, APPROVAL_DECLINED};
use super::{Approve, Decline, ListApprovals, ViewApproval};
use crate::base::{AnnouncementContext, Execution, Layout, Organization, Registry};

#[derive(Template)]
#[template(path = "approvals/list.html")]
struct ApprovalsPage {
    shell: Shell,
    approvals: Vec<ApprovalRow>,
    more: bool,
}

struct ApprovalRow {
    approval: Approval,
    title: String,
    consequences: &'static str,
    stage: Stage,
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
    let row = |approval: Approval| {
        let (action, stage) = (approval.action(layout.registry())?, approval.stage(now));
        let is_open = stage.open_until().is_some();
        let url = |what| format!("{}/{}/{what}", list_url(ok.on()), approval.id);
        Ok(ApprovalRow {
            title: approval.title(&*action),
            consequences: action.consequences(),
            stage,
            approve_url: (is_open && ok.can::<Approve>(&approval)).then(|| url("approve")),
            decline_url: (is_open && ok.can::<Decline>(&approval)).then(|| url("decline")),
            is_yours: approval.requested_by == ok.who().user,
            approval,
        })
    };
    let (all, more) = approval::find(&mut tx, None).await?;
    let visible = all.into_iter().filter(|approval| ok.can::<ViewApproval>(approval));
    let approvals = visible.map(row).collect::<Result<_>>()?;
    Ok(Page(ApprovalsPage { shell: layout.organization(&ok), approvals, more }))
}

fn organization<A: Action<On = Approval>>(ok: &Authorized<A>) -> Result<Organization> {
    Ok(Organization::of(&ok.member()?.membership))
}

/// The approval and its action are one transaction: both happen, or neither.
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
    let doing = AnnouncementContext::new(&authn, who, &organization, &next).with_note(note);
    let resolution = approval::decide(&mut tx, ok.on(), &registry, "approved", who.user, now).await?;
    let announcement = APPROVAL_APPROVED.announce(&mut tx, &doing, target, resolution.details.clone()).await?;
    announcement.record(&mut tx).await?;
    let (member, details) = (ok.on().member.as_deref(), resolution.details);
    let (authn, organization, hooks) = (&authn, &organization, &registry.hooks);
    let execution = Execution { authn, organization, member, details, who, hooks };
    resolution.action.execute(&mut tx, execution).await?;
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
    let doing = AnnouncementContext::new(&authn, who, &organization, &url).with_note(note);
    let resolution = approval::decide(&mut tx, ok.on(), &registry, "declined", who.user, now).await?;
    let target = ok.on().entity().to_string();
    APPROVAL_DECLINED.announce(&mut tx, &doing, target, resolution.details).await?.record(&mut tx).await?;
    tx.commit().await?;
    Ok(see_other(&url, "Request declined. Nothing was changed."))
}
