use askama::Template;
use audit::Event;
use authn::{AccountNotification, Authn};
use authz::Authorized;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde_json::json;
use tenancy::{Account, Mode, Tx};
use web::{Error, Form, NoFields, Page, Result, Shell, filters, see_other};

use super::{CancelRecovery, GenerateRecoveryCodes, ViewRecovery};
use crate::base::Layout;

#[derive(Template)]
#[template(path = "recovery/codes.html")]
struct CodesPage {
    shell: Shell,
    left: i64,
    created_at: Option<DateTime<Utc>>,
    /// When a pending recovery can be continued.
    recovery_ready_at: Option<DateTime<Utc>>,
    /// The new codes. They are shown only once.
    new: Vec<String>,
}

pub(super) async fn show(
    mut ok: Authorized<ViewRecovery>,
    layout: Layout,
    State(authn): State<Authn>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let codes = sqlx::query!(
        r#"select count(*) filter (where used_at is null) as "left!", max(created_at) as made from identity.recovery_codes"#
    );
    let codes = codes.fetch_one(&mut *tx).await?;
    Ok(Page(CodesPage {
        recovery_ready_at: recovery_ready_at(&mut tx, authn.clock().now()).await?,
        shell: layout.account(ok.who()),
        left: codes.left,
        created_at: codes.made,
        new: Vec::new(),
    }))
}

async fn recovery_ready_at<M: Mode>(tx: &mut Tx<M, Account>, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let ready = sqlx::query_scalar!("select ready_at from identity.recoveries where expires_at > $1", now);
    Ok(ready.fetch_optional(&mut **tx).await?)
}

/// Responds with a page instead of a redirect, because only this response contains the codes.
pub(super) async fn generate(
    mut ok: Authorized<GenerateRecoveryCodes>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let codes = authn.new_recovery_codes(ok.who()).await?;
    let mut tx = ok.begin().await?;
    let new = authn.store_recovery_codes(&mut tx, ok.who(), codes).await?;
    let recovery_ready_at = recovery_ready_at(&mut tx, authn.clock().now()).await?;
    tx.commit().await?;
    let (shell, left, created_at) = (layout.account(ok.who()), i64::try_from(new.len())?, Some(authn.clock().now()));
    Ok(Page(CodesPage { shell, left, created_at, recovery_ready_at, new }).into_response())
}

pub(super) async fn cancel(
    mut ok: Authorized<CancelRecovery>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let now = authn.clock().now();
    let mut tx = ok.begin().await?;
    let cancelled = sqlx::query!(
        "delete from identity.recoveries where user_id = $1 and expires_at > $2",
        ok.who().user.uuid(),
        now,
    );
    if cancelled.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::Conflict("There is no pending recovery.", None));
    }
    let target = format!("User::{}", ok.who().user);
    Event { kind: "recovery.cancelled", target, details: json!({}) }.record(&mut tx, &ok.who().actor()).await?;
    authn.notify(&mut tx, ok.who().user, &AccountNotification::RecoveryStopped, ok.who().context()).await?;
    tx.commit().await?;
    Ok(see_other(
        "/account/recovery",
        "Recovery stopped. Generate new codes, because somebody knows one of the old ones.",
    ))
}
