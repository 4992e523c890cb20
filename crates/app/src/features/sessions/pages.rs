use askama::Template;
use authn::Authn;
use authz::Authorized;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;
use web::{Form, NoFields, Page, Result, Shell, format_datetime, see_other};

use super::session::{self, Live};
use super::{EndOtherSessions, EndSession, ListSessions, proved_with};
use crate::base::Layout;

const SESSIONS_PATH: &str = "/account/sessions";

#[derive(Template)]
#[template(path = "sessions/list.html")]
struct List {
    shell: Shell,
    sessions: Vec<ListRow>,
    more: bool,
}

struct ListRow {
    device: String,
    network: String,
    how: String,
    began: String,
    last_seen: String,
    is_this: bool,
    end_url: String,
}

pub(super) async fn list(
    mut ok: Authorized<ListSessions>,
    layout: Layout,
    State(authn): State<Authn>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let here: Uuid = ok.who().session;
    let row = |live: Live| ListRow {
        how: proved_with(&live.methods, live.by_passkey, live.by_totp),
        began: format_datetime(live.created_at),
        last_seen: format_datetime(live.last_seen_at),
        is_this: live.id == here,
        end_url: format!("{SESSIONS_PATH}/{}/end", live.id),
        device: live.device,
        network: live.network,
    };
    let (live, more) = session::live(&mut tx, authn.clock().now()).await?;
    let sessions = live.into_iter().map(row).collect();
    Ok(Page(List { shell: layout.account(ok.who()), sessions, more }))
}

pub(super) async fn end(
    mut ok: Authorized<EndSession>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let mut tx = ok.begin().await?;
    session::end(&mut tx, ok.on(), authn.clock().now(), &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(SESSIONS_PATH, "Session signed out."))
}

pub(super) async fn end_others(
    mut ok: Authorized<EndOtherSessions>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let mut tx = ok.begin().await?;
    let ended = session::end_others(&mut tx, ok.who().session, authn.clock().now(), &ok.who().actor()).await?;
    tx.commit().await?;
    let text = match ended {
        0 => "You have no other sessions.".to_owned(),
        1 => "The other session was signed out.".to_owned(),
        more => format!("{more} other sessions have ended."),
    };
    Ok(see_other(SESSIONS_PATH, &text))
}
