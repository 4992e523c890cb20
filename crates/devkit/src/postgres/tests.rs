use super::*;

#[tokio::test]
async fn a_lasting_cluster_keeps_its_data_and_has_one_owner() -> Result<(), Error> {
    let parent = std::env::temp_dir().join(format!("holdfast-cluster-{}", random_hex(8)?));
    fs::create_dir(&parent).map_err(|e| Error::file("create", &parent, e))?;
    let dir = parent.join("postgres");

    let cluster = Cluster::start(&dir).await?;
    let mut connection = PgConnection::connect(&cluster.owner_url()).await?;
    connection.execute("create table kept as select 7 as number").await?;
    let second = Cluster::start(&dir).await;
    assert!(matches!(second, Err(Error::AlreadyRunning(Some(pid))) if pid == std::process::id()));

    // As if the owner had been killed: nobody holds the lock, and the server still runs.
    let Cluster { server, _lock: lock, .. } = cluster;
    std::mem::forget(server);
    drop(lock);
    let cluster = Cluster::start(&dir).await?;
    let mut connection = PgConnection::connect(&cluster.owner_url()).await?;
    let kept: i32 = sqlx::query_scalar("select number from kept").fetch_one(&mut connection).await?;
    assert_eq!(kept, 7);

    cluster.stop();
    Cluster::erase(&dir).await?;
    assert!(!dir.exists());
    fs::remove_dir(&parent).map_err(|e| Error::file("delete", &parent, e))
}

#[tokio::test]
async fn a_temporary_cluster_lets_roles_in_by_password_and_leaves_nothing() -> Result<(), Error> {
    let cluster = Cluster::temporary().await?;
    let dir = cluster.dir().to_owned();
    let mut connection = PgConnection::connect(&cluster.owner_url()).await?;
    connection.execute("create role visitor login").await?;
    let visitor = cluster.login("visitor").await?;
    PgConnection::connect(&visitor).await?.ping().await?;
    let guess = PgConnection::connect(&cluster.url("visitor", "guess")).await;
    assert!(guess.is_err_and(|error| error.as_database_error().is_some_and(|e| e.code().as_deref() == Some("28P01"))));
    let kept = "select rolpassword from pg_authid where rolname in ('owner', 'visitor')";
    let kept: Vec<String> = sqlx::query_scalar(kept).fetch_all(&mut connection).await?;
    assert!(kept.len() == 2 && kept.iter().all(|kept| kept.starts_with("SCRAM-SHA-256$1:")), "{kept:?}");

    cluster.stop();
    assert!(!dir.exists());
    assert!(PgConnection::connect(&visitor).await.is_err());
    Ok(())
}
