//! An organization brings its own provider, for the domains it has proved.

mod bonds;
mod hostile;
mod passkeys;
mod recheck;
mod required;
mod samples;
mod slow;

use std::net::IpAddr;

use devkit::idp::{Client as IdpClient, Fault, Idp, LogoutFault, Person, Quirks};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::harness::passkey::{Authenticator, enrol};
use crate::harness::{Answer, Client, Place, World, log};
use crate::sign_in::faults::{Outcome, expected};

pub(crate) const SECRET: &str = "the secret of acme's client";
const WHY: (&str, &str) = ("reason", "As the policy says");

fn settings(place: Place) -> String {
    format!("{}/settings", place.url())
}

fn person(subject: &str, email: &str) -> Person {
    Person {
        subject: subject.to_owned(),
        name: subject.to_owned(),
        email: email.to_owned(),
        email_verified: true,
        about: String::new(),
    }
}

/// A provider of Acme's own, at which Acme has registered us.
pub(crate) async fn provider(world: &World, place: Place) -> Idp {
    let people = vec![
        person("wanda", "wanda@acme.test"),
        person("oskar", "oskar@acme.test"),
        person("liar", "olivia@example.com"),
    ];
    let idp = Idp::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), people).await.unwrap();
    world.keeps_time(&idp);
    idp.register(IdpClient {
        id: "holdfast at acme".to_owned(),
        secret: SECRET.to_owned(),
        redirect_uris: vec![world.url(&format!("/sign-in/o-{}/callback", place.organization))],
        post_logout_redirect_uris: vec![world.url("/signed-out")],
        backchannel_logout_uri: Some(format!(
            "http://{}/sign-in/o-{}/back-channel-logout",
            world.address, place.organization
        )),
    });
    idp
}

async fn bring(client: &mut Client, place: Place, issuer: &str) -> Answer {
    let form = [("issuer", issuer), ("client_id", "holdfast at acme"), ("client_secret", SECRET), WHY];
    client.post(&format!("{}/provider", settings(place)), &form).await
}

async fn add_domain(world: &World, client: &mut Client, place: Place, name: &str) -> (Uuid, String) {
    let added = client.post(&format!("{}/domains", settings(place)), &[("name", name), WHY]).await;
    assert_eq!(added.status, 303, "{}", added.text());
    sqlx::query_as("select id, token from tenant.domains where tenant_id = $1 order by id desc limit 1")
        .bind(place.organization)
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap()
}

async fn prove(client: &mut Client, place: Place, domain: Uuid) -> Answer {
    client.post(&format!("{}/domains/{domain}/verify", settings(place)), &[]).await
}

/// Acme with a provider and the domain `acme.test`, and a browser of its owner.
async fn acme(world: &World) -> (Idp, Client) {
    let mut olivia = world.sign_in("olivia").await;
    let (domain, token) = add_domain(world, &mut olivia, world.acme, "acme.test").await;
    world.dns.say("_holdfast.acme.test", &[&format!("holdfast-domain={token}")]);
    assert_eq!(prove(&mut olivia, world.acme, domain).await.status, 303);
    let idp = provider(world, world.acme).await;
    let kept = bring(&mut olivia, world.acme, &idp.issuer()).await;
    assert_eq!(kept.status, 303, "{}", kept.text());
    (idp, olivia)
}

/// Asks for the provider of an address at work, and continues from the page that says whose it is.
pub(crate) async fn start(client: &mut Client, return_to: &str) -> Answer {
    let page = client.post("/sign-in/organization", &[("email", "Wanda@ACME.test"), ("return_to", return_to)]).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let action = page.body.split("action=\"").find(|part| part.starts_with("/sign-in/o-")).unwrap();
    let action = action.split('"').next().unwrap().to_owned();
    client.post(&action, &[("return_to", return_to), ("confirmed", "yes")]).await
}

/// Tries to sign in with the work address.
async fn try_to_come(world: &World, idp: &Idp, subject: &str) -> (Answer, Client) {
    let mut client = world.stranger();
    let started = start(&mut client, "/account").await;
    assert_eq!(started.status, 200, "{}", started.text());
    let location = idp.sign_in(&started.moves_on_to(), subject).await.unwrap();
    let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
    (answer, client)
}

async fn come(world: &World, idp: &Idp, subject: &str) -> Client {
    let (answer, client) = try_to_come(world, idp, subject).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    client
}

/// The person that a provider of an organization vouches for.
async fn user(world: &World, idp: &Idp, subject: &str) -> Uuid {
    sqlx::query_scalar("select user_id from identity.accounts where issuer = $1 and subject = $2")
        .bind(idp.issuer())
        .bind(subject)
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap()
}

async fn join(world: &World, user: Uuid, place: Place, role: &str) {
    sqlx::query("insert into tenant.memberships (tenant_id, user_id, role) values ($1, $2, $3)")
        .bind(place.organization)
        .bind(user)
        .bind(role)
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
}

// control: IDN-15
#[tokio::test]
async fn people_sign_in_with_the_provider_of_their_organization_and_are_bonded_to_it() {
    let world = World::start().await;
    let (idp, mut olivia) = acme(&world).await;
    let mut wanda = come(&world, &idp, "wanda").await;
    assert!(wanda.get("/account").await.body.contains("wanda@acme.test"));
    assert_eq!(wanda.get(&world.acme.contacts()).await.status, 404, "who is no member is none yet");
    let form = [("email", "wanda@acme.test"), ("role", "editor"), ("reason", "Works here")];
    assert_eq!(olivia.post(&format!("{}/invitations", world.acme.url()), &form).await.status, 303);
    let globex = Uuid::now_v7();
    world.invite(globex, world.globex.organization, "wanda@acme.test", "viewer").await;
    assert_eq!(wanda.post(&format!("/invitations/{globex}/accept"), &[]).await.status, 404, "for Acme only");
    let own = wanda.get("/invitations").await;
    assert!(own.body.contains("Acme") && !own.body.contains("Globex"), "nor shown: {}", own.text());
    let id: Uuid =
        sqlx::query_scalar("select id from tenant.invitations where tenant_id = $1 and email = 'wanda@acme.test'")
            .bind(world.acme.organization)
            .fetch_one(&mut world.database.owner().await)
            .await
            .unwrap();
    assert_eq!(wanda.post(&format!("/invitations/{id}/accept"), &[]).await.status, 303);
    assert_eq!(wanda.get(&world.acme.contacts()).await.status, 200);
    assert_eq!(wanda.post("/organizations", &[("name", "Her own")]).await.status, 404, "and for no other");

    let id = user(&world, &idp, "wanda").await;
    join(&world, id, world.globex, "viewer").await;
    let closed = wanda.get(&world.globex.contacts()).await;
    assert!(closed.location().starts_with("/sign-in?reauthenticate=yes&unaccepted=elsewhere"), "{}", closed.location());
    assert!(wanda.get(closed.location()).await.body.contains("signed in through another organization"));
    let session: (Uuid, bool) = sqlx::query_as(
        "select sso_tenant_id, auth_time > now() - interval '1 hour' from identity.sessions where user_id = $1",
    )
    .bind(id)
    .fetch_one(&mut world.database.owner().await)
    .await
    .unwrap();
    assert_eq!(session, (world.acme.organization, true));
    // A passkey that was made on the word of this provider is worth no more than it.
    let mut device = Authenticator::new(&world);
    assert_eq!(enrol(&mut wanda, &mut device, "Hers").await.status, 303);
    assert!(wanda.get(&world.globex.contacts()).await.location().contains("elsewhere"), "still the same session");
    let mut alone = world.stranger();
    assert_eq!(crate::harness::passkey::sign_in(&mut alone, &mut device).await.status, 303);
    assert_eq!(alone.get(&world.acme.contacts()).await.status, 200);
    assert!(alone.get(&world.globex.contacts()).await.location().contains("elsewhere"), "nor one made with that");
    let mut second = Authenticator::new(&world);
    assert_eq!(enrol(&mut alone, &mut second, "Second").await.status, 303);
    let mut alone = world.stranger();
    assert_eq!(crate::harness::passkey::sign_in(&mut alone, &mut second).await.status, 303);
    assert!(alone.get(&world.globex.contacts()).await.location().contains("elsewhere"));
    let invited = Uuid::now_v7();
    world.change("delete from tenant.invitations").await;
    world.invite(invited, world.globex.organization, "wanda@acme.test", "owner").await;
    assert_eq!(alone.post(&format!("/invitations/{invited}/accept"), &[]).await.status, 404, "in every session");
}

// control: IDN-15
#[tokio::test]
async fn nobody_goes_to_the_provider_of_an_organization_without_reading_whose_it_is() {
    let world = World::start().await;
    let (idp, _) = acme(&world).await;
    let host = idp.issuer().replace("http://", "");
    let key = format!("/sign-in/o-{}", world.acme.organization);
    let mut client = world.stranger();
    let by_address = [("email", "wanda@acme.test"), ("return_to", "/account")];
    for (path, form) in [("/sign-in/organization", &by_address[..]), (&key, &by_address[1..])] {
        let page = client.post(path, form).await;
        assert_eq!((page.status, page.sets("login")), (200, None), "{path}: {}", page.text());
        for part in ["Acme", "acme.test", &host, &format!("action=\"{key}\""), "value=\"/account\""] {
            assert!(page.body.contains(part), "{part}: {}", page.body);
        }
        assert!(!page.body.contains("http-equiv"), "it stays until they say so");
    }
    assert_eq!((world.traces().await.logins, idp.counts().authorize), (0, 0), "nothing has begun");
    let again = client.post(&key, &[("reauthenticate", "yes")]).await;
    assert!(again.body.contains("name=\"reauthenticate\" value=\"yes\""), "{}", again.body);
    for not in ["", "no", "YES", "1"] {
        assert_eq!(client.post(&key, &[("confirmed", not)]).await.sets("login"), None, "{not}");
    }
    let started = client.post(&key, &[("confirmed", "yes")]).await;
    assert!(started.moves_on_to().starts_with(&idp.issuer()), "{}", started.text());
    // Another site cannot say it for them.
    let request = client
        .request(reqwest::Method::POST, &key)
        .header("origin", "https://evil.example")
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("confirmed=yes");
    assert_eq!(client.send(request).await.status, 403);
    assert!(
        client.post("/sign-in/dev", &[]).await.moves_on_to().starts_with(&world.idp.issuer()),
        "the operator's own"
    );
}

// control: IDN-15
#[tokio::test]
async fn an_organization_says_which_kind_of_provider_it_brings() {
    let world = World::start().await;
    let (idp, mut olivia) = acme(&world).await;
    idp.set_quirks(Quirks::of("cognito"));
    let mut bring = async |preset: &str| {
        let form = [
            ("issuer", &*idp.issuer()),
            ("client_id", "holdfast at acme"),
            ("client_secret", SECRET),
            ("preset", preset),
            WHY,
        ];
        olivia.post(&format!("{}/provider", settings(world.acme)), &form).await
    };
    let refused = bring("").await;
    assert!(refused.status == 422 && refused.body.contains("does not announce PKCE"), "{}", refused.text());
    assert_eq!(bring("nonsense").await.status, 422);
    assert_eq!(bring("cognito").await.status, 303);
    let mut wanda = come(&world, &idp, "wanda").await;
    assert_eq!(wanda.get("/account").await.status, 200);
    let page = olivia.get(&format!("{}/provider", settings(world.acme))).await;
    assert!(page.body.contains("<option value=\"cognito\" selected>Amazon Cognito"), "{}", page.body);
    assert!(olivia.get(&settings(world.acme)).await.body.contains("Amazon Cognito"));
}

// control: IDN-15
#[tokio::test]
async fn what_we_ask_a_provider_of_an_organization_is_where_it_may_be() {
    let world = World::start().await;
    let (idp, _) = acme(&world).await;
    // On loopback that is loopback. None of these is contacted, and she signs in in every case.
    let elsewhere = ["http://192.0.2.1/userinfo", "https://192.0.2.1/", "file:///etc/passwd", "http://evil.test/"];
    for url in elsewhere {
        let metadata = serde_json::json!({ "userinfo_endpoint": url, "pushed_authorization_request_endpoint": url });
        let metadata = metadata.as_object().unwrap().clone();
        idp.set_quirks(Quirks { metadata, claims_at_userinfo: true, ..Quirks::default() });
        world.wait(3601);
        let mut wanda = come(&world, &idp, "wanda").await;
        assert_eq!(wanda.get("/account").await.status, 200, "{url}");
    }
    assert_eq!((idp.counts().userinfo, idp.counts().pushed), (0, 0));
}

// control: IDN-15
#[tokio::test]
async fn only_owners_choose_the_identity_provider() {
    let world = World::start().await;
    let (idp, _) = acme(&world).await;
    let mut adam = world.sign_in("adam").await;
    assert_eq!(adam.get(&settings(world.acme)).await.status, 200, "an admin sees");
    assert_eq!(bring(&mut adam, world.acme, &idp.issuer()).await.status, 403);
    let added = adam.post(&format!("{}/domains", settings(world.acme)), &[("name", "evil.test"), WHY]).await;
    assert_eq!(added.status, 403);
    assert_eq!(adam.post(&format!("{}/sign-in", settings(world.acme)), &[("reason", "None")]).await.status, 403);
}

// control: IDN-15
#[tokio::test]
async fn an_organizations_provider_cannot_change_an_account_that_another_one_manages() {
    let world = World::start().await;
    let (idp, _) = acme(&world).await;
    come(&world, &idp, "wanda").await;
    let wanda = user(&world, &idp, "wanda").await;
    // As if the operator's configuration had the same issuer.
    let known =
        "update identity.users set managed_by = null, display_name = 'Wanda', email = 'w@else.test' where id = $1";
    sqlx::query(known).bind(wanda).execute(&mut world.database.owner().await).await.unwrap();
    let mut again = come(&world, &idp, "wanda").await;
    let account = again.get("/account").await;
    assert!(account.body.contains("w@else.test") && !account.body.contains("Not verified"), "{}", account.text());
}

// control: IDN-15
#[tokio::test]
async fn a_sign_in_under_way_does_not_outlast_its_provider() {
    let world = World::start().await;
    let (idp, mut olivia) = acme(&world).await;
    let started = |mut client: Client| async move {
        let page = start(&mut client, "/").await;
        (page.moves_on_to(), client)
    };
    let (url, mut client) = started(world.stranger()).await;
    let location = idp.sign_in(&url, "wanda").await.unwrap();
    world.wait(1);
    assert_eq!(bring(&mut olivia, world.acme, &idp.issuer()).await.status, 303);
    let refused = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
    assert_eq!((refused.status, refused.sets("session")), (403, None), "{}", refused.text());

    // Somebody who is no member has a session as well, and it ends as well.
    let mut stranger = come(&world, &idp, "wanda").await;
    assert_eq!(stranger.get("/account").await.status, 200);
    let domain: Uuid =
        sqlx::query_scalar("select id from tenant.domains").fetch_one(&mut world.database.owner().await).await.unwrap();
    assert_eq!(olivia.post(&format!("{}/domains/{domain}/remove", settings(world.acme)), &[WHY]).await.status, 303);
    assert_eq!(stranger.get("/account").await.status, 303, "its last domain is gone");
}

// control: IDN-15
#[tokio::test]
async fn a_domain_is_proved_by_its_dns_and_by_one_organization() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (domain, token) = add_domain(&world, &mut olivia, world.acme, "Acme.TEST.").await;
    let page = olivia.get(&settings(world.acme)).await;
    for part in ["_holdfast.acme.test", &format!("holdfast-domain={token}"), "Not verified"] {
        assert!(page.body.contains(part), "{part}: {}", page.text());
    }
    let refused = |answer: &Answer, words: &str| {
        assert!(answer.status == 409 && answer.body.contains(words), "{words}: {}", answer.text());
    };
    refused(&prove(&mut olivia, world.acme, domain).await, "find the record yet");
    world.dns.say("_holdfast.acme.test", &[&token, "holdfast-domain=", &format!("holdfast-domain={token}x")]);
    refused(&prove(&mut olivia, world.acme, domain).await, "find the record yet");
    world.dns.say("acme.test", &[&format!("holdfast-domain={token}")]);
    refused(&prove(&mut olivia, world.acme, domain).await, "find the record yet");
    world.dns.be_silent(true);
    let silent = prove(&mut olivia, world.acme, domain).await;
    assert_eq!((silent.status, silent.header("retry-after")), (503, "2"), "{}", silent.text());
    assert!(silent.body.contains("The DNS did not answer."), "{}", silent.text());
    world.dns.be_silent(false);

    let mut gus = world.sign_in("gus").await;
    let (theirs, other) = add_domain(&world, &mut gus, world.globex, "acme.test").await;
    assert_ne!(token, other, "what one organization reads there proves nothing for another");
    world.dns.say("_holdfast.acme.test", &["v=spf1 -all", &format!("holdfast-domain={token}")]);
    refused(&prove(&mut gus, world.globex, theirs).await, "find the record yet");
    let send = || {
        let mut olivia = olivia.clone();
        async move { prove(&mut olivia, world.acme, domain).await.status }
    };
    assert_eq!(<[u16; 2]>::from(tokio::join!(send(), send())), [303, 303], "twice is once");
    world.dns.say("_holdfast.acme.test", &[&format!("holdfast-domain={other}")]);
    refused(&prove(&mut gus, world.globex, theirs).await, "Another organization has already verified");
    assert!(olivia.get(&settings(world.acme)).await.body.contains("Verified"));
    assert_eq!(olivia.post(&format!("{}/domains/{theirs}/remove", settings(world.acme)), &[WHY]).await.status, 404);
    let remove = format!("{}/domains/{domain}/remove", settings(world.acme));
    assert_eq!(olivia.post(&remove, &[WHY]).await.status, 303);
    assert_eq!(olivia.post(&remove, &[WHY]).await.status, 404);
    assert_eq!(prove(&mut gus, world.globex, theirs).await.status, 303, "it is free again");
    for name in ["", "localhost", "10.0.0.1", "acme.test/x"] {
        let added = olivia.post(&format!("{}/domains", settings(world.acme)), &[("name", name), WHY]).await;
        assert!(added.status == 422 && added.body.contains("f-name-error"), "{name}: {}", added.text());
    }
}

// control: IDN-15
#[tokio::test]
async fn the_page_to_remove_a_domain_says_what_ends_with_it() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (first, second) = (world.new_domain(world.acme).await, world.new_domain(world.acme).await);
    for (proved, words) in [
        (None, "It is not verified, so nothing else changes."),
        (Some(first), "No other domain is verified. Without one your provider cannot be used"),
        (Some(second), "can no longer sign in with your provider"),
    ] {
        if let Some(domain) = proved {
            assert_eq!(prove(&mut olivia, world.acme, domain).await.status, 303);
        }
        let page = olivia.get(&format!("{}/domains/{first}/remove", settings(world.acme))).await;
        assert!(page.status == 200 && page.body.contains(words), "{words}: {}", page.text());
    }
}

// control: IDN-15
#[tokio::test]
async fn without_a_proved_domain_a_provider_begins_nothing() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let idp = provider(&world, world.acme).await;
    assert_eq!(bring(&mut olivia, world.acme, &idp.issuer()).await.status, 303);
    let key = format!("/sign-in/o-{}", world.acme.organization);
    assert_eq!(world.stranger().post(&key, &[]).await.status, 404);
    let started = world.stranger().post("/sign-in/organization", &[("email", "wanda@acme.test")]).await;
    assert!(
        started.status == 422 && started.body.contains("No organization has an identity provider for this address"),
        "{}",
        started.text()
    );
    for key in ["o-", "o-x", "o-00000000-0000-0000-0000-000000000000", "organization/x"] {
        assert_eq!(world.stranger().post(&format!("/sign-in/{key}"), &[]).await.status, 404, "{key}");
    }
}

// control: IDN-15
#[tokio::test]
async fn a_provider_verifies_only_addresses_in_the_organizations_domains() {
    let world = World::start().await;
    world.sign_in("olivia").await;
    let (idp, _) = acme(&world).await;
    let mut liar = come(&world, &idp, "liar").await;
    let account = liar.get("/account").await;
    assert!(account.body.contains("olivia@example.com") && account.body.contains("Not verified"), "{}", account.text());
    world.new_invitation_to("olivia").await;
    assert!(!liar.get("/invitations").await.body.contains("Join"), "nobody's invitation");
    assert_eq!(liar.get(&world.acme.contacts()).await.status, 404, "nor anybody's membership");
}

// control: IDN-15
#[tokio::test]
async fn requests_at_once_do_not_add_up_to_more_domains_than_there_may_be() {
    let world = World::start().await;
    let olivia = world.sign_in("olivia").await;
    for _ in 0..19 {
        world.new_domain(world.acme).await;
    }
    let add = |name: &'static str| {
        let (mut client, url) = (olivia.clone(), format!("{}/domains", settings(world.acme)));
        async move { client.post(&url, &[("name", name), ("reason", "It is ours")]).await }
    };
    let lock = "select from tenant.organizations for update";
    assert_eq!(world.race_for_one_place(lock, add("one.test"), add("other.test")).await, [303, 409]);
    assert_eq!(world.database.count("select count(*) from tenant.domains").await, 20);
}
