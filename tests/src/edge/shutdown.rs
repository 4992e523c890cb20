//! Stopping: what runs is finished, what comes is refused.

use std::cell::Cell;

use sqlx::Executor;
use tokio::net::TcpStream;

use crate::harness::World;

// control: API-05
#[tokio::test]
async fn a_stopping_server_finishes_what_runs_and_refuses_what_comes() {
    let mut world = World::start().await;
    let address = world.address;
    let mut olivia = world.sign_in("olivia").await;
    let contacts = world.acme.contacts();
    let mut block = world.block_contacts().await;
    let running = tokio::spawn(async move { olivia.post(&contacts, &[("name", "Just in time")]).await });
    world.until_blocked(1).await;
    let released = Cell::new(false);
    let release = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(!running.is_finished(), "it still waits");
        released.set(true);
        block.execute("rollback").await.unwrap();
    };
    let stop = async {
        world.stop().await;
        assert!(released.get(), "it did not wait for what runs");
    };
    tokio::join!(stop, release);
    assert_eq!(running.await.unwrap().status, 303);
    assert_eq!(world.database.count("select count(*) from tenant.contacts where name = 'Just in time'").await, 1);
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_idle_connections_nor_for_ever() {
    let mut world = World::start_with(&[("HTTP__SHUTDOWN_SECONDS", "1"), ("HTTP__HEADER_SECONDS", "600")]).await;
    let mut olivia = world.sign_in("olivia").await;
    let contacts = world.acme.contacts();
    // `olivia` keeps a connection open, idle; the request below would wait for ever.
    let mut block = world.block_contacts().await;
    let mut other = olivia.clone();
    let stuck = tokio::spawn(async move { other.get(&contacts).await });
    world.until_blocked(1).await;
    world.stop().await;
    block.execute("rollback").await.unwrap();
    stuck.abort();
    let refused = olivia.request(reqwest::Method::GET, "/healthz").send().await;
    assert!(refused.is_err(), "{refused:?}");
    olivia.remove_cookie("session");
}
