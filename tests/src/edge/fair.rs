//! Nobody takes all of what everybody shares: places, connections, the database.

use std::time::Duration;

use sqlx::Executor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::assert_one_line;
use super::headers::assert_guarded;
use crate::harness::{Client, World};

const PROBE: &str = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Longer than any test, in milliseconds or seconds.
const LONG: &str = "600000";
/// Requests that wait for a lock of a test wait as long as the test takes.
const PATIENT: [(&str, &str); 2] = [("HTTP__REQUEST_SECONDS", LONG), ("DATABASE__ACQUIRE_TIMEOUT_MS", LONG)];

fn later(client: &Client, path: &str) -> tokio::task::JoinHandle<u16> {
    let (mut client, path) = (client.clone(), path.to_owned());
    tokio::spawn(async move { client.get(&path).await.status })
}

// control: API-05
#[tokio::test]
async fn parallel_readiness_checks_query_the_database_once_and_do_not_delay_pages() {
    let [request, acquire] = PATIENT;
    let world = World::start_with(&[("HTTP__MAX_CONCURRENT_REQUESTS", "2"), request, acquire]).await;
    let mut stranger = world.stranger();
    let mut owner = world.database.session().await;
    owner.execute("begin; lock table identity.users in access exclusive mode").await.unwrap();
    let mut probes = Vec::new();
    for _ in 0..300 {
        let mut probe = TcpStream::connect(world.address).await.unwrap();
        probe.write_all(PROBE.as_bytes()).await.unwrap();
        probes.push(probe);
    }
    world.until_blocked(1).await;
    for _ in 0..5 {
        assert_eq!(stranger.get("/sign-in").await.status, 200);
    }
    world.until_blocked(1).await;
    let blocked =
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    assert_eq!(world.database.count(blocked).await, 1);
    owner.execute("rollback").await.unwrap();
    for mut probe in probes {
        let mut answer = [0; 12];
        probe.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}

// control: API-05
#[tokio::test]
async fn whether_it_is_ready_does_not_wait_for_those_who_sign_in() {
    let world = World::start_with(&[("DATABASE__MAX_CONNECTIONS", "4"), PATIENT[0], PATIENT[1]]).await;
    let mut owner = world.database.session().await;
    owner.execute("begin; lock table identity.rate_limits in access exclusive mode").await.unwrap();
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let mut client = world.stranger();
            tokio::spawn(async move { client.post("/sign-in/dev", &[]).await.status })
        })
        .collect();
    // Half of the connections are for one share, and the others of it wait in line.
    world.until_blocked(2).await;
    assert_eq!(world.stranger().get("/readyz").await.status, 200);
    owner.execute("rollback").await.unwrap();
    for start in starts {
        assert_eq!(start.await.unwrap(), 200);
    }
}

// control: API-05
#[tokio::test]
async fn a_network_over_its_limit_has_one_share_of_the_connections_for_all_it_makes_up() {
    let limits = [("HTTP__PROXIES", "1"), ("HTTP__RATE_LIMITS__NETWORK_PER_MINUTE", "3")];
    let world =
        World::start_with(&[("DATABASE__MAX_CONNECTIONS", "4"), PATIENT[0], PATIENT[1], limits[0], limits[1]]).await;
    let mut here = world.stranger().at_address("198.51.100.7");
    here.set_cookie("session", &"x".repeat(43));
    for expected in [303, 303, 303, 429] {
        assert_eq!(here.get("/account").await.status, expected);
    }
    let mut owner = world.database.session().await;
    owner.execute("begin; lock table identity.sessions in access exclusive mode").await.unwrap();
    let asked: Vec<_> = (0..6).map(|_| later(&here, &format!("/o/{}/members", uuid::Uuid::now_v7()))).collect();
    world.until_blocked(2).await;
    for elsewhere in ["203.0.113.9", "192.0.2.9", "198.51.99.9"] {
        assert_eq!(world.stranger().at_address(elsewhere).get("/sign-in").await.status, 200);
    }
    world.until_blocked(2).await;
    let blocked =
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    assert_eq!(world.database.count(blocked).await, 2, "half of them, whatever it makes up");
    owner.execute("rollback").await.unwrap();
    for answer in asked {
        assert!([303, 429].contains(&answer.await.unwrap()));
    }
}

// control: API-05
#[tokio::test]
async fn one_network_takes_half_of_the_places_and_another_one_is_served_at_once() {
    let [request, acquire] = PATIENT;
    let settings = [
        ("HTTP__PROXIES", "1"),
        ("HTTP__MAX_CONCURRENT_REQUESTS", "4"),
        ("HTTP__PLACE_WAIT_MS", "100"),
        request,
        acquire,
    ];
    let world = World::start_with(&settings).await;
    let olivia = world.sign_in("olivia").await.at_address("198.51.100.7");
    let mut block = world.block_contacts().await;
    let held = [later(&olivia, &world.acme.contacts()), later(&olivia, &world.acme.contacts())];
    world.until_blocked(2).await;
    // Also from another address of it.
    for address in ["198.51.100.7", "198.51.100.200"] {
        let answer = world.stranger().at_address(address).get("/sign-in").await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{}", answer.text());
        assert_guarded(&answer);
        assert_one_line(&answer);
    }
    for address in ["203.0.113.9", "2001:db8:1::1", "192.0.2.1"] {
        assert_eq!(world.stranger().at_address(address).get("/sign-in").await.status, 200, "{address}");
    }
    block.execute("rollback").await.unwrap();
    for held in held {
        assert_eq!(held.await.unwrap(), 200);
    }
    assert_eq!(world.stranger().at_address("198.51.100.7").get("/sign-in").await.status, 200);
}

// control: API-05
#[tokio::test]
async fn people_behind_one_address_wait_for_their_turn_and_are_served() {
    let [request, acquire] = PATIENT;
    let settings = [("HTTP__MAX_CONCURRENT_REQUESTS", "2"), ("HTTP__PLACE_WAIT_MS", LONG), request, acquire];
    let world = World::start_with(&settings).await;
    let olivia = world.sign_in("olivia").await;
    let mut block = world.block_contacts().await;
    let held = later(&olivia, &world.acme.contacts());
    world.until_blocked(1).await;
    let stranger = world.stranger();
    let others: Vec<_> = (0..20).map(|_| later(&stranger, "/sign-in")).collect();
    block.execute("rollback").await.unwrap();
    assert_eq!(held.await.unwrap(), 200);
    for other in others {
        assert_eq!(other.await.unwrap(), 200);
    }
}

// control: API-05
#[tokio::test]
async fn an_organization_that_keeps_the_database_busy_does_not_delay_another_one() {
    let settings =
        [("DATABASE__MAX_CONNECTIONS", "4"), ("DATABASE__ACQUIRE_TIMEOUT_MS", "3000"), ("HTTP__REQUEST_SECONDS", LONG)];
    let world = World::start_with(&settings).await;
    let (olivia, gus) = (world.sign_in("olivia").await, world.sign_in("gus").await);
    let mut block = world.block_contacts().await;
    let slow: Vec<_> = (0..24).map(|_| later(&olivia, &format!("{}?q=x", world.acme.contacts()))).collect();
    world.until_blocked(2).await;
    let members = |place: crate::harness::Place| format!("{}/members", place.url());
    for _ in 0..3 {
        assert_eq!(gus.clone().get(&members(world.globex)).await.status, 200);
        assert_eq!(gus.clone().get("/account").await.status, 200);
    }
    let answer = olivia.clone().get(&members(world.acme)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{}", answer.text());
    assert_eq!(olivia.clone().get("/account").await.status, 200, "what is not of that organization");
    block.execute("rollback").await.unwrap();
    let mut statuses = Vec::new();
    for slow in slow {
        statuses.push(slow.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses[2..].iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert_eq!(olivia.clone().get(&members(world.acme)).await.status, 200);
}

// control: API-05
#[tokio::test]
async fn connections_that_rest_make_room_for_others() {
    for (most, of_network) in [("4", "4"), ("100", "4")] {
        let settings = [
            ("HTTP__MAX_CONNECTIONS", most),
            ("HTTP__MAX_CONNECTIONS_PER_NETWORK", of_network),
            ("HTTP__HEADER_SECONDS", LONG),
        ];
        let world = World::start_with(&settings).await;
        let mut idle = Vec::new();
        for _ in 0..12 {
            idle.push(TcpStream::connect(world.address).await.unwrap());
        }
        assert_eq!(world.stranger().get("/healthz").await.status, 200);
        assert_eq!(world.stranger().get("/sign-in").await.status, 200);
        // The longest at rest are closed.
        for resting in &mut idle[..8] {
            let ended = tokio::time::timeout(Duration::from_secs(30), resting.read(&mut [0])).await;
            assert!(matches!(ended.expect("it is closed"), Ok(0) | Err(_)));
        }
    }
}

/// A connection on which so much was asked for, and nothing read, that not even the kernel takes more of the answers.
async fn never_reads(world: &World, asset: &str) -> tokio::task::JoinHandle<()> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(world.address).await.unwrap();
    let request = format!("GET {asset} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    tokio::spawn(async move { while stream.write_all(request.as_bytes()).await.is_ok() {} })
}

// control: API-05
#[tokio::test]
async fn a_client_that_reads_no_responses_is_disconnected_and_locks_out_nobody() {
    let patient = World::start_with(&[("HTTP__WRITE_SECONDS", LONG), ("HTTP__MAX_CONNECTIONS", "4"), PATIENT[1]]).await;
    let asset = super::assets(&patient).await.remove(0);
    let stuck = [never_reads(&patient, &asset).await, never_reads(&patient, &asset).await];
    let others: Vec<_> = [never_reads(&patient, &asset).await, never_reads(&patient, &asset).await].into();
    for path in ["/healthz", "/readyz", "/sign-in"] {
        assert_eq!(patient.stranger().get(path).await.status, 200, "{path}");
    }
    for stuck in stuck.into_iter().chain(others) {
        stuck.abort();
    }

    let world = World::start_with(&[("HTTP__WRITE_SECONDS", "1")]).await;
    let stuck = never_reads(&world, &asset).await;
    tokio::time::timeout(Duration::from_secs(60), stuck).await.expect("it is cut off").unwrap();
    assert_eq!(world.stranger().get("/healthz").await.status, 200);
}
