//! Forms and query strings take exactly the fields they know, once, as text that can be read.

use super::assert_one_line;
use crate::harness::changes::form_for;
use crate::harness::{World, browser_routes};

const FORM: &str = "application/x-www-form-urlencoded";

// control: API-02
#[tokio::test]
async fn a_form_that_is_not_the_one_expected_is_refused_and_changes_nothing() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (before, contacts) = (world.state().await, world.acme.contacts());
    let many = (0..10_000).fold("name=x".to_owned(), |form, i| form + "&f" + &i.to_string() + "=1");
    let repeated = "name=x".to_owned() + &"&name=x".repeat(9_000);
    let cases: [(u16, &'static str, &str); 23] = [
        (422, FORM, "name=x&unknown=1"),
        (422, FORM, "name=x&name=y"),
        (422, FORM, "name=x&email=a%40b.example&email="),
        (422, FORM, "email=a%40b.example"),
        (422, FORM, ""),
        (422, FORM, "name=x%00y"),
        (422, FORM, "name=x&notes=%00"),
        (422, FORM, "name=%E2%80%AEx"),
        (422, FORM, "name[]=x"),
        (422, FORM, "name=x&version=one"),
        (422, FORM, "name=x&version=1"),
        (422, FORM, "{\"name\":\"x\"}"),
        (422, FORM, &repeated),
        (413, FORM, &many),
        (400, FORM, "name=%ff"),
        (400, FORM, "name=%ED%A0%80"),
        (400, FORM, "name=%ED%A0%BD%ED%B8%80"),
        (400, FORM, "name=100%"),
        (400, FORM, "name=%u0041"),
        (415, "application/json", "{\"name\":\"x\"}"),
        (415, "text/plain", "name=x"),
        (415, "multipart/form-data; boundary=b", "--b--"),
        (415, "application/x-www-form-urlencoded-not", "name=x"),
    ];
    for (status, kind, body) in cases {
        let answer = olivia.post_body(&contacts, kind, body.to_owned()).await;
        assert_eq!(answer.status, status, "{kind} {:.80}: {}", body, answer.text());
        assert_one_line(&answer);
    }
    let fields = (0..4_000).fold("name=x".to_owned(), |form, i| form + "&f" + &i.to_string() + "=1");
    assert_eq!(olivia.post_body(&contacts, FORM, fields).await.status, 422);
    let no_kind = olivia.request(reqwest::Method::POST, &contacts).body("name=x");
    assert_eq!(olivia.send(no_kind).await.status, 415);
    let packed = olivia.request(reqwest::Method::POST, &contacts).header("content-encoding", "gzip");
    let packed = packed.header("content-type", FORM).body("name=x");
    assert_eq!(olivia.send(packed).await.status, 415);
    assert_eq!(world.state().await, before);
}

const SMUGGLED: [(&str, &str); 9] = [
    ("tenant_id", "018f0000-0000-7000-8000-000000000000"),
    ("organization", "018f0000-0000-7000-8000-000000000000"),
    ("workspace_id", "018f0000-0000-7000-8000-000000000000"),
    ("id", "018f0000-0000-7000-8000-000000000000"),
    ("created_by", "018f0000-0000-7000-8000-000000000000"),
    ("user_id", "018f0000-0000-7000-8000-000000000000"),
    ("owner", "1"),
    ("price", "0"),
    ("is_admin", "true"),
];

// control: POL-03
// control: TEN-02
#[tokio::test]
async fn tenants_owners_roles_and_prices_in_a_request_are_refused() {
    let world = World::start().await;
    let samples = world.samples().await;
    let mut olivia = world.sign_in("olivia").await;
    let before = world.state().await;
    // Signing out takes no form: there is nothing to smuggle into. The token endpoint says it in its own way (`api`), and
    // what a provider sends along with a logout token is ignored, as its specification says.
    let posts = browser_routes().into_iter().filter(|row| {
        row.method == "POST"
            && row.path != "/sign-out"
            && row.guard != "LogoutToken"
            && !row.path.starts_with("/api/oauth/")
    });
    for row in posts {
        let (address, form) = (samples.path(&row.path), form_for(&row.path));
        for (name, value) in SMUGGLED {
            let mut with = form.clone();
            with.push((name, value));
            let answer = olivia.post(&address, &with).await;
            assert_eq!(answer.status, 422, "{name} {row:?}: {}", answer.text());
            let answer = olivia.post(&format!("{address}?{name}={value}"), &form).await;
            assert_eq!(answer.status, 422, "?{name} {row:?}: {}", answer.text());
        }
    }
    let contacts = world.acme.contacts();
    let answer = olivia.post(&contacts, &[("name", "x"), ("role", "owner")]).await;
    assert_eq!(answer.status, 422);
    assert_eq!(world.state().await, before);
}

// control: TEN-02
#[tokio::test]
async fn headers_name_neither_tenant_nor_person() {
    let world = World::start().await;
    let gus = world.sign_in("gus").await;
    let mut request = gus.request(reqwest::Method::GET, &world.acme.contacts());
    let acme = world.acme.organization.to_string();
    let olivia = world.user("olivia").await.to_string();
    for (name, value) in [
        ("x-tenant-id", &acme),
        ("x-organization", &acme),
        ("x-user-id", &olivia),
        ("x-forwarded-user", &olivia),
        ("x-original-url", &world.acme.contacts()),
        ("x-http-method-override", &"DELETE".to_owned()),
    ] {
        request = request.header(name, value);
    }
    assert_eq!(gus.clone().send(request).await.status, 404);
}

#[tokio::test]
async fn pages_read_their_own_parameters_strictly_and_ignore_others() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (contacts, activity) = (world.acme.contacts(), format!("{}/activity", world.acme.url()));
    let members = format!("{}/members", world.acme.url());
    for (status, address) in [
        (200, format!("{contacts}?q=a")),
        (422, format!("{contacts}?q=a&q=b")),
        (200, format!("{contacts}?tenant_id=1")),
        (200, format!("{contacts}?q=a&fbclid=%ff")),
        (422, format!("{contacts}?q=%00")),
        (422, format!("{contacts}?after=%00")),
        (422, format!("{contacts}?after_id=1")),
        (400, format!("{contacts}?q=%ff")),
        (400, format!("{contacts}?q=%")),
        (200, format!("{members}?q=a")),
        (422, format!("{members}?after=%00")),
        (422, format!("{members}?after_id=1")),
        (200, format!("{members}?page=2")),
        (200, format!("{activity}?action=no.such.kind")),
        (422, format!("{activity}?action=%00")),
        (422, format!("{activity}?from=yesterday")),
        (422, format!("{activity}?from=99999-01-01")),
        (200, format!("{activity}?organization=1")),
        (422, format!("{activity}?person=1")),
        (422, format!("{activity}?before=1")),
        (400, format!("{activity}?to=%c3%28")),
        (422, "/sign-in?return_to=/&return_to=/".to_owned()),
        // A signed-in person is redirected.
        (303, "/sign-in?next=/".to_owned()),
        (200, "/signed-out?role=owner".to_owned()),
    ] {
        let answer = olivia.get(&address).await;
        assert_eq!(answer.status, status, "{address}: {}", answer.text());
        assert_one_line(&answer);
    }
}

/// What campaigns, networks and mail programs add to a link.
const ADDED: [&str; 6] = ["utm_source=x", "fbclid=x", "gclid=%ff", "utm_source=a&utm_source=b", "mc_eid", "%zz=1"];

// control: API-02
#[tokio::test]
async fn what_others_add_to_the_address_of_a_page_changes_nothing() {
    let world = World::start().await;
    let samples = world.samples().await;
    let olivia = world.sign_in("olivia").await;
    // A callback is read as OpenID Connect says, and not as a page.
    let pages = browser_routes().into_iter().filter(|row| row.method == "GET" && !row.path.ends_with("/callback"));
    for row in pages {
        let address = samples.path(&row.path);
        let without = olivia.clone().get(&address).await;
        for added in ADDED {
            let with = olivia.clone().get(&format!("{address}?{added}")).await;
            assert_eq!(with.status, without.status, "?{added} {row:?}: {}", with.text());
        }
    }
}
