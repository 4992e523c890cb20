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

    // This looks as if the owner had been killed: nobody holds the lock, and the server still runs.
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

#[tokio::test]
async fn a_spare_database_takes_the_place_of_the_one_in_use() -> Result<(), Error> {
    let cluster = Cluster::temporary().await?;
    let mut in_use = PgConnection::connect(&cluster.owner_url()).await?;
    in_use.execute("create table old as select 1 as number").await?;
    // The spare database of a failed attempt is removed.
    cluster.create_spare().await?;
    let spare = cluster.create_spare().await?;
    let mut connection = PgConnection::connect(&spare).await?;
    connection.execute("create table new as select 2 as number").await?;
    connection.close().await?;
    in_use.ping().await?;

    cluster.use_spare().await?;
    assert!(in_use.ping().await.is_err(), "the old database is gone");
    let mut connection = PgConnection::connect(&cluster.owner_url()).await?;
    let number: i32 = sqlx::query_scalar("select number from new").fetch_one(&mut connection).await?;
    let old: Option<String> = sqlx::query_scalar("select to_regclass('old')::text").fetch_one(&mut connection).await?;
    assert_eq!((number, old), (2, None));
    assert!(cluster.use_spare().await.is_err(), "there is no spare database");
    connection.ping().await?;
    cluster.drop_unused().await?;
    let databases = "select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate";
    let databases: String = sqlx::query_scalar(databases).fetch_one(&mut connection).await?;
    assert_eq!(databases, "holdfast postgres");
    Ok(())
}
