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
//! **Scope.** One top-level document per page: neither pop-ups nor what is inside frames. A page has a cookie jar of its own,
//! and is gone with the connection of its test, so the next test can have the same Chromium: starting one takes two seconds.
#![allow(clippy::missing_panics_doc, reason = "a panic here is a failed test")]

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

mod authenticator;
mod link;
mod process;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use link::{Link, State, exception, string};
use process::{Process, fresh_path};

/// How long anything may take before the test fails. Some of it takes long by chance: a proof of work takes four times its
/// average in one of fifty cases, and a busy machine needs seconds for the average.
pub(crate) const WAIT: Duration = Duration::from_secs(60);

/// Pause between two looks at a condition the protocol has no event for.
const POLL: Duration = Duration::from_millis(20);

/// Chromium processes that no test uses now.
static IDLE: Mutex<Vec<Process>> = Mutex::new(Vec::new());

/// A Chromium process that no other test uses. Dropped, it waits for the next test that needs one.
pub(crate) struct Browser {
    link: Arc<Link>,
    /// `None` only while it is dropped.
    process: Option<Process>,
}

impl Browser {
    /// Connects to an idle Chromium, or to a new one.
    pub(crate) async fn launch() -> Self {
        let idle = IDLE.lock().unwrap().pop();
        let mut process = idle.unwrap_or_else(Process::start);
        let address = process.address().await;
        let (socket, _) = tokio_tungstenite::connect_async(&address).await.unwrap();
        let (out, outgoing) = mpsc::unbounded_channel();
        let link =
            Arc::new(Link { out, last_id: AtomicU64::new(0), pending: Mutex::default(), pages: Mutex::default() });
        tokio::spawn(Arc::clone(&link).pump(socket, outgoing));
        Self { link, process: Some(process) }
    }

    /// Opens an empty page in a browser context of its own: no cookie, cache or storage is shared with another page.
    pub(crate) async fn page(&self) -> Page {
        let own = json!({"disposeOnDetach": true});
        let context = self.call("Target.createBrowserContext", own).await["browserContextId"].take();
        let new = json!({"url": "about:blank", "browserContextId": context, "width": 1280, "height": 800});
        let target = self.call("Target.createTarget", new).await["targetId"].take();
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true})).await;
        let session = string(&attached["sessionId"]);
        let (sender, state) = watch::channel(State::default());
        self.link.pages.lock().unwrap().insert(session.clone(), sender);
        let page = Page { link: Arc::clone(&self.link), session, context: string(&context), state };
        for domain in ["Inspector", "Page", "Runtime", "Log", "Network", "DOM"] {
            page.send(&format!("{domain}.enable"), json!({})).await;
        }
        page.send("Page.setLifecycleEventsEnabled", json!({"enabled": true})).await;
        // Focus, `:focus` and passkey prompts then work in every page, not only in the one opened last.
        page.send("Emulation.setFocusEmulationEnabled", json!({"enabled": true})).await;
        page
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        self.link.call(None, method, params).await.unwrap_or_else(|e| panic!("{method}: {e}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // One that failed a test may be the reason.
        if !std::thread::panicking() {
            IDLE.lock().unwrap().extend(self.process.take());
        }
    }
}

/// A tab with a cookie jar of its own; closed, jar and all, when dropped.
pub(crate) struct Page {
    link: Arc<Link>,
    session: String,
    context: String,
    state: watch::Receiver<State>,
}

impl Page {
    /// Opens an address as if typed by the user, and waits for the load event.
    pub(crate) async fn goto(&self, url: &str) {
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
    pub(crate) async fn loads(&self, action: impl Future<Output = ()>) {
        let before = self.state.borrow().documents.len();
        action.await;
        self.wait("another document to load", |s| s.settled() && s.documents.len() > before).await;
    }

    /// Waits until a loaded document's address contains a text, through any number of redirects and refreshes; at once if it
    /// already does.
    pub(crate) async fn wait_for_url(&self, contains: &str) {
        self.wait(&format!("an address with {contains:?}"), |s| s.settled() && s.url.contains(contains)).await;
    }

    /// Waits until an element matches the selector; `#name:focus` waits for the focus.
    pub(crate) async fn wait_for(&self, selector: &str) {
        self.element(selector, "return true").await;
    }

    /// The address of the current document, with fragment.
    #[must_use]
    pub(crate) fn url(&self) -> String {
        self.state.borrow().url.clone()
    }

    /// What the first element matching the selector shows, once there is one; for a form field, its value.
    pub(crate) async fn text(&self, selector: &str) -> String {
        string(&self.element(selector, "return shown(e)").await)
    }

    /// Whether an element matches the selector now.
    pub(crate) async fn exists(&self, selector: &str) -> bool {
        self.eval(&format!("document.querySelector({}) !== null", json!(selector))).await == true
    }

    /// The value of a JavaScript expression in the document. Works with page script disabled, too.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        self.poll(expression, &format!("({{value: ({expression}) ?? null}})")).await
    }

    /// Clicks the first element matching the selector, with the mouse.
    pub(crate) async fn click(&self, selector: &str) {
        self.click_text(selector, "").await;
    }

    /// Clicks the element that matches the selector and shows the text: the whole of it if there is one, otherwise within it.
    pub(crate) async fn click_text(&self, selector: &str, text: &str) {
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
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
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

    /// Presses and releases a key: `Tab`, `Enter`, `Escape`, `Space`, `Backspace`, `Delete`, `Home`, `End`, `ArrowDown` and its
    /// like, or a character; with modifiers as in `Shift+Tab`.
    pub(crate) async fn press(&self, key: &str) {
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
    pub(crate) async fn cookies(&self) -> Vec<Cookie> {
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
    pub(crate) async fn screenshot(&self, path: &Path) {
        let size = self.send("Page.getLayoutMetrics", json!({})).await["cssContentSize"].take();
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let image = self.send("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip})).await;
        tokio::fs::write(path, STANDARD.decode(string(&image["data"])).unwrap())
            .await
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Sets the size of the viewport in CSS pixels.
    pub(crate) async fn set_size(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.send("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Prefers a dark or a light colour scheme.
    pub(crate) async fn set_dark(&self, dark: bool) {
        let scheme = json!({"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }});
        self.send("Emulation.setEmulatedMedia", json!({"features": [scheme]})).await;
    }

    /// Turns off the page's own script, from the next document on; everything here keeps working.
    pub(crate) async fn disable_script(&self, disabled: bool) {
        self.send("Emulation.setScriptExecutionDisabled", json!({"value": disabled})).await;
    }

    /// All that went wrong in this page and is known by now, oldest first: console errors and warnings, CSP violations, uncaught exceptions,
    /// failed requests, answers of 400 and above, and script dialogs (which are dismissed). Chromium reports some of it a little
    /// after the fact, so wait for what must be there with [`Page::wait_for_error`], and settle the page before requiring none.
    #[must_use]
    pub(crate) fn console_errors(&self) -> Vec<String> {
        self.state.borrow().errors.clone()
    }

    /// Controls, links and images without an accessible name, each by the beginning of its HTML.
    pub(crate) async fn unlabeled_controls(&self) -> Vec<String> {
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
    pub(crate) async fn send(&self, method: &str, params: Value) -> Value {
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
        let saved =
            image["data"].as_str().is_some_and(|data| std::fs::write(&path, STANDARD.decode(data).unwrap()).is_ok());
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
pub(crate) struct Cookie {
    /// Its name, prefix included.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
    /// The host; with a leading dot if set with `Domain`, so sent to subdomains, too.
    pub(crate) domain: String,
    /// The path it is sent to.
    pub(crate) path: String,
    /// Seconds since 1970; `None` for a cookie that ends with the browser.
    pub(crate) expires: Option<f64>,
    /// Hidden from script.
    pub(crate) http_only: bool,
    /// Only sent over TLS, or to this machine.
    pub(crate) secure: bool,
    /// `Strict`, `Lax` or `None` as the server said it; absent if it did not.
    pub(crate) same_site: Option<String>,
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
