//! Sign-ins with only a passkey, in an account that an organization manages, depend on a recent sign-in at its provider.

use super::*;
use crate::harness::passkey::sign_in;

/// Wanda, a member of Acme in a role, with a passkey that was made on the word of its provider.
async fn wanda(world: &World, idp: &Idp, role: &str) -> Authenticator {
    let mut wanda = come(world, idp, "wanda").await;
    join(world, user(world, idp, "wanda").await, world.acme, role).await;
    let mut device = Authenticator::new(world);
    assert_eq!(enrol(&mut wanda, &mut device, "Hers").await.status, 303);
    device
}

/// Comes with the passkey alone. Gives the browser, and whether Acme lets it in.
async fn alone(world: &World, device: &mut Authenticator) -> (Client, bool) {
    let mut client = world.stranger();
    assert_eq!(sign_in(&mut client, device).await.status, 303);
    let inside = enters(world, &mut client).await;
    (client, inside)
}

async fn enters(world: &World, client: &mut Client) -> bool {
    let page = client.get(&world.acme.contacts()).await;
    match page.status {
        200 => true,
        303 => {
            assert!(page.location().contains("unaccepted=sso"), "{}", page.location());
            let why = client.get(page.location()).await;
            assert!(why.body.contains("takes its own provider only"), "{}", why.text());
            false
        }
        other => panic!("{other}: {}", page.text()),
    }
}

async fn signs_out_there(idp: &Idp, subject: Option<&str>, sid: Option<&str>) {
    let sent = idp.send_backchannel_logout("holdfast at acme", subject, sid, LogoutFault::None).await;
    assert_eq!(sent.unwrap(), 200);
}

// control: IDN-15
// control: IDN-20
#[tokio::test]
async fn a_sign_out_at_the_provider_ends_what_the_passkey_opens_until_the_next_sign_in_there() {
    let world = World::start().await;
    let (idp, _) = acme(&world).await;
    let mut device = wanda(&world, &idp, "viewer").await;
    let (mut before, inside) = alone(&world, &mut device).await;
    assert!(inside, "she has just been there");
    world.wait(60);
    signs_out_there(&idp, Some("wanda"), None).await;
    assert_eq!(before.get("/account").await.status, 303, "the session has ended");
    let (mut after, inside) = alone(&world, &mut device).await;
    assert!(!inside, "and the passkey alone begins none that counts there");
    assert_eq!(after.get("/account").await.status, 200, "it is still hers");
    world.wait(60);
    come(&world, &idp, "wanda").await;
    assert!(enters(&world, &mut after).await, "the provider speaks for her again");

    // Somebody else's sign-out changes nothing; that of one session of hers does.
    signs_out_there(&idp, Some("oskar"), None).await;
    assert!(alone(&world, &mut device).await.1);
    let sid = idp.sign_ins().last().unwrap().sid.clone();
    signs_out_there(&idp, None, Some(&sid)).await;
    assert!(!alone(&world, &mut device).await.1);

    // The same of a session that has ended here before.
    let mut there = come(&world, &idp, "wanda").await;
    assert!(alone(&world, &mut device).await.1);
    assert!(there.post("/sign-out", &[]).await.status < 400);
    assert_eq!(there.get("/account").await.status, 303);
    assert!(alone(&world, &mut device).await.1, "signing out here is none of the provider's");
    let sid = idp.sign_ins().last().unwrap().sid.clone();
    signs_out_there(&idp, None, Some(&sid)).await;
    assert!(!alone(&world, &mut device).await.1);
}

// control: IDN-15
#[tokio::test]
async fn what_an_issuer_says_for_one_organization_is_nothing_to_another() {
    let world = World::start().await;
    let (idp, _) = acme(&world).await;
    let mut device = wanda(&world, &idp, "viewer").await;
    world.wait(86_500);
    assert!(!alone(&world, &mut device).await.1);
    // The same person at the same issuer, as a client of somebody else's organization knows them.
    let vouch = "insert into identity.sso_authentications (sso_tenant_id, issuer, subject, user_id, authenticated_at)
                 select o.tenant_id, v.issuer, v.subject, v.user_id, v.authenticated_at + interval '1 day'
                   from identity.sso_authentications v, tenant.organizations o where o.name = 'Globex'";
    assert_eq!(world.change(vouch).await, 1);
    assert!(!alone(&world, &mut device).await.1);
    come(&world, &idp, "wanda").await;
    assert!(alone(&world, &mut device).await.1);
    // And a notice to that client takes nothing of what Acme's provider has said.
    let before = world.database.count("select count(*) from identity.sso_authentications").await;
    signs_out_there(&idp, Some("wanda"), None).await;
    assert_eq!(
        world.database.count("select count(*) from identity.sso_authentications").await,
        before - 1,
        "each its own"
    );
}

// control: IDN-15
#[tokio::test]
async fn a_passkey_alone_is_valid_for_a_day_after_the_provider_and_for_an_owner_until_they_sign_out() {
    let world = World::start().await;
    let (idp, _) = acme(&world).await;
    let mut device = wanda(&world, &idp, "viewer").await;
    world.wait(86_300);
    let (mut client, inside) = alone(&world, &mut device).await;
    assert!(inside);
    world.wait(200);
    assert!(!enters(&world, &mut client).await, "in the middle of a session as well");
    let role = "update tenant.memberships set role = 'owner' where user_id = (select user_id from identity.accounts where subject = 'wanda')";
    assert_eq!(world.change(role).await, 1);
    assert!(alone(&world, &mut device).await.1, "an owner gets in where the provider is down");
    signs_out_there(&idp, Some("wanda"), None).await;
    assert!(!alone(&world, &mut device).await.1, "and not after signing out there");

    // Nobody is left to ask.
    world.change("delete from tenant.identity_providers").await;
    assert!(alone(&world, &mut device).await.1);
}

// control: IDN-15
#[tokio::test]
async fn a_sign_in_that_is_refused_renews_nothing() {
    let world = World::start().await;
    let (idp, _) = acme(&world).await;
    let mut device = wanda(&world, &idp, "viewer").await;
    world.wait(60);
    let mut client = world.stranger();
    let location = idp.sign_in(&start(&mut client, "/").await.moves_on_to(), "wanda").await.unwrap();
    signs_out_there(&idp, Some("wanda"), None).await;
    let refused = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
    assert_eq!(refused.status, 403, "she has signed out in between: {}", refused.text());
    assert!(!alone(&world, &mut device).await.1);
}
