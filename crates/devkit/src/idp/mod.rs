//! An OpenID Connect provider of our own, on its own origin, for development and tests.
//!
//! It speaks the real protocol over real sockets: discovery, key set, authorization code with PKCE, ID tokens,
//! RP-initiated and back-channel logout. A person is picked with a click, never by a redirect of its own accord: that
//! is how real providers return to an application, and how `SameSite=Strict` cookies get lost on the way.
//! [`Fault`] makes it break one rule at a time, so that a test can ask the application to notice.

mod authorize;
mod claims;
mod discovery;
mod fault;
mod http;
mod id_token;
mod keys;
mod logout;
mod manner;
pub(crate) mod page;
mod params;
mod push;
#[cfg(test)]
mod tests;
mod token;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;

pub use self::fault::{Fault, LogoutFault};
pub use self::keys::Alg;
use self::keys::Key;
pub use self::manner::Manner;

/// An application that may send people here.
#[derive(Clone, Debug)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: String,
    /// Where a sign-in may return to, compared byte by byte.
    pub redirect_uris: Vec<String>,
    /// Where a sign-out may return to, compared byte by byte.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where logout tokens are posted.
    pub backchannel_logout_uri: Option<String>,
}

/// Somebody who can sign in.
#[derive(Clone, Debug)]
pub struct Person {
    /// `sub`, for ever.
    pub subject: String,
    /// `name`.
    pub name: String,
    /// `email`.
    pub email: String,
    /// `email_verified`.
    pub email_verified: bool,
    /// Shown under the name, such as "owner of Acme".
    pub about: String,
}

/// A completed sign-in: what a logout token can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The application.
    pub client_id: String,
    /// Who signed in.
    pub subject: String,
    /// `sid` of the ID token.
    pub sid: String,
}

/// How often each endpoint was asked, faults included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Metadata.
    pub discovery: u64,
    /// Key set.
    pub jwks: u64,
    /// Sign-in pages asked for; the click is not counted.
    pub authorize: u64,
    /// Token requests.
    pub token: u64,
    /// Questions about a person.
    pub userinfo: u64,
    /// Authorization requests that were pushed.
    pub pushed: u64,
    /// Sign-out pages asked for.
    pub end_session: u64,
}

/// A handle to a running provider. It runs until the runtime it was started on ends.
#[derive(Clone)]
pub struct Idp(Arc<Inner>);

struct Inner {
    issuer: String,
    state: Mutex<State>,
}

struct State {
    people: Vec<Person>,
    clients: Vec<Client>,
    /// The signing key of each algorithm, at the place [`Alg`] has as a number.
    keys: [Arc<Key>; 5],
    /// Keys that signed once and are still published.
    retired: Vec<Arc<Key>>,
    alg: Alg,
    /// A key of the same algorithm for the faults that need one more.
    spare: Option<Arc<Key>>,
    fault: Fault,
    manner: Manner,
    clock: Box<dyn Fn() -> i64 + Send>,
    clock_offset: i64,
    counts: Counts,
    /// Requests that were pushed, by their reference.
    pushed: HashMap<String, String>,
    /// The person of an access token, and its claims.
    access: HashMap<String, (Person, String)>,
    /// Codes not yet presented.
    codes: HashMap<String, Grant>,
    sign_ins: Vec<SignIn>,
}

/// What a code stands for.
#[derive(Clone)]
struct Grant {
    client_id: String,
    redirect_uri: String,
    challenge: String,
    person: Person,
    scope: String,
    nonce: Option<String>,
    acr: String,
    auth_time: i64,
    sid: String,
}

impl Idp {
    /// Serves on this listener, which must be on loopback. The issuer is `http://` and its address.
    pub async fn start(listener: TcpListener, people: Vec<Person>) -> io::Result<Idp> {
        let address = listener.local_addr()?;
        page::refuse_beyond_loopback(address)?;
        let make_keys = || {
            let [rs256, ps256] = Key::first_rsa();
            [rs256, Key::generate(Alg::Es256), Key::generate(Alg::EdDsa), ps256, Key::generate(Alg::Ed25519)]
        };
        let state = State {
            people,
            clients: Vec::new(),
            keys: tokio::task::spawn_blocking(make_keys).await.map_err(io::Error::other)?,
            retired: Vec::new(),
            alg: Alg::default(),
            spare: None,
            fault: Fault::None,
            manner: Manner::default(),
            clock: Box::new(system_time),
            clock_offset: 0,
            counts: Counts::default(),
            pushed: HashMap::new(),
            access: HashMap::new(),
            codes: HashMap::new(),
            sign_ins: Vec::new(),
        };
        let idp = Idp(Arc::new(Inner { issuer: format!("http://{address}"), state: Mutex::new(state) }));
        let router = idp.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(idp)
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/.well-known/openid-configuration", get(discovery::metadata))
            .route("/elsewhere/openid-configuration", get(discovery::metadata_elsewhere))
            .route("/jwks.json", get(discovery::key_set))
            .route("/authorize", get(authorize::ask).post(authorize::answer))
            .route("/token", post(token::token))
            .route("/userinfo", get(manner::userinfo).post(manner::userinfo))
            .route("/pushed", post(push::push))
            .route("/elsewhere/token", post(token::token_elsewhere))
            .route("/end-session", get(logout::end_session).post(logout::end_session))
            .layer(axum::middleware::from_fn(page::local_only))
            .with_state(self.clone())
    }

    /// The issuer identifier, without a slash at the end.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.0.issuer.clone()
    }

    /// Adds a client, or replaces the one of the same id.
    pub fn register(&self, client: Client) {
        let mut state = self.lock();
        state.clients.retain(|known| known.id != client.id);
        state.clients.push(client);
    }

    /// From now on, breaks this rule; [`Fault::None`] ends it. May take a moment, to make another RSA key.
    pub fn set_fault(&self, fault: Fault) {
        let needs_key = matches!(fault, Fault::UnknownKid | Fault::KeySwapped | Fault::NoKidSeveralKeys);
        let alg = self.lock().alg;
        let spare = needs_key.then(|| Key::generate(alg));
        let mut state = self.lock();
        state.fault = fault;
        state.spare = spare;
    }

    /// Signs with this algorithm from now on. The key set always holds keys of all of them.
    pub fn set_key(&self, alg: Alg) {
        self.lock().alg = alg;
        let fault = self.fault();
        self.set_fault(fault);
    }

    /// Signs with a new key from now on; the old one stays in the key set. May take a moment, to make an RSA key.
    pub fn rotate_keys(&self) {
        let alg = self.lock().alg;
        let key = Key::generate(alg);
        let mut state = self.lock();
        let old = std::mem::replace(&mut state.keys[alg as usize], key);
        state.retired.push(old);
    }

    /// Signs with a new key from now on; the old ones of that algorithm leave the key set.
    pub fn rotate_keys_and_drop_old(&self) {
        let alg = self.lock().alg;
        let key = Key::generate(alg);
        let mut state = self.lock();
        state.keys[alg as usize] = key;
        state.retired.retain(|old| old.alg() != alg);
    }

    /// Reads the time from this clock, in seconds since 1970, instead of from the system. The clock of an application under
    /// test may stand still, and its provider must agree with it however long the test takes.
    pub fn set_clock(&self, clock: impl Fn() -> i64 + Send + 'static) {
        self.lock().clock = Box::new(clock);
    }

    /// Moves the provider's clock: every time it writes or checks is this many seconds off.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.lock().clock_offset = seconds;
    }

    /// How often each endpoint was asked so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The sign-ins completed so far, oldest first; the last thousand of them.
    #[must_use]
    pub fn sign_ins(&self) -> Vec<SignIn> {
        self.lock().sign_ins.clone()
    }

    fn count(&self, which: impl FnOnce(&mut Counts) -> &mut u64) {
        *which(&mut self.lock().counts) += 1;
    }

    fn fault(&self) -> Fault {
        self.lock().fault
    }

    fn client(&self, id: &str) -> Option<Client> {
        self.lock().clients.iter().find(|client| client.id == id).cloned()
    }

    /// Seconds since 1970 on the provider's clock.
    fn now(&self) -> i64 {
        let state = self.lock();
        (state.clock)() + state.clock_offset
    }

    /// A panic in another thread while it held the lock leaves nothing half-changed that matters here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the provider is another machine to the application, with a clock of its own"
)]
fn system_time() -> i64 {
    chrono::Utc::now().timestamp()
}

impl State {
    fn signing_key(&self) -> Arc<Key> {
        Arc::clone(&self.keys[self.alg as usize])
    }
}

fn as_json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// Another provider, for the faults that name one.
const OTHER_ISSUER: &str = "http://127.0.0.1:9/other";
/// Another client, for the faults that name one.
const OTHER_CLIENT: &str = "another-client";
/// How a person is said to have signed in, unless the application asked for something else.
const DEFAULT_ACR: &str = "urn:holdfast:pwd";
/// Longer than any client should wait.
const SLOW: std::time::Duration = std::time::Duration::from_secs(45);
/// More than any client should read.
const HUGE: usize = 8 << 20;
