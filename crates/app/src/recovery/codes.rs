use askama::Template;
use audit::Event;
use authn::Authn;
use authz::Authorized;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tenancy::{Account, Read, Tx};
use web::{Error, Form, NoFields, Page, Result, Shell, moment, see_other};

use super::{CancelRecovery, MakeRecoveryCodes, ViewRecovery};
use crate::shell::{AccountNav, account};

#[derive(Template)]
#[template(path = "recovery/codes.html")]
struct Codes {
    shell: Shell,
    left: i64,
    made: Option<String>,
    /// When a recovery that waits is ready.
    waits: Option<String>,
    /// New ones, shown this once.
    new: Vec<String>,
}

pub(super) async fn show(mut ok: Authorized<ViewRecovery>) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let (left, made, waits) = status(&mut tx).await?;
    Ok(Page(Codes { shell: account(ok.who(), AccountNav::Recovery), left, made, waits, new: Vec::new() }))
}

async fn status(tx: &mut Tx<Read, Account>) -> Result<(i64, Option<String>, Option<String>)> {
    let codes = sqlx::query!(
        r#"select count(*) filter (where used_at is null) as "left!", max(created_at) as made from identity.recovery_codes"#
    )
    .fetch_one(&mut **tx)
    .await?;
    let waits = sqlx::query_scalar!("select ready_at from identity.recoveries").fetch_optional(&mut **tx).await?;
    Ok((codes.left, codes.made.map(moment), waits.map(moment)))
}

/// Not a redirect: the codes are on the page that answers, and nowhere after it.
pub(super) async fn make(
    mut ok: Authorized<MakeRecoveryCodes>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let codes = authn.new_recovery_codes(ok.who()).await?;
    let mut tx = ok.begin().await?;
    let new = authn.keep_recovery_codes(&mut tx, ok.who(), codes).await?;
    tx.commit().await?;
    let made = Some(moment(authn.clock().now()));
    let left = i64::try_from(new.len())?;
    let page = Codes { shell: account(ok.who(), AccountNav::Recovery), left, made, waits: None, new };
    Ok(Page(page).into_response())
}

pub(super) async fn cancel(mut ok: Authorized<CancelRecovery>, Form(NoFields {}): Form<NoFields>) -> Result<Response> {
    let mut tx = ok.begin().await?;
    let cancelled = sqlx::query!("delete from identity.recoveries where user_id = $1", ok.who().user.uuid());
    if cancelled.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::Conflict("No recovery is waiting any more.", None));
    }
    let target = format!("User::{}", ok.who().user);
    Event { kind: "recovery.cancelled", target, details: json!({}) }.record(&mut tx, &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other("/account/recovery", "The recovery was stopped. Make new codes, since somebody knows one of the old."))
}
