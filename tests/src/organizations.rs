//! Organizations and workspaces: making them, and seeing only one's own.

mod samples;

use serde_json::Value;
use uuid::Uuid;

use crate::harness::World;

#[tokio::test]
async fn the_creator_of_an_organization_owns_it_and_finds_a_workspace_in_it() {
    let world = World::start().await;
    let mut nora = world.sign_in("nora").await;
    let none = nora.get("/organizations").await;
    assert!(none.body.contains("You are not in an organization yet"), "{}", none.text());
    let made = nora.post("/organizations", &[("name", "  Nora & Daughters ")]).await;
    assert_eq!(made.status, 303, "{}", made.text());
    let home = made.location().to_owned();
    let asked = nora.get(&home).await;
    assert!(asked.location().starts_with("/step-up?"), "an owner proves a passkey first: {}", asked.text());
    world.prove(&mut nora, "nora").await;
    let organization: Uuid = home.strip_prefix("/o/").unwrap().parse().unwrap();
    let page = nora.get(&home).await;
    for shown in
        ["Nora &#38; Daughters", "Main", "1 member", "Owner", "created the organization", "created the workspace"]
    {
        assert!(page.body.contains(shown), "{shown}: {}", page.text());
    }
    let owner: Vec<(Uuid, String)> =
        sqlx::query_as("select user_id, role from tenant.memberships where tenant_id = $1")
            .bind(organization)
            .fetch_all(&mut world.database.owner().await)
            .await
            .unwrap();
    assert_eq!(owner, [(world.user("nora").await, "owner".to_owned())]);
    let events: Vec<(String, Uuid, Uuid, Value)> =
        sqlx::query_as("select kind, actor, request_id, details from audit.events where tenant_id = $1 order by id")
            .bind(organization)
            .fetch_all(&mut world.database.owner().await)
            .await
            .unwrap();
    let request: Uuid = made.request_id().parse().unwrap();
    let nora = world.user("nora").await;
    assert_eq!(
        events,
        [
            ("organization.created".to_owned(), nora, request, serde_json::json!({ "name": "Nora & Daughters" })),
            ("workspace.created".to_owned(), nora, request, serde_json::json!({ "name": "Main" })),
        ]
    );
}

#[tokio::test]
async fn an_organization_without_a_proper_name_is_not_made() {
    let world = World::start().await;
    let mut nora = world.sign_in("nora").await;
    let before = world.state().await;
    let long = "x".repeat(81);
    for name in ["", "   ", "two\nlines", "a\u{202e}b", &long] {
        let page = nora.post("/organizations", &[("name", name)]).await;
        assert_eq!(page.status, 422, "{name:?}");
        assert!(page.body.contains("id=\"f-name-error\""), "{name:?}: {}", page.text());
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn the_list_to_switch_by_shows_the_own_organizations_and_roles_alone() {
    let world = World::start().await;
    for (subject, shown, hidden) in [
        ("olivia", &["Acme", "Owner"][..], &["Globex"][..]),
        ("adam", &["Acme", "Admin", "Globex", "Viewer"], &[]),
        ("gus", &["Globex", "Owner"], &["Acme"]),
        ("nora", &["You are not in an organization yet"], &["Acme", "Globex"]),
    ] {
        let list = world.sign_in(subject).await.get("/organizations").await;
        assert_eq!(list.status, 200);
        for name in shown {
            assert!(list.body.contains(name), "{subject} {name}: {}", list.text());
        }
        for name in hidden {
            assert!(!list.body.contains(name), "{subject} {name}: {}", list.text());
        }
    }
    let mut adam = world.sign_in("adam").await;
    assert!(adam.get(&world.acme.url()).await.body.contains("Admin</span>"));
    assert!(adam.get(&world.globex.url()).await.body.contains("Viewer</span>"));
    assert_eq!(adam.get(&format!("{}/activity", world.globex.url())).await.status, 403, "a viewer there");
}

// control: POL-04
#[tokio::test]
async fn owners_and_admins_add_workspaces_and_nobody_else() {
    let world = World::start().await;
    let workspaces = format!("{}/workspaces", world.acme.url());
    for subject in ["bella", "fiona", "carl", "erin", "vera"] {
        let mut person = world.sign_in(subject).await;
        let before = world.state().await;
        assert_eq!(person.get(&format!("{workspaces}/new")).await.status, 403, "{subject}");
        assert_eq!(person.post(&workspaces, &[("name", "Own Corner")]).await.status, 403, "{subject}");
        assert_eq!(world.state().await, before, "{subject}");
        let home = person.get(&world.acme.url()).await;
        assert!(!home.body.contains("New workspace") && !home.body.contains("Recent activity"), "{subject}");
    }
    for (subject, name) in [("olivia", "Sales"), ("adam", "Support")] {
        let mut person = world.sign_in(subject).await;
        assert_eq!(person.get(&format!("{workspaces}/new")).await.status, 200);
        assert_eq!(person.post(&workspaces, &[("name", name)]).await.location(), world.acme.url());
        assert!(person.get(&world.acme.url()).await.body.contains(name));
    }
    let recorded = "select count(*) from audit.events where kind = 'workspace.created' and details->>'name' in ('Sales', 'Support')";
    assert_eq!(world.database.count(recorded).await, 2);
}

// control: API-05
#[tokio::test]
async fn an_organization_has_at_most_a_thousand_workspaces() {
    let world = World::start().await;
    let many = "insert into tenant.workspaces (tenant_id, id, name, name_key)
                select o.tenant_id, gen_random_uuid(), 'W' || n, sha256(n::text::bytea)
                  from tenant.organizations o, generate_series(1, 998) n where o.name = 'Acme'";
    assert_eq!(world.change(many).await, 998);
    let (path, olivia) = (format!("{}/workspaces", world.acme.url()), world.sign_in("olivia").await);
    let make = |name: &'static str| {
        let (path, mut olivia) = (path.clone(), olivia.clone());
        async move { olivia.post(&path, &[("name", name)]).await }
    };
    let lock = "select from tenant.organizations for update";
    assert_eq!(
        world.race_for_one_place(lock, make("One more"), make("Another one")).await,
        [303, 409],
        "the seed has one"
    );
    let refused = make("Yet another").await;
    assert!(refused.body.contains("at most 1,000 workspaces"), "{}", refused.text());
}

#[tokio::test]
async fn a_workspace_name_is_unique_in_its_organization() {
    let world = World::start().await;
    let (olivia, mut gus) = (world.sign_in("olivia").await, world.sign_in("gus").await);
    let workspaces = format!("{}/workspaces", world.acme.url());
    let page = olivia.clone().post(&workspaces, &[("name", "Main")]).await;
    assert_eq!(page.status, 422);
    assert!(
        page.body.contains("There is a workspace of this name, or of one that looks like it.")
            && page.body.contains("value=\"Main\"")
    );
    let attempts: Vec<_> = (0..5)
        .map(|_| {
            let (mut olivia, workspaces) = (olivia.clone(), workspaces.clone());
            tokio::spawn(async move { olivia.post(&workspaces, &[("name", "Sales")]).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for attempt in attempts {
        statuses.push(attempt.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 422, 422, 422, 422]);
    let there = format!("{}/workspaces", world.globex.url());
    assert_eq!(gus.post(&there, &[("name", "Sales")]).await.status, 303, "another organization");
    assert_eq!(world.database.count("select count(*) from tenant.workspaces where name = 'Sales'").await, 2);
}
