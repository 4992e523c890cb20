use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};

/// A browser without the browser: keeps cookies, follows nothing, and says of its requests what Chromium says of those
/// that our own pages start.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    port: u16,
    cookies: BTreeMap<String, String>,
    accept: &'static str,
    agent: String,
    /// What a proxy of ours would say it comes from.
    address: Option<&'static str>,
}

/// A response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Client {
    /// How it names itself unless it is another browser.
    pub(crate) const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0 Safari/537.36";

    pub(crate) fn new(port: u16) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Nothing here speaks TLS, and reading the system's certificates takes longer than a request.
            .tls_certs_only([])
            // The server ends connections on which no request begins; one that is sent at that moment would be lost.
            .pool_idle_timeout(Duration::from_secs(2))
            .build()
            .unwrap();
        Self {
            http,
            port,
            cookies: BTreeMap::new(),
            accept: "text/html,application/xhtml+xml,*/*;q=0.8",
            agent: Self::AGENT.to_owned(),
            address: None,
        }
    }

    /// The same, in another browser.
    pub(crate) fn with_agent(mut self, agent: &str) -> Self {
        agent.clone_into(&mut self.agent);
        self
    }

    /// The same, behind a proxy that says it comes from `address`.
    pub(crate) fn at_address(mut self, address: &'static str) -> Self {
        self.address = Some(address);
        self
    }

    /// The same, as a program that wants no pages.
    pub(crate) fn program(mut self) -> Self {
        self.accept = "application/json";
        self
    }

    /// The cookies as a request header carries them.
    pub(crate) fn cookies(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(&format!("__Host-Http-{name}")).map(String::as_str)
    }

    pub(crate) fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(format!("__Host-Http-{name}"), value.to_owned());
    }

    pub(crate) fn remove_cookie(&mut self, name: &str) {
        self.cookies.remove(&format!("__Host-Http-{name}"));
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = self.request(Method::GET, path).header("sec-fetch-site", "same-origin");
        self.send(request).await
    }

    /// A navigation that another site started: the strict cookie stays at home.
    pub(crate) async fn get_from_elsewhere(&mut self, path: &str) -> Answer {
        let session = self.cookies.remove("__Host-Http-session");
        let request = self
            .request(Method::GET, path)
            .header("sec-fetch-site", "cross-site")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        if let Some(session) = session {
            self.cookies.entry("__Host-Http-session".to_owned()).or_insert(session);
        }
        self.send(request).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.post_body(path, "application/x-www-form-urlencoded", body).await
    }

    /// The form of `page`, as a browser sends it.
    pub(crate) async fn post_from(&mut self, page: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let origin = format!("http://localhost:{}", self.port);
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self
            .request(Method::POST, path)
            .header("origin", &origin)
            .header("referer", format!("{origin}{page}"))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        self.send(request).await
    }

    pub(crate) async fn post_body(&mut self, path: &str, kind: &'static str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .request(Method::POST, path)
            .header("origin", format!("http://localhost:{}", self.port))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", kind)
            .body(body);
        self.send(request).await
    }

    /// A request with nothing but the cookies, for tests that say the rest.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies = self.cookies();
        let request = self
            .http
            .request(method, format!("http://localhost:{}{path}", self.port))
            .header("accept", self.accept)
            .header("user-agent", &self.agent);
        let request = match self.address {
            Some(address) => request.header("x-forwarded-for", address),
            None => request,
        };
        if cookies.is_empty() { request } else { request.header("cookie", cookies) }
    }

    pub(crate) async fn send(&mut self, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { status, headers, body: response.text().await.unwrap() };
        self.take_cookies(&answer);
        answer
    }

    /// Keeps the cookies of an answer, as a browser does.
    pub(crate) fn take_cookies(&mut self, answer: &Answer) {
        self.take_cookie_lines(answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()));
    }

    pub(crate) fn take_cookie_lines<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        for line in lines {
            let (pair, attributes) = line.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &'static str) -> &str {
        let name = HeaderName::from_static(name);
        self.headers.get(name).map_or("", |value: &HeaderValue| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location")
    }

    /// The id of the request, as records carry it.
    pub(crate) fn request(&self) -> uuid::Uuid {
        self.header("x-request-id").parse().unwrap()
    }

    /// The body without what is new in every answer: the nonce, the id of the request, the one-time key.
    pub(crate) fn masked(&self) -> String {
        let policy = self.header("content-security-policy");
        let nonce = policy.split_once("'nonce-").and_then(|(_, rest)| rest.split('\'').next());
        let body = nonce.map_or(self.body.clone(), |nonce| self.body.replace(nonce, "NONCE"));
        let body = body.replace(self.header("x-request-id"), "REQUEST");
        self.one_time_key().map_or(body.clone(), |key| body.replace(&key, "KEY"))
    }

    /// The key of the form on this page that creates something.
    pub(crate) fn one_time_key(&self) -> Option<String> {
        let (_, rest) = self.body.split_once("name=\"one_time_key\" value=\"")?;
        Some(rest.split('"').next().unwrap().to_owned())
    }

    /// The headers without what is new in every answer.
    pub(crate) fn masked_headers(&self) -> BTreeMap<String, String> {
        let plain = |(name, value): (&HeaderName, &HeaderValue)| {
            let value = value.to_str().unwrap();
            let value = match name.as_str() {
                "date" | "x-request-id" => String::new(),
                "content-security-policy" => {
                    let parts = value.split('\'').map(|p| if p.starts_with("nonce-") { "NONCE" } else { p });
                    parts.collect::<Vec<_>>().join("'")
                }
                _ => value.to_owned(),
            };
            (name.to_string(), value)
        };
        self.headers.iter().map(plain).collect()
    }

    /// The words of a page, without its markup, for messages.
    pub(crate) fn text(&self) -> String {
        let mut inside = false;
        let words: String = self
            .body
            .chars()
            .filter(|c| {
                inside = (inside || *c == '<') && *c != '>';
                !inside && *c != '>'
            })
            .collect();
        format!("{} {}", self.status, words.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// The id that the response, its error page and the log share.
    pub(crate) fn request_id(&self) -> &str {
        self.header("x-request-id")
    }

    /// Where a page that moves on by itself leads.
    pub(crate) fn moves_on_to(&self) -> String {
        let (_, rest) = self.body.split_once("content=\"0;url=").unwrap_or_else(|| panic!("it stays: {}", self.text()));
        rest.split('"').next().unwrap().replace("&#38;", "&")
    }
}
