//! An OpenID Connect provider of our own, on its own origin, for development and tests.
//!
//! It uses the real protocol over real sockets: discovery, key set, authorization code with PKCE, ID tokens, RP-initiated and
//! back-channel logout. A person is chosen with a click and never by an automatic redirect. Real providers return to an application in
//! the same way, and the browser does not send `SameSite=Strict` cookies then. [`Fault`] makes it break one rule at a time, so that a
//! test can check that the application notices.

mod authorize;
mod claims;
mod discovery;
mod fault;
mod http;
mod id_token;
mod keys;
mod logout;
pub(crate) mod page;
mod params;
mod push;
mod quirks;
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
pub use self::quirks::Quirks;

/// An application that uses this provider.
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
    /// `sub`. It never changes.
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

/// The number of requests to each endpoint, including those with a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Metadata.
    pub discovery: u64,
    /// Key set.
    pub jwks: u64,
    /// Requests for the sign-in page. The click is not counted.
    pub authorize: u64,
    /// Token requests.
    pub token: u64,
    /// Requests for userinfo.
    pub userinfo: u64,
    /// Authorization requests that were pushed.
    pub pushed: u64,
    /// Requests for the sign-out page.
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
    /// The signing key of each algorithm, in the order of [`Alg`].
    keys: [Arc<Key>; 5],
    /// Earlier signing keys that are still published.
    retired: Vec<Arc<Key>>,
    alg: Alg,
    /// A second key of the same algorithm, for faults that need one.
    spare: Option<Arc<Key>>,
    fault: Fault,
    quirks: Quirks,
    clock: Box<dyn Fn() -> i64 + Send>,
    clock_offset: i64,
    counts: Counts,
    /// Requests that were pushed, by their reference.
    pushed: HashMap<String, String>,
    /// The person of an access token, and its claims.
    access: HashMap<String, (Person, String)>,
    /// Codes that were not used yet.
    codes: HashMap<String, Grant>,
    sign_ins: Vec<SignIn>,
}

/// The data of a code.
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
    ///
    /// # Errors
    ///
    /// The listener is not on loopback, or a key cannot be generated.
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
            quirks: Quirks::default(),
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
            .route("/userinfo", get(quirks::userinfo).post(quirks::userinfo))
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

    /// Adds a client, or replaces the one with the same id.
    pub fn register(&self, client: Client) {
        let mut state = self.lock();
        state.clients.retain(|known| known.id != client.id);
        state.clients.push(client);
    }

    /// Breaks a rule until [`Fault::None`]. It may take a moment to generate another RSA key.
    pub fn set_fault(&self, fault: Fault) {
        let needs_key = matches!(fault, Fault::UnknownKid | Fault::KeySwapped | Fault::NoKidSeveralKeys);
        let alg = self.lock().alg;
        let spare = needs_key.then(|| Key::generate(alg));
        let mut state = self.lock();
        state.fault = fault;
        state.spare = spare;
    }

    /// Signs with this algorithm. The key set always has keys of all algorithms.
    pub fn set_key(&self, alg: Alg) {
        self.lock().alg = alg;
        let fault = self.fault();
        self.set_fault(fault);
    }

    /// Signs with a new key. The old one stays in the key set. It may take a moment to generate an RSA key.
    pub fn rotate_keys(&self) {
        let alg = self.lock().alg;
        let key = Key::generate(alg);
        let mut state = self.lock();
        let old = std::mem::replace(&mut state.keys[alg as usize], key);
        state.retired.push(old);
    }

    /// Signs with a new key. The old ones of that algorithm are removed from the key set.
    pub fn rotate_keys_and_drop_old(&self) {
        let alg = self.lock().alg;
        let key = Key::generate(alg);
        let mut state = self.lock();
        state.keys[alg as usize] = key;
        state.retired.retain(|old| old.alg() != alg);
    }

    /// Reads the time from this clock, in seconds since 1970, instead of from the system. The clock of an application under test may be
    /// fixed, and its provider must agree with it during the whole test.
    pub fn set_clock(&self, clock: impl Fn() -> i64 + Send + 'static) {
        self.lock().clock = Box::new(clock);
    }

    /// Moves the provider's clock by this many seconds.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.lock().clock_offset = seconds;
    }

    /// The number of requests to each endpoint so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The last thousand completed sign-ins, oldest first.
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

    /// A panic in another thread that held the lock is ignored: the state is still usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(clippy::disallowed_methods, reason = "the provider acts as another machine with a clock of its own")]
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
/// The authentication context, unless the application requests another one.
const DEFAULT_ACR: &str = "urn:holdfast:pwd";
/// Longer than any client should wait.
const SLOW: std::time::Duration = std::time::Duration::from_secs(45);
/// More than any client should read.
const HUGE: usize = 8 << 20;
