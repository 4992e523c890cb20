use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::WAIT;

/// What a page reported of itself.
#[derive(Default)]
pub(super) struct State {
    pub(super) url: String,
    /// The loader of each top-level document so far.
    pub(super) documents: Vec<String>,
    /// How often the address changed without another document.
    pub(super) moves: usize,
    /// Loaders whose load event came.
    pub(super) loaded: HashSet<String>,
    /// The address of each request, by id.
    pub(super) requests: HashMap<String, String>,
    pub(super) errors: Vec<String>,
}

impl State {
    /// Whether the current document has loaded.
    pub(super) fn settled(&self) -> bool {
        self.documents.last().is_some_and(|loader| self.loaded.contains(loader))
    }

    pub(super) fn record(&mut self, method: &str, params: &Value) {
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
            "Log.entryAdded" if params["entry"]["level"] == "error" || params["entry"]["level"] == "warning" => {
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
            "Runtime.consoleAPICalled"
                if params["type"] == "error" || params["type"] == "warning" || params["type"] == "assert" =>
            {
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

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The one connection to Chromium, shared by all pages.
pub(super) struct Link {
    pub(super) out: mpsc::UnboundedSender<String>,
    pub(super) last_id: AtomicU64,
    /// Commands not yet answered.
    pub(super) pending: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    /// Pages by session.
    pub(super) pages: Mutex<HashMap<String, watch::Sender<State>>>,
}

impl Link {
    /// Sends a command and waits for its answer.
    pub(super) async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Result<Value, String> {
        let answer = self.post(session, method, &params);
        let answer = tokio::time::timeout(WAIT, answer).await.map_err(|_| format!("no answer in {WAIT:?}"))?;
        let mut answer = answer.map_err(|_| "Chromium is gone")?;
        if answer["error"].is_object() { Err(answer["error"].to_string()) } else { Ok(answer["result"].take()) }
    }

    /// Sends a command; its answer may be waited for, or not.
    pub(super) fn post(&self, session: Option<&str>, method: &str, params: &Value) -> oneshot::Receiver<Value> {
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
    pub(super) async fn pump(self: Arc<Self>, mut socket: Socket, mut outgoing: mpsc::UnboundedReceiver<String>) {
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

    pub(super) fn receive(&self, mut message: Value) {
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

/// The string in a JSON value, empty if it is none.
pub(super) fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn exception(details: &Value) -> String {
    let text = details["exception"]["description"].as_str().or(details["text"].as_str()).unwrap_or_default();
    format!("{text} ({}:{})", string(&details["url"]), details["lineNumber"])
}
