use super::*;

/// Has the provider of Acme not be required any more, which takes two people.
async fn stop_enforcing(world: &World, asks: &mut Client, approves: &mut Client) {
    let asked = asks.post(&format!("{}/sign-in", settings(world.acme)), &[("reason", "As the policy says")]).await;
    assert_eq!(asked.status, 303, "{}", asked.text());
    let sql = "select id from tenant.approvals where decided_at is null";
    let id: Uuid = sqlx::query_scalar(sql).fetch_one(&mut world.database.owner().await).await.unwrap();
    let approved = approves.post(&format!("{}/approvals/{id}/approve", world.acme.url()), &[]).await;
    assert_eq!(approved.status, 303, "{}", approved.text());
}

// control: IDN-15
#[tokio::test]
async fn an_organization_can_require_its_own_provider() {
    let world = World::start().await;
    let (idp, mut olivia) = acme(&world).await;
    let rules = format!("{}/sign-in", settings(world.acme));
    let form = [("requires_sso", "yes"), ("reason", "As the policy says")];
    let refused = olivia.post(&rules, &form).await;
    assert!(
        refused.status == 422 && refused.body.contains("Sign in with your identity provider first"),
        "{}",
        refused.text()
    );

    let mut oskar = come(&world, &idp, "oskar").await;
    join(&world, user(&world, &idp, "oskar").await, world.acme, "owner").await;
    assert_eq!(enrol(&mut oskar, &mut Authenticator::new(&world), "His").await.status, 303);
    let (mut vera, mut adam) = (world.sign_in("vera").await, world.sign_in("adam").await);
    assert_eq!(vera.get(&world.acme.contacts()).await.status, 200);
    let done = oskar.post(&rules, &form).await;
    assert_eq!(done.status, 303, "{}", done.text());

    for client in [&mut vera, &mut adam] {
        let closed = client.get(&world.acme.contacts()).await;
        assert!(closed.location().contains("unaccepted=sso"), "{} {}", closed.status, closed.location());
        let page = client.get(closed.location()).await;
        assert!(page.body.contains(&format!("action=\"/sign-in/o-{}\"", world.acme.organization)), "{}", page.body);
        assert_eq!(client.clone().program().get(&world.acme.contacts()).await.status, 401);
    }
    assert_eq!(oskar.get(&world.acme.contacts()).await.status, 200);
    assert_eq!(olivia.get(&world.acme.contacts()).await.status, 200, "owners can also sign in with a passkey");
    let mut without = world.sign_in_at_provider("olivia").await;
    assert!(without.get(&world.acme.contacts()).await.location().contains("unaccepted=sso"));

    // What would lock everybody out is refused, also where the two happen at once.
    let removal = format!("{}/provider/remove", settings(world.acme));
    let why = [("reason", "No reason")];
    let kept = oskar.post(&removal, &why).await;
    assert!(kept.status == 409 && kept.body.contains("Stop requiring it first"), "{}", kept.text());
    let domain: Uuid =
        sqlx::query_scalar("select id from tenant.domains").fetch_one(&mut world.database.owner().await).await.unwrap();
    assert_eq!(oskar.post(&format!("{}/domains/{domain}/remove", settings(world.acme)), &why).await.status, 409);
    stop_enforcing(&world, &mut oskar, &mut olivia).await;
    assert_eq!(vera.get(&world.acme.contacts()).await.status, 200);
    for _ in 0..4 {
        let (mut one, mut other) = (oskar.clone(), olivia.clone());
        let (enforced, removed) = tokio::join!(one.post(&rules, &form), other.post(&removal, &why));
        let both: (bool, bool) = sqlx::query_as(
            "select settings @> '{\"requires_sso\": true}', exists (select from tenant.identity_providers) from tenant.organizations where name = 'Acme'",
        )
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
        assert_ne!(both, (true, false), "{} {}", enforced.status, removed.status);
        if !both.1 {
            break;
        }
        if both.0 {
            stop_enforcing(&world, &mut oskar, &mut olivia).await;
        }
    }
}

// control: IDN-15
// control: IDN-20
#[tokio::test]
async fn sessions_end_when_their_provider_is_removed_and_by_its_logout_tokens() {
    let world = World::start().await;
    let (idp, mut olivia) = acme(&world).await;
    let mut wanda = come(&world, &idp, "wanda").await;
    join(&world, user(&world, &idp, "wanda").await, world.acme, "viewer").await;
    assert_eq!(wanda.get("/account").await.status, 200);
    let said = idp.send_backchannel_logout("holdfast at acme", Some("wanda"), None, LogoutFault::None).await;
    assert_eq!(said.unwrap(), 200, "it says that she signed out");
    world.wait(60);
    assert_eq!(wanda.get("/account").await.status, 303);

    let mut wanda = come(&world, &idp, "wanda").await;
    let signed_out = wanda.post("/sign-out", &[]).await;
    assert!(signed_out.body.contains(&idp.issuer()), "on to its own sign-out: {}", signed_out.text());
    let mut wanda = come(&world, &idp, "wanda").await;
    let mut vera = world.sign_in("vera").await;
    assert_eq!(bring(&mut olivia, world.acme, &idp.issuer()).await.status, 303);
    assert_eq!(wanda.get("/account").await.status, 303, "changed: its earlier authentications no longer count");
    let mut wanda = come(&world, &idp, "wanda").await;
    let removal = format!("{}/provider/remove", settings(world.acme));
    assert_eq!(olivia.post(&removal, &[("reason", "Another one comes")]).await.status, 303);
    assert_eq!(wanda.get("/account").await.status, 303);
    assert_eq!(vera.get("/account").await.status, 200, "others stay");
    assert_eq!(world.stranger().post(&format!("/sign-in/o-{}", world.acme.organization), &[]).await.status, 404);
    assert_eq!(olivia.post(&removal, &[("reason", "Again")]).await.status, 409);
}
