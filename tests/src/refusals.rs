//! A form that a rule of the data refuses is shown again where it was.

use crate::harness::World;

/// The last owner gives themselves another role.
async fn demote_last_owner(world: &World) -> (crate::harness::Client, String) {
    let olivia = world.sign_in("olivia").await;
    let page = format!("{}/members/{}/role", world.acme.url(), world.user("olivia").await);
    (olivia, page)
}

const TYPED: [(&str, &str); 3] =
    [("role", "viewer"), ("reason", "I <b>leave</b> soon"), ("ticket", "https://tickets.example/5")];
const RULE: &str = "This is the last owner. Make somebody else an owner first.";

// control: API-02
#[tokio::test]
async fn a_refused_form_is_shown_again_with_the_rule_and_with_what_was_typed() {
    let world = World::start().await;
    let (mut olivia, page) = demote_last_owner(&world).await;
    let before = world.state().await;
    let refused = olivia.post_from(&page, &page, &TYPED).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(
        refused.body.contains(&format!("<p class=\"flash flash-warning\" role=\"alert\">{RULE}</p>")),
        "{}",
        refused.text()
    );
    assert!(refused.body.contains("I &#60;b&#62;leave&#60;/b&#62; soon</textarea>"), "{}", refused.body);
    assert!(refused.body.contains("value=\"https://tickets.example/5\""), "{}", refused.body);
    assert!(refused.body.contains("value=\"viewer\" checked"), "{}", refused.body);
    assert!(refused.body.contains("aria-label=\"Acme\""), "with the navigation: {}", refused.text());
    assert_eq!(world.state().await, before);
    // The page of the next request is the one it always was.
    let next = olivia.get(&page).await;
    assert!(next.status == 200 && !next.body.contains(RULE) && !next.body.contains("leave"), "{}", next.text());
}

// control: IDN-09
// control: API-02
#[tokio::test]
async fn an_error_page_says_nothing_of_the_organization_before_the_passkey_is_proved() {
    let world = World::start().await;
    world.invite(uuid::Uuid::now_v7(), world.acme.organization, "nora@example.com", "viewer").await;
    let path = format!("{}/workspaces", world.acme.url());
    let unreadable = async |mut client: crate::harness::Client| {
        let request = client.request(reqwest::Method::POST, &path).header("content-type", "text/plain").body("name=x");
        client.send(request).await
    };
    let proved = unreadable(world.sign_in("olivia").await).await;
    assert!(
        proved.status == 415 && proved.body.contains("aria-label=\"Acme\""),
        "{}: {}",
        proved.status,
        proved.text()
    );
    let unproved = unreadable(world.sign_in_at_provider("olivia").await).await;
    assert_eq!(unproved.status, 415, "{}", unproved.text());
    for part in ["Acme", "pending", "Your role"] {
        assert!(proved.body.contains(part), "{part}: {}", proved.body);
        assert!(!unproved.body.contains(part), "{part}: {}", unproved.body);
    }
    assert!(unproved.body.contains("Olivia Owner"), "she is signed in: {}", unproved.text());
}

// control: API-02
#[tokio::test]
async fn a_refusal_without_a_page_to_go_back_to_is_an_error_page_with_the_rule() {
    let world = World::start().await;
    let (mut olivia, page) = demote_last_owner(&world).await;
    let elsewhere = format!("{}/members/{}/role", world.globex.url(), world.user("gus").await);
    for from in [None, Some("/"), Some("/nowhere"), Some(&*elsewhere), Some("/sign-in/dev/callback?code=1&state=2")] {
        let refused = match from {
            None => olivia.post(&page, &TYPED).await,
            Some(from) => olivia.post_from(from, &page, &TYPED).await,
        };
        assert_eq!(refused.status, 409, "{from:?}: {}", refused.text());
        assert!(refused.body.contains("Error 409") && refused.body.contains(RULE), "{from:?}: {}", refused.text());
        assert!(refused.body.contains("aria-label=\"Acme\""), "{from:?}: with the navigation: {}", refused.text());
    }
    let program = olivia.clone().program().post_from(&page, &page, &TYPED).await;
    assert_eq!((program.status, program.header("content-type")), (409, "application/problem+json"));
    // Of a page with another form, only the rule is shown.
    let other = format!("{}/workspaces/new", world.acme.url());
    let refused = olivia.post_from(&other, &page, &TYPED).await;
    assert!(
        refused.status == 409 && refused.body.contains(RULE) && !refused.body.contains("leave"),
        "{}",
        refused.text()
    );
}

// control: API-02
#[tokio::test]
async fn a_page_that_is_not_there_keeps_the_header_of_who_asks() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    let refused = erin.get(&format!("{}/settings", world.acme.url())).await;
    assert!(refused.status == 403 && refused.body.contains("aria-label=\"Acme\""), "{}", refused.text());
    assert!(refused.text().contains("Go to Acme"), "{}", refused.text());
    for missing in ["/nowhere".to_owned(), world.globex.url()] {
        let answer = erin.get(&missing).await;
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert!(
            answer.body.contains("Erin Editor") && answer.body.contains("Sign out"),
            "{missing}: {}",
            answer.text()
        );
        assert!(
            !answer.body.contains("Globex") && answer.text().contains("Go to your organizations"),
            "{}",
            answer.text()
        );
    }
    let stranger = world.stranger().get("/nowhere").await;
    assert!(stranger.status == 404 && !stranger.body.contains("Sign out"), "{}", stranger.text());
}
