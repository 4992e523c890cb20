//! Without a session: people are taken to the sign-in and back, programs are told.

use serde_json::Value;

use crate::harness::World;

#[tokio::test]
async fn a_page_leads_to_the_sign_in_and_back_to_itself() {
    let world = World::start().await;
    for path in ["/account", "/organizations", "/o/1", "/o/1/members?page=2&q=a%20b%26c", &world.acme.contacts()] {
        let mut client = world.stranger();
        let answer = client.get(path).await;
        assert_eq!(answer.status, 303, "{path}: {}", answer.text());
        let (sign_in, query) = answer.location().split_once('?').unwrap();
        assert_eq!(sign_in, "/sign-in");
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        assert_eq!(pairs, [("return_to".to_owned(), path.to_owned())], "{path}");
        let choose = client.get(answer.location()).await;
        let kept = format!("name=\"return_to\" value=\"{}\"", path.replace('&', "&#38;"));
        assert!(choose.status == 200 && choose.body.contains(&kept), "{path}: {}", choose.body);
    }
}

#[tokio::test]
async fn a_program_is_told_and_not_sent_around() {
    let world = World::start().await;
    for path in ["/account", &world.acme.url(), "/o/00000000-0000-0000-0000-000000000000"] {
        let answer = world.stranger().program().get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (401, "application/problem+json"), "{path}");
        assert_eq!((answer.location(), answer.header("www-authenticate")), ("", "Session"));
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&problem["status"], &problem["title"]), (&401.into(), &"Please sign in".into()), "{path}");
        assert_eq!(problem["instance"], format!("urn:uuid:{}", answer.header("x-request-id")));
    }
    let mut stranger = world.stranger();
    let posted = stranger.post("/organizations", &[("name", "Mine")]).await;
    assert_eq!((posted.status, posted.location()), (401, ""), "what was to be done is not done after a sign-in");
}

// control: IDN-04
#[tokio::test]
async fn a_link_on_another_site_arrives_without_the_strict_cookie_and_gets_there_all_the_same() {
    let world = World::start().await;
    let path = format!("{}?q=a", world.acme.contacts());
    let mut olivia = world.sign_in("olivia").await;
    let hop = olivia.get_from_elsewhere(&path).await;
    assert_eq!(hop.status, 200, "{}", hop.text());
    assert!(hop.body.contains("Opening the page you asked for") && !hop.body.contains("Olivia"), "{}", hop.text());
    assert_eq!(hop.moves_on_to(), path);
    let page = olivia.get(&hop.moves_on_to()).await;
    assert!(page.status == 200 && page.body.contains("Olivia Owner"), "{}", page.text());

    let mut stranger = world.stranger();
    let hop = stranger.get_from_elsewhere(&path).await;
    assert_eq!((hop.status, hop.moves_on_to()), (200, path.clone()), "it says nothing of whether there is a session");
    assert_eq!(stranger.get(&path).await.status, 303);
    let evil = stranger.get_from_elsewhere("//evil.example/%2e%2e/account").await;
    assert!(evil.status != 200 || evil.moves_on_to() == "/", "{}", evil.body);
}
