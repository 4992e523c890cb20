//! Too much, too large, too slow: answered or cut off, and never at the cost of others.

use std::time::{Duration, Instant};

use sqlx::Executor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::assert_one_line;
use super::headers::assert_guarded;
use crate::harness::passkey::options;
use crate::harness::{World, log};

const LARGEST: usize = 64 * 1024;

fn post(head: &str, body: &str) -> String {
    format!(
        "POST /sign-in/dev HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n{head}\r\n\r\n{body}"
    )
}

// control: API-05
#[tokio::test]
async fn a_body_larger_than_a_form_is_refused_whether_or_not_it_says_so() {
    let world = World::start().await;
    let (field, before) = ("return_to=", world.state().await);
    let fits = format!("{field}{}", "x".repeat(LARGEST - field.len()));
    let over = format!("{fits}x");
    let chunked = |body: &str| format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (status, request) in [
        (200, post(&format!("Content-Length: {}", fits.len()), &fits)),
        (413, post(&format!("Content-Length: {}", over.len()), &over)),
        (200, post("Transfer-Encoding: chunked", &chunked(&fits))),
        (413, post("Transfer-Encoding: chunked", &chunked(&over))),
        (400, post("Transfer-Encoding: chunked", "zz\r\n")),
        (400, post("Content-Length: 5\r\nContent-Length: 6", "a=b&c=")),
        (400, post("Content-Length: -1", "")),
    ] {
        let answer = world.raw(request).await;
        assert_eq!(answer.status(), status, "{:.500}", answer.0);
    }
    // A length and chunks together are how requests are smuggled past a proxy; the length does not count.
    let both = post("Content-Length: 4\r\nTransfer-Encoding: chunked", &chunked("return_to=/"));
    let answer = world.raw(format!("{both}GET /account HTTP/1.1\r\n\r\n")).await;
    assert_eq!(answer.0.matches("HTTP/1.1 ").count(), 1, "{}", answer.0);
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn headers_beyond_measure_end_the_connection() {
    let world = World::start().await;
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\n";
    let many: String = (0..65).map(|i| format!("x-{i}: 1\r\n")).collect();
    let large = format!("x: {}\r\n", "a".repeat(40_000));
    for flood in [many, large] {
        let answer = world.raw(format!("{head}{flood}\r\n")).await;
        assert_eq!(answer.status(), 431, "{:.300}", answer.0);
        assert_eq!(answer.body(), "", "nothing of ours");
    }
    let address = world.raw(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(40_000))).await;
    assert!(matches!(address.status(), 414 | 431), "{:.300}", address.0);
    for broken in ["GET / HTTP/9.9\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET /\u{7f} HTTP/1.1\r\n\r\n", "a b c d\r\n\r\n"] {
        let answer = world.raw(broken).await;
        assert!(matches!(answer.status(), 0 | 400 | 505), "{broken:?}: {}", answer.0);
    }
    assert_eq!(world.stranger().get("/healthz").await.status, 200);
}

// control: API-05
#[tokio::test]
async fn headers_that_dribble_in_and_connections_that_idle_are_cut_off() {
    let world = World::start_with(&[("HTTP__HEADER_SECONDS", "1")]).await;
    // `raw` reads until the server ends the connection, and fails if it does not.
    let slow = world.raw("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/").await;
    assert!(matches!(slow.status(), 0 | 408), "{}", slow.0);
    let silent = world.raw("").await;
    assert!(matches!(silent.status(), 0 | 408), "{}", silent.0);
    let idle = world.raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!((idle.status(), idle.0.matches("HTTP/1.1 ").count()), (200, 1), "{}", idle.0);
}

// control: API-05
#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up_and_its_connection_serves_others() {
    let world = World::start_with(&[("HTTP__REQUEST_SECONDS", "4"), ("DATABASE__ACQUIRE_TIMEOUT_MS", "20000")]).await;
    let mut olivia = world.sign_in("olivia").await;
    let contacts = world.acme.contacts();
    let mut block = world.block_contacts().await;
    let answer = olivia.get(&contacts).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{}", answer.text());
    assert_guarded(&answer);
    assert_one_line(&answer);
    let told = log::lines_of(answer.request_id());
    assert!(told.iter().any(|line| line["message"] == "request timed out"), "{told:?}");
    block.execute("rollback").await.unwrap();
    assert_eq!(olivia.get(&contacts).await.status, 200);
}

// control: API-05
#[tokio::test]
async fn what_will_go_well_later_is_answered_503_and_goes_well_later() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let contacts = world.acme.contacts();
    let mut block = world.block_contacts().await;
    // A server that is shut down ends its connections; a query that waits too long for a lock is given up.
    for shut_down in [true, false] {
        let waiting = tokio::spawn({
            let (mut olivia, contacts) = (olivia.clone(), contacts.clone());
            async move { olivia.get(&contacts).await }
        });
        world.until_blocked(1).await;
        if shut_down {
            let ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity where wait_event_type = 'Lock'
                            and datname = current_database()";
            assert_eq!(world.database.count(ended).await, 1);
        }
        let answer = waiting.await.unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{}", answer.text());
        assert_guarded(&answer);
        assert_one_line(&answer);
    }
    block.execute("rollback").await.unwrap();
    assert_eq!(olivia.get(&contacts).await.status, 200);
}

// control: API-05
#[tokio::test]
async fn a_request_above_the_limit_is_refused_after_a_short_wait_and_probes_are_not() {
    let world = World::start_with(&[("HTTP__MAX_CONCURRENT_REQUESTS", "1"), ("HTTP__PLACE_WAIT_MS", "100")]).await;
    let olivia = world.sign_in("olivia").await;
    let contacts = world.acme.contacts();
    let mut block = world.block_contacts().await;
    let waiting = tokio::spawn({
        let (mut olivia, contacts) = (olivia.clone(), contacts.clone());
        async move { olivia.get(&contacts).await }
    });
    world.until_blocked(1).await;
    for client in [olivia.clone(), olivia.clone().program(), world.stranger()] {
        let answer = client.clone().get("/account").await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{}", answer.text());
        assert_guarded(&answer);
        assert_one_line(&answer);
    }
    assert_eq!(world.stranger().get("/healthz").await.status, 200);
    assert_eq!(world.stranger().get("/readyz").await.status, 200);
    block.execute("rollback").await.unwrap();
    assert_eq!(waiting.await.unwrap().status, 200);
    assert_eq!(olivia.clone().get("/account").await.status, 200);
}

// control: API-05
#[tokio::test]
async fn a_slow_form_keeps_nobody_out_and_no_form_is_waited_for_for_ever() {
    let world = World::start_with(&[("DATABASE__MAX_CONNECTIONS", "1"), ("HTTP__MAX_CONCURRENT_REQUESTS", "1")]).await;
    let cookies = world.sign_in("olivia").await.cookies();
    let before = world.state().await;
    let mut slow = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nCookie: {cookies}\r\nContent-Length: 100\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\nname=",
        world.acme.contacts()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // While that one waits for its body, others use the one connection and the one place there are.
    let mut olivia = world.stranger();
    let (name, value) = cookies.split_once('=').unwrap();
    olivia.set_cookie(name.strip_prefix("__Host-Http-").unwrap(), value);
    let began = Instant::now();
    while olivia.get(&world.acme.contacts()).await.status == 503 {
        assert!(began.elapsed() < Duration::from_secs(60), "its place is never free");
    }
    for _ in 0..3 {
        assert_eq!(olivia.get(&world.acme.contacts()).await.status, 200);
    }
    let nothing = slow.try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(nothing, Err(std::io::ErrorKind::WouldBlock), "it is not answered yet");
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), slow.read_to_end(&mut answer)).await;
    ended.expect("it ends").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
    assert_eq!(world.state().await, before);
}

// control: API-05
#[tokio::test]
async fn a_received_form_waits_for_a_permit_for_a_limited_time() {
    let world = World::start_with(&[("HTTP__MAX_CONCURRENT_REQUESTS", "1"), ("HTTP__PLACE_WAIT_MS", "100")]).await;
    let olivia = world.sign_in("olivia").await;
    let before = world.state().await;
    let mut form = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nCookie: {}\r\nContent-Length: 9\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\nname=",
        world.acme.contacts(),
        olivia.cookies()
    );
    form.write_all(head.as_bytes()).await.unwrap();
    let mut block = world.block_contacts().await;
    // Takes the one place, as soon as the form has given it up.
    let taken = tokio::spawn({
        let (mut olivia, contacts) = (olivia.clone(), world.acme.contacts());
        async move {
            loop {
                let answer = olivia.get(&contacts).await;
                if answer.status != 503 {
                    return answer.status;
                }
            }
        }
    });
    world.until_blocked(1).await;
    form.write_all(b"Zora").await.unwrap();
    let mut answer = String::new();
    form.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    block.execute("rollback").await.unwrap();
    assert_eq!(taken.await.unwrap(), 200);
    assert_eq!(world.state().await, before);
}

// control: OBS-01
#[tokio::test]
async fn what_a_library_quotes_of_a_large_form_makes_no_large_line_in_the_log() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let asked = options(&mut olivia, "/step-up/options").await;
    let mut credential = world.device_answers("olivia", &asked).await;
    // Says that a key follows, and what follows is none: webauthn-rs logs all of it, as a list of numbers.
    credential["response"]["authenticatorData"] = "_".repeat(27_000).into();
    let answer = olivia.post("/step-up", &[("credential", &credential.to_string()), ("return_to", "/account")]).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    let lines = log::lines_of(answer.request_id());
    let of_library = |line: &&serde_json::Value| line["target"].as_str().unwrap().starts_with("webauthn_rs");
    assert!(lines.iter().filter(of_library).any(|line| line.to_string().contains(" bytes)")), "{lines:?}");
    assert!(log::everything().lines().all(|line| line.len() < 8 * 1024));
}
