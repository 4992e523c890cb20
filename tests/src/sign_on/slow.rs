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
#[tokio::test]
async fn one_person_with_many_slow_providers_keeps_no_other_organization_out() {
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
