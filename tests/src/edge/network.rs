//! The network and the host of a request: proxies and host names.

use crate::harness::{ONE_HOST, World, log};

/// How often a world that was started with `settings` says something of `requests` in its log, by a word of its own.
async fn warnings(settings: &[(&str, &str)], header: &'static str, values: &[&str], word: &str) -> usize {
    let world = World::start_with(settings).await;
    for value in values {
        let mut client = world.stranger();
        let request = client.request(reqwest::Method::GET, "/sign-in").header(header, *value);
        assert_eq!(client.send(request).await.status, 200);
    }
    log::everything().lines().filter(|line| line.contains(word)).count()
}

// control: API-01
#[tokio::test]
async fn a_forwarded_header_that_nobody_reads_is_warned_of_once() {
    let ignored = ["203.0.113.9", "203.0.113.10", "203.0.113.11"];
    assert_eq!(warnings(&[], "x-cluster-client-ip", &ignored, "\"header\":\"x-cluster-client-ip\"").await, 1);
    assert_eq!(warnings(&[], "forwarded", &["for=203.0.113.9"], "\"header\":\"forwarded\"").await, 1);
}

// control: API-01
#[tokio::test]
async fn an_entry_that_cannot_be_read_or_is_missing_is_warned_of_once() {
    let one = [("HTTP__PROXIES", "1")];
    assert_eq!(
        warnings(&one, "x-forwarded-for", &["_unreadable", "_unreadable"], "\"entry\":\"_unreadable\"").await,
        1
    );
    let many = [("HTTP__PROXIES", "7")];
    assert_eq!(warnings(&many, "x-forwarded-for", &["203.0.113.9"; 2], "\"proxies\":7,\"entries\":1").await, 1);
}

#[tokio::test]
async fn a_probe_without_a_proxy_is_no_sign_of_a_mistake() {
    let world = World::start_with(&[("HTTP__PROXIES", "9")]).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(world.stranger().get(path).await.status, 200);
    }
    assert!(!log::everything().contains("\"proxies\":9,\"entries\":0"));
    world.stranger().get("/sign-in").await;
    assert!(log::everything().contains("\"proxies\":9,\"entries\":0"));
}

#[tokio::test]
async fn readiness_says_which_proxies_are_believed() {
    for (number, said) in [("0", "the address of their connection"), ("1", "the last address"), ("2", "2 from the end")]
    {
        let world = World::start_with(&[("HTTP__PROXIES", number)]).await;
        let ready = world.stranger().get("/readyz").await;
        assert!(ready.body.starts_with(&format!("ready\nhttp.proxies is {number}: ")), "{}", ready.body);
        assert!(ready.body.contains(said), "{}", ready.body);
    }
}

// control: API-01
#[tokio::test]
async fn an_address_with_a_port_or_in_brackets_is_a_network_of_its_own() {
    let settings =
        [("HTTP__PROXIES", "1"), ("AUTHN__LIMITS__SIGN_INS_PER_MINUTE", "1"), ("AUTHN__LIMITS__FREE_PERCENT", "100")];
    let world = World::start_with(&settings).await;
    for address in ["203.0.113.9:4711", "[2001:db8::3]", "[2001:db8:1::3]:4711", "198.51.100.7"] {
        let start = async || world.stranger().at_address(address).post("/sign-in/dev", &[]).await.status;
        assert_eq!((start().await, start().await), (200, 429), "{address}");
    }
}

fn get(path: &str, version: &str, hosts: &[&str]) -> String {
    let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
    format!("GET {path} HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n")
}

#[tokio::test]
async fn a_request_without_a_host_or_with_two_is_refused() {
    for settings in [&[][..], &[ONE_HOST]] {
        let world = World::start_with(settings).await;
        let ours = format!("localhost:{}", world.address.port());
        for path in ["/sign-in", "/healthz", "/readyz"] {
            assert_eq!(world.raw(get(path, "1.1", &[&ours])).await.status(), 200, "{path}");
            for hosts in [&[][..], &[&*ours, &*ours], &[&*ours, "evil.example"], &[""], &["a@b"]] {
                let refused = world.raw(get(path, "1.1", hosts)).await;
                assert_eq!(refused.status(), 400, "{path} {hosts:?}: {}", refused.0);
                assert!(!refused.header("x-request-id").is_empty(), "with our headers: {}", refused.0);
            }
        }
        assert_eq!(world.raw(get("/healthz", "1.0", &[])).await.status(), 200, "a probe of HTTP/1.0");
    }
}

#[tokio::test]
async fn in_production_only_the_host_of_the_public_url_is_answered_for() {
    let world = World::start_with(&[ONE_HOST]).await;
    let port = world.address.port();
    let ours = format!("localhost:{port}");
    let other_port = format!("localhost:{}", port ^ 1);
    for path in ["/sign-in", "/", "/nothing-here", "/api/v1/contacts", "/.well-known/security.txt"] {
        for host in ["evil.example", "localhost", &format!("127.0.0.1:{port}"), &other_port] {
            let refused = world.raw(get(path, "1.1", &[host])).await;
            assert_eq!(refused.status(), 421, "{path} {host}: {}", refused.0);
        }
        assert_ne!(world.raw(get(path, "1.1", &[&ours.to_uppercase()])).await.status(), 421, "{path}");
    }
    let foreign = format!("http://evil.example{}", "/sign-in");
    assert_eq!(world.raw(get(&foreign, "1.1", &[&ours])).await.status(), 421, "the target counts before the header");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(world.raw(get(path, "1.1", &["10.0.0.7:8080"])).await.status(), 200, "{path}");
    }
    let anybody = World::start().await;
    assert_eq!(anybody.raw(get("/sign-in", "1.1", &["127.0.0.1"])).await.status(), 200, "in development");
}
