use askama::Template;
use authn::Authn;
use authz::Authorized;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;
use web::{Form, NoFields, Page, Result, Shell, filters, see_other};

use super::session::{self, LiveSession};
use super::{EndOtherSessions, EndSession, ListSessions, proved_with};
use crate::base::Layout;

const SESSIONS_PATH: &str = "/account/sessions";

#[derive(Template)]
#[template(path = "sessions/list.html")]
struct SessionsPage {
    shell: Shell,
    sessions: Vec<SessionRow>,
    more: bool,
}

struct SessionRow {
    session: LiveSession,
    how: String,
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
    let row = |session: LiveSession| SessionRow {
        how: proved_with(&session.methods, session.by_passkey, session.by_totp),
        is_this: session.id == here,
        end_url: format!("{SESSIONS_PATH}/{}/end", session.id),
        session,
    };
    let (live, more) = session::live(&mut tx, authn.clock().now()).await?;
    let sessions = live.into_iter().map(row).collect();
    Ok(Page(SessionsPage { shell: layout.account(ok.who()), sessions, more }))
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
