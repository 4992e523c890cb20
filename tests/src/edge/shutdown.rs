//! Stopping: what runs is finished, what comes is refused.

use std::time::Duration;

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
    let mut stop = Box::pin(world.stop());
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = &mut stop => panic!("it stopped before what runs was done"),
        () = refused => {}
    }
    let early = tokio::time::timeout(Duration::from_millis(300), &mut stop).await;
    assert!(early.is_err() && !running.is_finished(), "it waits for what runs");
    block.execute("rollback").await.unwrap();
    stop.await;
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
