//! A real Chromium for tests, driven over the Chrome `DevTools` Protocol.
//!
//! What a test sees here is what a person would meet: clicks and keys are real input events (they count as user activation, which
//! decides whether a `SameSite=Strict` cookie is sent), cookies live in the browser's own store, and a covered or missing element
//! cannot be clicked.
//!
//! **Waiting.** Everything that needs an element waits until it is there; nothing sleeps and hopes. After [`WAIT`] the test
//! panics with the address, the text of the page, what the console said and the path of a screenshot. An action returns as soon
//! as the input was delivered, when the old document may still be showing, so wrap one that leads to another document:
//! `page.loads(page.click("#save")).await`.
//!
//! **Sites.** `localhost` and `127.0.0.1` are different sites, enough for cross-site tests without TLS. All other names and
//! addresses fail to resolve, so no test leaves the machine.
//!
//! **Scope.** One top-level document per page: neither pop-ups nor what is inside frames. A browser belongs to the tokio runtime
//! that launched it, so with `#[tokio::test]` each test launches its own, and shares it between as many pages (each its own
//! cookie jar) as it likes.
#![allow(clippy::missing_panics_doc, reason = "a panic here is a failed test")]

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything may take before the test fails.
pub const WAIT: Duration = Duration::from_secs(20);

/// Pause between two looks at a condition the protocol has no event for.
const POLL: Duration = Duration::from_millis(20);

/// Where Chromium is found: names on the `PATH`, then the places macOS installs to.
const BINARIES: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

const ARGUMENTS: [&str; 13] = [
    "--headless",
    "--no-sandbox", // root in a container has no user namespaces to build one from
    "--disable-gpu",
    "--hide-scrollbars", // a width of 390 is then 390 for the page, as on a telephone
    "--disable-quic",
    "--allow-pre-commit-input", // otherwise input is dropped, without a word, until the first frame was drawn
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-mock-keychain", // macOS asks the person at the screen otherwise
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1, EXCLUDE [::1]",
    "--remote-debugging-port=0",
];

/// One Chromium process with an empty profile, both gone when this is dropped.
pub struct Browser {
    link: Arc<Link>,
    process: Process,
}

impl Browser {
    /// Starts Chromium and connects to it.
    pub async fn launch() -> Self {
        Self::launch_with(&[]).await
    }

    /// As [`Browser::launch`], with further command line arguments; a switch given again replaces ours.
    pub async fn launch_with(arguments: &[&str]) -> Self {
        let mut process = Process::start(arguments);
        let address = process.address().await;
        let (socket, _) = tokio_tungstenite::connect_async(&address).await.unwrap();
        let (out, outgoing) = mpsc::unbounded_channel();
        let link =
            Arc::new(Link { out, last_id: AtomicU64::new(0), pending: Mutex::default(), pages: Mutex::default() });
        tokio::spawn(Arc::clone(&link).pump(socket, outgoing));
        Self { link, process }
    }

    /// Opens an empty page in a browser context of its own: no cookie, cache or storage is shared with another page.
    pub async fn page(&self) -> Page {
        let context = self.call("Target.createBrowserContext", json!({})).await["browserContextId"].take();
        let new = json!({"url": "about:blank", "browserContextId": context, "width": 1280, "height": 800});
        let target = self.call("Target.createTarget", new).await["targetId"].take();
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true})).await;
        let session = string(&attached["sessionId"]);
        let (sender, state) = watch::channel(State::default());
        self.link.pages.lock().unwrap().insert(session.clone(), sender);
        let page = Page { link: Arc::clone(&self.link), session, context: string(&context), state };
        for domain in ["Inspector", "Page", "Runtime", "Log", "Network", "DOM", "Accessibility"] {
            page.send(&format!("{domain}.enable"), json!({})).await;
        }
        page.send("Page.setLifecycleEventsEnabled", json!({"enabled": true})).await;
        // Focus, `:focus` and passkey prompts then work in every page, not only in the one opened last.
        page.send("Emulation.setFocusEmulationEnabled", json!({"enabled": true})).await;
        page
    }

    /// Ends Chromium in order and waits for it; dropping the browser kills it instead.
    pub async fn close(mut self) {
        self.call("Browser.close", json!({})).await;
        let deadline = Instant::now() + WAIT;
        while self.process.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        self.link.call(None, method, params).await.unwrap_or_else(|e| panic!("{method}: {e}"))
    }
}

/// A tab with a cookie jar of its own; closed, jar and all, when dropped.
pub struct Page {
    link: Arc<Link>,
    session: String,
    context: String,
    state: watch::Receiver<State>,
}

impl Page {
    /// Opens an address as if typed by the user, and waits for the load event.
    pub async fn goto(&self, url: &str) {
        let moves = self.state.borrow().moves;
        let reply = self.send("Page.navigate", json!({"url": url})).await;
        if let Some(error) = reply["errorText"].as_str() {
            self.fail(&format!("going to {url}: {error}")).await;
        }
        // Without a loader the address differed in its fragment only: nothing is loaded, but the reply may come before the move.
        let loader = reply["loaderId"].as_str();
        let there =
            |s: &State| loader.map_or(s.moves > moves, |loader| s.settled() && s.documents.iter().any(|d| d == loader));
        self.wait(&format!("{url} to load"), there).await;
    }

    /// Does something that leads to another document, and waits for that document's load event.
    pub async fn loads(&self, action: impl Future<Output = ()>) {
        let before = self.state.borrow().documents.len();
        action.await;
        self.wait("another document to load", |s| s.settled() && s.documents.len() > before).await;
    }

    /// Waits until a loaded document's address contains a text, through any number of redirects and refreshes; at once if it
    /// already does.
    pub async fn wait_for_url(&self, contains: &str) {
        self.wait(&format!("an address with {contains:?}"), |s| s.settled() && s.url.contains(contains)).await;
    }

    /// Waits until an element matches the selector; `#name:focus` waits for the focus.
    pub async fn wait_for(&self, selector: &str) {
        self.element(selector, "return true").await;
    }

    /// The address of the current document, with fragment.
    #[must_use]
    pub fn url(&self) -> String {
        self.state.borrow().url.clone()
    }

    /// The document's title.
    pub async fn title(&self) -> String {
        string(&self.eval("document.title").await)
    }

    /// What the first element matching the selector shows, once there is one; for a form field, its value.
    pub async fn text(&self, selector: &str) -> String {
        string(&self.element(selector, "return shown(e)").await)
    }

    /// Whether an element matches the selector now.
    pub async fn exists(&self, selector: &str) -> bool {
        self.eval(&format!("document.querySelector({}) !== null", json!(selector))).await == true
    }

    /// The value of a JavaScript expression in the document. Works with page script disabled, too.
    pub async fn eval(&self, expression: &str) -> Value {
        self.poll(expression, &format!("({{value: ({expression}) ?? null}})")).await
    }

    /// Clicks the first element matching the selector, with the mouse.
    pub async fn click(&self, selector: &str) {
        self.click_text(selector, "").await;
    }

    /// Clicks the element that matches the selector and shows the text: the whole of it if there is one, otherwise within it.
    pub async fn click_text(&self, selector: &str, text: &str) {
        let at = self.find(selector, text, POINT).await;
        for (kind, button, held) in
            [("mouseMoved", "none", 0), ("mousePressed", "left", 1), ("mouseReleased", "left", 0)]
        {
            let event =
                json!({"type": kind, "x": at["x"], "y": at["y"], "button": button, "buttons": held, "clickCount": 1});
            self.send("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Clicks into a text field and replaces what it holds.
    pub async fn fill(&self, selector: &str, text: &str) {
        self.click(selector).await;
        let select = "e.select ? e.select() : getSelection().selectAllChildren(e); return true";
        self.element(selector, &format!("if (e !== document.activeElement) return {{wait: 'no focus'}}; {select}"))
            .await;
        if text.is_empty() {
            self.press("Delete").await;
        } else {
            self.send("Input.insertText", json!({"text": text})).await;
        }
    }

    /// Sets the value of a `select`, or of a date, time or colour field. Their pickers are out of the mouse's reach, so this is
    /// done by script.
    pub async fn choose(&self, selector: &str, value: &str) {
        let value = json!(value);
        let events = "for (const n of ['input', 'change']) e.dispatchEvent(new Event(n, {bubbles: true}))";
        self.element(
            selector,
            &format!("e.value = {value}; if (e.value !== {value}) return null; {events}; return true"),
        )
        .await;
    }

    /// Presses and releases a key: `Tab`, `Enter`, `Escape`, `Space`, `Backspace`, `Delete`, `Home`, `End`, `ArrowDown` and its
    /// like, or a character; with modifiers as in `Shift+Tab`.
    pub async fn press(&self, key: &str) {
        let mut parts: Vec<&str> = key.split('+').collect();
        let name = parts.pop().unwrap_or_default();
        let modifiers: u8 = parts
            .iter()
            .map(|m| match *m {
                "Alt" => 1,
                "Control" => 2,
                "Meta" => 4,
                "Shift" => 8,
                other => panic!("{other:?} in {key:?} is not a modifier"),
            })
            .sum();
        let (number, text) = match name {
            "Backspace" => (8, ""),
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "Space" => (32, " "),
            "End" => (35, ""),
            "Home" => (36, ""),
            "ArrowLeft" => (37, ""),
            "ArrowUp" => (38, ""),
            "ArrowRight" => (39, ""),
            "ArrowDown" => (40, ""),
            "Delete" => (46, ""),
            // Other characters have no number of their own: 46 is a full stop in ASCII, but the Delete key here.
            other if other.chars().count() == 1 => {
                (other.bytes().find(u8::is_ascii_alphanumeric).map_or(0, |c| c.to_ascii_uppercase()), other)
            }
            other => panic!("{other:?} is not a key this driver knows"),
        };
        let key = if name == "Space" { " " } else { name };
        let code = if name.chars().count() > 1 { name } else { "" };
        // Control, Alt and Meta make a command of a character, so it is not typed.
        let text = if modifiers.is_multiple_of(8) { text } else { "" };
        let down = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        for (kind, text) in [(down, text), ("keyUp", "")] {
            let mut event = json!({"type": kind, "key": key, "code": code, "modifiers": modifiers, "text": text});
            event["windowsVirtualKeyCode"] = json!(number);
            self.send("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Every cookie in this page's jar, of any site, also those no script can see.
    pub async fn cookies(&self) -> Vec<Cookie> {
        let reply = self.link.call(None, "Storage.getCookies", json!({"browserContextId": self.context})).await;
        let reply = reply.unwrap_or_else(|e| panic!("Storage.getCookies: {e}"));
        let cookie = |c: &Value| Cookie {
            name: string(&c["name"]),
            value: string(&c["value"]),
            domain: string(&c["domain"]),
            path: string(&c["path"]),
            expires: c["expires"].as_f64().filter(|at| *at >= 0.0),
            http_only: c["httpOnly"] == true,
            secure: c["secure"] == true,
            same_site: c["sameSite"].as_str().map(str::to_owned),
        };
        reply["cookies"].as_array().into_iter().flatten().map(cookie).collect()
    }

    /// Writes a PNG of the whole document, also what lies below the fold.
    pub async fn screenshot(&self, path: &Path) {
        let size = self.send("Page.getLayoutMetrics", json!({})).await["cssContentSize"].take();
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let image = self.send("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip})).await;
        tokio::fs::write(path, from_base64(&string(&image["data"])))
            .await
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Sets the size of the viewport in CSS pixels.
    pub async fn set_size(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.send("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Prefers a dark or a light colour scheme.
    pub async fn set_dark(&self, dark: bool) {
        let scheme = json!({"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }});
        self.send("Emulation.setEmulatedMedia", json!({"features": [scheme]})).await;
    }

    /// Turns off the page's own script, from the next document on; everything here keeps working.
    pub async fn disable_script(&self, disabled: bool) {
        self.send("Emulation.setScriptExecutionDisabled", json!({"value": disabled})).await;
    }

    /// All that went wrong in this page and is known by now, oldest first: console errors, CSP violations, uncaught exceptions,
    /// failed requests, answers of 400 and above, and script dialogs (which are dismissed). Chromium reports some of it a little
    /// after the fact, so wait for what must be there with [`Page::wait_for_error`], and settle the page before requiring none.
    #[must_use]
    pub fn console_errors(&self) -> Vec<String> {
        self.state.borrow().errors.clone()
    }

    /// Waits until something went wrong whose report contains a text.
    pub async fn wait_for_error(&self, contains: &str) {
        self.wait(&format!("an error with {contains:?}"), |s| s.errors.iter().any(|error| error.contains(contains)))
            .await;
    }

    /// Controls, links and images without an accessible name, each by the beginning of its HTML.
    pub async fn unlabeled_controls(&self) -> Vec<String> {
        let tree = self.send("Accessibility.getFullAXTree", json!({})).await;
        let mut found = Vec::new();
        for node in tree["nodes"].as_array().into_iter().flatten() {
            let named = node["name"]["value"].as_str().is_some_and(|name| !name.trim().is_empty());
            if node["ignored"] == false && !named && NAMED_ROLES.iter().any(|role| node["role"]["value"] == *role) {
                let html = self.send("DOM.getOuterHTML", json!({"backendNodeId": node["backendDOMNodeId"]})).await;
                found.push(string(&html["outerHTML"]).chars().take(160).collect());
            }
        }
        found
    }

    /// Any other command of the protocol, sent to this page: <https://chromedevtools.github.io/devtools-protocol/>.
    pub async fn send(&self, method: &str, params: Value) -> Value {
        match self.link.call(Some(&self.session), method, params).await {
            Ok(result) => result,
            Err(error) => self.fail(&format!("{method}: {error}")).await,
        }
    }

    /// Runs `body` with `e`, the first element matching the selector, until it returns something other than null.
    async fn element(&self, selector: &str, body: &str) -> Value {
        self.find(selector, "", body).await
    }

    async fn find(&self, selector: &str, text: &str, body: &str) -> Value {
        let expression = format!(
            "(() => {{
                const shown = e => /^(INPUT|TEXTAREA|SELECT)$/.test(e.tagName) ? e.value : e.innerText ?? e.textContent, text = {};
                const all = [...document.querySelectorAll({})];
                const with_text = all.filter(e => e.getClientRects().length && shown(e).includes(text));
                const e = text ? with_text.find(e => shown(e).trim() === text) ?? with_text[0] : all[0];
                if (!e) return {{}};
                const value = (e => {{ {body} }})(e);
                return value?.wait ? value : value === null ? {{}} : {{value}};
            }})()",
            json!(text), json!(selector),
        );
        let what = if text.is_empty() { selector.to_owned() } else { format!("{selector} with {text:?}") };
        self.poll(&what, &expression).await
    }

    /// Evaluates an expression until it gives an object with a `value`. One without may say in `wait` what is missing.
    async fn poll(&self, what: &str, expression: &str) -> Value {
        let deadline = Instant::now() + WAIT;
        let params = json!({"expression": expression, "returnByValue": true});
        let mut missing = "not found".to_owned();
        while Instant::now() < deadline {
            match self.link.call(Some(&self.session), "Runtime.evaluate", params.clone()).await {
                Ok(reply) if reply["exceptionDetails"].is_object() => {
                    self.fail(&format!("{what}: {}", exception(&reply["exceptionDetails"]))).await;
                }
                Ok(mut reply) => match reply["result"]["value"].as_object_mut() {
                    Some(answer) if answer.contains_key("value") => return answer["value"].take(),
                    Some(answer) => missing = answer.get("wait").map_or_else(|| "not found".to_owned(), string),
                    None => missing = format!("no answer in {reply}"),
                },
                Err(error) if self.state.has_changed().is_err() => self.fail(&format!("{what}: {error}")).await,
                // One document has gone and the next is not there yet: there is nothing to look at, which is no answer.
                Err(error) => missing = error,
            }
            tokio::time::sleep(POLL).await;
        }
        self.fail(&format!("waiting for {what}: {missing}")).await
    }

    async fn wait(&self, what: &str, condition: impl FnMut(&State) -> bool) {
        let mut state = self.state.clone();
        let met = tokio::time::timeout(WAIT, state.wait_for(condition)).await.is_ok_and(|seen| seen.is_ok());
        if !met {
            self.fail(&format!("waiting for {what}")).await;
        }
    }

    /// Ends the test with what a person would want to see.
    async fn fail(&self, what: &str) -> ! {
        let ask = async |method: &str, params: Value| {
            let reply =
                tokio::time::timeout(Duration::from_secs(5), self.link.call(Some(&self.session), method, params)).await;
            reply.ok().and_then(Result::ok).unwrap_or_default()
        };
        let text = ask("Runtime.evaluate", json!({"expression": "document.body?.innerText ?? ''"})).await;
        let text: String = string(&text["result"]["value"]).chars().take(2000).collect();
        let image = ask("Page.captureScreenshot", json!({})).await;
        let path = fresh_path("failure").with_extension("png");
        let saved = image["data"].as_str().is_some_and(|data| std::fs::write(&path, from_base64(data)).is_ok());
        let path = if saved { path.display().to_string() } else { "none".to_owned() };
        panic!(
            "{what}\n  at: {}\n  screenshot: {path}\n  console: {:#?}\n  page: {text}",
            self.url(),
            self.console_errors()
        );
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.link.pages.lock().unwrap().remove(&self.session);
        self.link.post(None, "Target.disposeBrowserContext", &json!({"browserContextId": self.context}));
    }
}

/// One cookie as the browser stored it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cookie {
    /// Its name, prefix included.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host; with a leading dot if set with `Domain`, so sent to subdomains, too.
    pub domain: String,
    /// The path it is sent to.
    pub path: String,
    /// Seconds since 1970; `None` for a cookie that ends with the browser.
    pub expires: Option<f64>,
    /// Hidden from script.
    pub http_only: bool,
    /// Only sent over TLS, or to this machine.
    pub secure: bool,
    /// `Strict`, `Lax` or `None` as the server said it; absent if it did not.
    pub same_site: Option<String>,
}

/// Roles that mean nothing to a screen reader without a name.
const NAMED_ROLES: [&str; 23] = [
    "button",
    "checkbox",
    "ColorWell",
    "combobox",
    "ComboBoxSelect",
    "Date",
    "DateTime",
    "dialog",
    "image",
    "InputTime",
    "link",
    "listbox",
    "menuitem",
    "meter",
    "progressbar",
    "radio",
    "searchbox",
    "slider",
    "spinbutton",
    "switch",
    "tab",
    "textbox",
    "treeitem",
];

/// The middle of element `e`, scrolled into view, once the document is complete and a click there would reach `e`.
const POINT: &str = "
    if (document.readyState !== 'complete') return {wait: 'the document is still loading'};
    e.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
    const box = e.getClientRects()[0];
    if (!box || !box.width || !box.height) return {wait: 'not visible'};
    const x = box.x + box.width / 2, y = box.y + box.height / 2, top = document.elementFromPoint(x, y);
    if (e.matches(':disabled')) return {wait: 'disabled'};
    if (!e.contains(top)) return {wait: 'covered by ' + (top?.outerHTML.slice(0, 160) ?? 'the edge of the window')};
    return {x, y};";

/// What a page reported of itself.
#[derive(Default)]
struct State {
    url: String,
    /// The loader of each top-level document so far.
    documents: Vec<String>,
    /// How often the address changed without another document.
    moves: usize,
    /// Loaders whose load event came.
    loaded: HashSet<String>,
    /// The address of each request, by id.
    requests: HashMap<String, String>,
    errors: Vec<String>,
}

impl State {
    /// Whether the current document has loaded.
    fn settled(&self) -> bool {
        self.documents.last().is_some_and(|loader| self.loaded.contains(loader))
    }

    fn record(&mut self, method: &str, params: &Value) {
        match method {
            "Page.frameNavigated" if params["frame"]["parentId"].is_null() => {
                let frame = &params["frame"];
                self.url = string(&frame["url"]) + &string(&frame["urlFragment"]);
                self.documents.push(string(&frame["loaderId"]));
            }
            "Page.navigatedWithinDocument" => {
                self.url = string(&params["url"]);
                self.moves += 1;
            }
            "Page.lifecycleEvent" if params["name"] == "load" => {
                self.loaded.insert(string(&params["loaderId"]));
            }
            "Page.javascriptDialogOpening" => {
                self.errors.push(format!("{} dialog: {}", string(&params["type"]), string(&params["message"])));
            }
            "Network.requestWillBeSent" => {
                self.requests.insert(string(&params["requestId"]), string(&params["request"]["url"]));
            }
            // What a policy blocked is in the log, with the policy.
            "Network.loadingFailed" if params["canceled"] != true && params["blockedReason"] != "csp" => {
                let url = self.requests.get(&string(&params["requestId"])).cloned().unwrap_or_default();
                let reason = string(&params["errorText"]) + &string(&params["blockedReason"]);
                self.errors.push(format!("failed request: {reason} {url}"));
            }
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                let entry = &params["entry"];
                let text = string(&entry["text"]);
                if !text.contains("net::ERR_") {
                    // those came as `loadingFailed`, which also knows failed navigations
                    self.errors.push(format!(
                        "{}: {} ({})",
                        string(&entry["source"]),
                        text.trim(),
                        string(&entry["url"])
                    ));
                }
            }
            "Runtime.consoleAPICalled" if params["type"] == "error" || params["type"] == "assert" => {
                let words = params["args"].as_array().into_iter().flatten();
                let words: Vec<String> = words.map(|w| string(&w["description"]) + &string(&w["value"])).collect();
                self.errors.push(format!("console: {}", words.join(" ")));
            }
            "Runtime.exceptionThrown" => {
                self.errors.push(format!("exception: {}", exception(&params["exceptionDetails"])))
            }
            "Inspector.targetCrashed" => self.errors.push("the page crashed".to_owned()),
            _ => {}
        }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The one connection to Chromium, shared by all pages.
struct Link {
    out: mpsc::UnboundedSender<String>,
    last_id: AtomicU64,
    /// Commands not yet answered.
    pending: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    /// Pages by session.
    pages: Mutex<HashMap<String, watch::Sender<State>>>,
}

impl Link {
    /// Sends a command and waits for its answer.
    async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Result<Value, String> {
        let answer = self.post(session, method, &params);
        let answer = tokio::time::timeout(WAIT, answer).await.map_err(|_| format!("no answer in {WAIT:?}"))?;
        let mut answer = answer.map_err(|_| "Chromium is gone")?;
        if answer["error"].is_object() { Err(answer["error"].to_string()) } else { Ok(answer["result"].take()) }
    }

    /// Sends a command; its answer may be waited for, or not.
    fn post(&self, session: Option<&str>, method: &str, params: &Value) -> oneshot::Receiver<Value> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed);
        let mut command = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            command["sessionId"] = json!(session);
        }
        let (sender, receiver) = oneshot::channel();
        self.pending.lock().unwrap().insert(id, sender);
        if self.out.send(command.to_string()).is_err() {
            self.pending.lock().unwrap().remove(&id);
        }
        receiver
    }

    /// Carries messages both ways until Chromium closes the connection, then tells everyone who waits.
    async fn pump(self: Arc<Self>, mut socket: Socket, mut outgoing: mpsc::UnboundedReceiver<String>) {
        loop {
            tokio::select! {
                Some(text) = outgoing.recv() => if socket.send(Message::text(text)).await.is_err() { break },
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => self.receive(serde_json::from_str(&text).unwrap()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break,
                },
            }
        }
        drop(outgoing);
        self.pending.lock().unwrap().clear();
        self.pages.lock().unwrap().clear();
    }

    fn receive(&self, mut message: Value) {
        if let Some(id) = message["id"].as_u64() {
            if let Some(waiting) = self.pending.lock().unwrap().remove(&id) {
                let _ = waiting.send(message); // nobody waits for what was only posted
            }
            return;
        }
        let (session, method, params) =
            (string(&message["sessionId"]), string(&message["method"]), message["params"].take());
        if let Some(page) = self.pages.lock().unwrap().get(&session) {
            page.send_modify(|state| state.record(&method, &params));
        }
        if method == "Page.javascriptDialogOpening" {
            // An open dialog stops the page and every command to it.
            let leave = params["type"] == "beforeunload";
            self.post(Some(&session), "Page.handleJavaScriptDialog", &json!({"accept": leave}));
        }
    }
}

/// The Chromium process and its directory, both removed on drop.
struct Process {
    child: Child,
    directory: PathBuf,
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let directory = fresh_path("chromium");
        std::fs::create_dir(&directory).unwrap();
        for binary in BINARIES {
            let mut command = Command::new(binary);
            command.arg(format!("--user-data-dir={}", directory.display())).args(ARGUMENTS).args(arguments);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(directory.join("log")).unwrap());
            match command.spawn() {
                Ok(child) => return Self { child, directory },
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => panic!("starting {binary}: {error}"),
            }
        }
        let _ = std::fs::remove_dir_all(&directory);
        panic!("browser tests need Chromium: `apt install chromium`, `brew install --cask chromium`, or Google Chrome");
    }

    /// The address of the protocol, which Chromium prints once it listens.
    async fn address(&mut self) -> String {
        let deadline = Instant::now() + WAIT;
        loop {
            let running = self.child.try_wait().is_ok_and(|status| status.is_none());
            let log = tokio::fs::read_to_string(self.directory.join("log")).await.unwrap_or_default();
            let line = log
                .split_inclusive('\n')
                .find_map(|line| line.strip_prefix("DevTools listening on ")?.strip_suffix('\n'));
            if let Some(address) = line {
                return address.to_owned();
            }
            let patient = running && Instant::now() < deadline;
            assert!(patient, "Chromium did not come up within {WAIT:?} (running: {running}); it said:\n{log}");
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // an error means it has ended already
        let _ = self.child.wait();
        // Its helper processes notice within milliseconds, and may write into the profile until then.
        let deadline = Instant::now() + WAIT;
        while std::fs::remove_dir_all(&self.directory).is_err() && self.directory.exists() && Instant::now() < deadline
        {
            std::thread::sleep(POLL);
        }
    }
}

/// A path in the temporary directory that nothing else uses.
fn fresh_path(kind: &str) -> PathBuf {
    std::env::temp_dir().join(format!("holdfast-{kind}-{:016x}", RandomState::new().hash_one(kind)))
}

/// The string in a JSON value, empty if it is none.
fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn exception(details: &Value) -> String {
    let text = details["exception"]["description"].as_str().or(details["text"].as_str()).unwrap_or_default();
    format!("{text} ({}:{})", string(&details["url"]), details["lineNumber"])
}

/// Decodes base64 as Chromium writes it: standard alphabet, no line breaks.
fn from_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<usize> = text.chars().filter_map(|c| ALPHABET.find(c)).collect();
    let bytes = digits.chunks(4).flat_map(|four| {
        let number = (0..4).fold(0, |n, i| n << 6 | four.get(i).copied().unwrap_or(0));
        number.to_be_bytes().into_iter().skip(size_of::<usize>() - 3).take(four.len() - 1)
    });
    bytes.collect()
}
