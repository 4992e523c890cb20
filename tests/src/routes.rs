//! Every route, walked as everybody: the table of routes is the list of what is tested, so no route is left out.

use std::fmt::Write;

use authz::Route;
use uuid::Uuid;

use crate::harness::{Client, Samples, World, browser_routes, parameters, registry, reviewed};

/// Guards that accept a request without a sign-in, or without a membership. The list of routes behind
/// them is a reviewed file, below.
const OPEN: [&str; 3] = ["Public", "SignedIn", "LogoutToken"];

async fn ask(client: &mut Client, row: &Route, path: &str) -> u16 {
    match row.method {
        "GET" => client.get(path).await.status,
        _ => client.post(path, &[]).await.status,
    }
}

fn guarded() -> Vec<Route> {
    browser_routes().into_iter().filter(|row| !OPEN.contains(&row.guard)).collect()
}

/// Everything that a refused request could have changed.
async fn state(world: &World) -> (String, i64) {
    let events = "select count(*) from audit.events where tenant_id is not null";
    (world.tenant_rows(None).await, world.database.count(events).await)
}

#[test]
fn the_table_of_routes_is_the_reviewed_one() {
    let mut text = String::new();
    for Route { method, path, guard, api, .. } in registry().table().to_vec() {
        let by = if api { " of a client of the API" } else { "" };
        writeln!(text, "{method:6} {path:62} {guard}{by}").unwrap();
    }
    reviewed::assert("docs/routes.txt", &text);
}

#[test]
fn every_address_that_other_crates_are_given_is_a_route() {
    // All fields, so that a new one is looked at here.
    let web::Addresses {
        sign_in,
        sign_in_callback,
        reserved_provider_keys,
        sign_in_link,
        signed_out,
        step_up,
        step_up_code,
        resume,
        sessions,
        verify_email,
        programs,
        api,
        token_endpoint,
        resource_metadata,
        probes,
    } = app::ADDRESSES;
    let registry = registry();
    let table = registry.table();
    let is_route = |method: &str, path: &str| table.iter().any(|route| route.method == method && route.path == path);
    let pages = [sign_in, sign_in_callback, sign_in_link, signed_out, step_up, resume, sessions, verify_email];
    for page in pages.iter().chain(probes).chain([&resource_metadata]) {
        assert!(is_route("GET", page), "{page}");
    }
    for form in [step_up, step_up_code, resume, token_endpoint] {
        assert!(is_route("POST", form), "{form}");
    }
    assert!([api, token_endpoint].iter().all(|address| address.starts_with(programs)), "{programs}");
    for route in table.iter().filter(|route| route.api) {
        assert!(route.path.starts_with(api), "{}", route.path);
    }
    let below =
        |route: &Route| Some(route.path.strip_prefix(sign_in)?.strip_prefix('/')?.split('/').next()?.to_owned());
    let mut reserved: Vec<_> = table.iter().filter_map(below).filter(|key| !key.starts_with('{')).collect();
    reserved.sort();
    reserved.dedup();
    let mut known = reserved_provider_keys.to_vec();
    known.sort_unstable();
    assert_eq!(reserved, known, "what a provider's key cannot be");
}

// control: POL-01
#[tokio::test]
async fn nobody_gets_in_without_a_session() {
    let world = World::start().await;
    let samples = world.samples().await;
    let before = state(&world).await;
    let mut forged = world.stranger();
    forged.set_cookie("session", &"A".repeat(43));
    let rows: Vec<Route> =
        browser_routes().into_iter().filter(|row| !matches!(row.guard, "Public" | "LogoutToken")).collect();
    for (who, client) in [("anonymous", world.stranger()), ("forged", forged)] {
        for row in &rows {
            let path = samples.path(&row.path);
            let status = ask(&mut client.clone(), row, &path).await;
            let expected = if row.method == "GET" { 303 } else { 401 };
            assert_eq!(status, expected, "{who}: {row:?}");
            let status = ask(&mut client.clone().program(), row, &path).await;
            assert_eq!(status, 401, "{who} as a program: {row:?}");
        }
    }
    assert_eq!(state(&world).await, before);
}

// control: TEN-05
// control: POL-03
#[tokio::test]
async fn people_of_other_organizations_find_nothing() {
    let world = World::start().await;
    let acme = world.samples().await;
    let globex = Samples::of(&world, world.globex).await;
    let before = state(&world).await;
    let nora = world.sign_in("nora").await;
    let gus = world.sign_in("gus").await;
    for row in guarded().iter().filter(|row| row.path.contains('{')) {
        let path = acme.path(&row.path);
        assert_eq!(ask(&mut nora.clone(), row, &path).await, 404, "a stranger: {row:?}");
        assert_eq!(ask(&mut gus.clone(), row, &path).await, 404, "an owner elsewhere: {row:?}");
        // The own organization in the path, and something of the other one behind it.
        for name in parameters(&row.path).filter(|name| *name != "organization") {
            let swapped = globex.with(name, acme.get(name)).path(&row.path);
            assert_eq!(ask(&mut gus.clone(), row, &swapped).await, 404, "a foreign {name}: {row:?}");
            let unknown = globex.with(name, Uuid::now_v7()).path(&row.path);
            assert_eq!(ask(&mut gus.clone(), row, &unknown).await, 404, "an unknown {name}: {row:?}");
        }
    }
    assert_eq!(state(&world).await, before);

    // Not vacuous: for somebody of the place it is there.
    for row in guarded().iter().filter(|row| row.path.contains('{')) {
        let path = globex.renewed(&world, &row.path).await.path(&row.path);
        assert_ne!(ask(&mut gus.clone(), row, &path).await, 404, "the owner at home: {row:?}");
    }
}

// control: POL-02
// control: POL-04
#[tokio::test]
async fn each_role_gets_what_the_reviewed_table_says() {
    let world = World::start().await;
    let samples = world.samples().await;
    let people = ["olivia", "adam", "bella", "fiona", "carl", "erin", "vera"];
    let mut clients = Vec::new();
    for person in people {
        clients.push(world.sign_in(person).await);
    }
    let mut text = format!("{:5} {:62} {}\n", "", "", people.map(|person| format!("{person:6}")).join(" ").trim_end());
    for row in browser_routes().iter().filter(|row| !matches!(row.guard, "Public" | "SignedIn" | "LogoutToken")) {
        write!(text, "{:5} {:62}", row.method, row.path).unwrap();
        for client in &mut clients {
            // A sample of its own for each, which may be deleted. The form is empty, so others are refused after the guard.
            let path = samples.renewed(&world, &row.path).await.path(&row.path);
            write!(text, " {:6}", ask(client, row, &path).await).unwrap();
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    insta::assert_snapshot!("role_x_route", text);
}
