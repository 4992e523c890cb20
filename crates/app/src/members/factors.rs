use askama::Template;
use authn::{Authn, Notice, remove_factors};
use authz::{Action, Authorized, Entity, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tenancy::{Tx, UserId, Write};
use web::{Error, FormOnce, Page, Result, Shell, see_other};

use super::pages::list_url;
use super::{Member, ResetFactors, Role};
use crate::approvals::{CHANGED, OWNER_RULE, REQUESTS, Request, ResetFactorsAlone, Wanted};
use crate::notices::{Doing, FACTORS_RESET};
use crate::one_time_key;
use crate::organizations::Organization;
use crate::shell::{Nav, shell};
use crate::why::{WhyFields, WhyInput};

/// How the reset of an admin comes about, for the page on which it is asked for.
const SECOND_PERSON: &str = "This needs approval, because this member is an admin, or was an owner or admin until recently. \
    Somebody else who has been an owner or admin for three days has to approve it within a day.";

/// What happens.
pub(crate) const RESET: &str = "Their passkeys, their authenticator app and their recovery codes are removed, and all their \
    sessions end. They sign in with the organization's provider then, and make a new passkey.";

const THEIR_OWN: Error = Error::Conflict(
    "This account is the person's own and not one of your provider, so nobody here can reset its passkeys and codes. \
     They recover it themselves.",
    None,
);

#[derive(Template)]
#[template(path = "members/reset_factors.html")]
struct Reset {
    shell: Shell,
    member_name: String,
    consequences: &'static str,
    /// It is only asked for: how it comes about then.
    asks: Option<&'static str>,
    why: WhyFields,
    action_url: String,
    cancel_url: String,
}

impl Reset {
    fn page<A: Action<On = Member>>(ok: &Authorized<A>, why: WhyFields) -> Self {
        let rule = if ok.on().role == Role::Owner.key() { OWNER_RULE } else { SECOND_PERSON };
        Self {
            shell: shell(ok, Nav::Members),
            member_name: ok.on().name.clone(),
            consequences: RESET,
            asks: (!ok.can::<ResetFactorsAlone>(ok.on())).then_some(rule),
            why,
            action_url: format!("{}/{}/reset-factors", list_url(ok.on()), ok.on().user),
            cancel_url: list_url(ok.on()),
        }
    }
}

pub(super) async fn confirm(ok: Authorized<FormFor<ResetFactors>>) -> Result<impl IntoResponse> {
    if !ok.on().managed {
        return Err(THEIR_OWN);
    }
    Ok(Page(Reset::page(&ok, WhyFields::empty())))
}

pub(super) async fn reset(
    mut ok: Authorized<ResetFactors>,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<WhyInput>,
) -> Result<Response> {
    let why = input.read(|why| Reset::page(&ok, why))?;
    if !ok.on().managed {
        return Err(THEIR_OWN);
    }
    authn.count_person(REQUESTS, ok.who()).await?;
    let alone = ok.authorize_also::<ResetFactorsAlone>().await?;
    let membership = ok.member()?.membership.clone();
    let (url, name) = (list_url(ok.on()), &ok.on().name);
    let text = if alone {
        format!("The passkeys and codes of {name} were reset.")
    } else {
        format!("The passkeys and codes of {name} are reset once this is approved.")
    };
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    let wanted = Wanted::ResetFactors { member: ok.on().user, role: ok.on().role.clone() };
    let request =
        Request { organization: &Organization::of(&membership), wanted, member: Some(&ok.on().name), why: &why, alone };
    request.submit(&mut tx, &authn, ok.who(), &membership).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

/// Takes the factors of somebody for whom the organization's provider speaks, if they still are what they were.
pub(crate) async fn reset_factors(
    tx: &mut Tx<Write>,
    (member, role): (UserId, &str),
    mut details: Value,
    doing: &Doing<'_>,
) -> Result<()> {
    let found = sqlx::query!(
        r#"select u.managed_by = m.tenant_id as managed from tenant.memberships m join identity.users u on u.id = m.user_id
            where m.user_id = $1 and m.role = $2 for update of m"#,
        member.uuid(),
        role,
    );
    let found = found.fetch_optional(&mut **tx).await?.ok_or(CHANGED)?;
    if found.managed != Some(true) {
        return Err(THEIR_OWN);
    }
    let announcement = FACTORS_RESET.announce(tx, doing).await?;
    let removed = remove_factors(tx, member, "by the organization", doing.authn.clock().now()).await?;
    details["passkeys"] = json!(removed.passkeys);
    let target = Entity::new("Member", member).to_string();
    announcement.record(tx, target, details, &doing.who.actor()).await?;
    doing.authn.tell(tx, member, &Notice::FactorsReset, doing.who.context()).await
}
