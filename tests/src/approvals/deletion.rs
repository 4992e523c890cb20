use reqwest::Method;
use serde_json::json;

use super::{WHY, ask_for_deletion, decide, is_there, page};
use crate::api::{ALL, ApiClient, call};
use crate::harness::World;

// control: POL-07
#[tokio::test]
async fn an_organization_that_two_people_delete_is_hidden_from_everybody_and_kept() {
    let world = World::start().await;
    let token = ApiClient::made(&world, "olivia", "editor", "tokens", &ALL).await.token(&world).await;
    let contacts = format!("/api/v1{}", world.acme.contacts());
    let listed = async || call(&world, Method::GET, &contacts, &token, None).await.status;
    world.new_provider(world.acme).await;
    let domain = world.new_domain(world.acme).await;
    let prove = "update tenant.domains set verified_at = created_at where id = $1 returning name";
    let domain: String =
        sqlx::query_scalar(prove).bind(domain).fetch_one(&mut world.database.owner().await).await.unwrap();
    let invitation = uuid::Uuid::now_v7();
    world.invite(invitation, world.acme.organization, "nora@example.com", "viewer").await;
    world.change("update tenant.organizations set settings = settings || '{\"allows_magic_links\": true}' where name = 'Acme'").await;
    let address = format!("somebody@{domain}");
    let by_address = [("email", &*address)];
    assert_ne!(world.stranger().post("/sign-in/organization", &by_address).await.status, 422);
    let links = "select count(*) from identity.magic_links where user_id is not null";
    world.stranger().post("/sign-in/link", &[("email", "vera@example.com")]).await;
    world.until(links, 1).await;

    let (mut olivia, mut adam, mut vera, mut nora) = (
        world.sign_in("olivia").await,
        world.sign_in("adam").await,
        world.sign_in("vera").await,
        world.sign_in("nora").await,
    );
    let settings = olivia.get(&format!("{}/settings", world.acme.url())).await;
    assert!(settings.body.contains(&format!("{}/delete", world.acme.url())), "{}", settings.text());
    for name in ["", "acme", "Globex"] {
        let refused = olivia.post(&format!("{}/delete", world.acme.url()), &[("name", name), WHY]).await;
        assert!(refused.status == 422 && refused.body.contains("f-name-error"), "{name}: {}", refused.text());
    }
    let path = format!("{}/delete", world.acme.url());
    assert_eq!(adam.post(&path, &[("name", "Acme"), WHY]).await.status, 403, "an admin does not ask");
    let id = ask_for_deletion(&mut olivia, &world).await;
    for address in ["olivia@example.com", "adam@example.com"] {
        let mail = world.told(address, "Your approval is requested").await;
        assert!(mail.text.contains("Olivia Owner") && mail.text.contains(&page(&world)), "{}", mail.text);
    }
    assert!(vera.get(&world.acme.contacts()).await.status == 200 && listed().await == 200, "asking does nothing");
    let shown = adam.get(&page(&world)).await;
    for words in ["Delete the organization Acme", "Olivia Owner", "It was moved elsewhere", "Contacts and the activity"]
    {
        assert!(shown.body.contains(words), "{words}: {}", shown.text());
    }

    let by_provider = world.new_session("erin").await;
    sqlx::query("update identity.sessions set sso_tenant_id = $1 where id = $2")
        .bind(world.acme.organization)
        .bind(by_provider)
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
    let before = world.database.count("select count(*) from tenant.contacts").await;
    let approved = decide(&mut adam, &world, id, "approve").await;
    assert_eq!((approved.status, approved.location()), (303, "/organizations"), "{}", approved.text());
    assert!(!is_there(&world).await);
    for client in [&mut olivia, &mut adam, &mut vera] {
        for path in [world.acme.url(), world.acme.contacts(), format!("{}/activity", world.acme.url())] {
            assert_eq!(client.get(&path).await.status, 404, "{path}");
        }
        assert!(!client.get("/organizations").await.body.contains("Acme"));
    }
    assert_eq!(adam.get(&world.globex.url()).await.status, 200, "another one is untouched");
    assert_eq!(listed().await, 401, "no client");
    let open = "select count(*) from identity.sessions where sso_tenant_id is not null and ended_at is null";
    assert_eq!(world.database.count(open).await, 0, "no session of its provider");
    assert!(!nora.get("/invitations").await.body.contains("Acme"));
    assert_eq!(nora.post(&format!("/invitations/{invitation}/accept"), &[]).await.status, 404);
    assert_eq!(world.stranger().post("/sign-in/organization", &by_address).await.status, 422);
    let key = format!("/sign-in/o-{}", world.acme.organization);
    assert_eq!(world.stranger().post(&key, &[]).await.status, 404);
    world.change("delete from identity.magic_links").await;
    world.stranger().post("/sign-in/link", &[("email", "vera@example.com")]).await;
    world.until("select count(*) from identity.magic_links", 1).await;
    assert_eq!(world.database.count(links).await, 0, "no link by mail");

    assert_eq!(world.database.count("select count(*) from tenant.contacts").await, before, "kept");
    for table in ["domains", "identity_providers", "invitations", "api_clients"] {
        let sql = format!("select count(*) from tenant.{table} where tenant_id = '{}'", world.acme.organization);
        let left: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut world.database.owner().await).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
    for left in ["identity.token_families", "identity.refresh_tokens"] {
        let sql = format!("select count(*) from {left}");
        let left: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut world.database.owner().await).await.unwrap();
        assert_eq!(left, 0);
    }
    let event = &world.events("organization.deleted").await[0];
    let (asked, done) = (world.user("olivia").await, world.user("adam").await);
    assert_eq!(event["actor"], json!(done));
    for (name, value) in [
        ("requested_by", json!(asked)),
        ("decided_by", json!(done)),
        ("approval", json!(id)),
        ("reason", json!("It was moved elsewhere")),
        ("ticket", json!("https://tickets.example/HF-3")),
        ("name", json!("Acme")),
    ] {
        assert_eq!(event["details"][name], value, "{name}");
    }
    assert_eq!(world.events("approval.requested").await.len(), 1);
    assert_eq!(world.events("approval.approved").await.len(), 1);
    world.told("olivia@example.com", "A request was approved").await;
}

// control: POL-07
#[tokio::test]
async fn an_only_owner_is_told_what_to_do_first() {
    let world = World::start().await;
    let mut gus = world.sign_in("gus").await;
    let path = format!("{}/delete", world.globex.url());
    let shown = gus.get(&path).await;
    assert!(shown.body.contains("Make somebody an owner or admin") && !shown.body.contains("f-name"));
    let refused = gus.post(&path, &[("name", "Globex"), WHY]).await;
    assert!(refused.status == 409 && refused.body.contains("Make somebody an owner or admin"), "{}", refused.text());
    assert_eq!(world.database.count("select count(*) from tenant.approvals").await, 0);
    // A member who became one today could approve only after the request has expired.
    world.change("update tenant.memberships set role = 'admin' where role <> 'owner'").await;
    for (since, status) in [("0 hours", 409), ("47 hours", 409), ("48 hours", 303)] {
        let aged = "update tenant.memberships set role_since = now() - $1::text::interval where role = 'admin'";
        sqlx::query(aged).bind(since).execute(&mut world.database.owner().await).await.unwrap();
        assert_eq!(gus.get(&path).await.body.contains("f-name"), status == 303);
        assert_eq!(gus.post(&path, &[("name", "Globex"), WHY]).await.status, status, "{since}");
    }
}
