//! What stands around every route: headers, errors, limits, same-origin, and what happens to input nobody expects.

mod errors;
mod fair;
mod forms;
mod fuzz;
mod headers;
mod html;
mod ids;
mod limits;
mod network;
mod one_connection;
mod paths;
mod rates;
mod same_origin;
mod shutdown;

use std::collections::BTreeSet;

use crate::harness::{Answer, World, log};

/// The answer is told of in exactly one line of the log, which says the same.
fn assert_one_line(answer: &Answer) {
    let id = answer.request_id();
    assert_eq!(id.len(), 36, "an id: {}", answer.text());
    let lines: Vec<_> = log::lines_of(id).into_iter().filter(|line| line["message"] == "request completed").collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["status"], answer.status);
}

/// A form that the POST route would take.
pub(crate) fn form_for(path: &str) -> Vec<(&'static str, &'static str)> {
    match path {
        "/organizations" | "/o/{organization}/workspaces" => vec![("name", "Smuggled in")],
        "/o/{organization}/w/{workspace}/contacts" => vec![("name", "Smuggled in")],
        "/o/{organization}/w/{workspace}/contacts/{contact}" => vec![("name", "Smuggled in"), ("version", "1")],
        "/o/{organization}/members/{member}/role" => vec![("role", "admin"), ("reason", "No reason")],
        "/o/{organization}/delete" => vec![("name", "Acme"), ("reason", "No reason")],
        "/o/{organization}/members/{member}/remove"
        | "/o/{organization}/members/{member}/reset-factors"
        | "/o/{organization}/members/{member}/end-sessions" => {
            vec![("reason", "No reason")]
        }
        "/o/{organization}/invitations" => {
            vec![("email", "smuggled@example.org"), ("role", "viewer"), ("reason", "No reason")]
        }
        "/o/{organization}/elevations" => {
            vec![("role", "admin"), ("minutes", "15"), ("reason", "No reason"), ("ticket", "https://tickets.example/1")]
        }
        "/o/{organization}/clients" => vec![
            ("name", "Smuggled in"),
            ("acts_as", "viewer"),
            ("scope", "ListContacts"),
            ("kind", "tokens"),
            ("reason", "No reason"),
        ],
        "/o/{organization}/clients/{client}/secret"
        | "/o/{organization}/clients/{client}/revoke"
        | "/o/{organization}/invitations/{invitation}/revoke" => {
            vec![("reason", "No reason")]
        }
        "/api/oauth/token" => {
            vec![("grant_type", "client_credentials"), ("client_id", "x"), ("client_secret", "x"), ("scope", "x")]
        }
        "/api/oauth/revoke" => vec![("token", "x"), ("client_id", "x"), ("client_secret", "x")],
        "/account/email/confirm" => vec![("code", "12345678")],
        "/resume" => vec![("deferred", "018f0000-0000-7000-8000-0000000000ab")],
        "/account/authenticator/confirm" | "/step-up/code" => vec![("code", "123456")],
        "/sign-in/{provider}" => vec![("return_to", "/account")],
        "/sign-in/organization" => vec![("email", "smuggled@example.org")],
        "/o/{organization}/settings/domains" => vec![("name", "smuggled.example.org"), ("reason", "No reason")],
        "/o/{organization}/settings/provider" => vec![
            ("issuer", "https://smuggled.example.org"),
            ("client_id", "smuggled"),
            ("client_secret", "smuggled"),
            ("reason", "No reason"),
        ],
        "/o/{organization}/settings/provider/remove" | "/o/{organization}/settings/domains/{domain}/remove" => {
            vec![("reason", "No reason")]
        }
        "/sign-in/link" => vec![("email", "smuggled@example.org")],
        "/sign-in/link/confirm" => vec![("token", "smuggled")],
        "/o/{organization}/settings/sign-in" => vec![("allows_magic_links", "yes"), ("reason", "No reason")],
        "/sign-in/passkey" | "/step-up" => vec![("credential", "{}"), ("return_to", "/account")],
        "/account/passkeys" => vec![("name", "Smuggled in"), ("credential", "{}")],
        "/account/passkeys/{passkey}/rename" => vec![("name", "Smuggled in")],
        "/recovery" => vec![("code", "AAAA-BBBB-CCCC-DDDD")],
        "/account/authenticator"
        | "/account/authenticator/remove"
        | "/account/recovery/codes"
        | "/account/recovery/cancel"
        | "/recovery/continue"
        | "/account/email"
        | "/o/{organization}/settings/domains/{domain}/prove"
        | "/o/{organization}/elevations/{elevation}/approve"
        | "/o/{organization}/elevations/{elevation}/end"
        | "/o/{organization}/approvals/{approval}/approve"
        | "/o/{organization}/failed-jobs/{job}/retry"
        | "/o/{organization}/approvals/{approval}/decline"
        | "/invitations/{own_invitation}/accept"
        | "/account/passkeys/options"
        | "/account/passkeys/{passkey}/remove"
        | "/sign-in/passkey/options"
        | "/account/sessions/end-others"
        | "/account/sessions/{session}/end"
        | "/step-up/options" => vec![],
        "/sign-in/{provider}/back-channel-logout" => vec![("logout_token", "a.b.c")],
        "/o/{organization}/w/{workspace}/contacts/{contact}/delete" | "/sign-out" => vec![],
        _ => panic!("say what form {path} takes"),
    }
}

/// The address of a stylesheet and an icon, as the front page names them.
async fn assets(world: &World) -> Vec<String> {
    let page = world.stranger().get("/").await;
    let names = page.body.split('"').filter(|part| part.starts_with("/assets/"));
    names.map(ToOwned::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}
