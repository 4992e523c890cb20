//! Nothing that depends on an organization's provider counts elsewhere, not even indirectly.

use sqlx::Executor as _;

use super::*;
use crate::harness::passkey::{options, sign_in, step_up};
use crate::harness::totp::{self, App};

/// Acme brings the provider that the operator has configured, too, so Vera has one account for both. She belongs to Globex as
/// well, and both let people sign in with a link by mail.
async fn shared(world: &World) {
    let (mut olivia, issuer) = (world.sign_in("olivia").await, world.idp.issuer());
    let (domain, token) = add_domain(world, &mut olivia, world.acme, "acme.test").await;
    world.dns.say("_holdfast.acme.test", &[&format!("holdfast-domain={token}")]);
    assert_eq!(prove(&mut olivia, world.acme, domain).await.status, 303);
    world.idp.register(IdpClient {
        id: "holdfast at acme".to_owned(),
        secret: SECRET.to_owned(),
        redirect_uris: vec![world.url(&format!("/sign-in/o-{}/callback", world.acme.organization))],
        post_logout_redirect_uris: vec![],
        backchannel_logout_uri: Some(format!(
            "http://{}/sign-in/o-{}/back-channel-logout",
            world.address, world.acme.organization
        )),
    });
    assert_eq!(bring(&mut olivia, world.acme, &issuer).await.status, 303);
    join(world, world.user("vera").await, world.globex, "viewer").await;
    world.change("update tenant.organizations set settings = settings || '{\"allows_magic_links\": true}'").await;
    let mut telephone = world.stranger().with_agent(IPHONE);
    let callback = world.click_at_provider(&mut telephone, "vera").await;
    assert_eq!(telephone.get_from_elsewhere(&callback).await.status, 200);
}

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Mobile Safari/604.1";

/// Vera as Acme's provider has her.
async fn bonded(world: &World) -> Client {
    come(world, &world.idp, "vera").await
}

async fn by_link(world: &World, email: &str) -> Client {
    world.mailbox.clear();
    let mut client = world.stranger();
    assert_eq!(client.post("/sign-in/link", &[("email", email), ("return_to", "/account")]).await.status, 200);
    let mail = world.told(email, "Your link to sign in").await;
    let token = mail.text.split("token=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let used = client.post("/sign-in/link/confirm", &[("token", &token)]).await;
    assert_eq!(used.status, 303, "{}", used.text());
    client
}

fn codes(page: &Answer) -> Vec<String> {
    page.body.split("<code>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

/// Nothing of Globex opens, nor is it seen or joined.
async fn is_closed(world: &World, client: &mut Client, way: &str) {
    let closed = client.get(&world.globex.contacts()).await;
    assert!(closed.location().contains("unaccepted=elsewhere"), "{way}: {} {}", closed.status, closed.location());
    let own = client.get("/organizations").await;
    assert!(own.status == 200 && own.body.contains("Acme") && !own.body.contains("Globex"), "{way}: {}", own.text());
    assert_ne!(client.post("/organizations", &[("name", "Another")]).await.status, 303, "{way}");
    world.change("delete from tenant.invitations").await;
    let invited = Uuid::now_v7();
    world.invite(invited, world.globex.organization, "vera@example.com", "editor").await;
    assert!(!client.get("/invitations").await.body.contains("Globex"), "{way}");
    assert_eq!(client.post(&format!("/invitations/{invited}/accept"), &[]).await.status, 404, "{way}");
    let sessions = client.get("/account/sessions").await;
    assert!(sessions.status == 200 && !sessions.body.contains("Safari on iOS"), "{way}: {}", sessions.text());
}

/// What was made in sessions that stand on Acme's word.
struct Made {
    device: Authenticator,
    app: App,
    codes: Vec<String>,
}

/// Makes all there is to make in a session.
async fn make_all(world: &World, client: &mut Client) -> Made {
    let app = totp::add(world, client).await;
    let mut device = Authenticator::new(world);
    assert_eq!(enrol(client, &mut device, "Made here").await.status, 303);
    let made = client.post("/account/recovery/codes", &[]).await;
    assert_eq!(made.status, 200, "{}", made.text());
    Made { device, app, codes: codes(&made) }
}

/// Every way in which somebody can use what was made.
#[derive(Clone, Copy, Debug)]
enum Use {
    PasskeyAlone,
    PasskeyAfterProvider,
    CodeOfTheApp,
    RecoveryCode,
    CodeOfTheAppToRecover,
}

impl Use {
    const ALL: [Self; 5] = [
        Self::PasskeyAlone,
        Self::PasskeyAfterProvider,
        Self::CodeOfTheApp,
        Self::RecoveryCode,
        Self::CodeOfTheAppToRecover,
    ];

    /// Uses it in `session`. The session that comes of it, if it does any good.
    async fn of(self, world: &World, made: &mut Made, mut session: Client) -> Option<Client> {
        let code = match self {
            Self::PasskeyAlone => {
                let mut alone = world.stranger();
                return (sign_in(&mut alone, &mut made.device).await.status == 303).then_some(alone);
            }
            Self::PasskeyAfterProvider => {
                let asked = session.clone().program().post("/step-up/options", &[]).await;
                if asked.status != 200 {
                    // Nor does an answer to a challenge that was given out for something else.
                    let credential =
                        made.device.get(&options(&mut session, "/sign-in/passkey/options").await).to_string();
                    let refused = session.post("/step-up", &[("credential", &credential)]).await;
                    assert_eq!(refused.status, 403, "{}", refused.text());
                    return None;
                }
                let proved = step_up(&mut session, &mut made.device, ("return_to", "/account")).await;
                return (proved.status == 303).then_some(session);
            }
            Self::CodeOfTheApp => {
                world.wait(60);
                let code = made.app.code(world, 0);
                let proved = session.post("/step-up/code", &[("code", &code), ("return_to", "/account")]).await;
                return (proved.status == 303).then_some(session);
            }
            Self::RecoveryCode => made.codes.pop().unwrap(),
            Self::CodeOfTheAppToRecover => {
                world.wait(60);
                made.app.code(world, 0)
            }
        };
        let waits = session.post("/recovery", &[("code", &code)]).await;
        (waits.status == 200).then_some(session)
    }
}

// control: IDN-15
#[tokio::test]
async fn nothing_that_depends_on_one_organizations_provider_opens_another_organization() {
    let world = World::start().await;
    shared(&world).await;
    let mut first = bonded(&world).await;
    is_closed(&world, &mut first, "the provider alone").await;
    let mut made = make_all(&world, &mut first).await;
    is_closed(&world, &mut first, "after all was made").await;

    for way in Use::ALL {
        let session = bonded(&world).await;
        let mut used = way.of(&world, &mut made, session).await.unwrap_or_else(|| panic!("{way:?} does nothing"));
        let what = format!("{way:?}");
        if matches!(way, Use::RecoveryCode | Use::CodeOfTheAppToRecover) {
            // A deferred request continues only in sessions with the same bond.
            let waits = used.cookie("recovery").unwrap().to_owned();
            world.wait(86_400);
            let mut own = world.sign_in_at_provider("vera").await;
            own.set_cookie("recovery", &waits);
            assert_eq!(own.post("/recovery/continue", &[]).await.status, 409, "{what}");
            used = bonded(&world).await;
            used.set_cookie("recovery", &waits);
            assert_eq!(used.post("/recovery/continue", &[]).await.status, 303, "{what}");
            made.device = Authenticator::new(&world);
            assert_eq!(enrol(&mut used, &mut made.device, "Recovered").await.status, 303, "{what}");
        } else {
            assert_eq!(step_up(&mut used, &mut made.device, ("return_to", "/account")).await.status, 303, "{what}");
            let mut again = Authenticator::new(&world);
            assert_eq!(enrol(&mut used, &mut again, "Made with it").await.status, 303, "{what}");
            let mut alone = world.stranger();
            assert_eq!(sign_in(&mut alone, &mut again).await.status, 303, "{what}");
            is_closed(&world, &mut alone, &format!("{what}, and what was made with it")).await;
        }
        is_closed(&world, &mut used, &what).await;
        let open = used.get(&world.acme.contacts()).await;
        assert_eq!(open.status, 200, "{what}: where it counts: {}", open.location());
    }

    // In a session of her own none of it is there: it opens nothing, and asks for nothing.
    for way in Use::ALL.into_iter().skip(1) {
        for mut session in [world.sign_in_at_provider("vera").await, by_link(&world, "vera@example.com").await] {
            assert_eq!(session.get(&world.globex.contacts()).await.status, 200, "{way:?}: asked for no factor");
            assert!(way.of(&world, &mut made, session.clone()).await.is_none(), "{way:?}");
            for page in ["/account/passkeys", "/account/recovery", "/account/authenticator"] {
                let seen = session.get(page).await;
                assert!(seen.status == 200 && !seen.body.contains("Made here"), "{page}: {}", seen.text());
            }
        }
        world.wait(1_800);
    }
    let elsewhere: i64 = sqlx::query_scalar(
        "select (select count(*) from identity.passkeys where user_id = $1 and sso_tenant_id is distinct from $2)
              + (select count(*) from identity.recovery_codes where user_id = $1 and sso_tenant_id is distinct from $2)
              + (select count(*) from identity.recoveries where user_id = $1 and sso_tenant_id is distinct from $2)
              + (select count(*) from identity.totp where user_id = $1 and sso_tenant_id is distinct from $2)",
    )
    .bind(world.user("vera").await)
    .bind(world.acme.organization)
    .fetch_one(&mut world.database.owner().await)
    .await
    .unwrap();
    assert_eq!(elsewhere, 0);
}

// control: IDN-15
#[tokio::test]
async fn factors_of_ones_own_are_neither_changed_nor_used_up_on_the_word_of_an_organization() {
    let world = World::start().await;
    shared(&world).await;
    let mut own = world.sign_in_at_provider("vera").await;
    let mut made = make_all(&world, &mut own).await;
    let passkey = world.first_passkey("vera").await;
    let kept = "select (select count(*) from identity.passkeys) + (select count(*) from identity.recovery_codes where used_at is null)
                     + (select count(*) from identity.totp where confirmed_at is not null)";
    let before = world.database.count(kept).await;

    let mut acme = bonded(&world).await;
    assert!(acme.get("/account").await.location().starts_with("/step-up"), "it is asked for, wherever she is");
    assert_eq!(step_up(&mut acme, &mut made.device, ("return_to", "/account")).await.status, 303);
    is_closed(&world, &mut acme, "with a passkey of her own").await;
    assert!(!acme.get("/account/passkeys").await.body.contains("Made here"));
    for path in ["rename", "remove"] {
        let form = [("name", "Theirs")];
        let form = if path == "rename" { &form[..] } else { &[] };
        assert_eq!(acme.post(&format!("/account/passkeys/{passkey}/{path}"), form).await.status, 404);
    }
    assert_eq!(acme.post("/account/authenticator/remove", &[]).await.status, 409);
    assert_eq!(acme.post("/account/recovery/codes", &[]).await.status, 200, "those of Acme");
    assert_eq!(acme.post("/account/sessions/end-others", &[]).await.status, 303);
    assert_eq!(own.get("/account").await.status, 200);
    assert_eq!(world.database.count(kept).await, before + 10);

    // Wrong codes lock Acme's sessions, and no other.
    let mut guess = bonded(&world).await;
    for _ in 0..8 {
        guess.post("/recovery", &[("code", "AAAA-BBBB-CCCC-DDDD")]).await;
    }
    assert_eq!(guess.post("/recovery", &[("code", &made.codes[0])]).await.status, 429);
    let mut own = world.sign_in_at_provider("vera").await;
    assert_eq!(own.post("/recovery", &[("code", &made.codes[0])]).await.status, 200);
}

// control: IDN-12
// control: IDN-15
#[tokio::test]
async fn a_link_to_a_managed_account_begins_a_session_bonded_to_its_organization() {
    let world = World::start().await;
    let (idp, _olivia) = acme(&world).await;
    come(&world, &idp, "wanda").await;
    let wanda = user(&world, &idp, "wanda").await;
    join(&world, wanda, world.globex, "viewer").await;
    world.change("update tenant.organizations set settings = settings || '{\"allows_magic_links\": true}' where name = 'Globex'").await;
    world.stranger().post("/sign-in/link", &[("email", "wanda@acme.test")]).await;
    assert_eq!(
        world.database.count("select count(*) from identity.magic_links where user_id is not null").await,
        0,
        "what Globex allows is not for the people of Acme"
    );
    join(&world, wanda, world.acme, "viewer").await;
    world.change("update tenant.organizations set settings = settings || '{\"allows_magic_links\": true}'").await;
    let mut client = by_link(&world, "wanda@acme.test").await;
    assert_eq!(client.get(&world.acme.contacts()).await.status, 200);
    let closed = client.get(&world.globex.contacts()).await;
    assert!(closed.location().contains("unaccepted=elsewhere"), "{}", closed.location());
    assert!(!client.get("/organizations").await.body.contains("Globex"));
    assert_eq!(client.post("/recovery", &[("code", "AAAA-BBBB-CCCC-DDDD")]).await.status, 409, "nor a recovery");
}

// control: IDN-20
#[tokio::test]
async fn an_organization_ends_sessions_bonded_to_it_and_no_others() {
    let world = World::start().await;
    shared(&world).await;
    let (mut adam, mut of_acme) = (world.sign_in("adam").await, bonded(&world).await);
    let (mut own, vera) = (world.sign_in_at_provider("vera").await, world.user("vera").await);
    let end = format!("{}/members/{vera}/end-sessions", world.acme.url());
    for round in 0..2 {
        assert_eq!(adam.post(&end, &[("reason", "Lost a telephone")]).await.status, 303);
        assert_eq!(of_acme.get("/account").await.status, 303, "its own one is over");
        for page in ["/account", "/organizations", &*world.globex.contacts()] {
            assert_eq!(own.get(page).await.status, 200, "{page}");
        }
        let closed = own.get(&world.acme.contacts()).await;
        assert!(closed.location().contains("unaccepted=signed_out"), "{}", closed.location());
        let page = own.get(closed.location()).await;
        assert!(page.body.contains("has ended your sessions there"), "{}", page.text());
        own = world.sign_in_at_provider("vera").await;
        assert_eq!(own.get(&world.acme.contacts()).await.status, 200, "round {round}: signed in again");
        of_acme = bonded(&world).await;
    }
    let events = world.events("member.sessions_ended").await;
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event["tenant_id"] == world.acme.organization.to_string()));

    // The database does not let an organization end any other session.
    let mut web = world.database.web().await;
    let bind = format!("set role tenant_rows; set app.tenant_id = '{}'", world.acme.organization);
    web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(bind))).await.unwrap();
    let end = "update identity.sessions set ended_at = now(), ended_reason = 'x' where ended_at is null";
    let refused = sqlx::query(end).execute(&mut web).await.unwrap_err().to_string();
    assert!(refused.contains("row-level security"), "{refused}");
    let of_its_own = format!("{end} and sso_tenant_id is not null");
    assert!(sqlx::raw_sql(sqlx::AssertSqlSafe(of_its_own)).execute(&mut web).await.unwrap().rows_affected() > 0);
    let held = "update identity.sessions set rotated_at = 'infinity'";
    assert!(sqlx::query(held).execute(&mut web).await.is_err());
}

// control: IDN-20
#[tokio::test]
async fn the_sign_out_at_an_organizations_provider_ends_no_session_elsewhere() {
    let world = World::start().await;
    shared(&world).await;
    let mut own = world.sign_in_at_provider("vera").await;
    let mut device = Authenticator::new(&world);
    assert_eq!(enrol(&mut own, &mut device, "Hers").await.status, 303);
    let mut alone = world.stranger();
    assert_eq!(sign_in(&mut alone, &mut device).await.status, 303);
    let mut of_acme = bonded(&world).await;
    let said = world.idp.send_backchannel_logout("holdfast at acme", Some("vera"), None, LogoutFault::None).await;
    assert_eq!(said.unwrap(), 200);
    assert_eq!(of_acme.get("/organizations").await.status, 303);
    for client in [&mut own, &mut alone] {
        assert_eq!(client.get("/account").await.status, 200);
    }
}

// case: A15
// control: IDN-15
#[tokio::test]
async fn a_deferred_form_is_for_sessions_with_the_same_bond() {
    let world = World::start().await;
    shared(&world).await;
    world.change("update tenant.memberships set role = 'creator' where role = 'viewer'").await;
    let sessions = [bonded(&world).await, world.sign_in_at_provider("vera").await];
    world.wait(1_801);
    for (is_bonded, mut ended) in [true, false].into_iter().zip(sessions) {
        let answer = ended.post(&world.acme.contacts(), &[("name", "Ada")]).await;
        let id = answer.location().strip_prefix("/sign-in?return_to=%2Fresume%3Fdeferred%3D").unwrap().to_owned();
        let cookie = format!("deferred-{}", id.replace('-', ""));
        let (of_acme, own) = (bonded(&world).await, world.sign_in_at_provider("vera").await);
        let (mut same, mut other) = if is_bonded { (of_acme, own) } else { (own, of_acme) };
        for client in [&mut same, &mut other] {
            client.set_cookie(&cookie, ended.cookie(&cookie).unwrap());
        }
        let page = other.get(&format!("/resume?deferred={id}")).await;
        assert!(page.body.contains("Nothing to send"), "{is_bonded}: {}", page.text());
        assert_eq!(other.post("/resume", &[("deferred", &id)]).await.status, 409, "{is_bonded}");
        let page = same.get(&format!("/resume?deferred={id}")).await;
        assert!(page.body.contains("create contact"), "{is_bonded}: {}", page.text());
        assert_eq!(same.post("/resume", &[("deferred", &id)]).await.status, 303, "{is_bonded}");
    }
    assert_eq!(world.database.count("select count(*) from tenant.contacts where name = 'Ada'").await, 2);
}

// control: IDN-15
#[tokio::test]
async fn every_table_about_people_has_the_sso_tenant() {
    let world = World::start().await;
    let tables: Vec<(String, Vec<String>)> = sqlx::query_as(
        "select table_name::text, array_agg(column_name::text) from information_schema.columns
          where table_schema = 'identity' group by 1 order by 1",
    )
    .fetch_all(&mut world.database.owner().await)
    .await
    .unwrap();
    let has = |columns: &[String], name: &str| columns.iter().any(|column| column == name);
    let of_people = tables.iter().filter(|(_, columns)| has(columns, "user_id"));
    let unbound: Vec<&str> = of_people
        .filter(|(_, columns)| !has(columns, "sso_tenant_id") && !has(columns, "session_id"))
        .map(|(table, _)| table.as_str())
        .collect();
    // These need no bond. An account identifies a person. A code can be requested only in a session of the provider that manages the
    // account (row-level security). A session by link gets the bond of the account. The key of a form is read only after the same form
    // with that key was authorized again.
    assert_eq!(unbound, ["accounts", "email_codes", "magic_links", "one_time_keys"]);
    let unwritten = "select count(*) from information_schema.column_privileges
                      where column_name = 'sso_tenant_id' and table_schema = 'identity' and privilege_type = 'UPDATE'
                        and grantee like '%\\_rows'";
    assert_eq!(world.database.count(unwritten).await, 0, "a bond is written once");
}
