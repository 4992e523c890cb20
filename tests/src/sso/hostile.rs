use super::*;

// control: IDN-03
// control: IDN-15
#[tokio::test]
async fn a_hostile_provider_of_an_organization_signs_nobody_in() {
    let world = World::start().await;
    let (idp, _) = acme(&world).await;
    // Two need a setting that an organization does not have, and the keys are known since the provider was connected.
    let harmless = [Fault::WrongAcr, Fault::MissingAcr, Fault::JwksEmpty];
    assert!(harmless.iter().all(|fault| expected(*fault) == Outcome::Refused), "remove what is no exception");
    for &fault in Fault::ALL.iter().filter(|fault| expected(**fault) == Outcome::Refused) {
        world.change("delete from identity.login_flows").await;
        let before = world.traces().await;
        let mut client = world.stranger();
        let started = start(&mut client, "/").await;
        idp.set_fault(fault);
        let location = idp.sign_in(&started.moves_on_to(), "wanda").await.unwrap();
        let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
        idp.set_fault(Fault::None);
        if harmless.contains(&fault) {
            assert!(answer.sets("session").is_some(), "{fault:?} is no exception: {}", answer.text());
            continue;
        }
        assert_eq!((answer.status, answer.sets("session")), (403, None), "{fault:?}: {}", answer.text());
        assert_eq!(world.traces().await.sessions, before.sessions, "{fault:?}");
    }
}

// control: IDN-15
#[tokio::test]
async fn only_public_addresses_are_contacted() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    for issuer in [
        "https://127.0.0.1",
        "https://[::1]/",
        "https://10.0.0.1",
        "https://169.254.169.254/latest",
        "https://id.acme.test:8443",
        "http://id.acme.test",
        "https://me:word@id.acme.test",
        "https://id.acme.test/?x",
        "https://id.acme.test/#x",
        "ftp://id.acme.test",
        "file:///etc/passwd",
        "id.acme.test",
        "x",
    ] {
        let refused = bring(&mut olivia, world.acme, issuer).await;
        assert!(refused.status == 422 && refused.body.contains("an https address"), "{issuer}: {}", refused.text());
        assert!(!refused.body.contains(SECRET), "a secret is not shown again");
        world.wait(60);
        world.prove(&mut olivia, "olivia").await;
    }
    for (name, addresses) in [
        ("loop.acme.test", vec!["127.0.0.1"]),
        ("metadata.acme.test", vec!["169.254.169.254"]),
        ("inside.acme.test", vec!["10.0.0.7", "fd00::1", "::ffff:192.168.0.1"]),
        ("none.acme.test", vec![]),
    ] {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        world.dns.point(name, &addresses);
        let refused = bring(&mut olivia, world.acme, &format!("https://{name}")).await;
        assert!(refused.status == 422 && refused.body.contains("does not answer"), "{name}: {}", refused.text());
        let lines = log::lines_of(&refused.request().to_string());
        let reason = lines.iter().find_map(|line| line["reason"].as_str()).unwrap();
        assert!(reason.contains("no public address") || addresses.is_empty(), "{name}: {reason}");
    }
    let kept: i64 = sqlx::query_scalar("select count(*) from tenant.identity_providers")
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
    assert_eq!(kept, 0);
}

// control: IDN-15
#[tokio::test]
async fn a_provider_is_tested_before_it_is_stored_and_its_secret_is_encrypted() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let idp = provider(&world, world.acme).await;
    for fault in [Fault::DiscoveryWrongIssuer, Fault::DiscoveryWithoutS256, Fault::DiscoveryNotJson] {
        idp.set_fault(fault);
        let refused = bring(&mut olivia, world.acme, &idp.issuer()).await;
        assert_eq!(refused.status, 422, "{fault:?}: {}", refused.text());
    }
    idp.set_fault(Fault::None);
    assert_eq!(bring(&mut olivia, world.acme, &idp.issuer()).await.status, 303);
    let stored = world.everything_stored().await;
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(stored.contains(&idp.issuer()) && !stored.contains(SECRET) && !stored.contains(&hex));
    assert!(!olivia.get(&format!("{}/provider", settings(world.acme))).await.body.contains(SECRET));

    // Another organization's secret does not open in its place.
    let (_, token) = add_domain(&world, &mut olivia, world.acme, "acme.test").await;
    let mut gus = world.sign_in("gus").await;
    let (domain, theirs) = add_domain(&world, &mut gus, world.globex, "globex.test").await;
    assert_ne!(token, theirs);
    world.dns.say("_holdfast.globex.test", &[&format!("holdfast-domain={theirs}")]);
    assert_eq!(prove(&mut gus, world.globex, domain).await.status, 303);
    sqlx::query("insert into tenant.identity_providers select $2, issuer, client_id, client_secret, changed_at, connected_by from tenant.identity_providers where tenant_id = $1")
        .bind(world.acme.organization)
        .bind(world.globex.organization)
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
    assert_eq!(world.stranger().post(&format!("/sign-in/o-{}", world.globex.organization), &[]).await.status, 500);
}
