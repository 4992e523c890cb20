//! The sign-in page: an authorization request is checked, a person is picked, a code goes back (RFC 6749 4.1, RFC 7636,
//! RFC 9207).

use std::io;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use url::Url;

use super::page::{self, escape};
use super::params::Params;
use super::{Client, DEFAULT_ACR, Fault, Grant, Idp, OTHER_ISSUER, Person, SignIn, http, keys};

/// How long a code can be redeemed, in seconds.
const CODE_LIFETIME: i64 = 60;

/// A correct authorization request.
struct Request {
    client: Client,
    redirect_uri: String,
    state: String,
    challenge: String,
    scope: String,
    nonce: Option<String>,
    acr: String,
    login_hint: Option<String>,
    /// `prompt=login` or `max_age` was sent. Every sign-in here is a fresh one, so this only shows on the page.
    fresh: bool,
}

pub(super) async fn ask(State(idp): State<Idp>, RawQuery(query): RawQuery) -> Response {
    idp.count(|counts| &mut counts.authorize);
    let query = query.unwrap_or_default();
    read(&idp, &query).map_or_else(|refusal| *refusal, |request| sign_in_page(&idp, &request, &query))
}

pub(super) async fn answer(
    State(idp): State<Idp>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: String,
) -> Response {
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return page::refusal(StatusCode::FORBIDDEN, "This form was sent from another site.");
    }
    let request = match read(&idp, &query.unwrap_or_default()) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    let form = Params::parse(&body).unwrap_or_default();
    if form.get("cancel").is_some() {
        return back(&idp, &request.redirect_uri, Some(&request.state), &[("error", "access_denied")]);
    }
    let people = idp.lock().people.clone();
    match people.into_iter().find(|person| Some(person.subject.as_str()) == form.get("person")) {
        Some(person) => {
            let code = grant(&idp, &request, person);
            back(&idp, &request.redirect_uri, Some(&request.state), &[("code", &code)])
        }
        None => page::refusal(StatusCode::BAD_REQUEST, "There is no such person here."),
    }
}

/// Checks a request. A wrong client or redirect URI ends on a page of ours, anything else goes back to the client.
fn read(idp: &Idp, query: &str) -> Result<Request, Box<Response>> {
    let stop = |why| Box::new(page::refusal(StatusCode::BAD_REQUEST, why));
    let mut params = Params::parse(query).map_err(|_| stop("A parameter was sent twice."))?;
    let quirks = idp.quirks();
    let reference = params.get("request_uri").map(str::to_owned);
    if let Some(pushed) = reference.as_ref().and_then(|reference| idp.lock().pushed.get(reference).cloned()) {
        let pushed = Params::parse(&pushed).map_err(|_| stop("A parameter was sent twice."))?;
        if pushed.get("client_id") != params.get("client_id") {
            return Err(stop("Another client pushed this request."));
        }
        params = pushed;
    } else if quirks.requires_push && params.get("redirect_uri").is_some() {
        let redirect_uri = params.get("redirect_uri").unwrap_or_default().to_owned();
        let fields = [("error", "invalid_request"), ("error_description", "requests have to be pushed")];
        return Err(Box::new(back(idp, &redirect_uri, params.get("state"), &fields)));
    }
    let client = params.get("client_id").and_then(|id| idp.client(id)).ok_or_else(|| stop("Unknown client_id."))?;
    let redirect_uri = params.get("redirect_uri").unwrap_or_default().to_owned();
    if !client.redirect_uris.contains(&redirect_uri) {
        return Err(stop("The redirect_uri is not registered for this client, character by character."));
    }
    if let Err((error, description)) = check(idp, &params) {
        let fields = [("error", error), ("error_description", description)];
        return Err(Box::new(back(idp, &redirect_uri, params.get("state"), &fields)));
    }
    let owned = |name| params.get(name).map(str::to_owned);
    Ok(Request {
        client,
        redirect_uri,
        state: owned("state").unwrap_or_default(),
        challenge: owned("code_challenge").unwrap_or_default(),
        scope: owned("scope").unwrap_or_default(),
        nonce: owned("nonce"),
        acr: params.words("acr_values").first().map_or(DEFAULT_ACR, |acr| acr).to_owned(),
        login_hint: owned("login_hint"),
        fresh: params.words("prompt").contains(&"login") || params.get("max_age").is_some(),
    })
}

/// What is wrong with the request, as `error` and `error_description`.
pub(super) fn check(idp: &Idp, params: &Params) -> Result<(), (&'static str, &'static str)> {
    let invalid = |description| Err(("invalid_request", description));
    let challenge = params.get("code_challenge").unwrap_or_default();
    let base64url = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let prompt = params.words("prompt");
    match params.get("response_type") {
        None => return invalid("response_type is missing"),
        Some("code") => {}
        Some(_) => return Err(("unsupported_response_type", "response_type must be code")),
    }
    if params.get("request").is_some() {
        return Err(("request_not_supported", "request objects are not supported"));
    }
    if params.get("request_uri").is_some() {
        return Err(("request_uri_not_supported", "request_uri is not supported"));
    }
    if params.get("response_mode").is_some_and(|mode| mode != "query") {
        return invalid("response_mode must be query");
    }
    if !params.words("scope").contains(&"openid") {
        return Err(("invalid_scope", "scope must contain openid"));
    }
    if params.get("state").is_none() {
        return invalid("state is missing");
    }
    if params.get("code_challenge_method") != Some("S256") {
        return invalid("code_challenge_method must be S256");
    }
    if challenge.len() != 43 || !challenge.chars().all(base64url) {
        return invalid("code_challenge must be 43 base64url characters");
    }
    if params.get("max_age").is_some_and(|seconds| seconds.parse::<u32>().is_err()) {
        return invalid("max_age must be a number of seconds");
    }
    let known = idp.quirks().prompts;
    if !known.is_empty() && !prompt.iter().all(|prompt| known.contains(prompt)) {
        return invalid("this prompt is not supported");
    }
    if prompt.contains(&"none") {
        // Nobody is ever signed in here before the click.
        return if prompt.len() == 1 {
            Err(("login_required", "this provider always asks"))
        } else {
            invalid("prompt=none stands alone")
        };
    }
    Ok(())
}

/// Notes the sign-in and makes a code for it.
fn grant(idp: &Idp, request: &Request, person: Person) -> String {
    let now = idp.now();
    let (code, sid) = (keys::token(), keys::token());
    let mut grant = Grant {
        client_id: request.client.id.clone(),
        redirect_uri: request.redirect_uri.clone(),
        challenge: request.challenge.clone(),
        person,
        scope: request.scope.clone(),
        nonce: request.nonce.clone(),
        acr: request.acr.clone(),
        auth_time: now,
        sid,
    };
    let mut state = idp.lock();
    if state.fault == Fault::CodeSwapped {
        // The other transaction: its own challenge and nonce.
        (grant.challenge, grant.nonce) = (keys::token(), Some(keys::token()));
    }
    let subject = grant.person.subject.clone();
    let sign_in = SignIn { client_id: grant.client_id.clone(), subject, sid: grant.sid.clone() };
    if state.sign_ins.len() == 1000 {
        state.sign_ins.remove(0);
    }
    state.sign_ins.push(sign_in);
    state.codes.retain(|_, grant| grant.is_fresh(now));
    state.codes.insert(code.clone(), grant);
    code
}

impl Grant {
    pub(super) fn is_fresh(&self, now: i64) -> bool {
        now - self.auth_time <= CODE_LIFETIME
    }
}

/// Back to the client, with 303: a 307 would carry the posted form along (RFC 9700 4.12).
fn back(idp: &Idp, redirect_uri: &str, state: Option<&str>, fields: &[(&str, &str)]) -> Response {
    let Ok(mut url) = Url::parse(redirect_uri) else {
        return page::refusal(StatusCode::BAD_REQUEST, "The registered redirect_uri is not an address.");
    };
    let (fault, issuer, other_state) = (idp.fault(), idp.issuer(), keys::token());
    let state = if fault == Fault::WrongState { Some(other_state.as_str()) } else { state };
    let issuers: &[&str] = match fault {
        Fault::MixedUpIssuer => &[OTHER_ISSUER],
        Fault::MissingCallbackIss => &[],
        Fault::DuplicateCallbackIss => &[&issuer, &issuer],
        _ => &[&issuer],
    };
    url.query_pairs_mut()
        .extend_pairs(fields)
        .extend_pairs(state.map(|state| ("state", state)))
        .extend_pairs(issuers.iter().map(|issuer| ("iss", issuer)));
    (StatusCode::SEE_OTHER, [(header::LOCATION, url.as_str()), (header::CACHE_CONTROL, "no-store")]).into_response()
}

fn sign_in_page(idp: &Idp, request: &Request, query: &str) -> Response {
    let hinted = |person: &Person| {
        let hint = request.login_hint.as_deref().unwrap_or_default();
        person.subject == hint || person.email.eq_ignore_ascii_case(hint)
    };
    let mut people = idp.lock().people.clone();
    people.sort_by_key(|person| !hinted(person));
    let action = format!("/authorize?{}", escape(query));
    let rows: String = people.iter().map(|person| row(&action, person, hinted(person))).collect();
    let fresh = if request.fresh { "<p class=hint>The application asked for a fresh sign-in.</p>" } else { "" };
    let body = format!(
        "<p class=notice>Development sign-in: not for production</p>\
         <h1>Who is signing in?</h1>\
         <p class=lead>to <strong>{client}</strong>, returning to <strong>{host}</strong></p>{fresh}\
         <ul class=people>{rows}</ul>\
         <form method=post action=\"{action}\"><button class=quiet id=cancel name=cancel value=1>Cancel</button></form>",
        client = escape(&request.client.id),
        host = escape(&page::origin(&request.redirect_uri)),
    );
    page::page(StatusCode::OK, "Development sign-in", &body, &page::origin(&request.redirect_uri))
}

fn row(action: &str, person: &Person, hinted: bool) -> String {
    let initials: String = person.name.split_whitespace().filter_map(|word| word.chars().next()).take(2).collect();
    let hue = person.subject.bytes().fold(0u8, u8::wrapping_add) % 6;
    let tag = if hinted { "<span class=tag>suggested</span>" } else { "" };
    format!(
        "<li><form method=post action=\"{action}\">\
         <button class=person id=\"person-{subject}\" data-person=\"{subject}\" name=person value=\"{subject}\">\
         <span class=\"face hue{hue}\" aria-hidden=true>{initials}</span>\
         <span class=who><span class=name>{name}{tag}</span><span class=about>{about}</span>\
         <span class=mail>{email}</span></span></button></form></li>",
        subject = escape(&person.subject),
        initials = escape(&initials),
        name = escape(&person.name),
        about = escape(&person.about),
        email = escape(&person.email),
    )
}

impl Idp {
    /// Does what a person does in a browser: opens the sign-in page at `authorize_url` and clicks on `subject`. Gives
    /// the address the browser is sent to next, usually the client's callback.
    ///
    /// # Errors
    /// If the page does not open (say, an unregistered redirect URI) or does not offer that person.
    pub async fn sign_in(&self, authorize_url: &str, subject: &str) -> io::Result<String> {
        let page = http::send("GET", authorize_url, "", "").await?;
        if page.status != 200 || !page.body.contains(&format!("data-person=\"{}\"", escape(subject))) {
            return Err(io::Error::other(format!("status {}, and nobody called {subject}", page.status)));
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("person", subject).finish();
        let answer = http::send("POST", authorize_url, "", &body).await?;
        answer.header("location").map(str::to_owned).ok_or_else(|| io::Error::other("the click led nowhere"))
    }
}
