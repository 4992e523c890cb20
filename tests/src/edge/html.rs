//! What scanners of HTML look for, on every page.

use std::collections::BTreeSet;

use crate::browser::Browser;
use crate::harness::{Answer, World, browser_routes};
use crate::text::templates;

/// Roles that elements have of themselves (HTML Accessibility API Mappings). Said again, they are a warning of every scanner.
const OWN: [(&str, &str); 27] = [
    ("table", "table"),
    ("caption", "caption"),
    ("thead", "rowgroup"),
    ("tbody", "rowgroup"),
    ("tfoot", "rowgroup"),
    ("tr", "row"),
    ("td", "cell"),
    ("th", "columnheader"),
    ("th", "rowheader"),
    ("nav", "navigation"),
    ("main", "main"),
    ("header", "banner"),
    ("footer", "contentinfo"),
    ("aside", "complementary"),
    ("section", "region"),
    ("article", "article"),
    ("form", "form"),
    ("search", "search"),
    ("ul", "list"),
    ("ol", "list"),
    ("li", "listitem"),
    ("a", "link"),
    ("button", "button"),
    ("img", "img"),
    ("textarea", "textbox"),
    ("dialog", "dialog"),
    ("fieldset", "group"),
];

/// The opening tags of a page: name, and attributes with their values.
fn tags(page: &str) -> impl Iterator<Item = (&str, Vec<(&str, &str)>)> {
    page.split('<').skip(1).filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic())).map(|rest| {
        let tag = rest.split('>').next().unwrap();
        let name = tag.split_whitespace().next().unwrap();
        // What stands before a quote is a name; what is between two is its value.
        let mut parts = tag[name.len()..].split('"');
        let mut attributes = Vec::new();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            attributes.push((name.trim().trim_end_matches('=').split_whitespace().last().unwrap_or_default(), value));
        }
        (name, attributes)
    })
}

fn get<'a>(attributes: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn assert_clean(answer: &Answer) {
    let page = &answer.body;
    let mut descriptions = Vec::new();
    for (name, attributes) in tags(page) {
        if name == "meta" && get(&attributes, "name") == Some("description") {
            descriptions.push(get(&attributes, "content").unwrap_or_default());
        }
        if let Some(role) = get(&attributes, "role") {
            assert!(!OWN.contains(&(name, role)), "<{name} role={role}>: {}", answer.text());
            let part = ["table", "thead", "tbody", "tfoot", "tr", "td", "th"].contains(&name);
            assert!(!part, "a table means what it is: <{name} role={role}>: {}", answer.text());
        }
    }
    let [description] = descriptions[..] else { panic!("{descriptions:?}: {}", answer.text()) };
    assert!((25..=160).contains(&description.chars().count()), "{description:?}");
}

/// Routes for programs, which respond with no page. This list only shrinks.
const NO_PAGE: [&str; 10] = [
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/api/v1",
    "/.well-known/security.txt",
    "/api/oauth/revoke",
    "/api/oauth/token",
    "/api/v1/openapi.json",
    "/healthz",
    "/readyz",
];

#[tokio::test]
async fn every_page_says_what_it_is_and_repeats_no_role() {
    let world = World::start().await;
    let samples = world.samples().await;
    let (olivia, stranger) = (world.sign_in("olivia").await, world.stranger());
    let (mut pages, mut tables) = (BTreeSet::new(), BTreeSet::new());
    let mut look = |path: &str, answer: Answer| {
        if answer.header("content-type").starts_with("text/html") {
            assert_clean(&answer);
            pages.insert(path.to_owned());
            if answer.body.contains("<table") {
                tables.insert(path.to_owned());
            }
        }
    };
    let rows = browser_routes();
    for client in [&olivia, &stranger] {
        for row in &rows {
            look(&row.path, client.clone().get(&samples.path(&row.path)).await);
        }
    }
    // Forms that say what is missing. Not the one that ends the session.
    for row in rows.iter().filter(|row| row.method == "POST" && row.path != "/sign-out") {
        look(&row.path, olivia.clone().post(&samples.path(&row.path), &[]).await);
    }
    look("/nowhere", olivia.clone().get("/nowhere").await);
    let paths = rows.iter().map(|row| row.path.clone());
    let unseen: BTreeSet<String> = paths.filter(|path| !pages.contains(path)).collect();
    assert_eq!(unseen, NO_PAGE.map(ToOwned::to_owned).into(), "every other route has a page");
    let with_table = templates().into_iter().filter(|(_, text)| text.contains("<table")).count();
    assert_eq!(tables.len(), with_table, "{tables:?}");
}

// control: API-06
#[tokio::test]
async fn the_browser_knows_every_feature_that_is_denied_and_warns_of_nothing() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.goto(&world.url("/")).await;
    let known = page.eval("document.featurePolicy.features()").await;
    let known: Vec<&str> = known.as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    let answer = world.stranger().get("/").await;
    let denied: Vec<&str> =
        answer.header("permissions-policy").split(',').filter_map(|part| part.trim().split('=').next()).collect();
    let unknown: Vec<_> = denied.iter().filter(|name| !known.contains(name)).collect();
    assert!(known.contains(&"camera") && denied.contains(&"camera"), "{known:?} {denied:?}");
    assert!(unknown.is_empty(), "{unknown:?}");
    assert_eq!(page.console_errors(), Vec::<String>::new());
}
