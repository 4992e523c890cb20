use super::{look, make_passkey, sign_in};
use crate::browser::Browser;
use crate::harness::World;

// control: IDN-18
#[tokio::test]
async fn an_owner_makes_a_client_renews_it_and_revokes_it() {
    let world = World::start().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.add_authenticator().await;
    sign_in(&page, &world, "olivia").await;
    page.goto(&world.url(&format!("{}/clients", world.acme.url()))).await;
    make_passkey(&page).await;
    page.wait_for_url("/clients").await;
    page.loads(page.click_text("a", "Create API client")).await;
    page.loads(page.click_text("button", "Create API client")).await;
    assert!(page.text("#f-scope-error").await.contains("Choose what the client may do."));
    page.fill("#f-name", "Nightly export to the warehouse").await;
    page.click("[name=acts_as][value=viewer]").await;
    page.click("[value=ListContacts]").await;
    page.click("[value=ViewContact]").await;
    page.click("[name=kind][value=tokens]").await;
    page.fill("#f-reason", "The report of every morning").await;
    page.loads(page.click_text("button", "Create API client")).await;
    assert_eq!(page.text("h1").await, "Secret of Nightly export to the warehouse");
    look(&page, "/client-secret").await;
    page.loads(page.click_text("a", "I’ve saved it")).await;
    let list = page.text("main").await;
    for words in ["Nightly export to the warehouse", "Service account", "Viewer", "by Olivia Owner", "Never"] {
        assert!(list.contains(words), "{words}: {list}");
    }
    look(&page, "/clients").await;
    page.loads(page.click_text("a", "New secret")).await;
    look(&page, "/client-renewal").await;
    page.fill("#f-reason", "It was seen").await;
    page.loads(page.click_text("button", "Generate new secret")).await;
    page.loads(page.click_text("a", "I’ve saved it")).await;
    page.loads(page.click_text("a", "Revoke")).await;
    look(&page, "/client-end").await;
    page.fill("#f-reason", "Not needed").await;
    page.loads(page.click_text("button", "Revoke client")).await;
    assert!(page.text("[role=status]").await.contains("was revoked."));
    // The form that said what is missing was answered with its status.
    let errors: Vec<_> = page.console_errors().into_iter().filter(|error| !error.contains("422")).collect();
    assert!(errors.is_empty(), "{errors:?}");
}
