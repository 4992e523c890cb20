//! Providers that take their time hold up those who sign in through them, and nobody else.

use std::time::Duration;

use uuid::Uuid;

use super::*;

/// An organization of the person with a domain it has proved and this provider.
async fn organization(world: &World, client: &mut Client, subject: &str, name: &str, issuer: &str) -> Place {
    let made = client.post("/organizations", &[("name", name)]).await;
    assert_eq!(made.status, 303, "{}", made.text());
    let id = made.location().split('/').nth(2).unwrap().parse().unwrap();
    let place = Place { organization: id, workspace: Uuid::nil() };
    world.prove(client, subject).await;
    let domain = format!("{}.test", name.to_lowercase());
    let (id, token) = add_domain(world, client, place, &domain).await;
    world.dns.say(&format!("_holdfast.{domain}"), &[&format!("holdfast-domain={token}")]);
    assert_eq!(prove(client, place, id).await.status, 303);
    let kept = bring(client, place, issuer).await;
    assert_eq!(kept.status, 303, "{}", kept.text());
    place
}

// control: IDN-15
// control: IDN-20
#[tokio::test]
async fn what_waits_for_the_notices_of_one_provider_keeps_nobody_else_waiting() {
    let settings = [("DATABASE__MAX_CONNECTIONS", "8"), ("DATABASE__ACQUIRE_TIMEOUT_MS", "600000")];
    let world = World::start_with(&settings).await;
    let (idp, _) = acme(&world).await;
    let mut comers = Vec::new();
    for _ in 0..4 {
        let mut client = world.stranger();
        let location = idp.sign_in(&start(&mut client, "/account").await.moves_on_to(), "wanda").await.unwrap();
        comers.push((client, location.strip_prefix(&world.url("")).unwrap().to_owned()));
    }
    // Somebody acts on a notice of Acme's provider, at length.
    let mut notice = world.database.session().await;
    let lock = format!("select pg_advisory_lock(hashtextextended('o-{}', 0))", world.acme.organization);
    sqlx::Executor::execute(&mut notice, sqlx::raw_sql(sqlx::AssertSqlSafe(lock))).await.unwrap();
    let coming: Vec<_> = comers
        .into_iter()
        .map(|(mut client, path)| tokio::spawn(async move { client.get_from_elsewhere(&path).await.status }))
        .collect();
    world.until_blocked(4).await;
    assert_eq!(world.sign_in("vera").await.get("/account").await.status, 200);
    assert_eq!(world.stranger().get("/readyz").await.status, 200);
    sqlx::Executor::execute(&mut notice, "select pg_advisory_unlock_all()").await.unwrap();
    for one in coming {
        assert_eq!(one.await.unwrap(), 200);
    }
}

// control: IDN-20
#[tokio::test]
async fn a_logout_token_that_ends_many_sessions_records_each() {
    let world = World::start().await;
    world.sign_in_at_provider("vera").await;
    let many = "insert into identity.sessions
                  select (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid(), 'token_hash', '\\x' || encode(sha256(n::text::bytea), 'hex')))).*
                    from identity.sessions s, generate_series(1, 1500) n";
    assert_eq!(world.change(many).await, 1500);
    let sent = world.idp.send_backchannel_logout("holdfast", Some("vera"), None, LogoutFault::None).await;
    assert_eq!(sent.unwrap(), 200);
    assert_eq!(world.database.count("select count(*) from identity.sessions where ended_at is null").await, 0);
    let events = "select count(distinct target) from audit.events where kind = 'session.ended_by_provider' and actor is not null";
    assert_eq!(world.database.count(events).await, 1501);
}

// control: IDN-15
#[tokio::test]
async fn one_person_with_many_slow_providers_does_not_lock_out_other_organizations() {
    let world = World::start().await;
    let (mut olivia, mut gus) = (world.sign_in("olivia").await, world.sign_in("gus").await);
    let (slow, good) = (provider(&world, world.acme).await, provider(&world, world.globex).await);
    let mut slow_ones = Vec::new();
    for number in 0..8 {
        slow_ones.push(organization(&world, &mut olivia, "olivia", &format!("Slow{number}"), &slow.issuer()).await);
        world.wait(60);
    }
    let theirs = organization(&world, &mut gus, "gus", "Quick", &good.issuer()).await;
    // What they said of themselves is forgotten, so each is asked again.
    world.wait(3601);
    slow.set_fault(Fault::DiscoverySlow);

    let start = |place: Place| {
        let mut client = world.stranger();
        async move { client.post(&format!("/sign-in/o-{}", place.organization), &[("confirmed", "yes")]).await.status }
    };
    let asking: Vec<_> =
        slow_ones.iter().flat_map(|place| [*place; 4]).map(|place| tokio::spawn(start(place))).collect();
    while asking.iter().filter(|one| one.is_finished()).count() < 16 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(start(theirs).await, 200, "another organization");
    assert_eq!(world.stranger().post("/sign-in/dev", &[]).await.status, 200, "and the provider of the configuration");
    for one in asking {
        assert_eq!(one.await.unwrap(), 502);
    }
    let failures = world.events("sign_in.failed").await;
    let at_once =
        failures.iter().filter(|event| event["details"]["reason"].as_str().unwrap().contains("many requests wait"));
    assert_eq!(at_once.count(), 16, "half of the places are left for others");
}
