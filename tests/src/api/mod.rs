//! Clients of the API: tokens, signatures, what they can do with them, and everything that is refused.

mod access;
mod client;
mod contacts;
mod dpop;
mod keys;
mod oauth;
mod openapi;
mod record;
mod refresh;
mod samples;
mod scopes;
mod signed;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::harness::{Answer, Client, World};

/// A client of the API and its secret, as somebody got them from the page.
#[derive(Clone, Debug)]
pub(crate) struct ApiClient {
    id: Uuid,
    secret: String,
}

pub(crate) const ALL: [&str; 8] = [
    "ListWorkspaces",
    "ListContacts",
    "ViewContact",
    "ViewRestrictedFields",
    "CreateContact",
    "EditContact",
    "ListMembers",
    "ViewMember",
];

impl ApiClient {
    /// Made on the page of Acme by `who`.
    pub(crate) async fn made(world: &World, who: &str, acts_as: &str, kind: &str, scopes: &[&str]) -> Self {
        let mut browser = world.sign_in(who).await;
        world.prove(&mut browser, who).await;
        let name = Uuid::now_v7().to_string();
        let mut form = vec![("name", &*name), ("acts_as", acts_as), ("kind", kind), ("reason", "A test of it")];
        form.extend(scopes.iter().map(|scope| ("scope", *scope)));
        let page = browser.post(&format!("{}/clients", world.acme.url()), &form).await;
        assert_eq!(page.status, 200, "{}", page.text());
        Self::shown(&page)
    }

    /// As the page shows it.
    fn shown(page: &Answer) -> Self {
        let mut codes = page.body.split("<code>").skip(1).map(|rest| rest.split('<').next().unwrap());
        Self { id: codes.next().unwrap().parse().unwrap(), secret: codes.next().unwrap().to_owned() }
    }

    /// The same with another secret.
    pub(crate) fn with_secret(&self, secret: &str) -> Self {
        Self { secret: secret.to_owned(), ..self.clone() }
    }

    /// A service account that may do everything an editor may.
    pub(crate) async fn editor(world: &World) -> Self {
        Self::made(world, "olivia", "editor", "tokens", &ALL).await
    }

    pub(crate) async fn ask(&self, world: &World, form: &[(&str, &str)]) -> Answer {
        let id = self.id.to_string();
        let mut form = form.to_vec();
        form.extend([("client_id", &*id), ("client_secret", &*self.secret)]);
        program(world, Method::POST, "/api/oauth/token", &[], Some(&form)).await
    }

    async fn tokens(&self, world: &World) -> Value {
        let answer = self.ask(world, &[("grant_type", "client_credentials")]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    pub(crate) async fn token(&self, world: &World) -> String {
        self.tokens(world).await["access_token"].as_str().unwrap().to_owned()
    }

    /// Takes a token back.
    pub(crate) async fn revoke(&self, world: &World, token: &str) -> Answer {
        let id = self.id.to_string();
        let form = [("token", token), ("client_id", &*id), ("client_secret", &*self.secret)];
        program(world, Method::POST, "/api/oauth/revoke", &[], Some(&form)).await
    }

    async fn refresh(&self, world: &World, token: &Value) -> Answer {
        self.ask(world, &[("grant_type", "refresh_token"), ("refresh_token", token.as_str().unwrap())]).await
    }
}

/// A request without cookies, and of no browser.
async fn program(
    world: &World,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    form: Option<&[(&str, &str)]>,
) -> Answer {
    let mut client = world.stranger().program();
    let mut request = client.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(form) = form {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    }
    client.send(request).await
}

/// A request with a token, and with a document where there is one.
pub(crate) async fn call(world: &World, method: Method, path: &str, token: &str, body: Option<&Value>) -> Answer {
    let mut client: Client = world.stranger();
    let mut request = client.request(method, path).header("authorization", format!("Bearer {token}"));
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    client.send(request).await
}

fn contacts(world: &World) -> String {
    format!("/api/v1{}", world.acme.contacts())
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, self.body))
    }
}

/// The two documents of a token.
fn parts(token: &str) -> (Value, Value) {
    let part = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let mut all = token.split('.').map(str::to_owned);
    (part(&all.next().unwrap()), part(&all.next().unwrap()))
}
